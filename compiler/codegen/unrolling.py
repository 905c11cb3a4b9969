"""Rows of few numbers, and small nests: their loops are written out.

    for i in range(n0):                           for i in range(n0):
        for j in range(n1):                           v0 = x0[i * 3 + 0]
            v0 = x0[i * n1 + j]                       v1 = exp_f32(v0)
            v1 = exp_f32(v0)                =>        s2 = add_reassoc_f64(s2, f64(v1))
            s2 = add_reassoc_f64(s2, f64(v1))         v0 = x0[i * 3 + 1]
        ...                                           ..

A softmax over ten classes fills no vector with a row, and what is computed once per row is done
number by number. Written out, the rows are the innermost loop, and a vector holds one number of
each of many rows (`runtime/vectors.py`).

So are the loops of small nests, such as products of many small matrices: their numbers then stay in
registers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from ...ir.region import EXPENSIVE, Axis, Region

SHORT_ROW: Final = 16
"""Up to so many numbers a row is written out."""

FEWEST_ROWS: Final = 16
"""Fewer rows than this make up no vector."""


SMALL_NEST: Final = 64
"""Up to so many iterations the loops of a small product are written out."""

LEAST_WORK: Final = 1024
"""Iterations of all loops from which on this pays for a kernel of its own."""


def unrolled_loops(region: Region) -> range:
    """The innermost loops that are written out, if any."""
    inner, count = _along_rows(region), len(region.extents)
    return range(inner, count) if inner is not None else range(_of_small_nests(region), count)


def _of_small_nests(region: Region) -> int:
    """The first of several innermost loops that make up a small nest, of which there are many, and
    add up in it alone: products of matrices of 3 rows and columns. Behind the last loop if none."""
    extents = region.extents
    first = len(extents)
    while first > 1 and math.prod(extents[first - 1 :]) <= SMALL_NEST:
        first -= 1
    inside = {r for r in range(first, len(extents)) if extents[r] > 1}
    added = [r for n, r in region.reductions.items() if n.op.kind == "reduce" and r.kind != "total"]
    if len(inside) < 2 or math.prod(extents) < LEAST_WORK or not added:
        return len(extents)
    within = len(added) == len(region.reductions) and all(inside >= {*r.reduced} for r in added)
    return first if within else len(extents)


def _along_rows(region: Region) -> int | None:
    """The innermost loop, along short rows of which there are many, where something takes long to
    compute; else None. Memory must hold whole rows one after the other."""
    inner, extents = len(region.extents) - 1, region.extents
    if inner < 1 or not 1 < extents[inner] <= SHORT_ROW or extents[inner - 1] < FEWEST_ROWS:
        return None
    if any(n.op.kind == "argreduce" or r.kind == "column" for n, r in region.reductions.items()):
        return None
    if all(node.op.name not in EXPENSIVE for node in region.body.nodes):
        return None
    placed = [load.axes for load in region.loads.values()]
    placed += [region.axes[v] for v in region.body.outputs]
    return inner if all(_ends_with(axes, inner, extents[inner]) for axes in placed) else None


def _ends_with(axes: Sequence[Axis], loop: int, extent: int) -> bool:
    """Whether the loop runs along the last axis, all of it, if along any."""
    along = [k for k, axis in enumerate(axes) if any(r == loop for r, _ in axis.strides)]
    if not along:
        return True
    return along == [len(axes) - 1] and axes[-1].plain and axes[-1].extent == extent
