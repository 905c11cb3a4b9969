"""np.pad: constants and ramps are joined on, every other mode repeats elements of the array."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from .elementwise import copied
from .promotion import as_array, is_number, recorder_now
from .reductions import max_, mean, min_
from .registry import Array, implements
from .taking import take

REPEATING: Final = ("edge", "reflect", "symmetric", "wrap")
REDUCING: Final[dict[str, Callable[..., Array]]] = {"maximum": max_, "minimum": min_, "mean": mean}


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Array:
    """np.pad, modes constant, edge, reflect, symmetric, wrap, maximum, minimum, mean."""
    x = given = as_array(array)
    widths = _pairs(pad_width, x.ndim)
    if mode == "constant":
        return _constant(x, widths, options.pop("constant_values", 0))
    odd = options.get("reflect_type", "even") != "even"
    if callable(mode) or odd or options.get("stat_length") is not None:
        raise UnsupportedError("np.pad: reflect_type, stat_length and functions are not supported")
    for axis, (low, high) in enumerate(widths):
        if mode in REPEATING and (low or high):
            x = take(x, np.pad(np.arange(x.shape[axis]), (low, high), mode), axis)  # type: ignore[call-overload]
        elif mode in REDUCING:
            value = REDUCING[mode](x, axis, keepdims=True)
            x = _joined(x, axis, (low, value), (high, value))
        elif mode not in REPEATING:
            raise UnsupportedError(f"np.pad: mode {mode!r} is not supported")
    return copied(x, scalar=False) if x is given else x


def _pairs(widths: Any, rank: int) -> list[tuple[int, int]]:
    """How much before and after each axis."""
    if isinstance(widths, dict):
        given = {k % rank: np.broadcast_to(np.asarray(v), 2) for k, v in widths.items()}
        widths = [given.get(k, (0, 0)) for k in range(rank)]
    pairs = np.broadcast_to(np.asarray(widths), (rank, 2))
    if pairs.dtype.kind not in "iu" or (pairs < 0).any():
        raise ShapeError(f"np.pad: pad_width must be non-negative integers, got {widths}")
    return [(int(low), int(high)) for low, high in pairs]


def _constant(x: Array, widths: list[tuple[int, int]], values: Any) -> Array:
    if is_number(values) and values == 0 and math.copysign(1, values) > 0:
        low, high = zip(*widths, strict=True) if widths else ((), ())
        return recorder_now().fresh(recorder_now().builder.pad(x.value, low=low, high=high))
    pairs: Array = np.broadcast_to(as_array(values), (len(widths), 2))
    for axis, (before, after) in enumerate(widths):
        low, high = (pairs[axis, k].astype(x.dtype) for k in (0, 1))
        x = _joined(x, axis, (before, low), (after, high))
    return x if any(map(any, widths)) else copied(x, scalar=False)


def _joined(x: Array, axis: int, before: tuple[int, Array], after: tuple[int, Array]) -> Array:
    """`x` with values broadcast to so many rows before and after an axis."""
    rows = [
        np.broadcast_to(_rounded(value, x), (*x.shape[:axis], count, *x.shape[axis + 1 :]))
        for count, value in (before, after)
    ]
    return np.concatenate([rows[0], x, rows[1]], axis) if before[0] or after[0] else x


def _rounded(value: Array, x: Array) -> Array:
    """A mean among integers is rounded, as NumPy does it."""
    return value if value.dtype == x.dtype else np.rint(value).astype(x.dtype)
