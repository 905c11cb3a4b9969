"""Running totals, products and extrema along an axis.

A running sum is one op, which adds in NumPy's order. The others are made by doubling: after k
steps an element holds the fold of the 2**k elements up to it, so log2(n) steps over whole arrays
are enough, and the derivative is that of the steps: right at the zeros of a product too.
Products of floats are taken in another order than NumPy's, as in np.prod.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ...ir.types import BOOL
from .assembly import concatenate
from .elementwise import copied
from .promotion import as_array, convert, recorder_now
from .reductions import accumulator, normal_axis
from .registry import Array, implements
from .shapes import part


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


ACCUMULATED = (
    np.add, np.multiply, np.maximum, np.minimum, np.logical_and, np.logical_or, np.logical_xor
)  # fmt: skip
"""The ufuncs whose method `accumulate` is supported: those that may be regrouped."""


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
    if ufunc is np.add and not x.type.is_bool:
        total = recorder_now().builder.cumsum(x.value, axis=k)
        return recorder_now().fresh(total, contiguous=x.contiguous)
    return _doubled(ufunc, x, k)


def _dtype(ufunc: np.ufunc, own: np.dtype, given: Any) -> np.dtype:
    if ufunc in (np.logical_and, np.logical_or, np.logical_xor):
        return BOOL
    if given is None:
        return accumulator(own) if ufunc in (np.add, np.multiply) else own
    dtype: np.dtype = np.dtype(given)
    return dtype


def _doubled(ufunc: np.ufunc, x: Array, axis: int) -> Array:
    """Fold every element with the one 1, 2, 4 .. before it."""
    n, step, total = x.shape[axis], 1, copied(x)
    while step < n:
        folded = ufunc(part(total, axis, slice(None, -step)), part(total, axis, slice(step, None)))
        total = concatenate([part(total, axis, slice(None, step)), folded], axis)
        step *= 2
    return recorder_now().fresh(total.value, contiguous=x.contiguous)
