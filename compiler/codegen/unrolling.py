"""Rows of few numbers: the loop along them is written out.

    for i in range(n0):                           for i in range(n0):
        for j in range(n1):                           v0 = x0[i * 3 + 0]
            v0 = x0[i * n1 + j]                       v1 = exp_f32(v0)
            v1 = exp_f32(v0)                =>        s2 = add_reassoc_f64(s2, f64(v1))
            s2 = add_reassoc_f64(s2, f64(v1))         v0 = x0[i * 3 + 1]
        ...                                           ..

A softmax over ten classes fills no vector with a row, and what is computed once per row is done
number by number. Written out, the rows are the innermost loop, and a vector holds one number of
each of many rows (`runtime/vectors.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...ir.region import EXPENSIVE, Axis, Region

SHORT_ROW: Final = 16
"""Up to so many numbers a row is written out."""

FEWEST_ROWS: Final = 16
"""Fewer rows than this make up no vector."""


def unrolled_loop(region: Region) -> int | None:
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
