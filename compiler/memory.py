"""The memory plan: one arena, and a place for every value.

    %z:f32[32,128]@arena+0 = matmul %x, %W          a slot, 64-byte aligned
    %h:f32[32,128]@arena+0 = maximum %z, 0.0        takes over the slot of z, which ends here
    %r:f32[4096]@arena+0 = reshape %h               a view shares its operand's place
    %y:f32[32,10]@out0 = matmul %h, %W2             outputs lie in fresh arrays
    %W1:f32[784,128]@in0 = dot_acc ..               an update, straight into the argument

Places: `in3` argument 3, `out0` output 0, `const0` a constant or count, `arena+4096` a slot. A slot
is free again when the last node that reads it, or a view of it, has run. `layout_of` and
`memory_report` read everything from the planned graph; there is no other record.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from ..ir.graph import Graph, Loc, Node, Value
from ..ir.record import dataclass
from ..ir.types import Type
from ..runtime.executable import Argument, Layout
from .inplace import Arranged, inplace_operands
from .schedule import ARENA, is_alias, root_of, schedule

ALIGNMENT: Final = 64


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
                    if slot is None:
                        slot = _Slot(padded(value.type), position, position, [])
                    slot.last = self.last[value]
                    slot.values.append(value)
                    self.slots[value] = slot
        for slot, offset in _arrange(list(dict.fromkeys(self.slots.values()))).items():
            for value in slot.values:
                value.place = f"arena+{offset}"
        for node in self.aliases:
            node.result.place = node.operands[0].place

    def _dying_operand(
        self, node: Node, value: Value, position: int, taken: set[_Slot]
    ) -> _Slot | None:
        """The slot of an operand that ends here and may be overwritten."""
        roots = dict.fromkeys(self.root[v] for v in node.operands)
        if not any(self.last[r] == position and r in self.slots for r in roots):
            return None
        for operand in inplace_operands(self.graph, node, value, self.arranged):
            root = self.root[operand]
            sharing = {v for v in node.operands if self.root[v] is root}
            slot = self.slots.get(root)
            dying = slot is not None and self.last[root] == position and slot not in taken
            if slot is not None and dying and sharing == {operand}:
                taken.add(slot)
                return slot
        return None


def _arrange(slots: list[_Slot]) -> dict[_Slot, int]:
    """An offset for every slot: the best of a few orders of first fit, after Pisarchyk and Lee,
    "Efficient Memory Management for Deep Neural Net Inference", 2020; while that is more than
    what is live, the slot that lies highest is placed before the others."""
    least = max(_live(slots), default=0)
    best: dict[_Slot, int] = {}
    for key in ORDERS:
        found = _first_fit(sorted(slots, key=key))
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
    placed = np.zeros((len(slots), 4), np.int64)  # first, last, start, end
    offsets: dict[_Slot, int] = {}
    for k, slot in enumerate(slots):
        others = placed[:k]
        others = others[(others[:, 0] <= slot.last) & (others[:, 1] >= slot.first)]
        offset = 0
        for start, end in others[np.argsort(others[:, 2]), 2:].tolist():
            if start - offset >= slot.size:
                break
            offset = max(offset, end)
        offsets[slot] = offset
        placed[k] = slot.first, slot.last, offset, offset + slot.size
    return offsets


def padded(type: Type) -> int:
    """Bytes of a slot: at least one, a multiple of the alignment."""
    return max(1, -(-type.nbytes // ALIGNMENT)) * ALIGNMENT


def arena_offset(place: str | None) -> int | None:
    """The offset of a place in the arena, None for another place."""
    if place is None or not place.startswith("arena+"):
        return None
    return int(place.removeprefix("arena+"))


def arena_bytes(graph: Graph) -> int:
    """Size of a planned graph's arena."""
    placed = ((arena_offset(v.place), padded(v.type)) for v in _values(graph))
    return max((offset + size for offset, size in placed if offset is not None), default=0)


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.inputs
    for node in graph.nodes:
        yield from node.results


def layout_of(graph: Graph) -> Layout:
    """The layout of a planned graph's pointer table."""
    updated = {target for target, _ in graph.updates}
    constants = {
        n.result.place: n.op.evaluate(**n.attrs) for n in graph.nodes if n.op.kind == "constant"
    }
    offsets = {arena_offset(v.place) for v in _values(graph)} - {None}
    slots = tuple(sorted(x for x in offsets if x is not None))
    places = [f"in{k}" for k in range(len(graph.inputs))]
    places += [f"out{k}" for k in range(len(graph.outputs))]
    places += [f"const{k}" for k in range(len(constants))]
    places += [f"arena+{offset}" for offset in slots]
    places.append("scratch")
    return Layout(
        tuple(Argument(v.name, v.type, v in updated) for v in graph.inputs),
        tuple(v.type for v in graph.outputs),
        tuple(constants[f"const{k}"] for k in range(len(constants))),
        slots,
        arena_bytes(graph),
        {place: k for k, place in enumerate(places)},
    )


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
