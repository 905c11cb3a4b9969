"""Order the nodes, and decide which updates are written straight into the caller's arrays.

    step(%W, %g, %i) {                            step(%W:f32[4]@in0, ..) {
      %W1 = sub %W, %g                              %r = gather %W, %i           reads W, checks i
      %r = gather %W, %i                =>          %W1@in0 = sub %W, %g         overwrites W
      %W <- %W1                                     %W <- %W1
    } -> %r                                       } -> %r@out0

The result is a copy of the graph in which every output has its place `out<k>`, every update its
place `in<k>`, and nodes are in execution order. An output or update that no node can produce in
its place (an argument handed through, one value in two places) gets a copying node, a `reshape` to
the same shape.

A node may write into argument k when nothing that runs later reads the old argument, when it reads
the old argument itself only element by element (`inplace.py`), and when every run-time check has
run: nobody outside may see half a step. Several nodes that work on the argument in turn may do so
under the same terms. These are extra edges of the dependency graph; an update for which they would
close a cycle is computed in the arena and copied at the very end.

Of the orders that this allows, `order.py` takes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ..ir.builder import complete_attrs
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from .inplace import Arranged, inplace_operands, works_on
from .layout import ARENA, is_alias, root_of
from .order import ordered

CHECKED: Final = frozenset(
    {"gather", "scatter", "scatter_add", "lu_solve", "solve_triangular", "cholesky"}
)
"""Ops that stop the step when an index is out of range or a matrix is singular."""


def schedule(graph: Graph) -> Graph:
    """The graph in execution order, outputs and updates placed. Values are fresh copies."""
    return _Scheduler(graph).run()


class _Scheduler:
    def __init__(self, graph: Graph) -> None:
        self.name = graph.name
        env: dict[Value, Value] = {}

        def fresh(value: Value) -> Value:
            return env.setdefault(value, Value(value.type, value.name))

        self.inputs = tuple(map(fresh, graph.inputs))
        self.nodes = [
            replace(n, operands=tuple(map(fresh, n.operands)), results=tuple(map(fresh, n.results)))
            for n in graph.nodes
        ]
        self.outputs = [fresh(v) for v in graph.outputs]
        self.updates = [(fresh(a), fresh(v)) for a, v in graph.updates if a is not v]
        self.commits: list[Node] = []
        self.arranged: Arranged = {}
        self.edges: dict[Node, list[Node]] = {}
        self.graph = graph

    def run(self) -> Graph:
        for k, value in enumerate(self.inputs):
            value.place = f"in{k}"
        self._place_constants()
        self._claim_outputs()
        self._claim_updates()
        self._link_data()
        self._settle_updates()
        nodes = self._ordered()
        nodes += self.commits
        return Graph(self.name, self.inputs, tuple(nodes), tuple(self.outputs), tuple(self.updates))

    # Places that are asked for

    def _place_constants(self) -> None:
        constants = [n for n in self.nodes if n.op.kind == "constant"]
        for k, node in enumerate(constants):
            node.result.place = f"const{k}"

    def _producers(self) -> dict[Value, Node]:
        return {v: node for node in self.nodes for v in node.results}

    def _claim_outputs(self) -> None:
        updated = {v for _, v in self.updates}
        producers = self._producers()
        for k, value in enumerate(self.outputs):
            root = root_of(producers, value)
            if root not in producers or root.place is not None or {root, value} & updated:
                root = self.outputs[k] = self._copy(value)
            root.place = f"out{k}"

    def _claim_updates(self) -> None:
        """Every update gets a value of its own that some node computes."""
        producers = self._producers()
        seen: set[Value] = set()
        for k, (target, value) in enumerate(self.updates):
            node = producers.get(value)
            if node is None or is_alias(node) or value.place is not None or value in seen:
                value = self._copy(value)
                value.place = ARENA
                self.updates[k] = target, value
            seen.add(value)

    def _copy(self, value: Value) -> Value:
        node = copy_node(value)
        self.nodes.append(node)
        return node.result

    # In place or not

    def _link_data(self) -> None:
        self.edges = {node: [] for node in self.nodes}
        producers = self._producers()
        for node in self.nodes:
            for value in dict.fromkeys(node.operands):
                if value in producers:
                    self.edges[producers[value]].append(node)

    def _settle_updates(self) -> None:
        producers = self._producers()
        readers = self._readers(producers)
        self.graph = Graph(self.name, self.inputs, tuple(self.nodes), ())
        checks = self._checks()
        for k, (target, value) in enumerate(self.updates):
            chain = self._chain(producers, readers, target, value, checks)
            node = producers[chain[0]]
            turns = {producers[v] for v in chain}
            before = [n for n in (*readers.get(target, ()), *checks) if n not in turns]
            elementwise = self._reads_elementwise(producers, node, target, chain[0])
            if elementwise and not self._reaches(node, before):
                for v in chain:
                    v.place = target.place
                for earlier in before:
                    self.edges[earlier].append(node)
            else:
                commit = copy_node(value)
                commit.result.place = target.place
                self.commits.append(commit)
                self.updates[k] = target, commit.result

    def _checks(self) -> list[Node]:
        """The nodes that check something first. What is added to rows that were read before, at
        indices of the same array, is made to run after that."""
        reads: dict[tuple[Value, int], Node] = {}
        for node in self.nodes:
            if node.op.name == "gather":
                for pair in _indexed(node, 1):
                    reads.setdefault(pair, node)
        checks = []
        for node in self.nodes:
            if node.op.name in ("scatter", "scatter_add"):
                earlier = {reads.get(pair) for pair in _indexed(node, 2)}
                found = [n for n in earlier if n is not None]
                if len(found) == len(earlier) and not self._reaches(node, found):
                    for n in found:
                        self.edges[n].append(node)
                    continue
            if node.op.name in CHECKED:
                checks.append(node)
        return checks

    def _chain(
        self,
        producers: Mapping[Value, Node],
        readers: Mapping[Value, Sequence[Node]],
        target: Value,
        value: Value,
        checks: Sequence[Node],
    ) -> list[Value]:
        """The values that nodes working on `target` in turn make of it, up to `value`; or that
        alone. None but the first of them may check something, or read `target` besides."""
        chain = [value]
        while (node := producers.get(chain[0])) is not None and node.results[0] is chain[0]:
            position = works_on(node)
            if position is None:
                break
            before = node.operands[position]
            if before is target:
                return chain
            others = (*node.operands[:position], *node.operands[position + 1 :])
            if any(root_of(producers, v) is target for v in others):
                break
            if before.place is not None or readers.get(before) != [node] or node in checks:
                break
            if not self._reads_elementwise(producers, node, before, chain[0]):
                break
            chain.insert(0, before)
        return [value]

    def _readers(self, producers: Mapping[Value, Node]) -> dict[Value, list[Node]]:
        """The nodes that read each input's memory, directly or through a view."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            if not is_alias(node):
                for root in {root_of(producers, v): None for v in node.operands}:
                    found.setdefault(root, []).append(node)
        return found

    def _reads_elementwise(
        self, producers: Mapping[Value, Node], node: Node, target: Value, value: Value
    ) -> bool:
        touching = {v for v in node.operands if root_of(producers, v) is target}
        allowed = inplace_operands(self.graph, node, value, touching, self.arranged)
        return touching <= set(allowed) and len(touching) <= 1

    def _reaches(self, start: Node, goals: Iterable[Node]) -> bool:
        wanted, seen, stack = set(goals), {start}, [start]
        while stack:
            for node in self.edges[stack.pop()]:
                if node in wanted:
                    return True
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
        return False

    def _ordered(self) -> list[Node]:
        kept = [v for commit in self.commits for v in commit.operands]
        return ordered(self.graph, self.edges, [*self.outputs, *kept])


def _indexed(node: Node, first: int) -> list[tuple[Value, int]]:
    """The index operands of a node, each with the extent of the axis it indexes."""
    extents = (node.operands[0].shape[axis] for axis in node.attrs["axes"])
    return list(zip(node.operands[first:], extents, strict=True))


def copy_node(value: Value) -> Node:
    """A node that copies a value: a reshape to its own shape, into another place."""
    op = OPS["reshape"]
    attrs = complete_attrs(op, {"shape": value.shape})
    return Node(op, (value,), (Value(value.type, value.name),), attrs, None, "copy")
