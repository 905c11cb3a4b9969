"""Elementwise functions written in NumPy itself, in terms of those that are ops.

The composed ufuncs get operands that are already converted to the dtype of NumPy's loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import TraceError, UnsupportedError
from .elementwise import copied, emit, filled, select
from .handle import Handle
from .promotion import as_array, as_value, lift, recorder_now
from .registry import COMPOSED, METHODS, Array, implements


def _logaddexp(x: Array, y: Array) -> Array:
    """max(x, y) + log(1 + exp(-|x - y|)); where they are equal (also infinite) + log 2."""
    tail = emit("softplus", [-np.abs(x - y)])
    return np.maximum(x, y) + select(x == y, float(np.log(2)), tail)


def _hypot(x: Array, y: Array) -> Array:
    """Scaled by the larger side, so that squares neither overflow nor vanish. Beside an infinite
    side a NaN does not count (IEEE 754)."""
    larger = np.maximum(np.abs(x), np.abs(y))
    usable = (larger > 0) & np.isfinite(larger)
    scale = select(usable, larger, 1.0)
    length = scale * safe_sqrt((x / scale) * (x / scale) + (y / scale) * (y / scale))
    return select(np.isnan(length) & (np.isinf(x) | np.isinf(y)), float("inf"), length)


def safe_sqrt(square: Array) -> Array:
    """The square root whose derivative at 0 is taken as 0: the length of a zero vector."""
    zero = square == 0
    return select(zero, 0.0, np.sqrt(select(zero, 1.0, square)))


def _reciprocal(x: Array) -> Array:
    if not x.type.is_float:
        raise UnsupportedError(f"np.reciprocal is not supported for {x.dtype}; write 1 / x")
    return 1.0 / x


def truncate(x: Array) -> Array:
    """Round towards zero."""
    return copied(x) if not x.type.is_float else select(x < 0, np.ceil(x), np.floor(x))


def _fmax(x: Array, y: Array) -> Array:
    """The larger one; a NaN loses, and has no derivative."""
    return select(np.isnan(x), y, select(np.isnan(y), x, np.maximum(x, y)))


def _fmin(x: Array, y: Array) -> Array:
    """The smaller one; a NaN loses, and has no derivative."""
    return select(np.isnan(x), y, select(np.isnan(y), x, np.minimum(x, y)))


def _heaviside(x: Array, at_zero: Array) -> Array:
    """0 below 0, 1 above, `at_zero` at 0, NaN at NaN."""
    positive = select(x > 0, 1.0, select(x < 0, 0.0, float("nan")))
    return select(x == 0, at_zero, positive.astype(x.dtype))


def _logaddexp2(x: Array, y: Array) -> Array:
    """max(x, y) + log2(1 + 2 ** -|x - y|)"""
    two = float(np.log(2))
    tail = emit("softplus", [-np.abs(x - y) * two]) / two
    return np.maximum(x, y) + select(x == y, 1.0, tail)


COMPOSED |= {
    np.fmax: _fmax,
    np.fmin: _fmin,
    np.heaviside: _heaviside,
    np.logaddexp2: _logaddexp2,
    np.square: lambda x: x * x,
    np.positive: copied,
    np.reciprocal: _reciprocal,
    np.arctan: lambda x: np.arctan2(x, 1.0),
    np.hypot: _hypot,
    np.logaddexp: _logaddexp,
    np.conjugate: copied,
    np.trunc: truncate,
    np.deg2rad: lambda x: x * float(np.pi / 180),
    np.radians: lambda x: x * float(np.pi / 180),
    np.rad2deg: lambda x: x * float(180 / np.pi),
    np.degrees: lambda x: x * float(180 / np.pi),
}


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Array:
    """np.where with three arguments."""
    if x is None or y is None:
        raise TraceError(
            "np.where with one argument has a shape that depends on the data; use the three"
            " argument form np.where(mask, x, y)"
        )
    return select(as_array(condition), lift(x), lift(y), scalar=False)


@implements(np.clip, method="clip")
def clip(a: Any, a_min: Any = None, a_max: Any = None, **bounds: Any) -> Array:
    """minimum(maximum(a, low), high); a bound of None is no bound."""
    low, high = bounds.pop("min", a_min), bounds.pop("max", a_max)
    if bounds:
        raise UnsupportedError(f"np.clip: argument {next(iter(bounds))!r} is not supported")
    result = as_array(a)
    if low is None and high is None:
        return copied(result)
    if low is not None:
        result = np.maximum(result, low)
    if high is not None:
        result = np.minimum(result, high)
    return result


@implements(np.round, np.around, method="round")
def round_(a: Any, decimals: int = 0) -> Array:
    """Round half to even, after scaling by 10**decimals as NumPy does."""
    x = as_array(a)
    if not x.type.is_float:
        if decimals >= 0 or x.type.is_bool:
            return copied(x) if not x.type.is_bool else np.rint(x)
        return _round_integers(x, 10**-decimals)
    if decimals == 0:
        return np.rint(x)
    scale = 10.0 ** abs(decimals)
    return np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale


def _round_integers(x: Array, unit: int) -> Array:
    """To multiples of `unit`, by way of floats as in NumPy."""
    return (np.rint(x / float(unit)) * float(unit)).astype(x.dtype)


@implements(np.fix)
def fix(x: Any) -> Array:
    """np.fix: round towards zero."""
    return truncate(as_array(x))


@implements(np.signbit)
def signbit(x: Any) -> Array:
    """np.signbit: true for -0.0 and NaN with a sign, too."""
    a = as_array(x)
    return (np.copysign(1.0, a) if a.type.is_float else a.astype(np.int64)) < 0


@implements(np.sinc)
def sinc(x: Any) -> Array:
    """sin(pi x) / (pi x). Near 0 it is its series there, which has the derivatives too."""
    y = np.pi * as_array(x)
    square = y * y
    series = np.ones_like(y)
    for n in range(14, 0, -2):
        series = 1.0 - square / float(n * (n + 1)) * series
    far = square > 0.25
    apart = select(far, y, 1.0)
    return select(far, np.sin(apart) / apart, series)


@implements(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Array:
    """np.nan_to_num; without `copy` an array is written in place."""
    a = as_array(x)
    in_place = not copy and a.kind == "array"
    if not a.type.is_float:
        return a if in_place else copied(a)
    limits = np.finfo(a.type.dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    finite = select(np.isinf(a), select(a > 0, high, low).astype(a.dtype), a)
    result = select(np.isnan(a), nan, finite)
    if not in_place:
        return result
    a.write(as_value(result, a.dtype))
    return a


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """np.isclose."""
    x, y = lift(a), lift(b)
    if not isinstance(y, Handle) or not y.type.is_float:
        y = y * 1.0  # no difference of integers wraps
    close = (np.abs(x - y) <= atol + rtol * np.abs(y)) & np.isfinite(y)
    close = close | (x == y)
    return close | (np.isnan(x) & np.isnan(y)) if equal_nan else close


@implements(np.allclose)
def allclose(a: Any, b: Any, *tolerances: Any, **options: Any) -> Any:
    """np.allclose, with the arguments of `isclose`."""
    return np.all(isclose(a, b, *tolerances, **options))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """np.array_equal; False for different shapes."""
    x, y = as_array(a1), as_array(a2)
    if x.shape != y.shape:
        return recorder_now().capture(np.bool_(False))
    equal = x == y
    return np.all(equal | (np.isnan(x) & np.isnan(y)) if equal_nan else equal)


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    """np.array_equiv: equal after broadcasting; False for shapes that do not fit."""
    x, y = as_array(a1), as_array(a2)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return recorder_now().capture(np.bool_(False))
    return np.all(x == y)


@implements(np.isposinf)
def isposinf(x: Any) -> Array:
    """np.isposinf."""
    return np.isinf(x) & (x > 0)


@implements(np.isneginf)
def isneginf(x: Any) -> Array:
    """np.isneginf."""
    return np.isinf(x) & (x < 0)


@implements(np.real, np.real_if_close, method="conjugate")
def real(val: Any) -> Array:
    """np.real: the array itself, as complex arrays are not supported."""
    return as_array(val)


METHODS["conj"] = real


@implements(np.iscomplex)
def iscomplex(x: Any) -> Array:
    """np.iscomplex: nowhere."""
    return filled(as_array(x), False)


@implements(np.isreal)
def isreal(x: Any) -> Array:
    """np.isreal: everywhere."""
    return filled(as_array(x), True)
