"""Which graphs run as one loop nest, and how: the shared analysis behind fusion and its code.

A *region* is a graph of elementwise ops, reductions and views. Every axis of every value in it is
either a loop or has extent 1; axes that are added, compared or copied to each other are the same
loop. The loops are ordered: first the *rows*, then the *inner* loops.

    for row loops:                     %m = max %x [axes=(1)]      phase 0 reduces the inner loop
        for inner loops: ...           %d = sub %x, %m             phase 1 may use its result
        for inner loops: ...           %e = exp %d

A reduction is one of

- `row`      over exactly the inner loops: its result is a scalar per row, ready for the next phase;
- `total`    over all loops from some depth on: ready when the loop at that depth ends; at depth 0,
             elementwise ops on the result may follow (they form the *epilogue*);
- `column`   over outer loops with inner loops kept: accumulates into its buffer, nothing in the
             region may read the result.

A *view* (transpose, broadcast, slice, windows, reshape by axes of extent 1) of a region input costs
nothing: it is another way to index the input's buffer. A value computed in one phase and used in a
later one is computed again when that is cheap and otherwise must be a result of the region, from
which it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from .graph import Graph, Node, Value
from .record import dataclass

VIEWS: Final = frozenset({"transpose", "broadcast", "slice", "windows", "reshape", "arg"})
REDUCTIONS: Final = frozenset({"reduce", "argreduce"})
EXPENSIVE: Final = frozenset(
    {
        "exp", "exp2", "log", "log2", "log10", "log1p", "expm1", "sqrt", "tanh", "sin", "cos",
        "tan", "arcsin", "arccos", "sinh", "cosh", "sigmoid", "softplus", "erf", "arcsinh",
        "arccosh", "arctanh", "cbrt", "power", "arctan2", "div", "floor_divide", "remainder",
        "fmod",
    }
)  # fmt: skip
"""Elementwise ops that are not worth computing twice."""


Stride = tuple[int, int]
"""A loop and the step it takes along an axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """How one axis of a buffer is indexed: at `start + step * loop`, at `start` without a loop.

    `extent` is the axis in memory. Loops are positions in the region's order. Along windows a
    second loop counts: `more` holds further pairs (loop, step), which are added.
    """

    loop: int | None
    extent: int
    start: int = 0
    step: int = 1
    more: tuple[Stride, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the index is the loop variable itself."""
        return self.loop is not None and self.start == 0 and self.step == 1 and not self.more

    @property
    def dense(self) -> bool:
        """Whether no step leaves elements out."""
        return all(step == 1 for _, step in self.strides)

    @property
    def strides(self) -> tuple[Stride, ...]:
        """Every loop with its step."""
        return () if self.loop is None else ((self.loop, self.step), *self.more)

    def over(self, strides: Iterable[Stride], start: int = 0) -> Axis:
        """The axis walked by other loops, its start moved."""
        found = tuple(strides)
        if not found:
            return Axis(None, self.extent, self.start + start)
        (loop, step), *more = found
        return Axis(loop, self.extent, self.start + start, step, tuple(more))


Axes = tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """A region input and how it is indexed."""

    source: Value
    axes: Axes


@dataclass(frozen=True, slots=True)
class Reduction:
    """How a reduction runs: `depth` loops enclose its start and its end; `column` ones keep the
    loops `kept` inside the reduced ones."""

    kind: str
    depth: int
    reduced: tuple[int, ...]
    kept: tuple[int, ...] = ()


@dataclass(frozen=True)
class Region:
    """A graph arranged as a loop nest. `extents[:rows]` are the row loops."""

    body: Graph
    extents: tuple[int, ...]
    rows: int
    loads: Mapping[Value, Load]
    axes: Mapping[Value, Axes]
    reductions: Mapping[Node, Reduction]
    depth: Mapping[Value, int]
    phase: Mapping[Value, int]
    epilogue: frozenset[Value]

    @cached_property
    def phases(self) -> int:
        """Number of sweeps over the inner loops."""
        return 1 + max((self.phase[v] for v in self.phase if self.is_inner(v)), default=0)

    def is_inner(self, value: Value) -> bool:
        """Whether the value changes inside the inner loops."""
        return self.depth[value] > self.rows

    def spills(self) -> tuple[Value, ...]:
        """Expensive inner values that a later phase than their own reads: each has to be a result
        of the region."""
        found: dict[Value, None] = {}
        for node in self.body.nodes:
            if node.results[0] in self.depth and node.results[0] not in self.loads:
                phase = self.reading_phase(node)
                for value in node.operands:
                    found.update(dict.fromkeys(self._needed(value, phase)))
        return tuple(found)

    def reading_phase(self, node: Node) -> int:
        """The phase in which a node reads its operands."""
        reduction = self.reductions.get(node)
        return self.phase[node.results[0]] - (reduction is not None and reduction.kind == "row")

    def _needed(self, value: Value, phase: int) -> Iterator[Value]:
        node = self.body.producer.get(value)
        if node is None or value in self.loads or not self.is_inner(value):
            return
        if self.phase[value] >= phase:
            return
        if node.op.name in EXPENSIVE:
            yield value
            return
        for operand in node.operands:
            yield from self._needed(operand, phase)


def node_body(graph: Graph, node: Node) -> Graph:
    """The body of a fused node, or a body around a single node with its scalar constants inside."""
    if node.op.name == "fused":
        body: Graph = node.attrs["body"]
        return body
    constants = [
        graph.producer[v]
        for v in dict.fromkeys(node.operands)
        if v in graph.producer and graph.producer[v].op.name == "constant" and v.shape == ()
    ]
    known = {c.result for c in constants}
    inputs = tuple(v for v in dict.fromkeys(node.operands) if v not in known)
    return Graph("single", inputs, (*constants, node), node.results)


def body_operands(node: Node, body: Graph) -> tuple[Value, ...]:
    """The values of the outer graph that the body's inputs stand for."""
    return node.operands if node.op.name == "fused" else body.inputs


def reduced_axes(node: Node) -> tuple[int, ...]:
    """The axes a reduction removes."""
    if node.op.kind == "argreduce":
        return (node.attrs["axis"],)
    axes: tuple[int, ...] = node.attrs["axes"]
    return axes


def is_unit_reshape(node: Node) -> bool:
    """A reshape that only adds or removes axes of extent 1."""
    old, new = node.operands[0].type.shape, node.results[0].type.shape
    return [n for n in old if n != 1] == [n for n in new if n != 1]


def is_view(node: Node) -> bool:
    """Whether a region can absorb the node into the indexing of its operand."""
    return node.op.name in VIEWS and (node.op.name != "reshape" or is_unit_reshape(node))


def is_free(node: Node) -> bool:
    """A node that costs nothing inside a region: a view, a counter, a scalar constant."""
    name = node.op.name
    if name == "constant":
        return node.results[0].type.shape == ()
    return name == "iota" or (name in VIEWS and is_view(node))


def view_axes(node: Node, axes: Axes) -> Axes:
    """How a view indexes a buffer, given how its operand does: `loop` is an axis of the value."""
    return tuple(_through(node, axis) for axis in axes)


def _through(node: Node, axis: Axis) -> Axis:
    start, strides = 0, []
    for k, step in axis.strides:
        first, moved = _moved(node, k)
        start += step * first
        strides += [(j, step * s) for j, s in moved]
    return axis.over(strides, start)


def _moved(node: Node, k: int) -> tuple[int, list[Stride]]:
    """What axis `k` of a view's operand is in its result: where it starts, and axes with steps."""
    operand, result, attrs = node.operands[0], node.result, node.attrs
    match node.op.name:
        case "transpose":
            return 0, [(attrs["perm"].index(k), 1)]
        case "broadcast":
            return 0, [(k + result.type.rank - operand.type.rank, 1)]
        case "reshape":
            return 0, [(_matching_axis(operand.shape, result.shape, k), 1)]
        case "slice":
            start, _, step = attrs["spec"][k]
            return start, [] if result.shape[k] == 1 else [(k, step)]
        case "windows" if k in attrs["axes"]:
            j = attrs["axes"].index(k)
            inside = operand.type.rank + j
            both = (k, attrs["strides"][j]), (inside, attrs["dilations"][j])
            return 0, [stride for stride in both if result.shape[stride[0]] != 1]
    return 0, [(k, 1)]


def _matching_axis(old: Sequence[int], new: Sequence[int], k: int) -> int:
    """The axis of `new` that is axis `k` of `old`, axes of extent 1 aside."""
    rank = sum(n != 1 for n in old[:k])
    return [j for j, n in enumerate(new) if n != 1][rank]
