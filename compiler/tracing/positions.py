"""Positions in arrays: one number per element, or one per axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...ir.errors import DTypeError, ShapeError, UnsupportedError
from .composed import where
from .promotion import as_array
from .registry import Array, implements
from .shapes import shape_of


@implements(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Array, ...]:
    """np.unravel_index; BoundsError when the step runs for an index outside `shape`."""
    flat, extents = _integers("np.unravel_index", indices, order), shape_of(shape)
    size = math.prod(extents)
    if not size:
        raise ShapeError(f"np.unravel_index: an array of shape {extents} has no elements")
    flat = where(flat < 0, size, flat)
    found: list[Array] = []
    for n in extents:
        size //= n
        position = flat // size
        found.append(position % n if found else _within(position, n))
    return tuple(found)


@implements(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Array:
    """np.ravel_multi_index; BoundsError when the step runs for an index outside `dims`."""
    extents = shape_of(dims)
    modes = (mode,) * len(extents) if isinstance(mode, str) else mode
    if not len(multi_index) == len(extents) == len(modes):
        raise ShapeError(f"np.ravel_multi_index: {len(multi_index)} indices for shape {extents}")
    flat: Any = 0
    for index, n, how in zip(multi_index, extents, modes, strict=True):
        position = _integers("np.ravel_multi_index", index, order)
        flat = flat * n + _IN_RANGE[how](position, n)
    return flat


def _within(position: Array, n: int) -> Array:
    """The position itself, looked up so that one out of range stops the step."""
    return np.take(as_array(np.arange(n)), where(position < 0, n, position))


_IN_RANGE: Mapping[str, Callable[[Array, int], Array]] = {
    "raise": _within,
    "wrap": lambda position, n: position % n,
    "clip": lambda position, n: np.clip(position, 0, n - 1),
}


def _integers(name: str, indices: Any, order: str) -> Array:
    x = as_array(indices)
    if not x.type.is_integer:
        raise DTypeError(f"{name}: indices must be integers, not {x.dtype}")
    if order != "C":
        raise UnsupportedError(f"{name}: order {order!r} is not supported")
    return x.astype(np.int64)
