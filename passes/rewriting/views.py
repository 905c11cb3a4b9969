"""Looking through the ops that only move elements.

A *view* describes a value as its base with axes permuted, inserted and repeated: axis k of the
value is axis `axes[k]` of the base, or None where the value only repeats (or has extent 1). So a
rule can compare `s[:, None]`, `s.reshape(n, 1)` and a `keepdims` sum without caring which it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.graph import Node, Value
from ...ir.ops.move import reshape_groups
from ...ir.record import dataclass
from .rules import Site

MOVES = ("reshape", "transpose", "broadcast", "slice", "gather")

AxisMap = tuple[int | None, ...]


@dataclass(frozen=True)
class View:
    """Axis k of a value is axis `axes[k]` of `base`; None stands for no axis of it."""

    base: Value
    axes: AxisMap

    def aligned(self, rank: int) -> AxisMap:
        """The axes for use in a broadcast of this rank: missing ones at the left are None."""
        return (None,) * (rank - len(self.axes)) + self.axes

    def follows(self, rows: View, reduced: Sequence[int]) -> bool:
        """Whether this view of something reduced over the axes `reduced` of `rows.base` meets,
        broadcast against `rows`, each element with the total of its own row."""
        if len(self.axes) > len(rows.axes):
            return False
        shape, own = rows.base.shape, self.aligned(len(rows.axes))
        kept = [a for a in range(len(shape)) if a not in reduced]
        return all(
            shape[a] == 1 or (i in own and rows.axes[own.index(i)] == a) for i, a in enumerate(kept)
        )


def view(site: Site, value: Value, stop: Value | None = None) -> View:
    """See through transposes, broadcasts, and reshapes that insert or drop axes of extent 1, down
    to `stop` or as far as they go."""
    axes: AxisMap = tuple(range(value.type.rank))
    while value is not stop:
        node = site.producer(value, "reshape", "transpose", "broadcast")
        step = axis_map(node) if node is not None else None
        if node is None or step is None:
            break
        axes = tuple(None if a is None else step[a] for a in axes)
        value = node.operands[0]
    return View(value, axes)


def axis_map(node: Node) -> AxisMap | None:
    """For each axis of the result the operand's axis it is, or None if it is none (extent 1 or
    repeated); None for a reshape that joins or splits axes."""
    old, new = node.operands[0].shape, node.results[0].shape
    if node.op.name == "transpose":
        return tuple(node.attrs["perm"])
    if node.op.name == "broadcast":
        offset = len(new) - len(old)
        kept = [k >= offset and old[k - offset] == n for k, n in enumerate(new)]
        return tuple(k - offset if same else None for k, same in enumerate(kept))
    return reshape_map(old, new)


def reshape_map(old: tuple[int, ...], new: tuple[int, ...]) -> AxisMap | None:
    """The axis map of a reshape from `old` to `new`, None if it joins or splits axes."""
    if 0 in old:
        return tuple(range(len(old))) if old == new else None
    table: dict[int, int] = {}
    for left, right in reshape_groups(old, new):
        if len(left) != 1 or len(right) != 1:
            return None
        table[right[0]] = left[0]
    return tuple(table.get(k) for k in range(len(new)))


def below_moves(site: Site, value: Value, stop: Value | None = None) -> tuple[Value, list[Node]]:
    """The value under a chain of ops that only move elements, and the chain, inner first."""
    chain: list[Node] = []
    while value is not stop and (node := site.producer(value, *MOVES)) is not None:
        chain.append(node)
        value = node.operands[0]
    return value, chain[::-1]


def replay(site: Site, chain: Sequence[Node], value: Value) -> Value:
    """Apply a chain of moves to another value."""
    for node in chain:
        value = site.b.emit(node.op, (value, *node.operands[1:]), node.attrs).results[0]
    return value
