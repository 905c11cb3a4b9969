"""Concrete arrays in the graph: where they can, as counters and comparisons of counters, so that
constants stay short to read and cheap to keep."""

from __future__ import annotations

from typing import Final

import numpy as np

from ...ir.builder import Builder
from ...ir.graph import Value

SHORT: Final = 16
"""Constants of at most this many elements are written out."""


def constant(b: Builder, array: np.ndarray) -> Value:
    """The array as a value: uniform, counting, an identity matrix, or element by element."""
    if array.ndim == 0 or array.size == 0:
        return b.constant(array)
    flat = array.reshape(-1)
    raw = flat.view(f"V{array.dtype.itemsize}")  # by bits: NaN equals NaN, 0.0 not -0.0
    if (raw == raw[0]).all():
        return b.full(array.shape, flat[0], array.dtype)
    return _counter(b, flat, array.shape) or _identity(b, array) or b.constant(array)


def _counter(b: Builder, flat: np.ndarray, shape: tuple[int, ...]) -> Value | None:
    """Integers start, start + step, ...; a short one only if it is 0, 1, 2, ..."""
    if flat.dtype.kind not in "iu":
        return None
    start, step = flat[0], flat[1] - flat[0]
    counts = (start, step) == (0, 1)
    order = np.arange(flat.size, dtype=flat.dtype)
    if not (counts or flat.size > SHORT) or not np.array_equal(flat, order * step + start):
        return None
    value = b.iota(n=flat.size, dtype=flat.dtype)
    if not counts:
        value = b.add(b.mul(value, b.constant(step)), b.constant(start))
    return value if len(shape) == 1 else b.reshape(value, shape=shape)


def _identity(b: Builder, array: np.ndarray) -> Value | None:
    """np.eye(rows, columns), unless it is short: row number equal to column number."""
    if array.ndim != 2 or array.size <= SHORT:
        return None
    rows, columns = array.shape
    if array.tobytes() != np.eye(rows, columns, dtype=array.dtype).tobytes():  # -0.0 is not 0.0
        return None
    equal = b.eq(b.reshape(b.iota(n=rows), shape=(rows, 1)), b.iota(n=columns))
    return equal if array.dtype == bool else b.cast(equal, dtype=array.dtype)
