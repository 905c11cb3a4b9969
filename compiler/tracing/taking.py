"""Elements taken from an axis, or put there, by arrays of indices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from .indexing import Selection, select, target_of
from .promotion import as_array, holds_traced, recorder_now
from .reductions import normal_axis
from .registry import implements

if TYPE_CHECKING:
    from .traced import TracedArray


@implements(np.take, method="take")
def take(a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> TracedArray:
    """np.take: out of range raises when the step runs."""
    if mode != "raise":
        raise UnsupportedError(f"np.take: mode {mode!r} is not supported; use indices % n")
    x = as_array(a)
    if axis is None:
        x, axis = x.reshaped((x.size,)), 0
    key = (slice(None),) * normal_axis(axis, x.ndim) + (_numbers(indices),)
    found = select(x, key).read()
    return recorder_now().fresh(found.value, contiguous=x.contiguous)


def _numbers(indices: Any) -> Any:
    """Indices that are no mask: np.take counts bools as 0 and 1."""
    found = as_array(indices) if holds_traced(indices) else np.asarray(indices)
    return found.astype(np.int64) if found.dtype == bool else indices


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> TracedArray:
    """np.take_along_axis."""
    return _along_axis(arr, indices, axis).read()


@implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    """np.put_along_axis; UnsupportedError without an axis if the array is not C-contiguous."""
    target = target_of(arr)
    selection = _along_axis(target, indices, axis)
    if selection.view.buffer is not target.buffer:
        raise UnsupportedError(
            "np.put_along_axis without an axis is supported for C-contiguous arrays; write"
            " x[i, j] = v"
        )
    selection.write(values)


def _along_axis(arr: Any, indices: Any, axis: int | None) -> Selection:
    x, index = as_array(arr), as_array(indices)
    if axis is None:
        x, axis = x.reshaped((x.size,)), 0
    k = normal_axis(axis, x.ndim)
    if index.ndim != x.ndim:
        raise ShapeError(f"indices of shape {index.shape} need the rank of the array, {x.shape}")
    key: list[Any] = []
    for j, n in enumerate(x.shape):
        shape = tuple(n if i == j else 1 for i in range(x.ndim))
        key.append(index if j == k else np.arange(n).reshape(shape))
    return select(x, tuple(key))
