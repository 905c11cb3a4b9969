"""Searching in sorted arrays, and what is counted or interpolated by it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...ir.errors import DTypeError, ShapeError, TraceError
from ...ir.types import F64, I64
from .composed import where
from .handle import Handle
from .promotion import as_array, as_value, recorder_now
from .registry import Array, implements
from .sorting import argsort


@implements(np.searchsorted, method="searchsorted")
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Array:
    """np.searchsorted by binary search. As in NumPy nothing is promised unless `a` is sorted."""
    if side not in ("left", "right"):
        raise ShapeError(f"np.searchsorted: side must be 'left' or 'right', not {side!r}")
    x, keys = as_array(a), as_array(v)
    if sorter is not None:
        x = np.take(x, sorter)
    dtype = np.result_type(x.dtype, keys.dtype)
    operands = as_value(x, dtype), as_value(keys, dtype)
    return recorder_now().fresh(
        recorder_now().builder.searchsorted(*operands, right=side == "right")
    )


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Array:
    """np.digitize for edges known when the step is traced, rising or falling."""
    if isinstance(bins, Handle):
        raise TraceError(
            "np.digitize: bins are traced, and whether they rise or fall decides the result; use"
            " np.searchsorted(bins, x, side='right') for rising ones"
        )
    edges, side = np.asarray(bins), "left" if right else "right"
    steps = np.diff(edges)
    if np.all(steps >= 0):
        return searchsorted(edges, x, side)
    if not np.all(steps <= 0):
        raise ShapeError("np.digitize: bins must be monotonically increasing or decreasing")
    return len(edges) - searchsorted(edges[::-1], x, side)


@implements(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Array:
    """np.interp, in f64. As in NumPy `xp` must increase. The derivative with respect to `x` at a
    knot is the slope to its right."""
    at, knots, values = (as_array(a, F64) for a in (x, xp, fp))
    if knots.ndim != 1 or knots.shape != values.shape or not len(knots):
        raise ShapeError(
            f"np.interp: xp and fp must have one length > 0, got {knots.shape} and {values.shape}"
        )
    if period is not None:
        at, knots, values = _periodic(at, knots, values, abs(period))
        left = right = None
    left = values[0] if left is None else left
    right = values[-1] if right is None else right
    inside = values[0] if len(knots) == 1 else _between(at, knots, values)
    return where(at < knots[0], left, where(at > knots[-1], right, inside))


def _periodic(x: Array, xp: Array, fp: Array, period: Any) -> tuple[Array, Array, Array]:
    """Everything moved into one period, with a knot of the neighbouring ones on either side."""
    x, xp = x % period, xp % period
    order = argsort(xp)
    xp, fp = xp[order], fp[order]
    knots = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
    return x, knots, np.concatenate([fp[-1:], fp, fp[:1]])


def _between(x: Array, xp: Array, fp: Array) -> Array:
    """On the line through the two knots around `x`. Where that is NaN (an infinite slope or value)
    it is the value at the left knot, or taken from the right one, or what both share."""
    n = len(xp)
    found = searchsorted(xp, x, "right") - 1
    k = np.clip(found, 0, n - 2)
    x0, x1, y0, y1 = xp[k], xp[k + 1], fp[k], fp[k + 1]
    slope = (y1 - y0) / (x1 - x0)
    result = slope * (x - x0) + y0
    result = where(np.isnan(result) & (x == x0), y0, result)
    result = where(np.isnan(result), slope * (x - x1) + y1, result)
    result = where(np.isnan(result) & (y0 == y1), y0, result)
    return where(np.isnan(x), x, where(found == n - 1, fp[-1], result))


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: Any = 0) -> Array:
    """np.bincount for values below `minlength`; BoundsError when the step runs for others."""
    labels = as_array(x)
    if not labels.type.is_integer and not labels.type.is_bool:
        raise DTypeError(f"np.bincount: x must be integers, not {labels.dtype}")
    if labels.ndim != 1:
        raise ShapeError(f"np.bincount: x must have rank 1, got shape {labels.shape}")
    n = _length(minlength)
    added: Any = np.int64(1) if weights is None else as_array(weights, F64)
    if weights is not None and added.shape != labels.shape:
        raise ShapeError(f"np.bincount: weights {added.shape} do not fit x {labels.shape}")
    counts: Array = np.zeros(n, I64 if weights is None else F64, like=labels)
    np.add.at(counts, _not_negative(labels, n), added)
    return counts


def _length(minlength: Any) -> int:
    if isinstance(minlength, Handle) or not operator.index(minlength):
        raise TraceError(
            "np.bincount: the length of the result depends on the data; say how many bins there"
            " are: np.bincount(x, minlength=n) with a constant n above every value"
        )
    return operator.index(minlength)


def _not_negative(labels: Array, n: int) -> Array:
    """The labels, with n, which is out of bounds, for those that would count from the end."""
    return where(labels < 0, n, labels.astype(np.int64))
