"""The memory plan: one arena, and a place for every value.

    %z:f32[32,128]@arena+0 = matmul %x, %W          a slot, 64-byte aligned
    %h:f32[32,128]@arena+0 = maximum %z, 0.0        takes over the slot of z, which ends here
    %r:f32[4096]@arena+0 = reshape %h               a view shares its operand's place
    %y:f32[32,10]@out0 = matmul %h, %W2             outputs lie in fresh arrays
    %W1:f32[784,128]@in0 = dot_acc ..               an update, straight into the argument

Places: `in3` argument 3, `out0` output 0, `const0` a constant or count, `arena+4096` a slot. A slot
is free again when the last node that reads it, or a view of it, has run, and the rest of the chain
(`codegen/chains.py`) that this node is in. `memory_report` reads everything from the planned graph;
there is no other record.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from ..ir.graph import Graph, Loc, Node, Value
from ..ir.record import dataclass
from .codegen.chains import Chain, find_chains
from .inplace import Arranged, inplace_operands
from .layout import ARENA, is_alias, padded, root_of
from .order import most_memory
from .schedule import schedule


def plan_memory(graph: Graph) -> Graph:
    """Schedule a graph and give every value a place: the stage `planned`."""
    scheduled = schedule(graph)
    _Planner(scheduled).run()
    return scheduled


@dataclass(eq=False)
class _Slot:
    """Memory that values take over from each other, from node `first` to node `last`."""

    size: int
    first: int
    last: int
    values: list[Value]


class _Planner:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.aliases = [n for n in graph.nodes if is_alias(n)]
        values = {v for n in graph.nodes for v in (*n.operands, *n.results)}
        self.root = {v: root_of(graph.producer, v) for v in values}
        self.last = self._last_uses()
        self.slots: dict[Value, _Slot] = {}
        self.arranged: Arranged = {}
        self.chains = {node: chain for chain in find_chains(graph) for node in chain.nodes}
        self.chain_ends = self._chain_ends()
        self.shared = {c: frozenset(map(self.root.get, c.shared())) for c in self.chain_ends}
        self.chain_slots: dict[Chain, list[_Slot]] = {}

    def _chain_ends(self) -> dict[Chain, int]:
        """The position of the last node of every chain."""
        positions = enumerate(self.graph.nodes)
        return {self.chains[node]: k for k, node in positions if node in self.chains}

    def _last_uses(self) -> dict[Value, int]:
        last: dict[Value, int] = {}
        for position, node in enumerate(self.graph.nodes):
            for value in (*node.operands, *node.results):
                last[self.root[value]] = position
        return last

    def run(self) -> None:
        for position, node in enumerate(self.graph.nodes):
            taken: set[_Slot] = set()
            for value in node.results:
                if self.root[value] is value and value.place in (None, ARENA):
                    slot = self._dying_operand(node, value, position, taken)
                    slot = slot or self._freed_in_chain(node, value, position)
                    if slot is None:
                        slot = _Slot(padded(value.type), position, position, [])
                        if node in self.chains:
                            self.chain_slots.setdefault(self.chains[node], []).append(slot)
                    slot.last = self.last[value]
                    slot.values.append(value)
                    self.slots[value] = slot
        for slot, offset in self._arranged().items():
            for value in slot.values:
                value.place = f"arena+{offset}"
        for node in self.aliases:
            node.result.place = node.operands[0].place

    def _dying_operand(
        self, node: Node, value: Value, position: int, taken: set[_Slot]
    ) -> _Slot | None:
        """The slot of an operand that ends here and may be overwritten."""
        dying: dict[Value, _Slot] = {}
        for operand in node.operands:
            slot = self.slots.get(self.root[operand])
            if slot is not None and self.last[self.root[operand]] == position and slot not in taken:
                dying[operand] = slot
        for operand in inplace_operands(self.graph, node, value, dying, self.arranged):
            slot = dying[operand]
            sharing = {v for v in node.operands if self.root[v] is self.root[operand]}
            if sharing == {operand} and self._stays_apart(node, [*slot.values, value]):
                taken.add(slot)
                return slot
        return None

    def _freed_in_chain(self, node: Node, value: Value, position: int) -> _Slot | None:
        """A slot of the same chain that is not needed any more, all of it touched by the rows of
        each chunk alone: no other chunk is in the way."""
        if node not in self.chains:
            return None
        slots = self.chain_slots.setdefault(self.chains[node], [])
        for slot in slots:
            fits = slot.last < position and slot.size == padded(value.type)
            if fits and self._stays_apart(node, [*slot.values, value]):
                return slot
        return None

    def _stays_apart(self, node: Node, values: Sequence[Value]) -> bool:
        """Whether every chunk of the node's chain touches the same part of these values alone."""
        chain = self.chains.get(node)
        return chain is None or (
            len({v.type.nbytes for v in values}) == 1 and self.shared[chain].isdisjoint(values)
        )

    def _arranged(self) -> dict[_Slot, int]:
        """An offset for every slot. What is used in a chain is needed to its end: one chunk may be
        there before others have begun. Where that takes much more memory the chain will be a
        shorter one."""
        slots = list(dict.fromkeys(self.slots.values()))
        least = max(_live(slots), default=0)
        short = [(slot, slot.last) for slot in slots]
        for slot in slots:
            chain = self.chains.get(self.graph.nodes[slot.last])
            slot.last = slot.last if chain is None else self.chain_ends[chain]
        found = _arrange(slots)
        if _peak(found) > most_memory(self.graph, least):
            for slot, last in short:
                slot.last = last
            found = _arrange(slots)
        return found


def _arrange(slots: list[_Slot]) -> dict[_Slot, int]:
    """An offset for every slot: the best of a few orders of first fit, after Pisarchyk and Lee,
    "Efficient Memory Management for Deep Neural Net Inference", 2020; while that is more than
    what is live, the slot that lies highest is placed before the others."""
    least = max(_live(slots), default=0)
    best: dict[_Slot, int] = {}
    for key in ORDERS:
        fit = _first_fit_in_time if key is ORDERS[0] else _first_fit
        found = fit(sorted(slots, key=key))
        if not best or _peak(found) < _peak(best):
            best = found
        if _peak(best) <= least:
            return best
    found = best
    for _ in range(REPAIRS):
        highest = max(found, key=lambda slot: found[slot] + slot.size)
        found = _first_fit([highest, *(slot for slot in found if slot is not highest)])
        best = min(best, found, key=_peak)
        if _peak(best) <= least:
            break
    return best


REPAIRS: Final = 16
ORDERS: Final[tuple[Callable[[_Slot], int], ...]] = (
    lambda slot: slot.first,
    lambda slot: -slot.size,
    lambda slot: -slot.size * (slot.last - slot.first + 1),
    lambda slot: slot.first - slot.last,
)


def _live(slots: list[_Slot]) -> Iterator[int]:
    """The bytes of the slots in use at each node: no arrangement takes less than the most."""
    change: dict[int, int] = {}
    for slot in slots:
        change[slot.first] = change.get(slot.first, 0) + slot.size
        change[slot.last + 1] = change.get(slot.last + 1, 0) - slot.size
    yield from itertools.accumulate(change[position] for position in sorted(change))


def _peak(offsets: Mapping[_Slot, int]) -> int:
    return max((offset + slot.size for slot, offset in offsets.items()), default=0)


def _first_fit(slots: Sequence[_Slot]) -> dict[_Slot, int]:
    """Each slot in turn at the lowest offset that no slot in use at the same time takes."""
    placed = np.zeros((4, len(slots)), np.int64)  # first, last, start, end, in order of start
    offsets: dict[_Slot, int] = {}
    for k, slot in enumerate(slots):
        first, last, starts, ends = placed[:, :k]
        using = (first <= slot.last) & (last >= slot.first)
        below = np.zeros(np.count_nonzero(using) + 1, np.int64)  # where the others so far end
        np.maximum.accumulate(ends[using], out=below[1:])
        fits = starts[using] - below[:-1] >= slot.size
        gap = int(fits.argmax()) if fits.any() else -1
        offset = offsets[slot] = int(below[gap])
        place = int(np.searchsorted(starts, offset))
        placed[:, place + 1 : k + 1] = placed[:, place:k]
        placed[:, place] = slot.first, slot.last, offset, offset + slot.size
    return offsets


def _first_fit_in_time(slots: Sequence[_Slot]) -> dict[_Slot, int]:
    """The same for slots in the order in which they come into use: what has ended leaves a gap, and
    what has not is in the way."""
    offsets: dict[_Slot, int] = {}
    using: list[tuple[int, int, _Slot]] = []
    gaps: list[tuple[int, float]] = [(0, math.inf)]  # in order, no two of them adjacent
    for k, slot in enumerate(slots):
        while using and using[0][0] < slot.first:
            ended = heapq.heappop(using)[2]
            _release(gaps, offsets[ended], offsets[ended] + ended.size)
        place = next(i for i, (start, end) in enumerate(gaps) if end - start >= slot.size)
        offset, end = gaps[place]
        left = [(offset + slot.size, end)] if offset + slot.size < end else []
        gaps[place : place + 1] = left
        offsets[slot] = offset
        heapq.heappush(using, (slot.last, k, slot))
    return offsets


def _release(gaps: list[tuple[int, float]], start: int, end: float) -> None:
    """Make a range a gap, one with those beside it."""
    k = bisect_left(gaps, (start,))
    after = k + (gaps[k][0] == end)
    if after > k:
        end = gaps[k][1]
    if k and gaps[k - 1][1] == start:
        k -= 1
        start = gaps[k][0]
    gaps[k:after] = [(start, end)]


@dataclass(frozen=True, slots=True)
class BufferInfo:
    """One value of the plan: where it lies, from which node to which it is needed, what last
    needs it, and the value whose slot it took over in place or `None`."""

    value: Value
    place: str
    nbytes: int
    first: int
    last: int
    kept_for: str
    loc: Loc | None
    in_place_of: Value | None


def memory_report(graph: Graph) -> tuple[BufferInfo, ...]:
    """What a planned graph's values occupy, in order of definition."""
    last: dict[Value, tuple[int, Node]] = {}
    for position, node in enumerate(graph.nodes):
        for value in node.operands:
            last[value] = position, node
    leaving = {v: f"output {k}" for k, v in enumerate(graph.outputs)}
    leaving |= {v: f"update of %{a.name}" for a, v in graph.updates}
    report = []
    for position, node in enumerate(graph.nodes):
        for value in node.results:
            end, reader = last.get(value, (position, node))
            where = f" at {reader.loc}" if reader.loc else ""
            reason = leaving.get(value, reader.op.name + where)
            over = [v for v in node.operands if v.place == value.place and not _is_view(node)]
            report.append(
                BufferInfo(
                    value, value.place or "", value.type.nbytes, position, end, reason, node.loc,
                    over[0] if over else None,
                )
            )  # fmt: skip
    return tuple(report)


def _is_view(node: Node) -> bool:
    return node.op.name in ("reshape", "arg")
