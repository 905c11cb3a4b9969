"""What crosses the border of a region that grows, as far as it decides what can join it.

Two regions together read what either did, but for what the other computes; of what they compute
less is read by others. So the buffers of a kernel are counted, and two frequent cases answered,
without the nodes of either being looked at again:

- a part of what the kernel itself computes (a `slice`, `windows`) cannot be read in it;
- nodes that read and compute single numbers only, as they are or moved from the arrays that they
  are parts of, are a kernel: there is no loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..ir.graph import Graph, Node, Value
from ..ir.region import is_free


class Border(NamedTuple):
    """The values a region reads, free nodes seen through; what it computes that others read; what
    it reads in parts; whether it has loops; and whether it is known to be a kernel without any."""

    read: set[Value]
    written: set[Value]
    cut: set[Value]
    loops: bool
    numbers: bool

    @property
    def size(self) -> int:
        """How many buffers a kernel needs."""
        return len(self.read) + len(self.written)


def border(graph: Graph, node: Node) -> Border:
    """The border of a single node."""
    free = list(_free(graph, node.operands))
    parts = [n for n in free if n.op.name in ("slice", "windows")]
    cut = {v for n in parts for v in sources(graph, n.operands)}
    counted = any(not set(sources(graph, n.operands)) for n in parts)  # a part of a counter
    loops = any(v.type.size != 1 for v in (*node.operands, *node.results))
    numbers = not (loops or counted or any(n.result.type.size != 1 for n in free))
    return Border(set(sources(graph, node.operands)), {*node.results}, cut, loops, numbers)


def sources(graph: Graph, values: Iterable[Value]) -> Iterator[Value]:
    """The values read once free nodes are seen through."""
    for value in values:
        node = graph.producer.get(value)
        if node is not None and is_free(node):
            yield from sources(graph, node.operands)
        else:
            yield value


def _free(graph: Graph, values: Iterable[Value]) -> Iterator[Node]:
    """The free nodes through which values are read."""
    for value in values:
        node = graph.producer.get(value)
        if node is not None and is_free(node):
            yield node
            yield from _free(graph, node.operands)
