"""Products of vectors and arrays that are not contractions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from .assembly import stack
from .promotion import as_array, result_dtype
from .registry import Array, implements
from .shapes import moveaxis


@implements(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """np.cross of vectors of 3 elements."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if (x.shape[-1], y.shape[-1]) != (3, 3):
        raise ShapeError(
            f"np.cross: vectors must have 3 elements, got {x.shape[-1]} and {y.shape[-1]}"
        )
    dtype = result_dtype([x, y])
    (x0, x1, x2), (y0, y1, y2) = ([v.astype(dtype)[..., k] for k in range(3)] for v in (x, y))
    product = stack([x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0], -1)
    return moveaxis(product, -1, axisc)


@implements(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """np.linalg.cross of vectors of 3 elements."""
    return cross(x1, x2, axis=axis)


@implements(np.kron)
def kron(a: Any, b: Any) -> Array:
    """np.kron: each element of `a` times all of `b`."""
    x, y = as_array(a), as_array(b)
    rank = max(x.ndim, y.ndim)
    left, right = ((1,) * (rank - v.ndim) + v.shape for v in (x, y))
    outer = x.reshape(tuple(n for m in left for n in (m, 1))) * y.reshape(
        tuple(n for m in right for n in (1, m))
    )
    return outer.reshape(tuple(m * n for m, n in zip(left, right, strict=True)))
