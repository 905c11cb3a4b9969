"""What convolution and pooling share: windows over the last axes, and their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...ir.errors import ShapeError, UnsupportedError
from ._shared import Array

Ints: TypeAlias = tuple[int, ...]
Sizes: TypeAlias = int | Sequence[int]
"""One number for every spatial axis, or one each."""


def per_axis(name: str, argument: str, given: Any, rank: int, least: int) -> Ints:
    """The argument for each of `rank` spatial axes; ShapeError for another number of them."""
    several = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if not all(isinstance(n, (int, np.integer)) for n in several):
        raise UnsupportedError(
            f"{name}: {argument} must be an int known when the step is traced, or {rank} of them,"
            f" not {given!r}"
        )
    found = tuple(int(n) for n in several) * (rank if len(several) == 1 else 1)
    if len(found) != rank or min(found) < least:
        raise ShapeError(f"{name}: {argument} {given} must be {rank} numbers of at least {least}")
    return found


def batched(name: str, x: Array, rank: int) -> tuple[Array, bool]:
    """The input with a batch axis, and whether it had one."""
    if x.ndim not in (rank + 1, rank + 2):
        axes = "length" if rank == 1 else "height, width"
        raise ShapeError(
            f"{name}: input {np.shape(x)} must have the axes (batch, channels, {axes}),"
            " or these without the batch"
        )
    return (x, True) if x.ndim == rank + 2 else (x[None], False)


def padded(x: Array, widths: Sequence[tuple[int, int]], value: float = 0) -> Array:
    """The last axes padded by (low, high) each."""
    if not any(map(any, widths)):
        return x
    lead = [(0, 0)] * (x.ndim - len(widths))
    return np.pad(x, [*lead, *widths], constant_values=value)


def windows(x: Array, sizes: Ints, strides: Ints, dilations: Ints) -> Array:
    """Every window over the last axes: (..., positions, sizes). A view."""
    rank = len(sizes)
    spans = tuple((size - 1) * step + 1 for size, step in zip(sizes, dilations, strict=True))
    whole: Array = sliding_window_view(x, spans, axis=tuple(range(x.ndim - rank, x.ndim)))
    return whole[(..., *(slice(None, None, step) for step in (*strides, *dilations)))]
