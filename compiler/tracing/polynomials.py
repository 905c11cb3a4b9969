"""Polynomials as vectors of coefficients, and convolutions of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from .assembly import concatenate
from .promotion import as_array, convert, lift
from .registry import Array, implements


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Array:
    """np.ediff1d."""
    x = as_array(ary).reshape(-1)
    ends = [None if end is None else convert(as_array(end), x.dtype).reshape(-1)
            for end in (to_begin, to_end)]  # fmt: skip
    pieces = (ends[0], x[1:] - x[:-1], ends[1])
    return concatenate([piece for piece in pieces if piece is not None])


# --- polynomials ---------------------------------------------------------------------------


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Array:
    """np.polyval by Horner's rule, the highest power first."""
    coefficients, at = as_array(p), lift(x)
    result: Array = np.zeros_like(as_array(at))
    for k in range(len(coefficients)):
        result = result * at + coefficients[k]
    return result


@implements(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Array:
    """np.vander: columns of powers."""
    points = as_array(x)
    points = convert(points, np.promote_types(points.dtype, int))
    if points.ndim != 1:
        raise ShapeError("np.vander: x must be a vector")
    count = len(points) if N is None else N
    if count < 0:
        raise ShapeError(f"np.vander: the number of columns must not be negative, as {count} is")
    if count == 0:
        return np.zeros_like(points, shape=(len(points), 0))
    columns = [np.ones_like(points)]
    for _ in range(count - 1):
        columns.append(columns[-1] * points)
    return np.stack(columns if increasing else columns[::-1], axis=1)


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Array:
    """np.convolve: the windows of one vector times the other, reversed."""
    return correlate(*_longer_first(a, v, reverse=True), mode)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Array:
    """np.correlate of real vectors."""
    x, y = as_array(a), as_array(v)
    if x.ndim != 1 or y.ndim != 1 or not (x.size and y.size):
        raise ShapeError("np.convolve and np.correlate need vectors of at least one element")
    if y.size > x.size:
        return correlate(y, x, mode)[::-1].copy()
    if mode not in ("full", "same", "valid"):
        raise ShapeError(f"mode must be 'full', 'same' or 'valid', not {mode!r}")
    m = y.size
    before, after = {"full": (m - 1, m - 1), "same": (m // 2, m - 1 - m // 2), "valid": (0, 0)}[
        mode
    ]
    padded: Array = np.pad(x, (before, after))
    return np.lib.stride_tricks.sliding_window_view(padded, m) @ y


def _longer_first(a: Any, v: Any, *, reverse: bool) -> tuple[Array, Array]:
    x, y = as_array(a), as_array(v)
    x, y = (x, y) if x.size >= y.size else (y, x)
    return x, y[::-1] if reverse else y


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Array:
    """np.polyadd."""
    x, y = _same_length(a1, a2)
    return x + y


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Array:
    """np.polysub."""
    x, y = _same_length(a1, a2)
    return x - y


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Array:
    """np.polymul."""
    return convolve(a1, a2)


def _same_length(a1: Any, a2: Any) -> list[Array]:
    both = [np.atleast_1d(as_array(a)) for a in (a1, a2)]
    longest = max(map(len, both))
    return [np.pad(x, (longest - len(x), 0)) for x in both]


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Array:
    """np.polyder."""
    x: Array = as_array(p)
    for _ in range(m):
        x = x[:-1] * np.arange(len(x) - 1, 0, -1)
    return x


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Array:
    """np.polyint; `k` are the constants of integration."""
    x: Array = as_array(p)
    constants: Sequence[Any] = (
        [0.0] * m if k is None else np.broadcast_to(np.asarray(k), m).tolist()
    )
    for constant in constants:
        x = np.append(x / np.arange(len(x), 0, -1), constant)
    return x
