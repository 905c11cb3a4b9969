"""What is joined, computed on and taken apart again is computed part by part, and never joined.

    %s:f64[500,2] = concatenate %a, %b [axis=1]
    %t:f64[500,2] = mul %s, 0.1
    %y:f64[500,2] = add %x, %t
    %p:f64[500,1] = slice %y [:, 0:1]
    %q:f64[500,1] = slice %y [:, 1:2]
 =>
    %0:f64[500,1] = mul %a, 0.1
    %1:f64[500,1] = slice %x [:, 0:1]
    %p:f64[500,1] = add %1, %0                                and %q of %b alike

The components of a state, such as places and speeds, are taken from it, their changes are stacked,
and the state takes a step: part by part, many steps run in one loop. An array in between is only
made where it is a result. Results do not change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from typing import Final

from ..ir.builder import Builder, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.ops.move import full_slice, slice_along
from ..ir.record import dataclass
from ..ir.region import VIEWS
from .dce import dce

MOST: Final = 8
"""Parts of an array: each has operations of its own."""

LEAST: Final = 16
"""Elements of a part in the mean, from which on they fill vectors."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where an array falls into parts: at `starts` on an axis counted from the last one, -1."""

    axis: int
    starts: tuple[int, ...]

    def spans(self, extent: int) -> Iterator[tuple[int, int]]:
        """Where each part begins and ends."""
        return zip(self.starts, (*self.starts[1:], extent), strict=True)

    def part_with(self, extent: int, low: int, high: int) -> int | None:
        """The number of the part that has these positions, if one has them all."""
        for k, (start, stop) in enumerate(self.spans(extent)):
            if start <= low and high <= stop:
                return k
        return None


def split_components(graph: Graph) -> Graph:
    """Compute on the operands of joins what is taken apart afterwards."""
    if not any(node.op.name == "concatenate" for node in graph.nodes):
        return graph
    plan = _Plan(graph)
    if not plan.split:
        return graph
    parts: dict[Value, tuple[Value, ...]] = {}

    def part(b: Builder, value: Value, new: Value, cuts: Cuts, k: int) -> Value:
        if value in parts:
            return parts[value][k]
        axis = value.type.rank + cuts.axis
        if axis < 0 or value.shape[axis] == 1:
            return new
        start, stop = list(cuts.spans(value.shape[axis]))[k]
        return b.slice(new, spec=slice_along(new.shape, axis, (start, stop, 1)))

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.op.name == "concatenate" and node.result in plan.cuts:
            parts[node.result] = operands
        elif node in plan.split:
            cuts = plan.cuts[node.result]
            pairs = tuple(zip(node.operands, operands, strict=True))
            found = [
                b.emit(node.op, [part(b, *pair, cuts, k) for pair in pairs], node.attrs).result
                for k in range(len(cuts.starts))
            ]
            parts[node.result] = tuple(found)
            return (b.concatenate(*found, axis=node.result.type.rank + cuts.axis),)
        elif node.op.name == "slice" and node.operands[0] in parts:
            return _slice(b, node, plan.cuts[node.operands[0]], parts[node.operands[0]])
        return None

    return dce(rebuild(graph, visit, origin="split_components"))


def _slice(
    b: Builder, node: Node, cuts: Cuts, parts: tuple[Value, ...]
) -> tuple[Value, ...] | None:
    """The slice as one of a part; None where no part has it all."""
    operand, spec = node.operands[0], list(node.attrs["spec"])
    axis = operand.type.rank + cuts.axis
    low, high, step = spec[axis]
    k = _part_of(node, cuts)
    if k is None:
        return None
    spec[axis] = low - cuts.starts[k], high - cuts.starts[k], step
    whole = all(s == full_slice(n) for s, n in zip(spec, parts[k].shape, strict=True))
    return (parts[k] if whole else b.slice(parts[k], spec=tuple(spec)),)


def _part_of(node: Node, cuts: Cuts) -> int | None:
    """The part that has all of a slice with positive steps."""
    operand = node.operands[0]
    axis = operand.type.rank + cuts.axis
    low, high, step = node.attrs["spec"][axis]
    return cuts.part_with(operand.shape[axis], low, high) if step > 0 else None


class _Plan:
    """Where values fall into parts, and which nodes are `split`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.cuts: dict[Value, Cuts] = {}
        for node in graph.nodes:
            cuts = _joint(node) if node.op.name == "concatenate" else self._through(node)
            if cuts is not None:
                self.cuts[node.result] = cuts
        kept = {v: None for v in self.cuts if graph.producer[v].op.name != "concatenate"}
        before = 0
        while len(kept) != before:
            before = len(kept)
            for value in reversed(list(kept)):
                if not self._is_read_in_parts(value, kept):
                    del kept[value]
            for value in list(kept):
                if not self._has_parts(value, kept):
                    del kept[value]
        useful = self._useful(kept)
        self.split = {graph.producer[v] for v in kept if v in useful}

    def _through(self, node: Node) -> Cuts | None:
        """The parts of what is computed element by element from parts and whole arrays."""
        if node.op.kind != "elementwise":
            return None
        found = {self.cuts[v] for v in node.operands if v in self.cuts}
        if len(found) != 1:
            return None
        (cuts,) = found
        extent = node.result.shape[cuts.axis]
        for value in node.operands:
            axis = value.type.rank + cuts.axis
            if axis < 0 or value.shape[axis] == 1:
                continue
            if value not in self.cuts and not self._is_loaded(value):
                return None
        return cuts if extent > 1 else None

    def _is_loaded(self, value: Value) -> bool:
        """Whether a value lies in memory, or is a view of it: a part costs nothing."""
        node = self.graph.producer.get(value)
        if node is None or node.op.name == "constant":
            return True
        if node.op.name in VIEWS:
            return self._is_loaded(node.operands[0])
        return node.op.kind == "dot"

    def _is_read_in_parts(self, value: Value, kept: Collection[Value]) -> bool:
        """Whether all that reads the value reads parts of it."""
        cuts = self.cuts[value]
        return all(
            _part_of(user, cuts) is not None if user.op.name == "slice" else user.results[0] in kept
            for user in self.graph.users.get(value, ())
        )

    def _has_parts(self, value: Value, kept: Collection[Value]) -> bool:
        """Whether the value is computed from what is there in parts."""
        operands = [v for v in self.graph.producer[value].operands if v in self.cuts]
        made_by = [self.graph.producer[v].op.name for v in operands]
        return all(
            v in kept or op == "concatenate" for v, op in zip(operands, made_by, strict=True)
        )

    def _useful(self, kept: Collection[Value]) -> set[Value]:
        """Those of which, or of what hangs together with them, slices are taken."""
        found: set[Value] = set()
        rest = set(kept)
        while rest:
            group, front = set[Value](), [rest.pop()]
            while front:
                value = front.pop()
                group.add(value)
                near = {
                    u.results[0] for u in self.graph.users.get(value, ()) if u.op.name != "slice"
                }
                near |= {*self.graph.producer[value].operands}
                front += near & rest
                rest -= near
            users = (u for v in group for u in self.graph.users.get(v, ()))
            if any(u.op.name == "slice" for u in users):
                found |= group
        return found


def _joint(node: Node) -> Cuts | None:
    """The operands of a join as its parts; None for too many, too small or empty ones."""
    extents = [v.shape[node.attrs["axis"]] for v in node.operands]
    count = len(extents)
    if not 1 < count <= MOST or 0 in extents or node.result.type.size < LEAST * count:
        return None
    starts = tuple(accumulate(extents[:-1], initial=0))
    return Cuts(node.attrs["axis"] - node.result.type.rank, starts)
