"""What a program costs: arithmetic, memory and compile time; and its texts."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Final

from ..ir.graph import Graph, Node, Value
from ..ir.ops.dot import letter_extents
from ..ir.record import dataclass
from ..ir.text import Names
from .layout import arena_bytes, arena_offset
from .memory import BufferInfo
from .memory import memory_report as planned_buffers
from .table import Table, bytes_text, seconds_text


class Listing(str):
    """A generated text: a plain string that also knows what it is and where it lies."""

    language: str
    path: str | None

    def __new__(cls, text: str, language: str, path: str | None = None) -> Listing:
        made = super().__new__(cls, text)
        made.language = language
        made.path = path
        return made


def diff(a: str, old: str, b: str, new: str) -> str:
    """What changed between two texts called `a` and `b`, as a unified diff."""
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), a, b, lineterm=""))


# --- arithmetic ----------------------------------------------------------------------------


@dataclass(frozen=True)
class OpCost:
    """All nodes of one op together."""

    op: str
    nodes: int
    flops: int
    nbytes: int
    """Bytes read and written if every operand and result goes through memory once."""


@dataclass(frozen=True)
class CostReport:
    """Arithmetic and traffic of the stage `optimized`, op by op, the most expensive first."""

    name: str
    rows: tuple[OpCost, ...]

    @property
    def flops(self) -> int:
        return sum(row.flops for row in self.rows)

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self.rows)

    @property
    def intensity(self) -> float:
        """Floating-point operations per byte moved."""
        return self.flops / self.nbytes if self.nbytes else 0.0

    def __str__(self) -> str:
        table = Table("op", "nodes", "flops", "bytes")
        for row in self.rows:
            table.add(row.op, str(row.nodes), f"{row.flops:,}", bytes_text(row.nbytes))
        return (
            f"{self.name}: {self.flops:,} operations, {bytes_text(self.nbytes)} moved,"
            f" {self.intensity:.2f} operations per byte\n{table}"
        )


def cost_report(name: str, graph: Graph) -> CostReport:
    """Add up the nodes of `graph` by op."""
    groups: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if node.op.name != "constant":
            groups.setdefault(node.op.name, []).append(node)
    rows = [
        OpCost(op, len(nodes), sum(map(flops, nodes)), sum(map(traffic, nodes)))
        for op, nodes in groups.items()
    ]
    return CostReport(name, tuple(sorted(rows, key=lambda r: (-r.flops, -r.nbytes, r.op))))


def flops(node: Node) -> int:
    """Arithmetic operations of one node; a transcendental function counts as one."""
    match node.op.kind:
        case "dot":
            operands = [v.type for v in node.operands]
            pair = operands[1:3] if node.op.name == "dot_acc" else operands
            return 2 * math.prod(letter_extents(node.attrs["spec"], pair).values())
        case "elementwise" | "random":
            return node.result.type.size
        case "reduce" | "argreduce" | "scan" | "composite":
            return node.operands[0].type.size
        case "sort":
            n: int = node.operands[0].shape[node.attrs["axis"]]
            steps = (
                1 + len(node.attrs["kth"]) if "kth" in node.attrs else max(n - 1, 0).bit_length()
            )
            return node.operands[0].type.size * steps
        case "search":
            return node.result.type.size * node.operands[0].type.size.bit_length()
        case "linalg":
            return _matrix_flops(node)
        case "fused":
            return sum(map(flops, node.attrs["body"].nodes))
    return 0


_FACTOR: Final = {"lu": 2, "cholesky": 1, "solve": 2, "logabsdet": 2, "det_sign": 2}
"""Thirds of n^3 operations that a factorisation of n rows takes."""


def _matrix_flops(node: Node) -> int:
    """A factorisation, and n^2 operations for each triangle and column that is solved with."""
    matrix = node.operands[0].type
    n, count = matrix.shape[-1], math.prod(matrix.shape[:-2])
    triangles = {"solve_triangular": 1, "lu_solve": 2, "solve": 2}.get(node.op.name, 0)
    columns = node.operands[-1].shape[-1] if triangles else 0
    return count * (_FACTOR.get(node.op.name, 0) * n**3 // 3 + triangles * n * n * columns)


def traffic(node: Node) -> int:
    """Bytes of the distinct operands and of the results."""
    return sum(v.type.nbytes for v in {*node.operands, *node.results})


# --- memory --------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemoryReport:
    """The memory plan of the stage `planned`."""

    name: str
    argument_bytes: int
    updated_bytes: int
    output_bytes: int
    intermediate_bytes: int
    """All values in the arena, had each its own memory."""
    arena_bytes: int
    """What they take with slots reused."""
    buffers: tuple[BufferInfo, ...]
    """Every value, where it lies, and from which node to which it is needed."""
    names: tuple[str, ...]
    """What the IR text calls them."""

    def __str__(self) -> str:
        totals = Table("memory", "bytes")
        for label, count in (
            ("arguments", self.argument_bytes),
            ("  updated in place", self.updated_bytes),
            ("results", self.output_bytes),
            ("intermediates", self.intermediate_bytes),
            ("  arena", self.arena_bytes),
        ):
            totals.add(label, bytes_text(count))
        buffers = Table("value", "type", "place", "nodes", "kept for")
        for name, buffer in zip(self.names, self.buffers, strict=True):
            span = f"{buffer.first}..{buffer.last}"
            buffers.add(name, str(buffer.value.type), buffer.place, span, buffer.kept_for)
        return f"{self.name}\n{totals}\n\n{buffers}"


def memory_report(name: str, graph: Graph) -> MemoryReport:
    """Read the plan off the places of a graph of the stage `planned`."""
    buffers = planned_buffers(graph)
    own = [b for b in buffers if arena_offset(b.place) is not None]
    names = Names(graph)
    return MemoryReport(
        name,
        argument_bytes=_nbytes(graph.inputs),
        updated_bytes=_nbytes([target for target, _ in graph.updates]),
        output_bytes=_nbytes(graph.outputs),
        intermediate_bytes=sum(b.nbytes for b in own),
        arena_bytes=arena_bytes(graph),
        buffers=buffers,
        names=tuple(names.use(b.value) for b in buffers),
    )


def _nbytes(values: Sequence[Value]) -> int:
    return sum(v.type.nbytes for v in values)


# --- compile time --------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """One pass, or one phase of native compilation."""

    stage: str
    name: str
    seconds: float
    nodes: tuple[int, int] | None = None
    """Nodes before and after, for a pass."""


@dataclass(frozen=True)
class TimingReport:
    """Where compilation spent its time, in order, and which rewrite rules fired."""

    name: str
    phases: tuple[Phase, ...]
    fired: Mapping[str, int]

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    def __str__(self) -> str:
        table = Table("stage", "pass", "time", "nodes")
        for phase in self.phases:
            nodes = f"{phase.nodes[0]} -> {phase.nodes[1]}" if phase.nodes else ""
            table.add(phase.stage, phase.name, seconds_text(phase.seconds), nodes)
        lines = [f"{self.name}: {seconds_text(self.seconds)}", str(table)]
        if self.fired:
            rules = sorted(self.fired.items(), key=lambda item: (-item[1], item[0]))
            lines.append("rules: " + ", ".join(f"{rule} {count}" for rule, count in rules))
        return "\n".join(lines)
