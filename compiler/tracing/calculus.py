"""Integrals and derivatives of sampled functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import DTypeError, ShapeError
from ...ir.types import F64
from .assembly import concatenate, diff
from .handle import Handle
from .promotion import as_array, convert
from .reductions import normal_axis, sum_
from .registry import Array, implements
from .shapes import many, moveaxis, part


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """np.trapezoid: the integral by the trapezoidal rule."""
    values = as_array(y)
    k = normal_axis(axis, values.ndim)
    widths = dx if x is None else _widths(as_array(x), values, k)
    sides = part(values, k, slice(1, None)) + part(values, k, slice(None, -1))
    return sum_(widths * sides / 2.0, k)


def _widths(x: Array, values: Array, axis: int) -> Array:
    if x.ndim != 1:
        return diff(x, axis=axis)
    return diff(x).reshape(tuple(-1 if k == axis else 1 for k in range(values.ndim)))


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """np.gradient: central differences inside, one-sided ones of order 1 or 2 at the ends; a
    spacing is a number or the coordinates along an axis."""
    values = as_array(f)
    if values.type.is_bool:
        raise DTypeError("np.gradient: bool has no differences; convert it with astype")
    values = convert(values, values.dtype if values.type.is_float else F64)
    axes = range(values.ndim) if axis is None else [normal_axis(k, values.ndim) for k in many(axis)]
    if edge_order not in (1, 2):
        raise ShapeError(f"np.gradient: edge_order must be 1 or 2, not {edge_order}")
    spacings = _spacings(varargs, len(axes))
    found = [
        _along(values, k, _steps(given, values.shape[k]), edge_order)
        for k, given in zip(axes, spacings, strict=True)
    ]
    return found[0] if len(found) == 1 else tuple(found)


def _spacings(given: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    if not given:
        return (1.0,) * count
    if len(given) == 1 and np.ndim(given[0]) == 0:
        return given * count
    if len(given) != count:
        raise ShapeError(f"np.gradient: {len(given)} spacings for {count} axes")
    return given


def _steps(spacing: Any, n: int) -> Any:
    """The distance of neighbours: a number, or an array of n - 1."""
    if np.ndim(spacing) == 0:
        return spacing
    if np.shape(spacing) != (n,):
        raise ShapeError(f"np.gradient: coordinates {np.shape(spacing)} for an axis of {n}")
    if isinstance(spacing, Handle):
        return diff(as_array(spacing, None if spacing.type.is_float else F64))
    points = np.asarray(spacing)
    steps = np.diff(points if points.dtype.kind == "f" else points.astype(F64))
    return steps[0] if np.all(steps == steps[0]) else steps


def _along(values: Array, axis: int, h: Any, edge_order: int) -> Array:
    f = moveaxis(values, axis, 0)
    if len(f) <= edge_order:
        raise ShapeError(
            f"np.gradient: an axis of {len(f)} is too short, edge_order + 1 elements are needed"
        )
    first, last = (h, h) if np.ndim(h) == 0 else (h[0], h[-1])
    if edge_order == 1:
        ends = (f[1] - f[0]) / first, (f[-1] - f[-2]) / last
    else:
        second, before = (h, h) if np.ndim(h) == 0 else (h[1], h[-2])
        ends = _end(f[0], f[1], f[2], first, second), -_end(f[-1], f[-2], f[-3], last, before)
    pieces = [ends[0][None], _inside(f, h), ends[1][None]]
    return moveaxis(concatenate(pieces, 0).astype(values.dtype), 0, axis)


def _inside(f: Array, h: Any) -> Array:
    """The slope in the middle of the parabola through three neighbours."""
    if np.ndim(h) == 0:
        return (f[2:] - f[:-2]) / (2.0 * h)
    h = h.reshape((-1,) + (1,) * (f.ndim - 1))
    left, right = h[:-1], h[1:]
    a = -right / (left * (left + right))
    b = (right - left) / (left * right)
    c = left / (right * (left + right))
    return a * f[:-2] + b * f[1:-1] + c * f[2:]


def _end(f0: Array, f1: Array, f2: Array, h1: Any, h2: Any) -> Array:
    """The slope at the end of the parabola through three neighbours."""
    a = -(2.0 * h1 + h2) / (h1 * (h1 + h2))
    b = (h1 + h2) / (h1 * h2)
    c = -h1 / (h2 * (h1 + h2))
    return a * f0 + b * f1 + c * f2
