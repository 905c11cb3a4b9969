"""What is known of a region that grows: enough to say at once that one more node fits.

Whether nodes are a region is found by arranging all of them as a loop nest (`ir/arrange.py`), in
time that goes with their number. Most nodes that join one are elementwise, as large as the region's
largest values, and read only what is at hand; for those the outline answers. A value of full size
walks through every loop. If all of them do so in one way, one more that is computed from them adds
no loop, no order and no reduction, so what could forbid it are only the bounds on a kernel.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.graph import Node, Value
from ..ir.region import Axes, Axis, Region, is_free


class Outline:
    """The axes of a region's values, and the sweep in which each is computed; `waiting` are those
    that later nodes of the nest must not read."""

    def __init__(self, full: Axes, region: Region) -> None:
        self.full = full
        self.axes = dict(region.axes)
        self.phase = dict(region.phase)
        self.waiting = set(region.epilogue)
        for node, reduction in region.reductions.items():
            if reduction.kind != "row":
                self.waiting.add(node.result)

    def phase_with(self, node: Node, producer: Mapping[Value, Node]) -> int | None:
        """The sweep in which a node would be computed, if it joins the region after all others and
        is known to fit; None if the whole has to be arranged."""
        shape = node.result.shape
        leads = any(v.shape == shape and self.axes.get(v) == self.full for v in node.operands)
        if node.op.kind != "elementwise" or not leads:
            return None
        for value in node.operands:
            if value not in self.axes and not _is_outside(value, producer):
                return None
            if value in self.waiting or not self._runs_along(self._axes(value, shape)):
                return None
        return max((self.phase.get(v, 0) for v in node.operands), default=0)

    def _axes(self, value: Value, shape: tuple[int, ...]) -> Axes | None:
        """The axes of a value, read where one of this shape is computed; None for an array from
        outside that is smaller, where the loops of several axes have become one."""
        if value in self.axes:
            return self.axes[value]
        if value.shape == shape:
            return self.full
        if len(self.full) != len(shape) and value.shape:
            return None
        axes = self.full[len(shape) - len(value.shape) :]
        pairs = zip(value.shape, axes, strict=True)
        return tuple(Axis(None, 1) if n == 1 else axis for n, axis in pairs)

    def _runs_along(self, axes: Axes | None) -> bool:
        """Whether axes, aligned at the right, are those of full values or do not run."""
        if axes is None or len(axes) > len(self.full):
            return False
        own = self.full[len(self.full) - len(axes) :]
        return all(a.loop is None or a == b for a, b in zip(axes, own, strict=True))

    def add(self, node: Node, phase: int) -> None:
        """The node has joined, in this sweep."""
        for value in node.operands:
            self.axes[value] = self._axes(value, node.result.shape) or ()
        self.axes[node.result] = self.full
        self.phase[node.result] = phase


def _is_outside(value: Value, producer: Mapping[Value, Node]) -> bool:
    """Whether a value that the region does not have yet is read as it is."""
    node = producer.get(value)
    return node is None or not is_free(node) or (node.op.name == "constant" and not value.shape)


def outline(region: Region) -> Outline | None:
    """The outline of a region whose values of full size walk through the loops in one way."""
    count = len(region.extents)
    full = {a for a in region.axes.values() if sum(x.loop is not None for x in a) == count}
    if not count or len(full) != 1:
        return None
    (axes,) = full
    return Outline(axes, region) if all(a.plain or a.loop is None for a in axes) else None
