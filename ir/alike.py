"""Graphs that are alike: the same ops on values of the same shapes, put together in the same way.

An unrolled loop has the same bodies in every step. How one of them is arranged says how all are:

    {%a = mul %x, %y; %b = sum %a [axes=(0)]} -> %b          %x, %a: loop 0     %b: total
    {%p = mul %u, %v; %q = sum %p [axes=(0)]} -> %q    =>    %u, %p: loop 0     %q: total
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from .graph import Graph, Node, Value
from .region import Axes, Load, Region


class Form:
    """A graph, and what of its results lies where, compared by all that decides how it is arranged
    as a loop nest: not by dtypes, nor by the numbers that constants are."""

    __slots__ = ("_hash", "_key", "body", "number", "targets")

    def __init__(self, body: Graph, targets: Mapping[Value, Axes]) -> None:
        self.body = body
        self.targets = targets
        self.number = {value: k for k, value in enumerate(body.inputs)}
        self._key: Hashable = (
            tuple([value.type.shape for value in body.inputs]),
            tuple([self._numbered(node) for node in body.nodes]),
            tuple([self.number[value] for value in body.outputs]),
            tuple([(self.number[value], axes) for value, axes in targets.items()]),
        )
        self._hash = hash(self._key)

    def _numbered(self, node: Node) -> Hashable:
        """A node, its operands by their numbers."""
        number = self.number
        reads = tuple([number[value] for value in node.operands])
        for value in node.results:
            number[value] = len(number)
        if node.op.kind == "constant":
            return node.op, node.results[0].type.shape
        return node.op, reads, tuple(node.attrs.values())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and self._key == other._key


def carried_over(region: Region, form: Form) -> Region:
    """The region of a graph as that of one that is alike."""
    old, new = region.body, form.body
    if old is new:
        return region
    value = dict(zip(_values(old), form.number, strict=True))
    node = dict(zip(old.nodes, new.nodes, strict=True))
    return Region(
        new, region.extents, region.rows,
        {value[v]: Load(value[load.source], load.axes) for v, load in region.loads.items()},
        {value[v]: axes for v, axes in region.axes.items()},
        {node[n]: reduction for n, reduction in region.reductions.items()},
        {value[v]: depth for v, depth in region.depth.items()},
        {value[v]: phase for v, phase in region.phase.items()},
        frozenset([value[v] for v in region.epilogue]),
    )  # fmt: skip


def _values(graph: Graph) -> Iterator[Value]:
    """The values in the order in which they are numbered."""
    yield from graph.inputs
    for node in graph.nodes:
        yield from node.results
