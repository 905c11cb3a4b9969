"""The memory plan: one arena, and a place for every value.

    %z:f32[32,128]@arena+0 = matmul %x, %W          a slot, 64-byte aligned
    %h:f32[32,128]@arena+0 = maximum %z, 0.0        takes over the slot of z, which ends here
    %r:f32[4096]@arena+0 = reshape %h               a view shares its operand's place
    %y:f32[32,10]@out0 = matmul %h, %W2             outputs lie in fresh arrays
    %W1:f32[784,128]@in0 = dot_acc ..               an update, straight into the argument

Places: `in3` argument 3, `out0` output 0, `const0` a constant or count, `arena+4096` a slot. A slot
is given back when the last node that reads it, or a view of it, has run. `layout_of` and
`memory_report` read everything from the planned graph; there is no other record.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Final

from ..ir.graph import Graph, Loc, Node, Value
from ..ir.record import dataclass
from ..ir.types import Type
from ..runtime.executable import Argument, Layout
from .inplace import inplace_operands
from .schedule import ARENA, is_alias, root_of, schedule

ALIGNMENT: Final = 64


def plan_memory(graph: Graph) -> Graph:
    """Schedule a graph and give every value a place: the stage `planned`."""
    scheduled = schedule(graph)
    _Planner(scheduled).run()
    return scheduled


class _Planner:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.aliases = [n for n in graph.nodes if is_alias(n)]
        values = {v for n in graph.nodes for v in (*n.operands, *n.results)}
        self.root = {v: root_of(graph.producer, v) for v in values}
        self.last = self._last_uses()
        self.used: list[tuple[int, int, Value]] = []  # (offset, end, root), by offset

    def _last_uses(self) -> dict[Value, int]:
        last: dict[Value, int] = {}
        for position, node in enumerate(self.graph.nodes):
            for value in (*node.operands, *node.results):
                last[self.root[value]] = position
        return last

    def run(self) -> None:
        for position, node in enumerate(self.graph.nodes):
            taken: set[Value] = set()
            for value in node.results:
                if self.root[value] is value and value.place in (None, ARENA):
                    self._place(node, value, position, taken)
            self.used = [slot for slot in self.used if self.last[slot[2]] > position]
        for node in self.aliases:
            node.result.place = node.operands[0].place

    def _place(self, node: Node, value: Value, position: int, taken: set[Value]) -> None:
        slot = self._dying_operand(node, value, position, taken)
        if slot is not None:
            self.used.remove(slot)
            offset = slot[0]
        else:
            offset = self._first_gap(padded(value.type))
        value.place = f"arena+{offset}"
        insort(self.used, (offset, offset + padded(value.type), value), key=lambda s: s[0])

    def _dying_operand(
        self, node: Node, value: Value, position: int, taken: set[Value]
    ) -> tuple[int, int, Value] | None:
        dying = [s for s in self.used if self.last[s[2]] == position and s[2] not in node.results]
        if not dying:
            return None
        for operand in inplace_operands(self.graph, node, value):
            sharing = {v for v in node.operands if self.root[v] is self.root[operand]}
            for slot in dying:
                if slot[2] is self.root[operand] and sharing == {operand} and operand not in taken:
                    taken.add(operand)
                    return slot
        return None

    def _first_gap(self, size: int) -> int:
        offset = 0
        for start, end, _ in self.used:
            if start - offset >= size:
                break
            offset = max(offset, end)
        return offset


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
