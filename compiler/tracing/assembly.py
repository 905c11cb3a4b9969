"""Functions that assemble new arrays from elements of others: joining, repeating, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from .composed import where
from .elementwise import copied
from .promotion import as_array, convert, lift, recorder_now, result_dtype
from .reductions import normal_axis, sum_
from .registry import Array, implements
from .shapes import (
    atleast_1d,
    atleast_2d,
    broadcast_to,
    diagonal,
    expand_dims,
    many,
    part,
    shape_of,
)


@implements(np.concatenate)
def concatenate(arrays: Any, axis: int | None = 0, *, dtype: Any = None) -> Array:
    """np.concatenate."""
    parts = [as_array(x) for x in arrays]
    if axis is None:
        parts, axis = [x.reshaped((x.size,)) for x in parts], 0
    ranks = {x.ndim for x in parts}
    if len(ranks) != 1 or 0 in ranks:
        shapes = [x.shape for x in parts]
        raise ShapeError(f"np.concatenate needs arrays of one rank, at least 1, got {shapes}")
    common = np.dtype(dtype) if dtype is not None else result_dtype(parts)
    values = [convert(x, common).value for x in parts]
    k = normal_axis(axis, parts[0].ndim)
    result = recorder_now().builder.emit("concatenate", values, {"axis": k}).result
    return recorder_now().fresh(result, contiguous=all(x.contiguous for x in parts))


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, *, dtype: Any = None) -> Array:
    """np.stack."""
    parts = [as_array(x) for x in arrays]
    if len({x.shape for x in parts}) != 1:
        raise ShapeError(f"np.stack needs arrays of one shape, got {[x.shape for x in parts]}")
    return concatenate([expand_dims(x, axis) for x in parts], axis, dtype=dtype)


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None) -> Array:
    """np.vstack."""
    return concatenate([atleast_2d(x) for x in tup], 0, dtype=dtype)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None) -> Array:
    """np.hstack."""
    parts = [atleast_1d(x) for x in tup]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype=dtype)


@implements(np.column_stack)
def column_stack(tup: Any) -> Array:
    """np.column_stack."""
    parts = [as_array(x) for x in tup]
    return concatenate([x if x.ndim > 1 else x.reshape(x.size, 1) for x in parts], 1)


@implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    """np.append."""
    return concatenate([arr, values], axis)


def joined(items: Sequence[Any], axis: int) -> Array:
    """np.r_ (axis 0) and np.c_ (axis 1, where vectors are columns); Python numbers are weak."""
    operands = [lift(x) for x in items]
    dtype = result_dtype(operands)
    parts = [atleast_1d(convert(x, dtype)) for x in operands]
    if axis == 0:
        return concatenate(parts, 0)
    return concatenate([x if x.ndim > 1 else x.reshape(x.size, 1) for x in parts], -1)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Array:
    """np.roll by concrete shifts."""
    x = as_array(a)
    if axis is None:
        return roll(x.reshaped((x.size,)), shift, 0).reshape(x.shape)
    shifts = np.broadcast_to(np.asarray(shift), (len(many(axis)),))
    for k, by in zip(many(axis), shifts, strict=True):
        attrs = {"shift": int(by), "axis": normal_axis(k, x.ndim)}
        result = recorder_now().builder.emit("roll", (x.value,), attrs).result
        x = recorder_now().fresh(result, contiguous=x.contiguous)
    return x if len(many(axis)) else copied(x, scalar=False)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Array:
    """np.tile."""
    x, counts = as_array(A), shape_of(reps)
    rank = max(x.ndim, len(counts))
    sizes = (1,) * (rank - x.ndim) + x.shape
    counts = (1,) * (rank - len(counts)) + counts
    pairs = tuple(n for size in sizes for n in (1, size))
    spread = tuple(n for c, size in zip(counts, sizes, strict=True) for n in (c, size))
    shape = tuple(c * size for c, size in zip(counts, sizes, strict=True))
    return copied(broadcast_to(x.reshape(pairs), spread).reshape(shape))


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    """np.diff. Without a difference to take, nothing is prepended or appended either."""
    x = as_array(a)
    if n < 0:
        raise ShapeError(f"np.diff: the order n must not be negative, not {n}")
    if n == 0:
        return x
    k = normal_axis(axis, x.ndim)
    ends = [None if end is None else _row(end, x, k) for end in (prepend, append)]
    if prepend is not None or append is not None:
        x = concatenate([piece for piece in (ends[0], x, ends[1]) if piece is not None], k)
    for _ in range(n):
        after, before = part(x, k, slice(1, None)), part(x, k, slice(None, -1))
        x = after != before if x.type.is_bool else after - before
    return x


def _row(value: Any, x: Array, axis: int) -> Array:
    """A number to be joined to `x` along an axis; arrays stay as they are."""
    given = as_array(value)
    if given.ndim:
        return given
    return np.broadcast_to(given, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))


@implements(np.trace, method="trace")
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """np.trace."""
    return sum_(diagonal(a, offset, axis1, axis2), -1)


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Array:
    """np.diag: the diagonal of a matrix, or a matrix with this diagonal."""
    x = as_array(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"np.diag: input must be 1- or 2-d, got shape {x.shape}")
    b, rows = recorder_now().builder, x.size + abs(k)
    zeros = b.full((rows * rows,), 0, x.dtype)
    first, count = max(k, -k * rows), x.size * (rows + 1)
    flat = b.update(zeros, x.value, spec=((first, first + count - rows, rows + 1),))
    return recorder_now().fresh(b.reshape(flat if x.size else zeros, shape=(rows, rows)))


def _below(x: Array, k: int) -> np.ndarray:
    rows, columns = x.shape[-2:] if x.ndim > 1 else (*x.shape, *x.shape)
    return np.tri(rows, columns, k, dtype=bool)


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Array:
    """np.tril."""
    x = as_array(m)
    return where(_below(x, k), x, x.dtype.type(0))


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Array:
    """np.triu."""
    x = as_array(m)
    return where(_below(x, k - 1), x.dtype.type(0), x)
