"""Order statistics: medians and quantiles, differentiable in the elements they are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...ir.errors import BoundsError, ShapeError, TraceError, UnsupportedError
from .composed import where
from .handle import Handle
from .known import settled
from .promotion import as_array
from .reductions import Axis, in_front, mean, normal_axes, with_axes
from .registry import Array, implements
from .sorting import select_sorted, selecting_pays, sort


@implements(np.median)
def median(
    a: Any, axis: Axis | None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """np.median: the mean of the one or two elements in the middle; NaN where there is one."""
    x = as_array(a)
    axes = normal_axes(axis, x.ndim)
    n = math.prod(x.shape[k] for k in axes)
    middle = range(max(n - 1, 0) // 2, n // 2 + 1) if n else ()
    ordered, slots = _ordered(x, axes, middle)
    first = slots[0] if slots else 0
    result = _spoilt(ordered, mean(ordered[first : first + len(slots)], 0))
    return with_axes(result, x, axes) if keepdims else result


def _ordered(x: Array, axes: tuple[int, ...], wanted: Iterable[int]) -> tuple[Array, list[int]]:
    """A sort along `axes`, in front, or what stands at some positions of it and at its end, which
    tells of NaN; and where the wanted ones are."""
    if len(axes) == 1:
        (axis,) = axes
    else:
        x, axis = in_front(x, axes), 0
    n, slots = x.shape[axis], list(wanted)
    positions = sorted({*slots, *([n - 1] if x.type.is_float else [])})
    if selecting_pays(len(positions), n):
        found = select_sorted(x, positions, axis)
        slots = [positions.index(k) for k in slots]
    else:
        found = sort(x, axis)
    return np.moveaxis(found, axis, 0), slots


def _spoilt(ordered: Array, result: Array) -> Array:
    """`result`, or the NaN that a sort along the first axis has put last."""
    if not ordered.type.is_float or not len(ordered):
        return result
    last = ordered[-1]
    return where(np.isnan(last), last, result)


@implements(np.quantile)
def quantile(
    a: Any, q: Any, axis: Axis | None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Array:  # fmt: skip
    """np.quantile by linear interpolation, for fractions known when the step is traced."""
    fractions = _known("np.quantile", q, 1, method, weights)
    return _quantile(as_array(a), fractions, type(q) in (int, float), axis, keepdims)


@implements(np.percentile)
def percentile(
    a: Any, q: Any, axis: Axis | None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Array:  # fmt: skip
    """np.percentile by linear interpolation, for percents known when the step is traced."""
    percents = _known("np.percentile", q, 100, method, weights)
    fractions = np.asarray(np.true_divide(percents, 100))
    return _quantile(as_array(a), fractions, type(q) in (int, float), axis, keepdims)


def _known(name: str, q: Any, most: int, method: str, weights: Any) -> np.ndarray:
    q = settled(q)
    if isinstance(q, Handle):
        raise TraceError(
            f"{name}: q is traced, and which elements it means depends on it; write it as a"
            " constant, or make it a static argument (static_argnames)"
        )
    if method != "linear" or weights is not None:
        raise UnsupportedError(f"{name}: only method='linear' without weights is supported")
    fractions = np.asarray(q)
    if not np.all((fractions >= 0) & (fractions <= most)):
        raise ShapeError(f"{name}: q must be in the range [0, {most}]")
    return fractions


def _quantile(x: Array, fractions: np.ndarray, weak: bool, axis: Axis, keepdims: bool) -> Array:
    """Interpolation between the elements around position (n - 1) q of the sorted ones, from the
    nearer one, in NumPy's dtype."""
    axes = normal_axes(axis, x.ndim)
    n = math.prod(x.shape[k] for k in axes)
    if not n:
        raise BoundsError("a quantile of no elements has no value")
    position = np.asarray((n - 1) * fractions)
    below = np.floor(position).astype(np.int64)
    above = below if position.dtype.kind in "iu" else np.minimum(below + 1, n - 1)
    wanted = [*below.ravel().tolist(), *above.ravel().tolist()]
    ordered, slots = _ordered(x, axes, wanted)
    low, high = (
        np.take(ordered, np.array(part, np.int64).reshape(position.shape), 0)
        for part in (slots[: below.size], slots[below.size :])
    )
    result = low
    if position.dtype.kind not in "iu":
        result = _interpolated(low, high, position - np.floor(position), weak)
    result = _spoilt(ordered, result)
    if not keepdims:
        return result
    return result.reshape(position.shape + with_axes(ordered[0], x, axes).shape)


def _interpolated(low: Array, high: Array, share: Any, weak: bool) -> Array:
    share = float(share) if weak else share.reshape(share.shape + (1,) * (low.ndim - share.ndim))
    step = high - low
    near_low, near_high = low + step * share, high - step * (1 - share)
    if weak:
        return near_high if share >= 0.5 else near_low
    return where(share >= 0.5, near_high, near_low)
