"""Reductions: sums, extrema, moments, norms, over any axes, in NumPy's result dtype."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ...ir.types import BOOL, F64, I64
from .composed import safe_sqrt, where
from .lenses import Permute
from .promotion import as_array, as_mask, convert, recorder_now
from .registry import Array, implements
from .source import warn

Axis = int | Sequence[int] | None


def normal_axes(axis: Axis, rank: int) -> tuple[int, ...]:
    """Axes as an increasing tuple; None means all. ShapeError for one out of range or twice."""
    if axis is None:
        return tuple(range(rank))
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    found = sorted(normal_axis(k, rank) for k in given)
    if len(set(found)) != len(found):
        raise ShapeError(f"an axis appears twice in {given}")
    return tuple(found)


def normal_axis(axis: Any, rank: int) -> int:
    """One axis counted from the front; ShapeError if it is out of range."""
    if not hasattr(axis, "__index__") or isinstance(axis, (bool, np.bool_)):
        raise ShapeError(f"an axis must be an integer, not {type(axis).__name__}")
    k = int(axis)
    if not -rank <= k < rank:
        raise ShapeError(f"axis {k} is out of bounds for array of dimension {rank}")
    return k % rank


def reduce(op: str, x: Array, axis: Axis, keepdims: bool) -> Array:
    """One `reduce` node, and a reshape to put the axes back."""
    axes = normal_axes(axis, x.ndim)
    b = recorder_now().builder
    value = x.value
    if axes or op in ("any", "all"):
        value = b.emit(op, [value], {"axes": axes}).result
    result = recorder_now().fresh(value, contiguous=x.contiguous)
    return with_axes(result, x, axes) if keepdims else result


def with_axes(result: Array, x: Array, axes: tuple[int, ...]) -> Array:
    shape = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    value = result.value
    if value.shape != shape:
        value = recorder_now().builder.reshape(value, shape=shape)
    return recorder_now().fresh(value, contiguous=x.contiguous)


def _count(x: Array, axis: Axis) -> int:
    return math.prod(x.shape[k] for k in normal_axes(axis, x.ndim))


def accumulator(dtype: np.dtype) -> np.dtype:
    """The dtype NumPy sums in: small integers and bool widen to 64 bits."""
    if dtype.kind == "u":
        return np.dtype(np.uint64)
    return I64 if dtype.kind in "ib" else dtype


@implements(np.sum, method="sum")
def sum_(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False,
    initial: Any = None, where: Any = True,
) -> Array:  # fmt: skip
    """np.sum."""
    x = as_array(a)
    x = convert(x, np.dtype(dtype) if dtype is not None else accumulator(x.type.dtype))
    if x.type.is_bool:
        result = any_(x, axis, keepdims=keepdims, where=where)
    else:
        result = reduce("sum", _only(x, where, 0), axis, keepdims)
    return result if initial is None else result + as_array(initial, x.dtype)


@implements(np.mean, method="mean")
def mean(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True
) -> Array:
    """np.mean; NaN for no elements, with NumPy's warning when it is traced."""
    x = as_array(a)
    x = convert(x, np.dtype(dtype) if dtype is not None else _inexact(x.type.dtype))
    total = sum_(x, axis, keepdims=keepdims, where=where)
    result = total / _counted(x, axis, keepdims, where)
    return result if dtype is None else convert(result, x.dtype)


_mean = mean


def _counted(x: Array, axis: Axis, keepdims: bool, where: Any) -> Any:
    if where is True:
        count = _count(x, axis)
        if not count:
            warn("Mean of empty slice")
        return float(count)
    chosen: Array = np.broadcast_to(as_array(where, BOOL), x.shape)
    return sum_(chosen, axis, x.dtype, keepdims=keepdims)


def _inexact(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.kind == "f" else F64


@implements(np.var, method="var")
def var(
    a: Any, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False,
    where: Any = True, mean: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    """np.var, in two passes: the mean first, then the squared distances from it."""
    x = as_array(a)
    x = convert(x, np.dtype(dtype) if dtype is not None else _inexact(x.type.dtype))
    if not x.type.is_float:
        raise UnsupportedError(f"np.var, np.std: dtype {x.dtype} is not supported; use a float one")
    middle = _mean(x, axis, keepdims=True, where=where) if mean is None else mean
    away = x - middle
    total = sum_(away * away, axis, keepdims=keepdims, where=where)
    return total / _freedom(x, axis, ddof if correction is None else correction, keepdims, where)


def _freedom(x: Array, axis: Axis, ddof: float, keepdims: bool, chosen: Any) -> Any:
    """Elements minus `ddof`, at least 0."""
    if chosen is not True:
        return np.maximum(_counted(x, axis, keepdims, chosen) - float(ddof), 0.0)
    free = _count(x, axis) - ddof
    if free <= 0:
        warn("Degrees of freedom <= 0 for slice")
    return float(max(free, 0))


@implements(np.std, method="std")
def std(
    a: Any, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False,
    where: Any = True, mean: Any = None, correction: float | None = None,
) -> Array:  # fmt: skip
    """np.std; its derivative at a constant array is 0."""
    free = ddof if correction is None else correction
    return safe_sqrt(var(a, axis, dtype, ddof=free, keepdims=keepdims, where=where, mean=mean))


@implements(np.max, np.amax, method="max")
def max_(
    a: Any, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """np.max; ShapeError for no elements without `initial`."""
    return _extremum("max", np.maximum, a, axis, keepdims, initial, where)


@implements(np.min, np.amin, method="min")
def min_(
    a: Any, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """np.min; ShapeError for no elements without `initial`."""
    return _extremum("min", np.minimum, a, axis, keepdims, initial, where)


def _extremum(
    op: str, pair: np.ufunc, a: Any, axis: Axis, keepdims: bool, initial: Any, where: Any
) -> Array:
    x = as_array(a)
    if where is not True and initial is None:
        raise UnsupportedError(f"np.{op}: `where` needs `initial`, as in NumPy")
    first = None if initial is None else as_array(initial, x.dtype)
    if _count(x, axis) == 0:
        if first is None:
            raise ShapeError(f"np.{op}: zero-size array of shape {x.shape} has no {op}imum")
        shape = reduce("any", as_array(x, BOOL), axis, keepdims).shape
        return np.broadcast_to(first, shape).copy()
    how = {"max": "any", "min": "all"}[op] if x.type.is_bool else op
    result = reduce(how, _only(x, where, first), axis, keepdims)
    return result if first is None else pair(result, first)


def _only(x: Array, chosen: Any, neutral: Any) -> Array:
    """`x` with `neutral` where the `where` argument is false."""
    return x if chosen is True else where(_mask(x, chosen), x, neutral)


def _mask(x: Array, chosen: Any) -> Array:
    """The `where` argument of a reduction."""
    mask = as_mask(chosen)
    if len(mask.shape) > x.ndim or np.broadcast_shapes(mask.shape, x.shape) != x.shape:
        raise ShapeError(f"`where` of shape {mask.shape} does not fit an array of shape {x.shape}")
    return mask


@implements(np.argmax, method="argmax")
def argmax(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """np.argmax: the first of equals, the first NaN."""
    return _arg("argmax", a, axis, keepdims)


@implements(np.argmin, method="argmin")
def argmin(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """np.argmin: the first of equals, the first NaN."""
    return _arg("argmin", a, axis, keepdims)


def _arg(op: str, a: Any, axis: int | None, keepdims: bool) -> Array:
    x = as_array(a)
    axes = normal_axes(axis, x.ndim)
    flat = x if axis is not None else x.flatten()
    k = 0 if axis is None else normal_axis(axis, x.ndim)
    if flat.shape[k] == 0:
        raise ShapeError(f"np.{op}: attempt to get {op} of an empty sequence")
    value = recorder_now().builder.emit(op, [flat.value], {"axis": k}).result
    result = recorder_now().fresh(value, contiguous=x.contiguous)
    return with_axes(result, x, axes) if keepdims else result


@implements(np.any, method="any")
def any_(a: Any, axis: Axis = None, *, keepdims: bool = False, where: Any = True) -> Array:
    """np.any."""
    return reduce("any", _only(as_array(a, BOOL), where, False), axis, keepdims)


@implements(np.all, method="all")
def all_(a: Any, axis: Axis = None, *, keepdims: bool = False, where: Any = True) -> Array:
    """np.all."""
    return reduce("all", _only(as_array(a, BOOL), where, True), axis, keepdims)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """np.count_nonzero."""
    return sum_(as_array(a, BOOL), axis, keepdims=keepdims)


@implements(np.prod, method="prod")
def prod(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False,
    initial: Any = None, where: Any = True,
) -> Array:  # fmt: skip
    """np.prod."""
    x = as_array(a)
    x = convert(x, np.dtype(dtype) if dtype is not None else accumulator(x.type.dtype))
    if x.type.is_bool:
        result = all_(x, axis, keepdims=keepdims, where=where)
    else:
        result = reduce("prod", _only(x, where, 1), axis, keepdims)
    return result if initial is None else result * as_array(initial, x.dtype)


def in_front(x: Array, axes: tuple[int, ...]) -> Array:
    """A copy with `axes` merged into one leading axis."""
    rest = [k for k in range(x.ndim) if k not in axes]
    b = recorder_now().builder
    value = x.through(Permute((*axes, *rest))).value
    value = b.reshape(value, shape=(_count(x, axes), *(x.shape[k] for k in rest)))
    return recorder_now().fresh(value, scalar=False)


@implements(np.ptp)
def ptp(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """np.ptp: maximum minus minimum."""
    return max_(a, axis, keepdims=keepdims) - min_(a, axis, keepdims=keepdims)


@implements(np.average)
def average(
    a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, *,
    keepdims: bool = False,
) -> Any:  # fmt: skip
    """np.average with weights of the shape of `a`, or of its axes `axis`."""
    x: Array = as_array(a)
    if weights is None:
        result = mean(x, axis, keepdims=keepdims)
        total = np.full_like(result, _count(x, axis))
    else:
        w = _weights(x, as_array(weights), axis)
        dtype = np.result_type(x.dtype, w.dtype, *([] if x.type.is_float else [F64]))
        x, w = convert(x, dtype), convert(w, dtype)
        total = sum_(w, axis, keepdims=keepdims)
        result = sum_(x * w, axis, keepdims=keepdims) / total
    return (result, total.astype(result.dtype)) if returned else result


def _weights(x: Array, w: Array, axis: Axis) -> Array:
    """Weights along some axes, spread over the others."""
    if w.shape == x.shape:
        return w
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [normal_axis(k, x.ndim) for k in given if k is not None]
    if not axes or w.shape != tuple(x.shape[k] for k in axes):
        raise ShapeError(f"np.average: weights {w.shape} do not fit {x.shape} on axis {axis}")
    w = w.through(Permute(tuple(sorted(range(len(axes)), key=axes.__getitem__))))
    w = w.reshape(tuple(n if k in axes else 1 for k, n in enumerate(x.shape)))
    return np.broadcast_to(w, x.shape)


def logaddexp_reduce(a: Any, axis: Axis, keepdims: bool) -> Array:
    """log(sum(exp(a))) over axes, as one op."""
    x = as_array(a)
    x = convert(x, _inexact(x.type.dtype))
    axes = normal_axes(axis, x.ndim)
    if len(axes) == 1:
        value = recorder_now().builder.logsumexp(x.value, axis=axes[0])
    else:
        value = recorder_now().builder.logsumexp(in_front(x, axes).value, axis=0)
    result = recorder_now().fresh(value, contiguous=x.contiguous)
    return with_axes(result, x, axes) if keepdims else result


# --- norms ---------------------------------------------------------------------------------


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Array:
    """np.linalg.norm: vector norms of any order; matrix norms None, 'fro', 1, -1, inf, -inf.

    The derivative of the 2-norm at 0 is taken as 0.
    """
    a = as_array(x)
    a = convert(a, _inexact(a.type.dtype))
    axes = normal_axes(axis, a.ndim)
    if (ord is None and (axis is None or len(axes) <= 2)) or (ord == "fro" and len(axes) == 2):
        return safe_sqrt(sum_(a * a, axes, keepdims=keepdims))
    if len(axes) == 1:
        return _vector_norm(a, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(a, ord, axis if isinstance(axis, tuple) else axes, keepdims)
    raise ShapeError(f"np.linalg.norm: order {ord!r} needs one axis or two, got {len(axes)}")


def _vector_norm(a: Array, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Array:
    size = np.abs(a)
    if ord == np.inf:
        return max_(size, axes, keepdims=keepdims)
    if ord == -np.inf:
        return min_(size, axes, keepdims=keepdims)
    if ord == 0:
        return sum_(a != 0, axes, a.dtype, keepdims=keepdims)
    if ord == 1:
        return sum_(size, axes, keepdims=keepdims)
    if ord == 2:
        return safe_sqrt(sum_(a * a, axes, keepdims=keepdims))
    if not isinstance(ord, (int, float)):
        raise UnsupportedError(f"np.linalg.norm: invalid norm order {ord!r} for vectors")
    return sum_(size ** float(ord), axes, keepdims=keepdims) ** (1.0 / ord)


def _matrix_norm(a: Array, ord: Any, axes: Sequence[int], keepdims: bool) -> Array:
    rows, columns = (normal_axis(k, a.ndim) for k in axes)
    if ord not in (1, -1, np.inf, -np.inf):
        raise UnsupportedError(
            f"np.linalg.norm: matrix norm {ord!r} needs singular values, which a step cannot"
            " compute; use 'fro', 1, -1, inf or -inf"
        )
    inner, outer = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = sum_(np.abs(a), inner, keepdims=True)
    best = (max_ if ord > 0 else min_)(sums, outer, keepdims=True)
    if keepdims:
        return best
    return best[tuple(0 if k in (rows, columns) else slice(None) for k in range(a.ndim))]
