"""Ranges with traced ends, grids, and numbers of rows and columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ...ir.types import BOOL
from .creation import checked_dtype
from .promotion import as_array, convert, lift, result_dtype
from .registry import Array, implements


@implements(np.linspace)
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: Any = None, axis: int = 0, *, device: Any = None,
) -> Any:  # fmt: skip
    """np.linspace with traced ends: start + k * step, and the end itself at the end."""
    if num < 0:
        raise ShapeError(f"np.linspace: the number of samples must not be negative, as {num} is")
    ends = [lift(start), lift(stop)]
    common = result_dtype([*ends, 1.0])
    first, last = (convert(x, common) for x in ends)
    count, pieces = int(num), int(num) - 1 if endpoint else int(num)
    step = (last - first) / pieces if pieces > 0 else (last - first) * float("nan")
    rank = max(first.ndim, last.ndim)
    k = as_array(np.arange(count).reshape((count, *(1,) * rank)), common)
    grid: Array = k * step + first if pieces > 0 else k * (last - first) + first
    if endpoint and count > 1:
        grid[-1] = last
    if dtype is not None:
        to = checked_dtype(dtype)
        grid = (np.floor(grid) if to.kind in "iu" else grid).astype(to)
    grid = np.moveaxis(grid, 0, axis) if axis else grid
    return (grid, step) if retstep else grid


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0,
    dtype: Any = None, axis: int = 0,
) -> Array:  # fmt: skip
    """np.logspace: powers of `base`."""
    if np.ndim(base):
        raise UnsupportedError("np.logspace: only a scalar base is supported")
    grid = linspace(start, stop, num, endpoint, axis=axis)
    powers: Array = np.power(base, grid)
    return powers if dtype is None else powers.astype(dtype)


@implements(np.geomspace)
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """np.geomspace between positive ends, which are met exactly."""
    first, last = as_array(start, np.float64), as_array(stop, np.float64)
    ratio = np.log10(last / first)
    grid: Array = np.power(10.0, linspace(np.zeros_like(ratio), ratio, num, endpoint)) * first
    if num > 0:
        grid[0] = first
    if endpoint and num > 1:
        grid[-1] = last
    grid = np.moveaxis(grid, 0, axis) if axis else grid
    return grid if dtype is None else grid.astype(dtype)


@implements(np.ix_)
def ix_(*args: Any) -> tuple[Array, ...]:
    """np.ix_ of integers; masks must be concrete."""
    arrays = [np.flatnonzero(x) if _is_mask(x) else x for x in args]
    found = []
    for j, array in enumerate(map(as_array, arrays)):
        if array.ndim != 1 or array.type.is_bool:
            raise ShapeError("np.ix_: indices must be vectors of integers, or concrete masks")
        found.append(array.reshape(tuple(-1 if k == j else 1 for k in range(len(args)))))
    return tuple(found)


def _is_mask(x: Any) -> bool:
    return isinstance(x, (list, np.ndarray)) and np.asarray(x).dtype == BOOL


@implements(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """np.tril_indices_from."""
    rows, columns = _matrix_shape(arr)
    return np.tril_indices(rows, k, columns)


@implements(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """np.triu_indices_from."""
    rows, columns = _matrix_shape(arr)
    return np.triu_indices(rows, k, columns)


def _matrix_shape(arr: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = as_array(arr).shape
    if len(shape) != 2:
        raise ShapeError(f"triangles are of matrices, not of an array of shape {shape}")
    return shape


@implements(np.diag_indices_from)
def diag_indices_from(arr: Any) -> Any:
    """np.diag_indices_from."""
    x = as_array(arr)
    if x.ndim < 2 or len(set(x.shape)) != 1:
        raise ShapeError("np.diag_indices_from: all axes must be of one length, at least two axes")
    return np.diag_indices(x.shape[0], x.ndim)
