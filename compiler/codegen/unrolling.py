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

Sums over the rows around them, such as the force on each particle, then have a variable for each
number of a row, instead of a place in memory that every iteration of the loop adds to.

So are rows of up to four numbers that are only moved or computed from each other: vectors of
several rows are put together. And the loops of small nests, such as products of many small
matrices: their numbers then stay in registers. Of larger ones the extents alone are written out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from ...ir.region import EXPENSIVE, Axis, Reduction, Region
from ...ir.types import F32

SHORT_ROW: Final = 16
"""Up to so many numbers a row is written out."""

FEWEST_ROWS: Final = 16
"""Fewer rows than this make up no vector of cheap operations, or of numbers that are gathered."""

FEWEST_BYTES: Final = 20
LONGEST_OF_FEW: Final = 4
"""Fewer bytes of a column of the rows make up no vector at all. Of so few rows only short ones are
written out: longer ones half fill vectors themselves."""

SHUFFLED: Final = 8
SHUFFLED_BYTES: Final = 48
"""Up to so many numbers and bytes in a row it pays for any reduction along or across the rows:
vectors that hold a number each of many rows are shuffled from memory, not gathered."""

WIDENED: Final = 6
"""So many sums of f32, of the numbers of a row across the rows, are held in registers: each is made
in f64, in two vectors."""

EXTREMA: Final = frozenset({"max", "min"})
"""Reductions that a vector of one row's numbers is slow to end."""

SMALL_NEST: Final = 64
"""Up to so many iterations the loops of a small product are written out."""

LEAST_WORK: Final = 1024
"""Iterations of all loops from which on this pays for a kernel of its own."""


SHORT_NEST: Final = 128
"""Iterations of a short nest: it takes as long to find out how many they are as to do them."""

MANY: Final = 64
"""Short nests, or rows, that are many."""

SPREAD: Final = 4
"""Numbers in rows, of which vectors of several rows are put together."""


def short_nest(region: Region) -> int | None:
    """The first of the loops of a short nest along short rows, of which there are many: its extents
    are part of the text, so that nothing is found out while it runs. None if there is none."""
    extents = region.extents
    first = len(extents)
    while first > 1 and math.prod(extents[first - 1 :]) <= SHORT_NEST:
        first -= 1
    short = 0 not in extents and sum(n > 1 for n in extents[first:]) > 1
    short = short and extents[-1] <= SHORT_ROW
    return first if short and math.prod(extents[:first]) >= MANY else None


def unrolled_loops(region: Region) -> range:
    """The innermost loops that are written out, if any."""
    inner, count = _along_rows(region), len(region.extents)
    return range(inner, count) if inner is not None else range(_of_small_nests(region), count)


def in_variables(region: Region, reduction: Reduction) -> bool:
    """Whether a column reduction keeps only loops that are written out, and runs over others."""
    written = unrolled_loops(region) if reduction.kind == "column" else ()
    return (
        bool(written) and {*written} >= {*reduction.kept} and not {*written} & {*reduction.reduced}
    )


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
    if inner < 1 or not 1 < extents[inner] <= SHORT_ROW:
        return None
    if any(n.op.kind == "argreduce" for n in region.reductions):
        return None
    columns = {n: r for n, r in region.reductions.items() if r.kind == "column"}
    if any(inner not in r.kept for r in columns.values()):
        return None
    if extents[inner] > WIDENED and any(n.result.type.dtype == F32 for n in columns):
        return None
    placed = [load.axes for load in region.loads.values()]
    placed += [region.axes[v] for v in region.body.outputs]
    whole = all(_ends_with(axes, inner, extents[inner]) for axes in placed)
    near = all(_neighbours(axes, inner) for axes in placed)
    return inner if whole and _pays(region, *extents[-2:], near=near) else None


def _neighbours(axes: Sequence[Axis], loop: int) -> bool:
    """Whether rows along the loop, one after the other in the loop around it, are so in memory."""
    around = [k for k, axis in enumerate(axes) if any(r == loop - 1 for r, _ in axis.strides)]
    along = [k for k, axis in enumerate(axes) if axis.loop == loop]
    return not (around and along) or around == [len(axes) - 2]


def _pays(region: Region, rows: int, length: int, *, near: bool) -> bool:
    """Whether something takes long to compute, or the reductions of rows of this length do."""
    costly = any(node.op.name in EXPENSIVE for node in region.body.nodes)
    width = max((v.type.dtype.itemsize for v in region.loads), default=1)
    shuffled = near and length <= SHUFFLED and length * width <= SHUFFLED_BYTES
    if rows < FEWEST_ROWS:
        short = length <= LONGEST_OF_FEW and rows * width >= FEWEST_BYTES
        return costly and near and short
    extrema = [n for n, r in region.reductions.items() if r.kind == "row" and n.op.name in EXTREMA]
    spread = not region.reductions and length <= SPREAD and rows >= MANY
    return costly or bool(extrema) or spread or (bool(region.reductions) and shuffled)


def _ends_with(axes: Sequence[Axis], loop: int, extent: int) -> bool:
    """Whether the loop runs along the last axis, all of it, if along any."""
    along = [k for k, axis in enumerate(axes) if any(r == loop for r, _ in axis.strides)]
    if not along:
        return True
    return along == [len(axes) - 1] and axes[-1].plain and axes[-1].extent == extent
