"""Covariance and correlation of the rows of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ...ir.types import F64
from .assembly import concatenate
from .promotion import as_array, convert
from .reductions import mean
from .registry import Array, implements
from .shapes import atleast_2d
from .source import warn


@implements(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
    fweights: Any = None, aweights: Any = None, *, dtype: Any = None,
) -> Array:  # fmt: skip
    """np.cov without weights: variables are rows, or columns with `rowvar=False`."""
    if fweights is not None or aweights is not None:
        raise UnsupportedError("np.cov: weights are not supported; scale the observations first")
    parts = [as_array(a) for a in (m, y) if a is not None]
    if any(a.ndim > 2 for a in parts):
        raise ShapeError(f"np.cov: at most 2 axes, got shapes {[a.shape for a in parts]}")
    common = (
        np.dtype(dtype) if dtype is not None else np.result_type(F64, *(a.dtype for a in parts))
    )
    rows = [_variables(convert(a, common), bool(rowvar)) for a in parts]
    x = concatenate(rows, 0)
    free = x.shape[1] - (int(not bias) if ddof is None else ddof)
    if free <= 0:
        warn("Degrees of freedom <= 0 for slice")
    away = x - mean(x, 1, keepdims=True)
    return np.squeeze((away @ away.T) * float(np.true_divide(1, max(free, 0))))


def _variables(a: Array, rowvar: bool) -> Array:
    """One variable per row."""
    x: Array = atleast_2d(a)
    return x if rowvar or a.ndim < 2 else x.T


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Array:
    """np.corrcoef: covariances over the product of the deviations, within [-1, 1]."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    deviation = np.sqrt(np.diagonal(c))
    return np.clip(c / deviation[:, None] / deviation[None, :], -1, 1)
