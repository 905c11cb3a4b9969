"""What crosses the border of a region that grows, as far as it decides what can join it.

Two regions together read what either did, but for what the other computes; of what they compute
less is read by others. So the buffers of a kernel are counted, and two frequent cases answered,
without the nodes of either being looked at again:

- a part of what the kernel itself computes (a `slice`, `windows`) cannot be read in it;
- nodes that read and compute single numbers only, as they are or moved from the arrays that they
  are parts of, are a kernel: there is no loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
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


def together(one: Border, two: Border, left: Callable[[Value], bool]) -> Border:
    """The border of two regions together; `left` says whether one that both touch is still read
    outside or leaves."""
    inside = {v for v in (one.written & two.read) | (two.written & one.read) if not left(v)}
    return Border(
        (one.read - two.written) | (two.read - one.written),
        (one.written | two.written) - inside,
        one.cut | two.cut,
        one.loops or two.loops,
        one.numbers and two.numbers,
    )


class Through:
    """Free nodes of a graph seen through: what is read by way of them."""

    def __init__(self, graph: Graph) -> None:
        self.producer = graph.producer
        self.free = {node for node in graph.nodes if is_free(node)}
        self._sources: dict[Value, tuple[Value, ...]] = {}

    def sources(self, values: Sequence[Value]) -> tuple[Value, ...]:
        """The values read once free nodes are seen through, each once."""
        if len(values) == 1:
            return self._sources_of(values[0])
        return tuple(dict.fromkeys(chain.from_iterable(map(self._sources_of, values))))

    def _sources_of(self, value: Value) -> tuple[Value, ...]:
        found = self._sources.get(value)
        if found is None:
            node = self.producer.get(value)
            found = (value,) if node not in self.free else self.sources(node.operands)
            self._sources[value] = found
        return found

    def border(self, node: Node) -> Border:
        """The border of a single node."""
        free = list(self._free(node.operands))
        parts = [n for n in free if n.op.name in ("slice", "windows")]
        cut = {v for n in parts for v in self.sources(n.operands)}
        counted = any(not self.sources(n.operands) for n in parts)  # a part of a counter
        loops = any(v.type.size != 1 for v in (*node.operands, *node.results))
        numbers = not (loops or counted or any(n.result.type.size != 1 for n in free))
        return Border({*self.sources(node.operands)}, {*node.results}, cut, loops, numbers)

    def _free(self, values: Iterable[Value]) -> Iterator[Node]:
        """The free nodes through which values are read."""
        for value in values:
            node = self.producer.get(value)
            if node is not None and node in self.free:
                yield node
                yield from self._free(node.operands)
