"""Proof that a memory plan is sound, by replaying it. Shares no code with the planner.

`check_plan(graph)` runs through a planned graph keeping, for every byte range, the value last
written there, and raises VerifyError at the first node that breaks one of these:

M1  every value has a place; arena places are 64-byte aligned
M2  a node finds each operand where the plan says, whole: nothing has overwritten it
M3  results of one node do not overlap each other
M4  a result overlaps an operand only if it lies exactly on it and the node reads that operand
    element by element, at the index it writes (or works on it: `update`, `dot_acc`, `lu` ..)
M5  no constant, and no argument without an update, is written; an output place holds one value
M6  no run-time check runs after a write into an argument, but of indices that were in range before
M7  at the end every output k lies whole in `out<k>` and every update of argument k in `in<k>`

A place is a name and a byte range in it: `arena+128` for 40 bytes is (arena, 128, 168), every
other place starts at 0.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from ..ir.errors import VerifyError
from ..ir.graph import Graph, Node, Value

Range = tuple[str, int, int]

RUNTIME_CHECKED: Final = (
    "gather", "scatter", "scatter_add", "lu_solve", "solve_triangular", "cholesky",
)  # fmt: skip
WORKS_ON: Final = {
    "update": 0, "add_at": 0, "scatter": 0, "scatter_add": 0, "dot_acc": 0,
    "lu": 0, "solve_triangular": 1, "lu_solve": 2,
}  # fmt: skip


def check_plan(graph: Graph) -> None:
    """VerifyError naming the invariant, the node and the user's line; nothing when all is well."""
    _Replay(graph).run()


class _Replay:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        # area: (start, end, identity), apart from each other and in order
        self.memory: dict[str, list[tuple[int, int, int]]] = {}
        self.identity: dict[Value, int] = {}
        self.writable = {f"in{graph.inputs.index(target)}" for target, _ in graph.updates}
        self.argument_written = False
        self.in_range: set[tuple[int, int]] = set()  # an index array, the extent it fits

    def run(self) -> None:
        for k, value in enumerate(self.graph.inputs):
            if value.place != f"in{k}":
                raise VerifyError(f"M1: input {k} lies in {value.place}, not in in{k}")
            self._write(value, None)
        for node in self.graph.nodes:
            self._step(node)
        for k, value in enumerate(self.graph.outputs):
            self._leaves(value, f"out{k}")
        for target, value in self.graph.updates:
            self._leaves(value, f"in{self.graph.inputs.index(target)}")

    def _leaves(self, value: Value, place: str) -> None:
        if value.place != place or not self._whole(value):
            raise VerifyError(f"M7: {_name(value)} does not end up whole in {place}")

    def _step(self, node: Node) -> None:
        for operand in node.operands:
            if not self._whole(operand):
                raise _broken("M2", node, f"{_name(operand)} is no longer in {operand.place}")
        if node.op.kind == "constant":
            self._write(node.result, node)
            return
        if node.op.name in ("reshape", "arg") and node.result.place == node.operands[0].place:
            self.identity[node.result] = self.identity[node.operands[0]]
            return
        if self._checks(node) and self.argument_written:
            raise _broken("M6", node, "its operands are checked after an argument was written")
        self._disjoint(node)
        for result in node.results:
            self._allowed(node, result)
        for result in node.results:
            self._write(result, node)

    def _checks(self, node: Node) -> bool:
        """Whether the node checks something that no node before it did."""
        if "axes" not in node.attrs or node.op.name not in RUNTIME_CHECKED:
            return node.op.name in RUNTIME_CHECKED
        axes = node.attrs["axes"]
        indices = node.operands[-len(axes) :]
        extents = [node.operands[0].shape[axis] for axis in axes]
        pairs = {(self.identity[v], n) for v, n in zip(indices, extents, strict=True)}
        new = pairs - self.in_range
        self.in_range |= pairs
        return bool(new)

    def _disjoint(self, node: Node) -> None:
        ranges = [_range(v, node) for v in node.results]
        for i, one in enumerate(ranges):
            if any(_overlap(one, other) for other in ranges[:i]):
                raise _broken("M3", node, "two of its results overlap")

    def _allowed(self, node: Node, result: Value) -> None:
        area = _range(result, node)
        read_only = area[0].startswith("in") and area[0] not in self.writable
        if read_only or area[0].startswith("const"):
            raise _broken("M5", node, f"it writes into {area[0]}")
        if area[0].startswith("out") and self.memory.get(area[0]):
            raise _broken("M5", node, f"{area[0]} is written twice")
        touched = {v for v in node.operands if _overlap(area, _range(v, node))}
        if touched and not _may_overwrite(node, result, touched):
            first = min(map(_name, touched))
            raise _broken("M4", node, f"it overwrites {first} while reading it")
        self.argument_written |= area[0].startswith("in")

    def _whole(self, value: Value) -> bool:
        area, start, end = _range(value, None)
        held, written = self.memory.get(area, []), (start, end, self.identity.get(value, -1))
        k = bisect_left(held, written)
        return held[k : k + 1] == [written]

    def _write(self, value: Value, node: Node | None) -> None:
        area, start, end = _range(value, node)
        self.identity[value] = len(self.identity)
        held = self.memory.setdefault(area, [])
        first = bisect_left(held, (start,))
        if first and held[first - 1][1] > start:
            first -= 1
        last = bisect_left(held, (end,), first)
        held[first:last] = [(start, end, self.identity[value])]


def _range(value: Value, node: Node | None) -> Range:
    """The bytes a value occupies; a value without elements still occupies one."""
    place = value.place
    if place is None:
        raise _broken("M1", node, f"{_name(value)} has no place")
    area, plus, offset = place.partition("+")
    if (area == "arena") != bool(plus) or (plus and not offset.isdecimal()):
        raise _broken("M1", node, f"{place} is not a place")
    start = int(offset or 0)
    if start % 64:
        raise _broken("M1", node, f"{place} is not aligned")
    return area, start, start + max(value.type.nbytes, 1)


def _overlap(a: Range, b: Range) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


def _may_overwrite(node: Node, result: Value, touched: set[Value]) -> bool:
    if len(touched) != 1:
        return False
    (operand,) = touched
    if operand.type != result.type or operand.place != result.place:
        return False
    positions = [k for k, v in enumerate(node.operands) if v is operand]
    if node.op.name in WORKS_ON:
        return positions == [WORKS_ON[node.op.name]] and result is node.results[0]
    if node.op.kind in ("elementwise", "scan"):
        return True
    if node.op.name != "fused":
        return False
    body = node.attrs["body"]
    inside = body.outputs[node.results.index(result)]
    accumulated = [n.operands[0] for n in body.nodes if n.op.name == "dot_acc"]
    if [body.inputs[k] for k in positions] == accumulated:
        read = [v for n in body.nodes for v in n.operands if v in accumulated]
        return bool(body.outputs == body.nodes[-1].results) and read == accumulated
    return _elementwise_in(body, {body.inputs[k] for k in positions}, inside)


def _elementwise_in(body: Graph, sources: set[Value], result: Value) -> bool:
    """Whether the body is one sweep that reads `sources` only at the index it writes `result`.

    Values computed from the sources by elementwise ops alone, all of one shape, have the sources'
    index. Nothing may move them (transpose, slice ..) or broadcast them, and no op but one on
    single numbers may wait for a reduction, since the sources would be read again after it.
    """
    same_index = set(sources)
    reduced: set[Value] = set()
    for node in body.nodes:
        late = not reduced.isdisjoint(node.operands)
        tied = not same_index.isdisjoint(node.operands)
        if node.op.kind == "reduce":
            reduced.update(node.results)
        elif late:
            if node.result.type.size != 1:
                return False
            reduced.add(node.result)
        elif tied and (node.op.kind != "elementwise" or node.result.shape != result.shape):
            return False
        elif tied:
            same_index.add(node.result)
    return result in same_index and result not in sources and result not in reduced


def _name(value: Value) -> str:
    return f"%{value.name or '?'}:{value.type}"


def _broken(invariant: str, node: Node | None, what: str) -> VerifyError:
    if node is None:
        return VerifyError(f"{invariant}: {what}")
    where = f" at {node.loc}" if node.loc is not None else ""
    return VerifyError(f"{invariant}: {node.op.name}{where}: {what}")
