"""How a convolution is cut: into tiles that stay in the cache, and into chunks for threads.

Both are functions of the geometry alone, so results have the same bits on any number of threads.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ...ir.convolution import Convolution
from ...ir.matmul import Matmul
from ...ir.record import dataclass
from ...ir.types import F32
from .blocked import LONGEST, SHORT
from .kernel import Split
from .splitting import chunks_of

CACHE: Final = 256 * 1024
"""Bytes of windows that stay in the second-level cache."""

FEWEST: Final = 64
"""Columns worth a product, whatever the cache."""

LONG: Final = 256
"""Columns of a tile whose columns are summed."""

POSITIONS: Final = 1024
"""Columns of a tile whose windows are not copied."""

PER_NANOSECOND: Final = 40
"""Multiplications of a thread."""

MOST_CHUNKS: Final = 8
MOST_SCRATCH: Final = 4 * 1024 * 1024
"""Every chunk has windows of its own: so many, in so many bytes, if there are more than two."""


@dataclass(frozen=True)
class Tiling:
    """`images` images, or a strip of `strip` steps of the first letter of the columns; `sums` are
    as many columns as may be added up in the result's dtype."""

    images: int
    strip: int
    sums: int


def longest_sum(p: Matmul, dtype: np.dtype) -> int:
    """How many products may be added in the result's dtype, tile after tile. Where the result is
    large, adding up parts costs time."""
    return p.length if dtype != F32 else min(max(SHORT, p.m * p.n // 4), LONGEST)


def choose_tiling(c: Convolution, dtype: np.dtype) -> Tiling:
    """Whole images while their windows fit the cache."""
    size, step = c.count(c.columns), c.count(c.columns[1:])
    whole = Matmul(c.count(c.free), c.count(c.rows), c.count(c.images) * size, False, True, False)
    sums = longest_sum(whole, dtype) if c.kind == "weights" else size
    fitting = min(max(FEWEST, CACHE // (dtype.itemsize * c.count(c.rows))), max(sums, step))
    first = c.extents[c.columns[0]]
    if size > fitting:
        strips = -(-first // max(1, fitting // step))
        return Tiling(1, -(-first // strips), sums)
    wanted = -(-(LONG if c.kind == "weights" else FEWEST) // size)
    images = min(wanted, fitting // size, c.count(c.images)) if _are_joinable(c) else 1
    return Tiling(max(1, images), first, sums)


def indirect_tiling(c: Convolution, dtype: np.dtype) -> Tiling:
    """Strips of an image whose windows are not copied: those of one image alone may be chunks."""
    size, step, first = c.count(c.columns), c.count(c.columns[1:]), c.extents[c.columns[0]]
    if c.kind == "input":
        return Tiling(1, first, size)
    whole = Matmul(c.count(c.free), c.count(c.rows), c.count(c.images) * size, False, True, False)
    sums = longest_sum(whole, dtype) if c.kind == "weights" else size
    most = POSITIONS if c.images or c.groups else min(POSITIONS, max(FEWEST, -(-size // 4)))
    strips = -(-first // max(1, min(most, sums) // step))
    return Tiling(1, -(-first // strips), sums)


def _are_joinable(c: Convolution) -> bool:
    """Whether several images may be one tile."""
    by_column = c.right.first == c.columns
    dense = c.right.place.steps.get(c.images) == c.count(c.columns + c.free)
    return len(c.images) == 1 and (dense or not by_column)


def choose_split(c: Convolution, tiling: Tiling, memory: int) -> Split | None:
    """Chunks of the outermost loop over tiles, each with `memory` bytes of its own; None where
    they would overlap, or make too little work."""
    steps = 1
    if c.images:
        steps = -(-c.extents[c.images[0]] // tiling.images)
    elif not c.groups and c.kind != "input":
        steps = -(-c.extents[c.columns[0]] // tiling.strip)
    work = c.count(c.free + c.rows + c.columns + c.images + c.groups)
    wanted = min(chunks_of(work / PER_NANOSECOND), max(2, MOST_SCRATCH // memory), MOST_CHUNKS)
    size = -(-steps // max(1, wanted))
    return Split(0, -(-steps // size), size) if size < steps else None
