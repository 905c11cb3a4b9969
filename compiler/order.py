"""The order in which nodes run.

Of three deterministic orders one is taken: the given one, or a greedy one that frees memory first,
whichever has the smaller peak; or one that puts nodes that make a chain (`codegen/chains.py`) next
to each other, if more of them share a region then, and memory is not much more, and little.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from ..ir.graph import Graph, Node, Value
from .codegen.chains import Growing, chains_among, is_silent
from .codegen.rows import ByRows, by_rows
from .layout import ARENA, root_of

CACHED: Final = 2**19
"""Bytes that the arena has at the most in an order for chains: where it does not stay in a
second-level cache, what was just computed is better used at once."""

MORE_MEMORY: Final = 2**19
"""Bytes that chains may take beside the least: they stay in a second-level cache."""

WINDOW: Final = 64
"""Nodes among which the next one of a chain is looked for: those that could have run first."""

Edges = Mapping[Node, Sequence[Node]]
Ways = Mapping[Node, ByRows | None]


def ordered(graph: Graph, edges: Edges, leaving: Sequence[Value]) -> list[Node]:
    """The nodes of a graph in order. `edges` go from a node to those that must run later,
    `leaving` are values that are needed at the end."""
    given = {node: k for k, node in enumerate(graph.nodes)}
    memory = _Memory(graph.nodes, leaving, graph.producer)
    plain = list(_topological(graph.nodes, edges, lambda node: (given[node],)))
    memory.reset()
    greedy = list(
        _topological(graph.nodes, edges, lambda n: (memory.growth(n), given[n]), memory.run)
    )
    best = min(plain, greedy, key=memory.peak)
    ways = {n: None if is_silent(n) else by_rows(graph, n) for n in graph.nodes}
    if sum(way is not None for way in ways.values()) < 2:
        return best
    chained = _chained(graph, edges, ways)
    peak = memory.peak(chained)
    fits = peak <= min(CACHED, most_memory(graph, memory.peak(best)))
    return chained if fits and _saved(graph, chained, ways) > _saved(graph, best, ways) else best


def most_memory(graph: Graph, least: int) -> int:
    """How large the arena may be for the sake of chains, where so many bytes would do: as much more
    as all arguments are, and no more than stays in a cache; or a tenth."""
    arguments = sum(value.type.nbytes for value in graph.inputs)
    return least + max(least // 10, min(arguments, MORE_MEMORY))


def _saved(graph: Graph, nodes: Sequence[Node], ways: Ways) -> int:
    """Regions that chains save."""
    return sum(len(chain.nodes) - 1 for chain in chains_among(graph, nodes, ways.get))


def _chained(graph: Graph, edges: Edges, ways: Ways) -> list[Node]:
    """First what belongs to no chain, as far as possible, then a chain as long as possible."""
    ready = _Ready(graph.nodes, edges)
    growing, refused = Growing(graph), set[Node]()
    while ready:
        node = next((n for n in ready if is_silent(n)), None)
        if node is None and growing.nodes:
            node = next((n for n in ready if _joins(growing, n, ways, refused)), None)
        if node is None:
            growing, refused = Growing(graph), set()
            node = next((n for n in ready if ways[n] is None), None)
        if node is None:
            node = next(iter(ready))
            _joins(growing, node, ways, refused)
        ready.run(node)
    return [*ready.order]


def _joins(growing: Growing, node: Node, ways: Ways, refused: set[Node]) -> bool:
    """Append a node if it fits; once refused it does not fit a longer chain either."""
    way = None if node in refused else ways[node]
    if way is not None and growing.add(node, way):
        return True
    refused.add(node)
    return False


class _Ready:
    """The nodes whose predecessors have run: those that became ready last come first, since what
    they read is at hand, then as they were given."""

    def __init__(self, nodes: Sequence[Node], edges: Edges) -> None:
        self.given = {node: k for k, node in enumerate(nodes)}
        self.edges = edges
        self.waiting = _waiting(nodes, edges)
        self.recent: list[Node] = []
        self.others = [node for node in nodes if self.waiting[node] == 0]
        self.order: list[Node] = []

    def __bool__(self) -> bool:
        return bool(self.recent or self.others)

    def __iter__(self) -> Iterator[Node]:
        yield from self.recent
        yield from islice(self.others, WINDOW)

    def run(self, node: Node) -> None:
        """A node runs."""
        self.order.append(node)
        for other in self.recent:
            insort(self.others, other, key=self.given.__getitem__)
        del self.others[bisect_left(self.others, self.given[node], key=self.given.__getitem__)]
        self.recent = []
        for follower in dict.fromkeys(self.edges[node]):
            self.waiting[follower] -= self.edges[node].count(follower)
            if self.waiting[follower] == 0:
                self.recent.append(follower)
        self.recent.sort(key=self.given.__getitem__)


def _topological(
    nodes: Sequence[Node],
    edges: Edges,
    key: Callable[[Node], tuple[int, ...]],
    ran: Callable[[Node], None] = lambda node: None,
) -> Iterator[Node]:
    """Nodes as their predecessors allow, smallest key first. A key may shrink as others run:
    it is looked at again when its node comes up."""
    waiting = _waiting(nodes, edges)
    ready = [(key(n), k, n) for k, n in enumerate(nodes) if waiting[n] == 0]
    number = {n: k for k, n in enumerate(nodes)}
    heapq.heapify(ready)
    while ready:
        old, k, node = heapq.heappop(ready)
        now = key(node)
        if now != old:
            heapq.heappush(ready, (now, k, node))
            continue
        yield node
        ran(node)
        for follower in edges[node]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, (key(follower), number[follower], follower))


def _waiting(nodes: Sequence[Node], edges: Edges) -> dict[Node, int]:
    """How many predecessors of each node are left."""
    waiting = dict.fromkeys(nodes, 0)
    for followers in edges.values():
        for node in followers:
            waiting[node] += 1
    return waiting


class _Memory:
    """Live bytes of the arena while nodes run in some order."""

    def __init__(
        self,
        nodes: Sequence[Node],
        leaving: Sequence[Value],
        producers: Mapping[Value, Node],
    ) -> None:
        self.root = {v: root_of(producers, v) for n in nodes for v in (*n.operands, *n.results)}
        self.kept = {root_of(producers, v) for v in leaving}
        self.nodes = nodes
        self.reset()

    def reset(self) -> None:
        self.left: dict[Value, int] = {}
        for node in self.nodes:
            for root in self._reads(node):
                self.left[root] = self.left.get(root, 0) + 1

    def _reads(self, node: Node) -> set[Value]:
        return {self.root[v] for v in node.operands}

    def _in_arena(self, value: Value) -> bool:
        return value.place in (None, ARENA) and self.root[value] is value

    def growth(self, node: Node) -> int:
        """Bytes that running the node adds."""
        born = sum(v.type.nbytes for v in node.results if self._in_arena(v))
        dead = sum(
            v.type.nbytes
            for v in self._reads(node)
            if self._in_arena(v) and v not in self.kept and self.left[v] == 1
        )
        return born - dead

    def run(self, node: Node) -> None:
        for root in self._reads(node):
            self.left[root] -= 1

    def peak(self, order: Sequence[Node]) -> int:
        """The most bytes live at once."""
        self.reset()
        live = most = 0
        for node in order:
            born = sum(v.type.nbytes for v in node.results if self._in_arena(v))
            most = max(most, live + born)
            live += self.growth(node)
            self.run(node)
        return most
