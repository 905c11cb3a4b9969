"""Logarithms, and the inverse hyperbolic functions, which are logarithms.

Sources: the reduction and, in f64, the polynomial from FreeBSD's msun (fdlibm, Sun Microsystems);
the polynomial in f32 is a Chebyshev fit to (log(1 + f) - f + f**2 / 2) / f**3.
"""

from __future__ import annotations

import math

from .lanes import Lane, Lanes
from .vecmath import as_float, polynomial

LOG_TAIL = {
    "f32": [
        0.33333328366, -0.25000298023, 0.20001468062, -0.16642247140, 0.14202174544,
        -0.12972238660, 0.12712307274, -0.08101558685,
    ],
    "f64": [
        6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
        2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
        1.479819860511658591e-01,
    ],
}  # fmt: skip


def reduce_log(m: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """k and f with x = 2**k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for a positive normal x; k is
    the integer in a bit pattern."""
    fmt = m.format
    shifted = m.bits(x) + (fmt.one_bits - fmt.sqrt_half_bits)
    k = (shifted >> fmt.fraction_bits) - fmt.bias
    fraction = shifted & ((1 << fmt.fraction_bits) - 1)
    return k, m.from_bits(fraction + fmt.sqrt_half_bits) - 1.0


def lifted(m: Lanes, x: Lane) -> tuple[Lane, Lane, Lane]:
    """k as a float and f, as in `reduce_log`, for any positive x, and whether it is subnormal."""
    bits = m.format.fraction_bits + 2
    subnormal = x < m.format.smallest_normal
    k, f = reduce_log(m, m.select(subnormal, x * 2.0**bits, x))
    exponent = as_float(m, k)
    return m.select(subnormal, exponent - float(bits), exponent), f, subnormal


def _log_sum(m: Lanes, k: Lane, f: Lane) -> Lane:
    """k ln2 + log(1 + f), smallest parts first."""
    square = f * f
    half_square = 0.5 * square
    tail = LOG_TAIL[m.format.name]
    if m.format.name == "f32":
        small = square * f * polynomial(tail, f) + k * m.format.ln2_low
    else:
        s = f / (f + 2.0)
        z = s * s
        small = s * (half_square + z * polynomial(tail, z)) + k * m.format.ln2_low
    return ((small - half_square) + f) + k * m.format.ln2_high


def _log_corners(m: Lanes, u: Lane, result: Lane) -> Lane:
    """The logarithm of u where u is 0, negative, infinite or NaN."""
    result = m.select(u > 0.0, result, math.nan)
    result = m.select(u == 0.0, -math.inf, result)
    return m.select(u == math.inf, u, result)


def log(m: Lanes, x: Lane) -> Lane:
    """Natural logarithm: -inf at 0, NaN below."""
    k, f, _ = lifted(m, x)
    return _log_corners(m, x, _log_sum(m, k, f))


def _one_plus(m: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """1 + x, and what its rounding lost (Knuth's sum)."""
    u = 1.0 + x
    rest = u - 1.0
    return u, (1.0 - (u - rest)) + (x - rest)


def _exponent_and_fraction(m: Lanes, u: Lane, lost: Lane) -> tuple[Lane, Lane]:
    """k as a float and f with u + lost = 2**k (1 + f). Where k = 0, 1 + f is never formed: then f
    has the digits of a small x in 1 + x."""
    k, f = reduce_log(m, u)
    inverse_scale = m.from_bits((m.format.bias + 1 - k) << m.format.fraction_bits)
    return as_float(m, k), f + 0.5 * lost * inverse_scale


def log1p(m: Lanes, x: Lane) -> Lane:
    """log(1 + x) without cancellation near 0."""
    return m.select(m.abs(x) < m.format.tiny, x, _log1p(m, x, 0.0))


def _log1p(m: Lanes, x: Lane, rest: Lane | float) -> Lane:
    """log(1 + x + rest), where `rest` is less than a unit in the last place of x."""
    u, lost = _one_plus(m, x)
    k, f = _exponent_and_fraction(m, u, lost + rest)
    return _log_corners(m, u, _log_sum(m, k, f))


def _log_of_sum(m: Lanes, x: Lane, large: Lane, a: Lane) -> Lane:
    """log(1 + x) or, where `large`, log(2 a)."""
    u, lost = _one_plus(m, x)
    k, f = _exponent_and_fraction(m, m.select(large, a, u), m.select(large, 0.0, lost))
    result = _log_sum(m, m.select(large, k + 1.0, k), f)
    return m.select(a == math.inf, a, result)


def arcsinh(m: Lanes, x: Lane) -> Lane:
    """Inverse of the hyperbolic sine: log1p(a + a**2 / (1 + sqrt(1 + a**2))) for a = |x|."""
    a = m.abs(x)
    large = a > m.format.huge  # its square plus 1 is its square; beyond, that would overflow
    b = m.select(large, 1.0, a)
    square = b * b
    result = _log_of_sum(m, b + square / (1.0 + m.sqrt(1.0 + square)), large, a)
    return m.copysign(m.select(a < m.format.tiny, a, result), x)


def arccosh(m: Lanes, x: Lane) -> Lane:
    """Inverse of the hyperbolic cosine: log1p(t + sqrt(2 t + t**2)) for t = x - 1 >= 0."""
    large = x > m.format.huge
    t = m.select(x < 1.0, math.nan, m.select(large, 1.0, x - 1.0))
    return _log_of_sum(m, t + m.sqrt(t + t + t * t), large, x)


def arctanh(m: Lanes, x: Lane) -> Lane:
    """Inverse of the hyperbolic tangent: log1p(2 a / (1 - a)) / 2 for a = |x|."""
    a = m.abs(x)
    below = 1.0 - a
    ratio = (a + a) / below
    lost = (1.0 - below) - a  # 1 / (1 - a) is 1 + ratio / 2
    result = 0.5 * _log1p(m, ratio, -lost * (ratio + 0.5 * ratio * ratio))
    return m.copysign(m.select(a < m.format.tiny, a, result), x)
