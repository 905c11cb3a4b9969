"""From a graph to a native step: plan, prove the plan, generate, compile, bind.

program = build(graph)
outputs = program.call((W1, b1, x, y, 0.1))
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..ir.errors import TapelessError
from ..ir.graph import Graph
from ..runtime.engine import NativeModule, compile_source
from ..runtime.executable import Executable
from ..runtime.store import open_store
from .checker import check_plan
from .codegen import Generated, generate
from .memory import plan_memory

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class NativeProgram:
    """A native step, with everything it was made from. `timings` are (phase, seconds)."""

    graph: Graph
    generated: Generated
    module: NativeModule
    executable: Executable
    timings: tuple[tuple[str, float], ...]

    @property
    def source(self) -> str:
        """The generated Python source."""
        return self.generated.source

    @property
    def path(self) -> str:
        """The file the source lies in."""
        return self.module.path

    def llvm(self) -> str:
        """The LLVM IR of kernels and driver."""
        return self.module.llvm()

    def asm(self) -> str:
        """Their assembly for this machine."""
        return self.module.asm()

    def call(self, leaves: tuple[Any, ...]) -> tuple[Array, ...] | None:
        """See `Executable.call`."""
        return self.executable.call(leaves)


def is_planned(graph: Graph) -> bool:
    """Whether every value has a place."""
    return all(v.place is not None for node in graph.nodes for v in node.results) and all(
        v.place is not None for v in graph.inputs
    )


def build(graph: Graph, *, keep: bool = True) -> NativeProgram:
    """Compile a graph of the stage `fused` or `planned`; with `keep` the source and the machine
    code are left in files, and what is there from before is taken.

    UnsupportedError for an op without code, naming it and the user's line; VerifyError if the
    memory plan cannot be proved sound.
    """
    phases: list[tuple[str, float]] = []
    clock = time.perf_counter()

    def done(name: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        phases.append((name, now - clock))
        clock = now

    if not is_planned(graph):
        graph = plan_memory(graph)
    check_plan(graph)
    done("plan")
    generated = generate(graph)
    done("codegen")
    store = open_store() if keep else None
    module = compile_source(generated.source, None, generated.specs, keep=keep, store=store)
    done("cache" if module.origins.get("cache") else "compile")
    executable = Executable(
        module,
        generated.layout,
        generated.scratch,
        lambda k: failed_check(generated, k),
        store=store,
    )
    done("bind")
    return NativeProgram(graph, generated, module, executable, tuple(phases))


def failed_check(generated: Generated, status: int) -> TapelessError:
    """The error for a status: what is wrong, where in the user's code."""
    check = generated.checks[status - 1]
    where = f"at {check.node.loc}: " if check.node.loc is not None else ""
    return check.error(f"{where}{check.message}; nothing was written")
