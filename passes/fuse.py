"""Fuse elementwise ops, and the reductions of what they compute, into regions: one kernel each.

    %d:f32[32,10] = sub %z, %m
    %e:f32[32,10] = exp %d
    %s:f32[32] = sum %e [axes=(1)]
 =>
    %e:f32[32,10], %s:f32[32] = fused %z, %m body=..{
      %d:f32[32,10] = sub %z, %m
      %e:f32[32,10] = exp %d
      %s:f32[32] = sum %e [axes=(1)]
    } -> %e, %s

A node joins the region of one of its operands, or one that reads the same array, when the result
is a region (`ir/arrange.py`: one loop nest, nothing expensive computed twice), no larger than the
bounds below, and no path leaves the region and comes back. Then regions that feed the same node
merge. Views, counters and scalar constants cost nothing; every region that reads one gets its own.
Results do not change, except that a sum may add in another order.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from ..ir.arrange import as_region
from ..ir.builder import Builder, keep
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.region import Region, is_free
from .border import Border, Through, together
from .outline import Outline, outline

MAX_NODES: Final = 64
MAX_BUFFERS: Final = 24
MAX_PHASES: Final = 4
MAX_SIBLINGS: Final = 4
"""Regions tried that only read the same array."""


def fuse(graph: Graph) -> Graph:
    """Group what can run as one loop nest into `fused` nodes."""
    return _Fusion(graph).run()


class _Unit:
    """A region under construction, or a single node that cannot be in one. `bit` stands for it in
    bit sets of units, `ancestors` is one, `inputs` are the units it reads directly, `followers`
    those that read it, `border` has the values it reads and those that are read of it, `outline`
    is what is known of it as a region."""

    def __init__(self, number: int, bit: int, node: Node, fusable: bool, border: Border) -> None:
        self.number = number
        self.bit = bit
        self.nodes = [node]
        self.fusable = fusable
        self.border = border
        self.ancestors = 0
        self.inputs: set[_Unit] = set()
        self.followers: set[_Unit] = set()
        self.outline: Outline | None = None


class _Fusion:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = {node: k for k, node in enumerate(graph.nodes)}
        self.leaving = set(graph.results)
        self.live = _live(graph)
        self.through = Through(graph)
        self.reads: dict[Node, tuple[Value, ...]] = {}
        self.unit: dict[Node, _Unit] = {}
        self.units: dict[_Unit, None] = {}
        self.bits = map((1).__lshift__, itertools.count())
        self.free_bits: list[int] = []
        self.readers: dict[Value, list[_Unit]] = {}
        self.users: dict[Value, tuple[Node, ...]] = {}

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if node in self.live and node not in self.through.free:
                self._add(node)
        if all(self._stays(unit) for unit in self.units):
            return self.graph
        return self._emit()

    # Growing the regions

    def _add(self, node: Node) -> None:
        fusable = node.op.kind in ("elementwise", "reduce")
        self.reads[node] = self.through.sources(node.operands)
        bit = self.free_bits.pop() if self.free_bits else next(self.bits)
        new = _Unit(self.position[node], bit, node, fusable, self.through.border(node))
        new.inputs = self._feeding([node])
        new.ancestors = self._above(new.inputs)
        for unit in new.inputs:
            unit.followers.add(new)
        self.units[new] = None
        self.unit[node] = new
        if fusable:
            for unit in self._candidates(node, new):
                new = self._merge(unit, new) or new
            for value in self.reads[node]:
                readers = self.readers.setdefault(value, [])
                if new not in readers[-1:]:
                    readers.append(new)
                    del readers[:-MAX_SIBLINGS]

    def _feeding(self, nodes: Iterable[Node]) -> set[_Unit]:
        """The units that compute what nodes read."""
        producer = self.graph.producer
        read = {v for node in nodes for v in self.reads[node]}
        return {self.unit[producer[v]] for v in read if v in producer}

    def _above(self, units: Iterable[_Unit]) -> int:
        bits = 0
        for unit in units:
            bits |= unit.ancestors | unit.bit
        return bits

    def _candidates(self, node: Node, new: _Unit) -> list[_Unit]:
        """Regions to join: those that feed the node, then those that read the same arrays; the
        latest first."""
        feeding = sorted((u for u in new.inputs if u.fusable), key=lambda u: -u.number)
        sharing: dict[_Unit, None] = {}
        for value in self.reads[node]:
            if value.shape == node.operands[0].shape and value.type.size > 1:
                sharing.update(dict.fromkeys(self.readers.get(value, [])))
        return list(dict.fromkeys([*feeding, *sharing]))

    def _merge(self, one: _Unit, two: _Unit) -> _Unit | None:
        """Merge two regions if the result is one; the merged region."""
        if one is two or not self._independent(one, two):
            return None
        joined = self._joined(one, two)
        nodes = sorted([*one.nodes, *two.nodes], key=self.position.__getitem__)
        if not self._fits(one, two, nodes, joined):
            return None
        one.nodes, one.border = nodes, joined
        for node in two.nodes:
            self.unit[node] = one
        for node in two.nodes:
            for value in self.reads[node]:
                readers = self.readers.get(value, [])
                readers[:] = [one if u is two else u for u in readers]
        self._unite(one, two)
        return one

    def _unite(self, one: _Unit, two: _Unit) -> None:
        """Put `one` in the place of both among the units, and note it above all that follow. A unit
        that knew of all above it passed that on to its followers; a bit in no set is used again."""
        del self.units[two]
        if not two.followers:
            self.free_bits.append(two.bit)
        for unit in two.inputs - {one}:
            unit.followers = (unit.followers - {two}) | {one}
        for unit in two.followers - {one}:
            unit.inputs = (unit.inputs - {two}) | {one}
        one.inputs = (one.inputs | two.inputs) - {one, two}
        one.followers = (one.followers | two.followers) - {one, two}
        above = one.ancestors | two.ancestors | one.bit
        one.ancestors = above & ~(one.bit | two.bit)
        waiting = [*one.followers]
        while waiting:
            unit = waiting.pop()
            known, unit.ancestors = unit.ancestors, unit.ancestors | above
            if unit.ancestors != known:
                waiting += unit.followers

    def _independent(self, one: _Unit, two: _Unit) -> bool:
        """Whether no path between the two runs through a third unit."""
        return not any(
            u.ancestors & other.bit
            for unit, other in ((one, two), (two, one))
            if other.followers
            for u in unit.inputs
        )

    def _joined(self, one: _Unit, two: _Unit) -> Border:
        """The border of two units together."""
        pair, unit = (one, two), self.unit

        def left(value: Value) -> bool:
            users = self._users(value)
            return value in self.leaving or any(unit.get(n) not in pair for n in users)

        return together(one.border, two.border, left)

    def _fits(self, one: _Unit, two: _Unit, nodes: list[Node], joined: Border) -> bool:
        """Whether two units together are a region that one kernel can run; `one` then knows it as
        its own."""
        if len(nodes) > MAX_NODES or joined.size > MAX_BUFFERS or not joined.cut <= joined.read:
            return False
        if joined.numbers:
            return True
        if self._leaves_number(one, two, joined) or self._leaves_number(two, one, joined):
            return False
        if one.outline is not None and nodes[-1:] == two.nodes:
            phase = one.outline.phase_with(nodes[-1], self.graph.producer)
            if phase is not None:
                if phase < MAX_PHASES:
                    one.outline.add(nodes[-1], phase)
                return phase < MAX_PHASES
        region = _kernel_region(self._body(nodes))
        one.outline = one.outline if region is None else outline(region)
        return region is not None

    def _leaves_number(self, one: _Unit, two: _Unit, joined: Border) -> bool:
        """Whether numbers of one unit, computed before the loops of the other, leave both: see
        `_shares_number`."""
        before = not one.border.loops and two.border.loops and two not in one.inputs
        return before and not one.border.written.isdisjoint(joined.written)

    def _body(self, nodes: list[Node]) -> Graph:
        """The nodes, with the free nodes they read, as a graph over the original values."""
        members = {v for node in nodes for v in node.results}
        free: dict[Node, None] = {}
        inputs: dict[Value, None] = {}

        def read(value: Value) -> None:
            if value in members:
                return
            node = self.graph.producer.get(value)
            if node is None or node not in self.through.free:
                inputs[value] = None
                return
            for operand in node.operands:
                read(operand)
            free[node] = None

        for node in nodes:
            for value in node.operands:
                read(value)
        inside = set(nodes)
        outputs = [v for v in members if v in self.leaving or not inside.issuperset(self._users(v))]
        outputs.sort(key=lambda v: self.position[self.graph.producer[v]])
        every = sorted([*free, *nodes], key=self.position.__getitem__)
        return Graph("body", tuple(inputs), tuple(every), tuple(outputs))

    def _users(self, value: Value) -> tuple[Node, ...]:
        """Who reads a value: directly, or through free nodes; those as well if they leave."""
        if value not in self.users:
            self.users[value] = tuple(self._readers_of(value))
        return self.users[value]

    def _readers_of(self, value: Value) -> Iterator[Node]:
        for node in self.graph.users.get(value, ()):
            if node not in self.through.free:
                yield from [node] if node in self.live else []
                continue
            if node.result in self.leaving:
                yield node
            yield from self._users(node.result)

    # Writing the new graph

    def _stays(self, unit: _Unit) -> bool:
        """A single node needs no region around it when it reads its operands as they are, and can
        have none when it reads one free node in two ways: `eq` of an iota and its own column."""
        (first, *more) = unit.nodes
        if more or not unit.fusable:
            return not more
        read = [self.graph.producer.get(v) for v in first.operands]
        absorbed = any(n is not None and is_free(n) and n.op.name != "constant" for n in read)
        if unit.border.numbers:
            return not absorbed
        return not absorbed or as_region(self._body([first])) is None

    def _emit(self) -> Graph:
        b = Builder()
        env: dict[Value, Value] = {v: v for v in self.graph.inputs}
        for unit in self._ordered():
            if self._stays(unit):
                node = unit.nodes[0]
                operands = tuple(self._outer(b, env, v) for v in node.operands)
                env.update(zip(node.results, keep(b, node, operands), strict=True))
            else:
                self._emit_region(b, env, unit)
        outputs = tuple(self._outer(b, env, v) for v in self.graph.outputs)
        updates = tuple((a, self._outer(b, env, v)) for a, v in self.graph.updates)
        return Graph(self.graph.name, self.graph.inputs, tuple(b.nodes), outputs, updates)

    def _outer(self, b: Builder, env: dict[Value, Value], value: Value) -> Value:
        """The value in the new graph; a free node is written where it is first needed."""
        if value not in env:
            node = self.graph.producer[value]
            operands = tuple(self._outer(b, env, v) for v in node.operands)
            env[value] = keep(b, node, operands)[0]
        return env[value]

    def _emit_region(self, b: Builder, env: dict[Value, Value], unit: _Unit) -> None:
        body = self._body(unit.nodes)
        outputs = (*body.outputs, *(() if unit.border.numbers else _spilled(body)))
        operands = tuple(self._outer(b, env, v) for v in body.inputs)
        last = unit.nodes[-1]
        with b.at(last.loc, "fuse"):
            names = [v.name for v in outputs]
            fresh = fresh_body(body, outputs)
            node = b.emit(OPS["fused"], operands, {"body": fresh}, names=names)
        env.update(zip(outputs, node.results, strict=True))

    def _ordered(self) -> Iterator[_Unit]:
        """Units after what they read, as close to the order of their last nodes as possible."""
        followers: dict[_Unit, list[_Unit]] = {unit: [] for unit in self.units}
        waiting = {}
        for unit in self.units:
            feeding = self._feeding(unit.nodes) - {unit}
            waiting[unit] = len(feeding)
            for other in feeding:
                followers[other].append(unit)
        ready = [(self.position[u.nodes[-1]], u.number, u) for u in self.units if not waiting[u]]
        heapq.heapify(ready)
        while ready:
            *_, unit = heapq.heappop(ready)
            yield unit
            for other in followers[unit]:
                waiting[other] -= 1
                if not waiting[other]:
                    heapq.heappush(ready, (self.position[other.nodes[-1]], other.number, other))


def _spilled(body: Graph) -> list[Value]:
    """What has to leave a region besides its results, to be loaded in a later phase."""
    if not any(node.op.kind == "reduce" for node in body.nodes):
        return []  # there is one phase
    region = as_region(body)
    assert region is not None, "only regions are merged, and only single nodes may not be one"
    return [v for v in region.spills() if v not in body.outputs]


def _live(graph: Graph) -> set[Node]:
    """The nodes that lead to a result."""
    wanted, live = set(graph.results), set()
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.results):
            wanted.update(node.operands)
            live.add(node)
    return live


def is_kernel(body: Graph) -> bool:
    """Whether a body is a region that one kernel of bounded size can run."""
    return _kernel_region(body) is not None


def _kernel_region(body: Graph) -> Region | None:
    if not _is_bounded(body):
        return None
    region = as_region(body)
    if region is None or region.phases > MAX_PHASES or _shares_number(region):
        return None
    return region


def _is_bounded(body: Graph) -> bool:
    work = sum(not is_free(node) for node in body.nodes)
    return work <= MAX_NODES and len(body.inputs) + len(body.outputs) <= MAX_BUFFERS


def _shares_number(region: Region) -> bool:
    """Whether a number computed before the loops leaves a region that has loops. Such a number is
    better computed once apart (a learning rate): then all its readers are equal kernels."""
    return bool(region.extents) and any(
        region.depth[v] == 0 and region.phase[v] == 0 and v not in region.epilogue
        for v in region.body.outputs
    )


def fresh_body(body: Graph, outputs: tuple[Value, ...]) -> Graph:
    """A copy of the body with values of its own."""
    b = Builder()
    env: dict[Value, Value] = {v: Value(v.type, v.name) for v in body.inputs}
    for node in body.nodes:
        results = tuple(Value(v.type, v.name) for v in node.results)
        operands = tuple(env[v] for v in node.operands)
        b.nodes.append(Node(node.op, operands, results, node.attrs, node.loc, node.origin))
        env.update(zip(node.results, results, strict=True))
    inputs = tuple(env[v] for v in body.inputs)
    return Graph("body", inputs, tuple(b.nodes), tuple(env[v] for v in outputs))
