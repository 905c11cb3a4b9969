"""Chains: nodes that run one after another in one region of the pool, each chunk by itself.

    def chain0(t, c):                                    # in 2 chunks of 16 rows
        whole_gemm_f32(False, False, 16, 64, 64, 1.0, at(f32_at(t, 8), c * 1024), 64, ..)
        k2(at 14, at 1, .., 32, 64, 16, c)
        whole_gemm_f32(..)

    def step(t):
        split(chain0, 2, t)

A chunk runs through the whole chain, whatever others do: there is no barrier, and what it made it
finds in its own cache. So nothing in a chain may touch what another chunk writes there: nodes of a
chain touch the same memory only if none of them writes to it, or each chunk its own part, which is
the same to both. That is looked at here for values, before they have places, and for bytes, once
they do.

A run of consecutive nodes is a chain as far as this goes. Column sums over the rows are made chunk
by chunk and joined after the chain.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import field
from operator import attrgetter
from typing import Final

from ...ir.graph import Graph, Node, Value
from ...ir.record import dataclass
from ..layout import ARENA, arena_offset, is_alias, root_of
from .contract import emit_product_rows
from .kernel import Kernel, Split
from .module import Module, place_of
from .partials import emit_join, partials_size
from .regions import emit_rows
from .rows import Access, ByRows, Nest, by_rows
from .splitting import chunks_of

LONGEST: Final = 200
"""Nodes in a chain at the most: it is one function."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Nodes in order, each with the way it runs by rows, in so many chunks."""

    nodes: tuple[Node, ...]
    ways: tuple[ByRows, ...]
    chunks: int

    def shared(self) -> frozenset[Value]:
        """The values of which a chunk touches more than its own part."""
        accesses = (access for way in self.ways for access in way.accesses)
        return frozenset(access.value for access in accesses if not access.cut)


@dataclass(frozen=True, slots=True)
class _Touched:
    """Bytes of an area of memory, or of a value that has no place yet."""

    area: object
    start: int
    end: int
    cut: bool
    written: bool

    def conflicts(self, other: _Touched) -> bool:
        """Whether chunks would get into each other's way."""
        if not (self.written or other.written) or self.area != other.area:
            return False
        if self.start >= other.end or other.start >= self.end:
            return False
        same = (self.start, self.end) == (other.start, other.end)
        return not (self.cut and other.cut and same)


@dataclass
class _Area:
    """What was touched of an area of memory, in order of where it starts; none is longer than
    `longest`."""

    touched: list[_Touched] = field(default_factory=list)
    longest: int = 0

    def add(self, new: _Touched) -> None:
        if new not in self._near(new):
            insort(self.touched, new, key=_START)
            self.longest = max(self.longest, new.end - new.start)

    def conflicts(self, new: _Touched) -> bool:
        return any(new.conflicts(known) for known in self._near(new))

    def _near(self, new: _Touched) -> list[_Touched]:
        """What may overlap."""
        first = bisect_left(self.touched, new.start - self.longest, key=_START)
        return self.touched[first : bisect_left(self.touched, new.end, key=_START)]


_START: Final = attrgetter("start")


@dataclass
class Growing:
    """A chain under construction."""

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    ways: list[ByRows] = field(default_factory=list)
    counts: frozenset[int] = frozenset()
    areas: dict[object, _Area] = field(default_factory=dict)

    def add(self, node: Node, way: ByRows) -> bool:
        """Append a node if it fits."""
        counts = self.counts & way.counts if self.nodes else way.counts
        touched = [self._touched(access) for access in way.accesses]
        if not counts or len(self.nodes) == LONGEST or any(map(self._in_the_way, touched)):
            return False
        if any(a.conflicts(b) for k, a in enumerate(touched) for b in touched[:k]):
            return False
        self.nodes.append(node)
        self.ways.append(way)
        self.counts = counts
        for new in touched:
            self.areas.setdefault(new.area, _Area()).add(new)
        return True

    def _in_the_way(self, new: _Touched) -> bool:
        return new.area in self.areas and self.areas[new.area].conflicts(new)

    def _touched(self, access: Access) -> _Touched:
        root = root_of(self.graph.producer, access.value)
        size, offset = max(root.type.nbytes, 1), arena_offset(root.place)
        area: object = root if root.place in (None, ARENA) else root.place
        if offset is not None:
            area = ARENA
        start = offset or 0
        return _Touched(area, start, start + size, access.cut, access.written)

    def chain(self) -> Chain | None:
        """What is worth a region."""
        most = chunks_of(sum(way.nanoseconds for way in self.ways))
        if len(self.nodes) < 2 or most < 2:
            return None
        chunks = max((n for n in self.counts if n <= most), default=min(self.counts))
        return Chain(tuple(self.nodes), tuple(self.ways), chunks)


def find_chains(graph: Graph) -> tuple[Chain, ...]:
    """The chains of a graph in order of execution."""
    ways = graph.known.setdefault("ways by rows", {})

    def way_of(node: Node) -> ByRows | None:
        if node not in ways:
            ways[node] = by_rows(graph, node)
        found: ByRows | None = ways[node]
        return found

    return chains_among(graph, graph.nodes, way_of)


def chains_among(
    graph: Graph, nodes: Iterable[Node], way_of: Callable[[Node], ByRows | None]
) -> tuple[Chain, ...]:
    """The chains that nodes of a graph make in this order."""
    growing = [Growing(graph)]
    for node in nodes:
        if is_silent(node):
            continue
        way = way_of(node)
        if way is None or not growing[-1].add(node, way):
            growing.append(Growing(graph))
            if way is not None:
                growing[-1].add(node, way)
    return tuple(chain for g in growing if (chain := g.chain()) is not None)


def is_silent(node: Node) -> bool:
    """A node without code: what it stands for lies in memory already."""
    return node.op.kind == "constant" or is_alias(node) or _is_view_in_place(node)


def _is_view_in_place(node: Node) -> bool:
    named = node.op.name in ("reshape", "arg")
    return named and node.result.place == node.operands[0].place


def emit_chain(module: Module, graph: Graph, chain: Chain) -> None:
    """The function of a chain, its call, and what joins the totals of chunks."""
    used, joins = 0, list[tuple[Node, Kernel]]()
    with module.chain(chain.nodes[0], chain.chunks):
        for node, way in zip(chain.nodes, chain.ways, strict=True):
            size = way.rows // chain.chunks
            if not isinstance(way.way, Nest):
                emit_product_rows(module, graph, node, way.way, size)
                continue
            region, split = way.way.region, Split(0, chain.chunks, size)
            places = {value: place_of(outer) for value, outer in way.way.values.items()}
            partials = emit_rows(module, node, region, places, split, used)
            if partials:
                used += sum(8 * partials_size(region, total, chain.chunks) for total in partials)
                joins.append((node, emit_join(region, places, partials, chain.chunks)))
    for node, join in joins:
        module.call(node, join)
