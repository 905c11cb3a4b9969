"""From a graph to a native step: plan, prove the plan, generate, compile, bind.

program = build(graph)
outputs = program.call((W1, b1, x, y, 0.1))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ir.record import dataclass
from ..runtime import engine
from ..runtime.bundle import bundled
from ..runtime.callpath_native import native_ahead
from ..runtime.clock import Clock
from ..runtime.executable import Executable
from ..runtime.loading import begin
from ..runtime.modes import DEFAULTS, RunOptions
from ..runtime.module import NativeModule, load_source
from ..runtime.pool import pool_ahead, thread_count
from ..runtime.store import Store, open_store, recall
from . import checker, codegen, manifest, memory
from .product import Product, pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..ir.graph import Graph
    from ..runtime.executable import Prepare

    Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class NativeProgram:
    """A native step, with what it was made from. `graph` is the planned one, None for a step that
    came from the cache as a whole; `timings` are (phase, seconds)."""

    graph: Graph | None
    product: Product
    module: NativeModule
    executable: Executable
    timings: tuple[tuple[str, float], ...]

    @property
    def source(self) -> str:
        """The generated Python source."""
        return self.product.source

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

    def bundle(self) -> list[Any] | None:
        """What `restored.py` makes it of again; None where that cannot be said."""
        store = open_store()
        kernels = self.module.kernels.values()
        code = None if store is None else bundled(self.module.driver_text, kernels, store)
        return None if code is None else [manifest.pack(self.product.manifest), code]

    def call(
        self, leaves: tuple[Any, ...], prepare: Prepare | None = None
    ) -> tuple[Array, ...] | None:
        """See `Executable.call`."""
        return self.executable.call(leaves, prepare)


def is_planned(graph: Graph) -> bool:
    """Whether every value has a place."""
    return all(v.place is not None for node in graph.nodes for v in node.results) and all(
        v.place is not None for v in graph.inputs
    )


def build_ahead(*, keep: bool = True) -> None:
    """Say that a step is going to be compiled: other processes may begin with what all steps share,
    if nothing was compiled here before."""
    store = open_store() if keep else None
    if native_ahead(store) and thread_count() > 1:
        pool_ahead(store)


def build(
    graph: Graph, options: RunOptions = DEFAULTS, *, keep: bool = True, key: str | None = None
) -> NativeProgram:
    """Compile a graph of the stage `fused` or `planned`; with `keep` the source and the machine
    code are left in files, and what is there from before is taken. Under `key`, a digest of all
    the graph was made from, the program itself is left, for `restore`.

    UnsupportedError for an op without code, naming it and the user's line; VerifyError if the
    memory plan cannot be proved sound; ValueError if `TAPELESS_THREADS` is asked and no count.
    """
    thread_count(options.threads)  # whether or not this step has a use for several
    begin()
    clock = Clock()
    if not is_planned(graph):
        graph = memory.plan_memory(graph)
    checker.check_plan(graph)
    clock.done("plan")
    generated = codegen.generate(graph)
    clock.done("codegen")
    store = open_store() if keep else None
    module = engine.compile_source(
        generated.source, generated.specs, options, keep=keep, store=store
    )
    product = Product.of(generated, module)
    if store is not None and key is not None:
        store.put(store.key("program", key), pack(product))
    clock.split(module.timings, "store")
    return _bound(graph, product, module, store, clock)


def find(key: str) -> Product | None:
    """The program that an earlier process left under a key. Nothing is loaded yet."""
    payload = recall(open_store(make=False), "program", key)
    return None if payload is None else unpack(payload)


def restore(product: Product, options: RunOptions = DEFAULTS) -> NativeProgram:
    """A step made of its product; kernels that are not in the cache any more are compiled."""
    clock = Clock()
    store = open_store()
    module = None
    if store is not None:
        module = load_source(product.source, product.driver, product.symbols, store, options)
    if module is None:
        module = engine.compile_source(product.source, product.specs, options, store=store)
    clock.done("cache")
    return _bound(None, product, module, store, clock)


def _bound(
    graph: Graph | None,
    product: Product,
    module: NativeModule,
    store: Store | None,
    clock: Clock,
) -> NativeProgram:
    executable = product.manifest.executable(module, store)
    executable.prepare()  # so that the code of the call path is there for a bundle
    clock.done("bind")
    return NativeProgram(graph, product, module, executable, tuple(clock.phases.items()))
