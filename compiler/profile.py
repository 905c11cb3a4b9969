"""Where a native step spends its time: each node of the plan, its kernels, and how near it comes to
what the machine can do.

The step is built once more, with a driver that notes the time stamp counter between its
statements; kernels and memory plan are those of the step. A note takes about 10 ns.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Graph, Node
from ..ir.record import dataclass
from ..ir.text import Names
from ..ir.types import dtype_name
from ..runtime.engine import compile_source
from ..runtime.executable import Executable
from ..runtime.modes import RunOptions
from .codegen import Call, generate
from .manifest import Manifest
from .peaks import Peaks
from .reports import flops, traffic
from .table import Table, bytes_text, seconds_text

Array = NDArray[Any]

LEAST_ROUNDS, MOST_ROUNDS = 7, 1000


@dataclass(frozen=True)
class Cost:
    """One node of the plan: what it computes, by which kernels or routines, in what time."""

    result: str
    op: str
    kernels: tuple[str, ...]
    where: str
    flops: int
    nbytes: int
    """Bytes read and written if every operand and result goes through memory once."""
    seconds: float
    """The median of the rounds."""
    bound: float | None
    """Seconds that this machine's peaks allow at best; None if they are not measured."""

    @property
    def share(self) -> float | None:
        """What part of the machine's peak the node reaches."""
        if self.bound is None or not self.seconds:
            return None
        return self.bound / self.seconds


@dataclass(frozen=True)
class ProfileReport:
    """Node by node, in the order of execution."""

    name: str
    rows: tuple[Cost, ...]
    rounds: int
    peaks: Peaks | None

    @property
    def seconds(self) -> float:
        """Of one step, without the way into native code."""
        return sum(row.seconds for row in self.rows)

    def __str__(self) -> str:
        table = Table(
            "value", "op", "kernels", "flops", "bytes", "time", "part", "of peak", "where"
        )
        for row in self.rows:
            table.add(
                row.result,
                row.op,
                ", ".join(row.kernels),
                f"{row.flops:,}",
                bytes_text(row.nbytes),
                seconds_text(row.seconds),
                f"{row.seconds / self.seconds:.1%}" if self.seconds else "",
                "" if row.share is None else f"{row.share:.0%}",
                row.where,
            )
        rounds = f"median of {self.rounds} rounds"
        peaks = str(self.peaks or "peaks are not known: run `tapeless doctor --measure` once")
        return f"{self.name}: {seconds_text(self.seconds)} a step, {rounds}\n{table}\n{peaks}"


def profile(
    name: str,
    graph: Graph,
    leaves: Sequence[Any],
    options: RunOptions,
    seconds: float,
    peaks: Peaks | None,
) -> ProfileReport:
    """Run a graph of the stage `planned` for about `seconds` on `leaves`, which it updates, and
    time its nodes."""
    generated = generate(graph, chained=False)
    ticks = np.zeros(len(generated.calls) + 1, np.uint64)
    noting = replace(options, ticks=ticks.ctypes.data)
    module = compile_source(generated.source, generated.specs, noting, keep=False)
    failed = Manifest.of(generated).failed
    executable = Executable(module, generated.layout, generated.scratch, failed)
    rounds = _rounds(executable, tuple(leaves), ticks, seconds)
    costs = _costs(graph, generated.calls, np.median(rounds, axis=0), peaks)
    return ProfileReport(name, costs, len(rounds), peaks)


def _rounds(executable: Executable, leaves: tuple[Any, ...], ticks: Array, seconds: float) -> Array:
    """Seconds per statement, a row per round. The counter's rate comes from its readings at the
    starts of the first and of the last round, against Python's clock."""
    executable.call(leaves)
    starts: list[float] = []
    readings: list[Array] = []
    end = time.perf_counter() + seconds
    while len(starts) < LEAST_ROUNDS or (len(starts) < MOST_ROUNDS and time.perf_counter() < end):
        starts.append(time.perf_counter())
        executable.call(leaves)
        readings.append(ticks.copy())
    counted = np.array(readings)
    rate = (starts[-1] - starts[0]) / float(counted[-1, 0] - counted[0, 0])
    return np.diff(counted, axis=1).astype(np.float64) * rate


def _costs(
    graph: Graph, calls: Sequence[Call], seconds: Array, peaks: Peaks | None
) -> tuple[Cost, ...]:
    names = Names(graph)
    grouped: dict[Node, list[int]] = {}
    for k, call in enumerate(calls):
        grouped.setdefault(call.node, []).append(k)
    return tuple(
        _cost(names, node, [calls[k] for k in numbers], float(sum(seconds[numbers])), peaks)
        for node, numbers in grouped.items()
    )


def _cost(
    names: Names, node: Node, calls: Sequence[Call], seconds: float, peaks: Peaks | None
) -> Cost:
    kernels = dict.fromkeys(c.kernel or c.statement.partition("(")[0] for c in calls)
    work, moved = flops(node), traffic(node)
    dtype = dtype_name(node.results[0].type.dtype)
    return Cost(
        result=", ".join(names.use(v) for v in node.results),
        op=node.op.name,
        kernels=tuple(kernels),
        where="" if node.loc is None else str(node.loc),
        flops=work,
        nbytes=moved,
        seconds=seconds,
        bound=None if peaks is None else peaks.bound(dtype, work, moved),
    )
