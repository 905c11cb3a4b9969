"""Loops over joined arrays become one loop for each piece: what is joined is never written.

    %0:f64[1] = slice %u [3:4]
    %1:f64[3] = slice %u [0:3]
    %r:f64[4] = concatenate %0, %1 [axis=0]
    %y:f64[4] = fused %r, %u body(..) { %y = sub %r, %u }
=>
    %y:f64[4] = fused %u body(%u) {
      %0:f64[1] = slice %u [3:4]
      %1:f64[1] = slice %u [0:1]
      %2:f64[1] = sub %0, %1
      ..                                                    and the same of 0:3 and 1:4
      %y:f64[4] = concatenate %2, %5 [axis=0]
    }

Stencils with periodic boundaries are like this: a few thin loops at the edges, and one over all the
rest that reads shifted slices. A join of slices, or of slices of other joins, is taken apart as
well: rolls along two axes are four copies. Results do not change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from ..ir.builder import Builder, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.pieces import pieces
from ..ir.region import body_operands, is_view, node_body
from .dce import dce
from .rewriting.movement import normal_slice

MOST: Final = 27
"""Pieces of one array: a stencil along three axes has as many."""

LEAST: Final = 24
"""Elements a piece has in the mean, from which on starting its loop costs little."""

Box = tuple[range, ...]
"""A part of an array: its indices on each axis."""

OPENED: Final = frozenset({"concatenate", "slice", "broadcast"})
"""Moves outside a nest that it may make itself."""

Cuts = tuple[frozenset[int], ...]
"""Where an array falls apart, on each axis."""


def split_pieces(graph: Graph) -> Graph:
    """Take the joins out of what loops read."""
    plans = {}
    for node in graph.nodes:
        if _is_nest(node) or _joins(node):
            split = _split(graph, node)
            if split is not None:
                plans[node] = split
    if not plans:
        return graph
    env: dict[Value, Value] = {}

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        env.update(zip(node.operands, operands, strict=True))
        if node not in plans:
            return None
        sources, body = plans[node]
        names = [v.name for v in node.results]
        return b.emit(OPS["fused"], [env[v] for v in sources], {"body": body}, names=names).results

    return dce(rebuild(graph, visit, origin="split_pieces"))


def _is_nest(node: Node) -> bool:
    return node.op.name == "fused" or node.op.kind == "elementwise"


def _split(graph: Graph, node: Node) -> tuple[tuple[Value, ...], Graph] | None:
    """What the node reads once joins are taken out, and its new body; None where it reads none, or
    would fall into too many pieces."""
    body = node_body(graph, node)
    whole = body.outputs[0]
    alike = all(v.shape == whole.shape for v in body.outputs)
    plain = all(n.op.kind in ("elementwise", "constant") or is_view(n) for n in body.nodes)
    if not _joins(node) and not (alike and plain and all(_computed(body, v) for v in body.outputs)):
        return None
    split = _Split(graph, node, body)
    grid = split.grid()
    count = math.prod(map(len, grid))
    if not 1 < count <= MOST or whole.type.size < LEAST * count:
        return None
    outputs = tuple(split.joined(v, grid) for v in body.outputs)
    sources = tuple(split.inputs)
    if sources == node.operands:
        return None
    found = Graph("body", tuple(split.inputs.values()), tuple(split.b.nodes), outputs)
    return None if pieces(found) is None else (sources, found)


def _computed(body: Graph, value: Value) -> bool:
    node = body.producer.get(value)
    return node is not None and node.op.kind == "elementwise"


class _Split:
    """One nest, opened: its values and the joins outside that it reads. `inputs` are the values
    outside that are still read, with what stands for them in the new body."""

    def __init__(self, graph: Graph, node: Node, body: Graph) -> None:
        self.graph, self.body = graph, body
        self.outer = dict(zip(body.inputs, body_operands(node, body), strict=True))
        self.b = Builder()
        self.b.loc, self.b.origin = node.loc, "split_pieces"
        self.inputs: dict[Value, Value] = {}
        self.known: dict[tuple[Value, Box], Value] = {}
        self.cut: dict[Value, Cuts] = {}

    def grid(self) -> list[list[range]]:
        """The parts of each axis of the results in which every join reads one operand."""
        found = [self._cuts(v) for v in self.body.outputs]
        shape = self.body.outputs[0].shape
        every = [frozenset[int]().union(*axis) for axis in zip(*found, strict=True)]
        ends = ([0, *sorted(c), n] for c, n in zip(every, shape, strict=True))
        return [[range(a, b) for a, b in pairwise(e)] for e in ends]

    def joined(self, value: Value, grid: Sequence[Sequence[range]], box: Box = ()) -> Value:
        """A result as the join of its pieces."""
        axis = len(box)
        if axis == len(grid):
            return self._part(value, box)
        parts = [self.joined(value, grid, (*box, span)) for span in grid[axis]]
        return parts[0] if len(parts) == 1 else self.b.concatenate(*parts, axis=axis)

    def _node(self, value: Value) -> Node | None:
        """What computes a value inside the nest, or joins, cuts or repeats it outside."""
        node = self.body.producer.get(value)
        if node is not None or value in self.graph.results:
            return node
        node = self.graph.producer.get(value)
        if node is None or node.op.name not in OPENED:
            return None
        users = self.graph.users.get(value, ())
        return node if all(_is_nest(u) or u.op.name in OPENED for u in users) else None

    def _cuts(self, value: Value) -> Cuts:
        """Where joins meet, on each axis of a value."""
        value = self.outer.get(value, value)
        if value not in self.cut:
            node = self._node(value)
            found = [set[int]() for _ in value.shape]
            for axis, cut in () if node is None else self._found(node):
                if 0 < cut < value.shape[axis]:
                    found[axis].add(cut)
            self.cut[value] = tuple(map(frozenset, found))
        return self.cut[value]

    def _found(self, node: Node) -> Iterator[tuple[int, int]]:
        """The same for the result of a node: pairs of an axis and a place, some of them outside."""
        joined, at = node.attrs["axis"] if _joins(node) else None, 0
        spec = node.attrs["spec"] if _is_cut(node) else ()
        for operand in node.operands if joined is not None or spec or _is_aligned(node) else ():
            lead = node.result.type.rank - operand.type.rank
            for k, cuts in enumerate(self._cuts(operand)):
                for cut in cuts:
                    yield k + lead, _cut_at(spec[k], cut) if spec else cut + at * (k == joined)
            if joined is not None:
                at += operand.shape[joined]
                yield joined, at

    def _part(self, value: Value, box: Box) -> Value:
        """A part of a value, computed from parts of others."""
        value = self.outer.get(value, value)
        if (value, box) not in self.known:
            self.known[value, box] = self._computed(value, box)
        return self.known[value, box]

    def _computed(self, value: Value, box: Box) -> Value:
        node = self._node(value)
        shape = tuple(map(len, box))
        if node is None or not (_is_cut(node) or _is_aligned(node) or _joins(node)):
            whole = self._whole(value)
            everything = box == tuple(map(range, whole.shape))  # and not backwards
            return whole if everything else self.b.slice(whole, spec=_spec(box))
        if _joins(node):
            return self._part(*_piece_with(node, box))
        if _is_cut(node):
            inner = (range(*spec) for spec in node.attrs["spec"])
            moved = (_within(every, span) for every, span in zip(inner, box, strict=True))
            return self._part(node.operands[0], tuple(moved))
        parts = [self._part(v, _aligned(v, box)) for v in node.operands]
        if node.op.name == "broadcast":
            return parts[0] if parts[0].shape == shape else self.b.broadcast(parts[0], shape=shape)
        return self.b.emit(node.op, parts, node.attrs).result

    def _whole(self, value: Value) -> Value:
        """A value as it is: an input of the new body, or a view of one."""
        value = self.outer.get(value, value)
        node = self.body.producer.get(value)
        if node is None:
            return self.inputs.setdefault(value, Value(value.type, value.name))
        key = value, tuple(map(range, value.shape))
        if key not in self.known:
            operands = [self._whole(v) for v in node.operands]
            self.known[key] = self.b.emit(node.op, operands, node.attrs).result
        return self.known[key]


def _is_aligned(node: Node) -> bool:
    """Whether each element is computed from those of the operands at the same place."""
    return node.op.kind == "elementwise" or node.op.name == "broadcast"


def _is_cut(node: Node) -> bool:
    return node.op.name == "slice"


def _cut_at(spec: tuple[int, int, int], cut: int) -> int:
    """Where a slice comes to the other side of a cut through what it is a part of."""
    start, _, step = spec
    return -((start - cut) // step) if step > 0 else (start - cut) // -step + 1


def _within(inner: range, span: range) -> range:
    """The elements of a range at the places that another one says."""
    return range(inner[span[0]], inner[0] + inner.step * span.stop, inner.step * span.step)


def _joins(node: Node) -> bool:
    return node.op.name == "concatenate"


def _aligned(value: Value, box: Box) -> Box:
    """The part of an operand that a part of the result is computed from."""
    spans = box[len(box) - value.type.rank :] if value.type.rank else ()
    return tuple(range(1) if n == 1 else span for n, span in zip(value.shape, spans, strict=True))


def _piece_with(node: Node, box: Box) -> tuple[Value, Box]:
    """The joined operand that has a part, and where."""
    axis, start = node.attrs["axis"], 0
    span = box[axis]
    for operand in node.operands:
        stop = start + operand.shape[axis]
        if start <= min(span[0], span[-1]) and max(span[0], span[-1]) < stop:
            moved = range(span.start - start, span.stop - start, span.step)
            return operand, (*box[:axis], moved, *box[axis + 1 :])
        start = stop
    raise AssertionError("a piece lies in one operand of every join")


def _spec(box: Box) -> tuple[tuple[int, int, int], ...]:
    return tuple(map(normal_slice, box))
