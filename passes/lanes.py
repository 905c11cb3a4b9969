"""Reduce what has a short last axis with the long one beside it in the lanes of the vectors.

    %0:f32[300,1,16] = reshape %a [shape=(300,1,16)]
    %d:f32[300,400,16] = sub %0, %b
    %m:f32[300,400,16] = abs %d
    %y:f32[300,400] = max %m [axes=(2)]
 =>
    %1:f32[300,16,1] = reshape %0 [shape=(300,16,1)]
    %2:f32[16,400] = transpose %b [perm=(1,0)]
    %d:f32[300,16,400] = sub %1, %2
    %m:f32[300,16,400] = abs %d
    %y:f32[300,400] = max %m [axes=(1)]

A row of a few elements half fills the vectors, and the lanes of each must be combined in the end;
the other way each lane has an element of the result to itself. So it is with sums along the other
axes, but for the lanes to combine: derivatives of differences between all pairs of points. Only
where what is copied with its axes exchanged is a fraction of what is computed of it. Sums add in
another order.
"""

from __future__ import annotations

from typing import Final

from ..ir.builder import Builder
from ..ir.graph import Node, Value
from ..ir.region import EXPENSIVE, is_view
from .rewriting.rules import RulePass, Site, rule

SHORT: Final = 3
"""Elements of the last axis at the least,"""

SUMMED: Final = 5
"""and where it is reduced: fewer are written out."""

ROW: Final = 128
"""Bytes of that axis at the most: more fill the vectors."""

LONG: Final = 32
"""Elements of the axis beside it at the least,"""

ADDED: Final = 64
"""and where that is reduced: in the end the lanes must be combined."""

WORTH: Final = 8
"""How often an element is read at the least for a copy with axes exchanged to pay."""

MAX_NODES: Final = 24
"""Operations of an expression that is computed in the other order."""


@rule("sum", "max", "min", "prod")
def long_axis_last(site: Site) -> Value | None:
    """reduce(f(x), axes) = reduce(f(x with the last two axes exchanged), axes exchanged).
    Sums and products round differently."""
    (value,), axes, rank = site.operands, site.node.attrs["axes"], site.operands[0].type.rank
    if rank < 2 or not _is_narrow(value, axes):
        return None
    expression = _Expression(site, value)
    if not expression.pays() or (value.shape[-1] < SUMMED and expression.follows_rows()):
        return None
    order = (*range(rank - 2), rank - 1, rank - 2)
    attrs = {**site.node.attrs, "axes": tuple(sorted(order[k] for k in axes))}
    result = site.b.emit(site.node.op, (expression.exchanged(value),), attrs).result
    return result if max(axes) >= rank - 2 else _swapped(site.b, result)


def _is_narrow(value: Value, axes: tuple[int, ...]) -> bool:
    last, (long, short) = value.type.rank - 1, value.shape[-2:]
    wide = short * value.type.dtype.itemsize > ROW or long <= short
    least = SUMMED if axes == (last,) else SHORT
    return not wide and short >= least and long >= (ADDED if last - 1 in axes else LONG)


def _has_both(value: Value) -> bool:
    """Whether the last two axes change places in memory when they are exchanged."""
    return value.type.rank >= 2 and 1 not in value.shape[-2:]


class _Expression:
    """What computes a value element by element: its nodes, and the leaves, which they read, some of
    them because they are small: to copy them takes less than to compute them again."""

    def __init__(self, site: Site, root: Value) -> None:
        self.site, self.root = site, root
        self.nodes: dict[Value, Node] = {}
        self.leaves: dict[Value, None] = {}
        self.moved: dict[Value, Value] = {}
        self._visit(root)

    def _visit(self, value: Value) -> None:
        if value in self.nodes or value in self.leaves:
            return
        node, small = self.site.producers.get(value), value.type.size * WORTH <= self.root.type.size
        if node is None or small or node.op.kind != "elementwise" or len(self.nodes) > MAX_NODES:
            self.leaves[value] = None
            return
        self.nodes[value] = node
        for operand in node.operands:
            self._visit(operand)

    def pays(self) -> bool:
        """Whether little is copied for what is computed, and nothing expensive computed twice."""
        copied = sum(v.type.size for v in self.leaves if _has_both(v))
        costly = [v for v, node in self.nodes.items() if node.op.name in EXPENSIVE]
        return (
            self.root in self.nodes
            and copied * WORTH <= self.root.type.size
            and all(map(self.site.used_once, costly))
        )

    def follows_rows(self) -> bool:
        """Whether leaves are made of what rows are reduced to: then one loop does both."""
        rows = self.root.type.size // self.root.shape[-1]
        seen, waiting = set[Value](), [*self.leaves]
        while waiting:
            value = waiting.pop()
            node = self.site.producers.get(value)
            if node is None or value in seen or value.type.size < rows:
                continue
            seen.add(value)
            if node.op.kind == "reduce" and node.operands[0].shape == self.root.shape:
                return True
            if node.op.kind == "elementwise" or is_view(node):
                waiting += node.operands
        return False

    def exchanged(self, value: Value) -> Value:
        """The value with its axes that are the last two of the root exchanged."""
        if value not in self.moved:
            node = self.nodes.get(value)
            self.moved[value] = self._leaf(value) if node is None else self._node(node)
        return self.moved[value]

    def _node(self, node: Node) -> Value:
        return self.site.b.emit(node.op, [*map(self.exchanged, node.operands)], node.attrs).result

    def _leaf(self, value: Value) -> Value:
        b, shape = self.site.b, (1, *value.shape)
        if value.type.size == 1:
            return value
        if not _has_both(value):
            return b.reshape(value, shape=(*shape[1:-2], shape[-1], shape[-2]))
        return _swapped(b, value, self.site.producer(value, "transpose"))


def _swapped(b: Builder, value: Value, node: Node | None = None) -> Value:
    """A value with its last two axes exchanged, what `node` transposed if it did that."""
    *lead, long, short = range(value.type.rank)
    perm = (*lead, short, long)
    if node is not None and node.attrs["perm"] == perm:
        return node.operands[0]
    return b.transpose(value, perm=perm)


choose_lanes: Final = RulePass("choose_lanes", (long_axis_last,))
