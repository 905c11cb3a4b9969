"""Compute cheap values again where they are read, instead of storing them.

    %h:f32[8,9], %d:f32[8,9] = fused %z body=..{          %h:f32[8,9] = fused %z body=..{
      %h:f32[8,9] = tanh %z                                 %h:f32[8,9] = tanh %z
      %s:f32[8,9] = mul %h, %h                            } -> %h
      %d:f32[8,9] = sub 1.0, %s                    =>
    } -> %h, %d                                           ...
    ...                                                   %g:f32[8,9] = fused %u, %h body=..{
    %g:f32[8,9] = mul %u, %d                                %s:f32[8,9] = mul %h, %h
                                                            %d:f32[8,9] = sub 1.0, %s
                                                            %g:f32[8,9] = mul %u, %d
                                                          } -> %g

A value that only regions read leaves its own region no more when fewer bytes are written and read
that way, none more are live but a few, and it takes at most a few cheap operations per element from
what is in memory anyway (or from something smaller, which is stored instead: a mask for what it
selects).
The copies compute what the original did, so results do not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from copy import copy
from dataclasses import replace
from typing import Final

from ..ir.arrange import as_region
from ..ir.builder import Builder, keep, prune, with_nodes
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.record import dataclass
from ..ir.region import EXPENSIVE, body_operands, is_free, node_body
from .dce import dce
from .fuse import fresh_body, is_kernel

MAX_WORK: Final = 4
"""Operations per element that are worth one array less."""

SLACK: Final = 16
"""Part of a value's bytes that may be live in addition: means beside what they are of."""

KINDS: Final = frozenset({"elementwise", "reduce", "fused"})


def recompute(graph: Graph) -> Graph:
    """Replace stored values by copies of their computation."""
    return _Recomputation(graph).run()


class _Region:
    """A region that may change: the nodes of its body, and by the values of the graph that they
    stand for, what it reads and what it defines. `copied` nodes come first."""

    def __init__(self, graph: Graph, node: Node) -> None:
        body = node_body(graph, node)
        operands = body_operands(node, body)
        body = fresh_body(body, body.outputs) if node.op.name != "fused" else body
        self.node = node
        self.nodes = list(body.nodes)
        self.copied: list[Node] = []
        self.inputs = dict(zip(operands, body.inputs, strict=True))
        self.outputs = dict(zip(body.outputs, node.results, strict=True))
        self.size = max(v.type.size for v in (*body.inputs, *body.producer))
        self.copies: dict[Value, Value] = {}
        self.changed = False

    @property
    def outside(self) -> dict[Value, Value]:
        """The values of the graph that values of the body stand for."""
        return {v: outer for outer, v in self.inputs.items()} | self.outputs

    def body(self) -> Graph:
        """The body without what nothing needs any more."""
        nodes = (*self.copied, *self.nodes)
        pruned = prune(Graph("body", tuple(self.inputs.values()), nodes, tuple(self.outputs)))
        read = {v for node in pruned.nodes for v in node.operands}
        return replace(pruned, inputs=tuple(v for v in pruned.inputs if v in read))

    def with_copies(self, old: Value, cut: _Cut, outside: Mapping[Value, Value]) -> _Region:
        """The region as it computes `old` itself from the leaves of a cut of another region."""
        new = copy(self)
        new.inputs, new.copies, copied = dict(self.inputs), dict(self.copies), [*self.copied]
        env = {
            leaf: new.inputs.setdefault(outside[leaf], Value(leaf.type, leaf.name))
            for leaf in cut.leaves
            if leaf not in new.copies
        }
        for node in cut.nodes:
            if node.result not in new.copies:
                result = Value(node.result.type, node.result.name)
                operands = tuple(new.copies.get(v) or env[v] for v in node.operands)
                copied.append(replace(node, operands=operands, results=(result,)))
                new.copies[node.result] = result
        inside, own = new.inputs.pop(old), new.copies[cut.nodes[-1].result]
        new.nodes = [_reading(node, inside, own) for node in self.nodes]
        new.copied = _in_order([_reading(node, inside, own) for node in copied])
        new.changed = True
        return new


def _reading(node: Node, old: Value, new: Value) -> Node:
    if old not in node.operands:
        return node
    return replace(node, operands=tuple(new if v is old else v for v in node.operands))


def _in_order(nodes: list[Node]) -> list[Node]:
    """The nodes after those they read."""
    producer = {node.result: node for node in nodes}
    ordered: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in ordered:
            for operand in node.operands:
                if operand in producer:
                    visit(producer[operand])
            ordered[node] = None

    for node in nodes:
        visit(node)
    return list(ordered)


@dataclass(frozen=True)
class _Cut:
    """Nodes of a body that compute a value, the last one's result, from values of the body."""

    nodes: tuple[Node, ...]
    leaves: tuple[Value, ...]


def _cuts(region: _Region, value: Value) -> Iterator[_Cut]:
    """From what the value's node reads, and from what is in memory anyway."""
    producer = {v: node for node in (*region.copied, *region.nodes) for v in node.results}
    for stop in (producer.keys(), region.outputs.keys()):
        cut = _cut(producer, value, stop)
        if cut is not None:
            yield cut


def _cut(producer: Mapping[Value, Node], value: Value, stop: AbstractSet[Value]) -> _Cut | None:
    """What computes the value from those at which to stop, when it is cheap."""
    nodes: dict[Node, None] = {}
    leaves: dict[Value, None] = {}

    def visit(v: Value) -> None:
        node = producer.get(v)
        if node is None or (v is not value and v in stop and not is_free(node)) or not _cheap(node):
            leaves[v] = None
        elif node not in nodes:
            for operand in node.operands:
                visit(operand)
            nodes[node] = None

    visit(value)
    work = sum(not is_free(node) for node in nodes)
    return _Cut(tuple(nodes), tuple(leaves)) if 0 < work <= MAX_WORK else None


def _cheap(node: Node) -> bool:
    return is_free(node) or (node.op.kind == "elementwise" and node.op.name not in EXPENSIVE)


class _Recomputation:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = {node: k for k, node in enumerate(graph.nodes)}
        self.inputs, self.leaving = set(graph.inputs), set(graph.results)
        self.readers = {v: dict.fromkeys(nodes) for v, nodes in graph.users.items()}
        self.contested = {a for a, v in graph.updates if v in graph.users}
        self.regions: dict[Node, _Region | None] = {}

    def run(self) -> Graph:
        for node in self.graph.nodes:
            region = self._region(node)
            if region is not None:
                for value in sorted(region.outputs, key=lambda v: -v.type.nbytes):
                    self._replace(self.regions[node] or region, value)
        changed = {n: r for n, r in self.regions.items() if r is not None and r.changed}
        return self._emit(changed) if changed else self.graph

    def _region(self, node: Node) -> _Region | None:
        """The node as a region; None for one that is none, or reads a value twice."""
        if node not in self.regions:
            self.regions[node] = _Region(self.graph, node) if self._is_region(node) else None
        return self.regions[node]

    def _is_region(self, node: Node) -> bool:
        if node.op.kind not in KINDS or len(set(node.operands)) < len(node.operands):
            return False
        return node.op.kind == "fused" or as_region(node_body(self.graph, node)) is not None

    def _replace(self, region: _Region, value: Value) -> None:
        """Let the readers of a result compute it, by the best cut, if that pays."""
        cuts = list(_cuts(region, value))
        readers = self._readers(region, value) if cuts else []
        worth = [(self._gain(region, value, cut, readers), cut) for cut in cuts]
        for gain, cut in sorted(worth, key=lambda pair: -pair[0]):
            if gain > 0 and self._apply(region, value, cut, readers):
                break

    def _readers(self, region: _Region, value: Value) -> list[_Region]:
        """The regions that read a result; none if something else does too, or spreads it."""
        outside = region.outputs[value]
        found = [self._region(node) for node in self.readers.get(outside, ())]
        readers = [r for r in found if r is not None and r.size == value.type.size]
        alone = len(readers) == len(found) and outside not in self.leaving
        return readers if alone and value.type.size > 1 else []

    def _gain(self, region: _Region, value: Value, cut: _Cut, readers: list[_Region]) -> int:
        """The bytes that are written and read no more; 0 if notably more would be live than now."""
        if not readers:
            return 0
        last = max(self.position[r.node] for r in readers)
        live = value.type.nbytes
        traffic = live * (1 + len(readers))
        outside = region.outside
        for leaf in _missing(cut, readers):
            outer, size = outside.get(leaf), leaf.type.nbytes
            if outer in self.contested:
                return 0
            traffic -= size * sum(outer not in r.inputs for r in readers)
            if outer is None:
                traffic -= size
            if outer is None or not self._alive(outer, last):
                live -= size
        return traffic if -live * SLACK <= value.type.nbytes else 0

    def _alive(self, value: Value, position: int) -> bool:
        """Whether a value of the graph is in memory anyway when the node there runs."""
        node = self.graph.producer.get(value)
        constant = node is not None and node.op.kind == "constant"
        if constant or value in self.leaving or value in self.inputs:
            return True
        return any(self.position[reader] >= position for reader in self.readers.get(value, ()))

    def _apply(self, region: _Region, value: Value, cut: _Cut, readers: list[_Region]) -> bool:
        """Carry it out, unless a reader would outgrow what a region may be."""
        outside = region.outside
        missing = _missing(cut, readers)
        stored = {v: Value(v.type, v.name) for v in missing if v not in outside}
        gone = outside[value]
        grown = [r.with_copies(gone, cut, outside | stored) for r in readers]
        less = copy(region)
        less.outputs = {v: o for v, o in region.outputs.items() if v is not value} | stored
        less.changed = True
        if not all(is_kernel(r.body()) for r in (*grown, less) if r.outputs):
            return False
        for changed in (*grown, less):
            self.regions[changed.node] = changed
        for reader in grown:
            for leaf in missing:
                self.readers.setdefault((outside | stored)[leaf], {})[reader.node] = None
        return True

    def _emit(self, changed: Mapping[Node, _Region]) -> Graph:
        b = Builder()
        env: dict[Value, Value] = {v: v for v in self.graph.inputs}
        for node in self.graph.nodes:
            region = changed.get(node)
            if region is None:
                results = keep(b, node, tuple(env[v] for v in node.operands))
                env.update(zip(node.results, results, strict=True))
            elif region.outputs:
                body = region.body()
                operands = [env[region.outside[v]] for v in body.inputs]
                names = [v.name for v in region.outputs.values()]
                with b.at(node.loc, "recompute"):
                    new = b.emit(OPS["fused"], operands, {"body": body}, names=names)
                env.update(zip(region.outputs.values(), new.results, strict=True))
        return dce(with_nodes(self.graph, b.nodes, env))


def _missing(cut: _Cut, readers: list[_Region]) -> list[Value]:
    """The leaves of a cut that some reader has not computed for itself."""
    return [v for v in cut.leaves if not all(v in r.copies for r in readers)]
