"""Reductions that leave out NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import reductions
from .composed import safe_sqrt, where
from .promotion import as_array, convert
from .reductions import Axis
from .registry import Array, implements


def _found(a: Any) -> tuple[Array, Any]:
    """The array, and where it is not NaN (True: everywhere, for integers)."""
    x = as_array(a)
    return x, ~np.isnan(x) if x.type.is_float else True


def _both(x: Any, y: Any) -> Any:
    return y if x is True else x if y is True else x & y


@implements(np.nansum)
def nansum(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None,
    where: Any = True,
) -> Array:  # fmt: skip
    """np.nansum."""
    x, found = _found(a)
    chosen = _both(found, where)
    return reductions.sum_(x, axis, dtype, keepdims=keepdims, initial=initial, where=chosen)


@implements(np.nanprod)
def nanprod(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None,
    where: Any = True,
) -> Array:  # fmt: skip
    """np.nanprod."""
    x, found = _found(a)
    chosen = _both(found, where)
    return reductions.prod(x, axis, dtype, keepdims=keepdims, initial=initial, where=chosen)


@implements(np.nanmean)
def nanmean(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True
) -> Array:
    """np.nanmean; NaN where there is nothing else."""
    x, found = _found(a)
    return reductions.mean(x, axis, dtype, keepdims=keepdims, where=_both(found, where))


@implements(np.nanvar)
def nanvar(
    a: Any, axis: Axis = None, dtype: Any = None, *, ddof: int = 0, keepdims: bool = False,
    correction: int | None = None,
) -> Array:  # fmt: skip
    """np.nanvar; NaN where no degree of freedom is left."""
    x, found = _found(a)
    free = ddof if correction is None else correction
    result = reductions.var(x, axis, dtype, ddof=free, keepdims=keepdims, where=found)
    if found is True:
        return result
    left = reductions.sum_(found, axis, np.int64, keepdims=keepdims) > free
    return where(left, result, convert(float("nan"), result.dtype))[()]


@implements(np.nanstd)
def nanstd(
    a: Any, axis: Axis = None, dtype: Any = None, *, ddof: int = 0, keepdims: bool = False,
    correction: int | None = None,
) -> Array:  # fmt: skip
    """np.nanstd; NaN where no degree of freedom is left."""
    free = ddof if correction is None else correction
    return safe_sqrt(nanvar(a, axis, dtype, ddof=free, keepdims=keepdims))


@implements(np.nanmax)
def nanmax(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """np.nanmax; NaN where there is nothing else."""
    return _extremum(reductions.max_, -np.inf, a, axis, keepdims)


@implements(np.nanmin)
def nanmin(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """np.nanmin; NaN where there is nothing else."""
    return _extremum(reductions.min_, np.inf, a, axis, keepdims)


def _extremum(
    best: Callable[..., Array], worst: float, a: Any, axis: Axis, keepdims: bool
) -> Array:
    x, found = _found(a)
    if found is True:
        return best(x, axis, keepdims=keepdims)
    result = best(where(found, x, worst), axis, keepdims=keepdims)
    any_found = reductions.any_(found, axis, keepdims=keepdims)
    return where(any_found, result, convert(float("nan"), x.dtype))[()]
