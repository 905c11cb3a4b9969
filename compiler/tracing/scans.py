"""Running totals, products and extrema along an axis.

Each is one op, in NumPy's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ...ir.types import BOOL, I64
from .assembly import concatenate
from .promotion import as_array, convert, recorder_now
from .reductions import accumulator, normal_axis
from .registry import Array, implements


@implements(np.cumsum, method="cumsum")
def cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Array:
    """np.cumsum; small integers and bool are added in 64 bits."""
    return _scan(np.add, a, axis, dtype)


@implements(np.cumprod, method="cumprod")
def cumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Array:
    """np.cumprod; small integers and bool are multiplied in 64 bits."""
    return _scan(np.multiply, a, axis, dtype)


@implements(np.cumulative_sum)
def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """np.cumulative_sum."""
    return _cumulative(np.add, x, axis, dtype, include_initial)


@implements(np.cumulative_prod)
def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """np.cumulative_prod."""
    return _cumulative(np.multiply, x, axis, dtype, include_initial)


def _cumulative(ufunc: np.ufunc, a: Any, axis: Any, dtype: Any, include_initial: bool) -> Array:
    x = as_array(a)
    if axis is None and x.ndim != 1:
        raise ShapeError(f"axis must be given for an array of shape {x.shape}, not of rank 1")
    k = normal_axis(0 if axis is None else axis, x.ndim)
    total = _scan(ufunc, x, k, dtype)
    if not include_initial:
        return total
    shape = (*x.shape[:k], 1, *x.shape[k + 1 :])
    first: Array = np.full_like(total, ufunc.identity, shape=shape)
    return concatenate([first, total], k)


ACCUMULATED: Mapping[np.ufunc, tuple[str, str]] = {
    np.add: ("cumsum", "cummax"), np.multiply: ("cumprod", "cummin"),
    np.maximum: ("cummax", "cummax"), np.minimum: ("cummin", "cummin"),
    np.logical_or: ("", "cummax"), np.logical_and: ("", "cummin"), np.logical_xor: ("", ""),
}  # fmt: skip
"""The ufuncs whose method `accumulate` is supported: the ops for numbers and for bools. A running
exclusive or is whether a running sum is odd."""


def accumulate(ufunc: np.ufunc, array: Any, axis: int = 0, dtype: Any = None) -> Array:
    """The method `accumulate` of a ufunc."""
    x = as_array(array)
    if ufunc not in ACCUMULATED:
        raise UnsupportedError(
            f"np.{ufunc.__name__}.accumulate is not supported; write a loop over slices"
        )
    if not x.ndim:
        raise ShapeError("cannot accumulate on a scalar")
    return _scan(ufunc, x, normal_axis(axis, x.ndim), dtype)


def _scan(ufunc: np.ufunc, a: Any, axis: int | None, dtype: Any) -> Array:
    x = as_array(a)
    x = x.flatten() if axis is None or not x.ndim else x
    k = normal_axis(axis or 0, x.ndim)
    x = convert(x, _dtype(ufunc, x.dtype, dtype))
    op = ACCUMULATED[ufunc][x.type.is_bool]
    if not op:
        return _scan(np.add, x, k, I64) % 2 == 1
    value = recorder_now().builder.emit(op, (x.value,), {"axis": k}).result
    return recorder_now().fresh(value, contiguous=x.contiguous)


def _dtype(ufunc: np.ufunc, own: np.dtype, given: Any) -> np.dtype:
    if ufunc in (np.logical_and, np.logical_or, np.logical_xor):
        return BOOL
    if given is None:
        return accumulator(own) if ufunc in (np.add, np.multiply) else own
    dtype: np.dtype = np.dtype(given)
    return dtype
