"""Functions that join, take apart and rearrange arrays by positions known when tracing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError, TraceError
from .assembly import concatenate
from .elementwise import copied
from .handle import Handle
from .known import asked
from .promotion import as_array, convert
from .reductions import normal_axis
from .registry import METHODS, Array, implements
from .shapes import (
    atleast_2d,
    broadcast_to,
    expand_dims,
    moveaxis,
    shape_of,
    split,
    transpose,
)
from .taking import take


def static(value: Any, what: str) -> Any:
    """A concrete argument; TraceError if it is traced, because the result's shape hangs on it."""
    if not isinstance(value, Handle):
        return value
    found = asked(value)
    if found is None:
        raise TraceError(
            f"{what} is traced, so the shape of the result would depend on the data; make it a"
            " static argument (static_argnames), or select with np.where(mask, x, y)"
        )
    return found


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Array:
    """np.delete at concrete positions."""
    x, k = _along(arr, axis)
    kept = np.delete(np.arange(x.shape[k]), static(obj, "np.delete: the index"))
    return take(x, kept, k)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Array:
    """np.insert at concrete positions: the new rows are put behind the old ones, then in place."""
    x, k = _along(arr, axis)
    n = x.shape[k]
    new: Array = convert(as_array(values), x.dtype)
    at = static(obj, "np.insert: the index")
    single = not isinstance(at, slice) and np.ndim(at) == 0
    if single:  # the values then lie along the axis in front
        new = moveaxis(new[(None,) * (x.ndim - new.ndim)], 0, k)
    count = new.shape[k] if single else len(np.insert(np.arange(n), at, 0)) - n
    new = np.broadcast_to(new, (*x.shape[:k], count, *x.shape[k + 1 :]))
    order = np.insert(np.arange(n), at, np.arange(n, n + count))
    return take(concatenate([x, new], k), order, k)


@implements(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None) -> Array:
    """np.compress with a concrete condition."""
    x, k = _along(a, axis)
    return take(x, np.flatnonzero(np.asarray(static(condition, "np.compress: the condition"))), k)


METHODS["compress"] = lambda a, condition, axis=None: compress(condition, a, axis)


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Array:
    """np.extract with a concrete condition."""
    return compress(np.ravel(static(condition, "np.extract: the condition")), np.ravel(arr))


@implements(np.repeat, method="repeat")
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Array:
    """np.repeat; the counts are concrete."""
    x, k = _along(a, axis)
    counts = np.asarray(static(repeats, "np.repeat: the count"))
    if counts.ndim == 0:
        shape = (*x.shape[: k + 1], int(counts), *x.shape[k + 1 :])
        final = (*x.shape[:k], x.shape[k] * int(counts), *x.shape[k + 1 :])
        return copied(broadcast_to(expand_dims(x, k + 1), shape).reshape(final))
    return take(x, np.repeat(np.arange(x.shape[k]), counts), k)


def _along(a: Any, axis: int | None) -> tuple[Array, int]:
    """The array and an axis of it; without one, the flattened array."""
    x = as_array(a)
    if axis is None:
        return x.reshaped((x.size,)), 0
    return x, normal_axis(axis, x.ndim)


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Array:
    """np.resize: the elements over and over."""
    x, shape = as_array(a), shape_of(new_shape)
    if min(shape, default=0) < 0:
        raise ShapeError(f"np.resize: all extents must be positive or 0, not {shape}")
    wanted = int(np.prod(shape))
    if not x.size:
        return np.zeros_like(x, shape=shape)
    return take(x, np.arange(wanted) % x.size).reshape(shape)


@implements(np.block)
def block(arrays: Any) -> Array:
    """np.block: innermost lists are joined along the last axis, the next along the one before."""
    depth = _depth(arrays)
    rank = max(depth, _rank(arrays))
    found = _block(arrays, depth, rank)
    return found if depth else copied(found, scalar=False)


def _depth(arrays: Any) -> int:
    return 1 + max(map(_depth, arrays)) if isinstance(arrays, list) else 0


def _rank(arrays: Any) -> int:
    return max(map(_rank, arrays)) if isinstance(arrays, list) else as_array(arrays).ndim


def _block(arrays: Any, depth: int, rank: int) -> Array:
    if not isinstance(arrays, list):
        if depth:
            raise ShapeError("np.block: the lists are nested to different depths")
        x = as_array(arrays)
        return x.reshape((1,) * (rank - x.ndim) + x.shape)
    return concatenate([_block(part, depth - 1, rank) for part in arrays], rank - depth)


@implements(np.atleast_3d)
def atleast_3d(*arrays: Any) -> Any:
    """np.atleast_3d."""
    found = tuple(x if x.ndim > 2 else atleast_2d(x)[..., None] for x in map(as_array, arrays))
    return found[0] if len(found) == 1 else found


@implements(np.dstack)
def dstack(tup: Any) -> Array:
    """np.dstack."""
    return concatenate([atleast_3d(x) for x in tup], 2)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """np.dsplit."""
    return split(ary, indices_or_sections, 2)


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Array, ...]:
    """np.unstack."""
    front = moveaxis(x, axis, 0)
    return tuple(front[k] for k in range(len(front)))


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Array:
    """np.rollaxis."""
    x = as_array(a)
    k = normal_axis(axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    if not 0 <= start <= x.ndim:
        raise ShapeError(f"np.rollaxis: start must lie between 0 and {x.ndim}")
    order = [j for j in range(x.ndim) if j != k]
    order.insert(start - (k < start), k)
    return transpose(x, order)


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Array:
    """np.diagflat."""
    return np.diag(np.ravel(v), k)


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Array:
    """np.apply_along_axis, one call for each line: write whole-array code where there are many."""
    x = as_array(arr)
    k = normal_axis(axis, x.ndim)
    lines = moveaxis(x, k, -1)
    found = [as_array(func1d(lines[i], *args, **kwargs)) for i in np.ndindex(*lines.shape[:-1])]
    stacked: Array = np.stack(found).reshape(lines.shape[:-1] + found[0].shape)
    new = range(len(lines.shape) - 1, stacked.ndim)
    return np.moveaxis(stacked, tuple(new), tuple(range(k, k + len(new))))


@implements(np.apply_over_axes)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Array:
    """np.apply_over_axes."""
    x = as_array(a)
    rank = x.ndim
    for axis in np.atleast_1d(axes).tolist():
        found = as_array(func(x, axis))
        x = found if found.ndim == rank else expand_dims(found, axis)
    return x
