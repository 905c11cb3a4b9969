"""How many elements of a tensor a union of regular regions covers.

A region is what the deltas and places of a term leave free: the solutions of linear equations,
which fill a box. Where two regions meet, the equations of both hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..ir.jacobian import Delta, Place
from ..passes.algebra.affine import Nowhere, System, Unaligned, equations

Region = tuple[Delta | Place, ...]

MAX_MEETINGS = 1000
"""So many meetings of regions are counted; beyond, elements are listed."""
MAX_LISTED = 1 << 24
"""So many elements are listed; beyond, the count is an upper bound."""


def union_size(shape: tuple[int, ...], regions: Sequence[Region]) -> int:
    """The number of elements in at least one region."""
    try:
        whole = System(dict(enumerate(shape)))
    except Nowhere:
        return 0
    distinct = list(dict.fromkeys(regions))
    boxes = [(_meeting(whole, region, len(shape)), region) for region in distinct]
    found = [(box, region) for box, region in boxes if box is not None]
    found.sort(key=lambda pair: -_size(pair[0], shape))
    try:
        return _Count(shape).union(found)
    except Unaligned:
        return _listed(shape, [box for box, _ in found])


class _Count:
    """Inclusion and exclusion, as far as regions meet."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.left = MAX_MEETINGS

    def union(self, boxes: Sequence[tuple[System, Region]]) -> int:
        """The elements of every box that are in none of those before it."""
        return sum(self.new(box, boxes[:k]) for k, (box, _) in enumerate(boxes))

    def new(self, box: System, before: Sequence[tuple[System, Region]]) -> int:
        """How many elements of a box no region of `before` has."""
        size = _size(box, self.shape)
        self.left -= len(before)
        if self.left < 0:
            raise Unaligned
        met = [(_meeting(box, region, len(self.shape)), region) for _, region in before]
        shared = [(common, region) for common, region in met if common is not None]
        if any(_size(common, self.shape) == size for common, _ in shared):
            return 0
        return size - self.union(shared)


def _meeting(box: System, region: Region, rank: int) -> System | None:
    """The part of a box that lies in a region; None if there is none."""
    system = box.copy()
    inner = {x: n for place in region if isinstance(place, Place) for x, _, n in place.steps}
    table = {x: system.fresh(n) for x, n in inner.items() if x >= rank}
    try:
        for tie in region:
            for equation in equations(tie.rename(table), system.extent):
                system.equate(equation)
    except Nowhere:
        return None
    return system


def _size(box: System, shape: tuple[int, ...]) -> int:
    free = {x for axis in range(len(shape)) for x in box[axis].steps}
    return math.prod(box.extent[x] for x in free)


def _listed(shape: tuple[int, ...], boxes: Sequence[System]) -> int:
    """The same by listing the places of all elements, unless there are too many."""
    most = sum(_size(box, shape) for box in boxes)
    if most > MAX_LISTED:
        return min(most, math.prod(shape))
    return len(np.unique(np.concatenate([_places(shape, box) for box in boxes])))


def _places(shape: tuple[int, ...], box: System) -> NDArray[np.int64]:
    """Where in the flat tensor the elements of a box are."""
    stride = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    at = np.array([sum(box[k].start * s for k, s in enumerate(stride))])
    steps: dict[int, int] = {}
    for axis, s in enumerate(stride):
        for x, step in box[axis].steps.items():
            steps[x] = steps.get(x, 0) + step * s
    for x, step in steps.items():
        at = (at[:, None] + step * np.arange(box.extent[x])).reshape(-1)
    return at
