"""Logarithms, and the inverse hyperbolic functions, which are logarithms.

Sources: the reduction and, in f64, the polynomial from FreeBSD's msun (fdlibm, Sun Microsystems);
the polynomial in f32 is a Chebyshev fit to (log(1 + f) - f + f**2 / 2) / f**3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from .lanes import Lane, Lanes, Table
from .pieces import pieces
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

SLOPE = {"log2": 1 / math.log(2), "log10": 1 / math.log(10)}
LOG10_OF_2 = {
    "f32": (0.301025390625, 4.605039066518657e-06),
    "f64": (0.30102999566383914, 1.42050232272661e-13),
}
"""As the sum of two numbers; an exponent times the first is exact."""
BASE_TAIL = {
    "log2": [
        -1.80613515e-08, -0.721347451, 0.480910748, -0.360693276, 0.287903249, -0.239169881,
        0.216078222, -0.205861881, 0.123109683,
    ],
    "log10": [
        -2.13377849e-08, -0.217147231, 0.144768566, -0.108579494, 0.0866675153,
        -0.0719973072, 0.0650460273, -0.0619706027, 0.0370597094,
    ],
}  # fmt: skip
"""In f32: log(1 + f) = slope f + f (the polynomial in f), where the slope is rounded."""

SQRT_2 = {"f32": 1.4142135381698608, "f64": 1.4142135623730951}


class Cut(NamedTuple):
    """A number as 2**k (1 + f) with k as a float, and `near`, which is 1 + f or hardly differs."""

    k: Lane
    near: Lane
    f: Lane


def reduce_log(m: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """k and u with x = 2**k u, sqrt(1/2) <= u < sqrt(2), for a positive normal x; k is the integer
    in a bit pattern."""
    fmt = m.format
    shifted = m.bits(x) + (fmt.one_bits - fmt.sqrt_half_bits)
    k = (shifted >> fmt.fraction_bits) - fmt.bias
    fraction = shifted & ((1 << fmt.fraction_bits) - 1)
    return k, m.from_bits(fraction + fmt.sqrt_half_bits)


def lifted(m: Lanes, x: Lane) -> Cut:
    """Any positive x. The instructions of AVX-512 also give what makes the logarithm right of the
    other numbers (`_log_corners`)."""
    if m.avx512:
        return _normalised(m, x)
    bits = m.format.fraction_bits + 2
    subnormal = x < m.format.smallest_normal
    k, u = reduce_log(m, m.select(subnormal, x * 2.0**bits, x))
    exponent = as_float(m, k)
    return Cut(m.select(subnormal, exponent - float(bits), exponent), u, u - 1.0)


def _normalised(m: Lanes, x: Lane) -> Cut:
    """By the instructions of AVX-512: of 0 and infinity k is infinite and f = 0, of a negative
    number and NaN f is NaN. In f32 3/4 <= near < 3/2."""
    if m.format.name == "f32":
        u = m.balanced(x)
        return Cut(m.exponent(x) - m.exponent(u), u, u - 1.0)
    k, u = m.exponent(x), m.mantissa(x)
    above = u >= SQRT_2[m.format.name]
    u = m.select(above, 0.5 * u, u)
    return Cut(m.select(above, k + 1.0, k), u, u - 1.0)


def _log_sum(m: Lanes, cut: Cut) -> Lane:
    """k ln2 + log(1 + f), smallest parts first."""
    k, _, f = cut
    if _by_pieces(m):
        rest = (f * f) * _piece(m, cut, _rest_pieces())
        return ((rest + k * m.format.ln2_low) + f) + k * m.format.ln2_high
    small, half_square = _log_parts(m, f)
    return ((small + k * m.format.ln2_low - half_square) + f) + k * m.format.ln2_high


def _log_parts(m: Lanes, f: Lane) -> tuple[Lane, Lane]:
    """log(1 + f) - f is the difference of these; the second is half of f**2."""
    square = f * f
    half_square = 0.5 * square
    tail = LOG_TAIL[m.format.name]
    if m.format.name == "f32":
        return square * f * polynomial(tail, f), half_square
    s = f / (f + 2.0)
    z = s * s
    return s * (half_square + z * polynomial(tail, z)), half_square


def _by_pieces(m: Lanes) -> bool:
    """Whether a polynomial for the neighbourhood of f is looked up."""
    return m.avx512 and m.format.name == "f32"


def _piece(m: Lanes, cut: Cut, tables: Sequence[Table]) -> Lane:
    """The polynomial in f for the part of an octave where 1 + f is."""
    part = m.bits(cut.near) >> (m.format.fraction_bits + 1 - len(tables[0]).bit_length())
    return polynomial([m.lookup(table, part) for table in tables], cut.f)


def _pieces(count: int, f: Callable[[float], float], degree: int) -> tuple[Table, ...]:
    """By the first digits of a fraction: those of the numbers from 1 to 3/2, then of those from
    3/4 to 1."""
    starts = [n / count if 2 * n < count else (n / count - 1) / 2 for n in range(count)]
    ends = [*starts[1 : count // 2], 0.5, *starts[count // 2 + 1 :], 0.0]
    return pieces(f, [*zip(starts, ends, strict=True)], degree)


@cache
def _log2_pieces() -> tuple[Table, ...]:
    """log2(1 + f) / f - 1"""
    return _pieces(16, lambda f: SLOPE["log2"] * math.log1p(f) / f - 1, 3)


@cache
def _log10_pieces() -> tuple[Table, ...]:
    """log10(1 + f) / f"""
    return _pieces(16, lambda f: SLOPE["log10"] * math.log1p(f) / f, 3)


@cache
def _rest_pieces() -> tuple[Table, ...]:
    """(log(1 + f) - f) / f**2"""
    return _pieces(16, _rest, 3)


def _rest(f: float) -> float:
    if abs(f) < 1 / 16:
        return math.fsum((-f) ** n / -(n + 2) for n in range(15))
    return (math.log1p(f) - f) / (f * f)


def _log_corners(m: Lanes, u: Lane, result: Lane) -> Lane:
    """The logarithm of u where u is 0, negative, infinite or NaN."""
    result = m.select(u > 0.0, result, math.nan)
    result = m.select(u == 0.0, -math.inf, result)
    return m.select(u == math.inf, u, result)


def _corners(m: Lanes, x: Lane, result: Lane) -> Lane:
    """The same where `lifted` has not seen to it."""
    return result if m.avx512 else _log_corners(m, x, result)


def log(m: Lanes, x: Lane) -> Lane:
    """Natural logarithm: -inf at 0, NaN below."""
    return _corners(m, x, _log_sum(m, lifted(m, x)))


def log2(m: Lanes, x: Lane) -> Lane:
    """Logarithm to the base 2; whole at its powers."""
    cut = lifted(m, x)
    if _by_pieces(m):
        return cut.f * _piece(m, cut, _log2_pieces()) + (cut.f + cut.k)
    return _corners(m, x, cut.k + _log_to_base(m, "log2", cut.f, 0.0))


def log10(m: Lanes, x: Lane) -> Lane:
    """Logarithm to the base 10; whole at its powers."""
    high, low = LOG10_OF_2[m.format.name]
    cut = lifted(m, x)
    if _by_pieces(m):
        return (cut.f * _piece(m, cut, _log10_pieces()) + cut.k * low) + cut.k * high
    return _corners(m, x, cut.k * high + _log_to_base(m, "log10", cut.f, cut.k * low))


def _log_to_base(m: Lanes, name: str, f: Lane, small: Lane | float) -> Lane:
    """The logarithm of 1 + f, plus something small."""
    slope = SLOPE[name]
    if m.format.name == "f32":
        return f * slope + (f * polynomial(BASE_TAIL[name], f) + small)
    rest, half_square = _log_parts(m, f)
    return ((rest - half_square) + f) * slope + small


def _one_plus(m: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """1 + x, and what its rounding lost (Knuth's sum)."""
    u = 1.0 + x
    rest = u - 1.0
    return u, (1.0 - (u - rest)) + (x - rest)


def _cut_sum(m: Lanes, u: Lane, lost: Lane) -> Cut:
    """u + lost, for a finite u above 0. Where k = 0, 1 + f is never formed: then f has the digits
    of a small x in 1 + x."""
    if m.avx512:
        exponent, near, f = _normalised(m, u)
        return Cut(exponent, near, f + m.scale(lost, -exponent))
    k, near = reduce_log(m, u)
    inverse_scale = m.from_bits((m.format.bias + 1 - k) << m.format.fraction_bits)
    return Cut(as_float(m, k), near, (near - 1.0) + 0.5 * lost * inverse_scale)


def log1p(m: Lanes, x: Lane) -> Lane:
    """log(1 + x) without cancellation near 0."""
    return m.select(m.abs(x) < m.format.tiny, x, _log1p(m, x, 0.0))


def _log1p(m: Lanes, x: Lane, rest: Lane | float) -> Lane:
    """log(1 + x + rest), where `rest` is less than a unit in the last place of x."""
    u, lost = _one_plus(m, x)
    k, near, f = _cut_sum(m, u, lost + rest)
    if m.avx512:
        f = m.select(m.abs(k) < math.inf, f, near - 1.0)
    return _corners(m, u, _log_sum(m, Cut(k, near, f)))


def _log_of_sum(m: Lanes, x: Lane, large: Lane, a: Lane) -> Lane:
    """log(1 + x) or, where `large`, log(2 a)."""
    u, lost = _one_plus(m, x)
    k, near, f = _cut_sum(m, m.select(large, a, u), m.select(large, 0.0, lost))
    result = _log_sum(m, Cut(m.select(large, k + 1.0, k), near, f))
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
