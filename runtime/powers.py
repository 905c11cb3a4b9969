"""Powers with any exponent, and the cube root.

A pair (high, low) of numbers stands for their sum; |low| is far less than |high|. The logarithm of
a power is looked up for a number nearby (as in ARM's optimized routines) and continued by a
Chebyshev fit.
"""

from __future__ import annotations

import math

from .lanes import Lane, Lanes
from .vecmath import EXP2_TAIL, as_float, clamp, polynomial, scaled, to_integer

Pair = tuple[Lane, Lane]

CBRT_SHIFT = {"f32": 9, "f64": 32}
CBRT_GUESS = {"f32": float(0x54A20000 >> 9), "f64": float(0x553EE000)}
"""The high digits of the bit pattern of a**(-1/3) are this less a third of those of a; then
|1 - a q**3| < 0.11."""
ROOT_TAIL = (1 / 3, 2 / 9, 14 / 81)
"""(1 - h)**(-1/3) = 1 + h/3 + 2/9 h**2 + 14/81 h**3 + ..."""

ROOT_DIGITS = {"f32": 3, "f64": 2}
"""An octave is cut into so many parts, as a power of 2."""


OCTAVES = (1, 0, -1, 0)
"""j by its low two digits, and 3."""
ROOTS = {
    name: tuple(
        round(2**10 * math.cbrt(2.0**j * (1 + (i + 0.5) / 2**digits))) / 2**10
        for j in OCTAVES
        for i in range(2**digits)
    )
    for name, digits in ROOT_DIGITS.items()
}
"""The cube root t of 2**j c, by j and the part c lies in; its few digits make it exact, and"""
ROOT_INVERSES = {
    name: tuple(2.0 ** OCTAVES[k >> ROOT_DIGITS[name]] / t**3 for k, t in enumerate(roots))
    for name, roots in ROOTS.items()
}
"""1 / c."""
ROOT_SERIES = {
    "f32": [0.3333332756308295, -0.1111110662234903, 0.06184653344700809, -0.04124416293308176],
    "f64": [
        0.3333333333333333, -0.11111111111111109, 0.06172839506181359, -0.0411522633745627,
        0.030178326394178164, -0.02347203162967263, 0.019001196280640432, -0.01583433222604234,
        0.013484159916019292, -0.011686105898925334, 0.01058245098636077, -0.009411605187547314,
    ],
}  # fmt: skip
"""Chebyshev fits to ((1 + f)**(1/3) - 1) / f on [-1/16, 1/16], in f64 [-1/9, 1/9]."""

LOG2_SLOPE = {
    "f32": (1.4426950216293335, 1.925963033500011e-08),
    "f64": (1.4426950408889634, 2.0355273740931033e-17),
}
"""1 / ln 2 as a pair."""
LOG_TAIL = {
    "f32": [0.333333313, -0.249999985, 0.200139597, -0.166788816],
    "f64": [
        0.3333333333333333, -0.25000000000000006, 0.19999999999997986, -0.16666666666630292,
        0.1428571429202285, -0.12500000088929208, 0.11111104204792156, -0.09999906923519469,
        0.09093981210270505, -0.08376301950880946, 0.07229494122965256,
    ],
}  # fmt: skip
"""(log(1 + r) - r + r**2 / 2) / r**3 for |r| <= 1/32, in f64 1/16."""
PARTS = {
    "f32": (
        64, 61, 59, 58, 56, 55, 53, 52, 51, 49, 48, 47, 46, 45, 44, 43, 42, 41, 41, 40, 39, 38, 38,
        37, 36, 36, 35, 34, 34, 33, 33, 32,
    ),
    "f64": (32, 29, 28, 26, 25, 24, 23, 22, 21, 20, 19, 19, 18, 17, 17, 16),
}  # fmt: skip
"""An octave from 1 to 2 is cut into 32 or 16 parts of one length. This divided by 64 or 32 is about
1 / c for a number c in each: with so few digits that r in c (1 + r) is exact. The first c is 1, the
last is 2, so that a number near 1 has a logarithm that is small from the start."""
INVERSES = {"f32": tuple(n / 64 for n in PARTS["f32"]), "f64": tuple(n / 32 for n in PARTS["f64"])}
HEIGHTS = {
    "f32": tuple(round(-math.log2(x) * 2**15) / 2**15 for x in INVERSES["f32"]),
    "f64": tuple(round(-math.log2(x) * 2**41) / 2**41 for x in INVERSES["f64"]),
}
"""The logarithms of c with few digits, so that their sums with exponents are exact, and"""
LOW_HEIGHTS = {
    "f32": tuple(
        -math.log2(x) - y for x, y in zip(INVERSES["f32"], HEIGHTS["f32"], strict=True)
    ),
    "f64": (
        0.0, -8.107893466726174e-14, -1.9917399279874596e-14, 2.0474716408719944e-13,
        1.266771905137232e-13, 1.4733181985781966e-13, 1.520621696507556e-13,
        -1.4294083388465032e-13, 1.2741442057794507e-13, 6.33385952568616e-14,
        1.7024883460791358e-13, 1.7024883460791358e-13, -1.600837111708248e-13,
        -6.781363655020842e-14, -6.781363655020842e-14, 0.0,
    ),
}  # fmt: skip
"""what they lack."""
FARTHEST = {"f32": 250.0, "f64": 2000.0}
"""An exponent of 2 whose power is infinite; its negative's is 0."""
STEEPEST = {"f32": 2.0**33, "f64": 2.0**65}
"""As good as any larger exponent, whatever the number next to 1."""


def cbrt(m: Lanes, x: Lane) -> Lane:
    """Cube root."""
    return _looked_up_root(m, x) if m.avx512 else _iterated_root(m, x)


def _looked_up_root(m: Lanes, x: Lane) -> Lane:
    """2**n t (1 + f)**(1/3) for x = 2**(3 n + j) u, where u = (1 + f) c is next to a c with
    2**j c = t**3."""
    name, fmt = m.format.name, m.format
    exponent, u = m.exponent(x), m.magnitude(x)
    n = m.rint(exponent * (1 / 3))
    digits = ROOT_DIGITS[name]
    j = m.bits((exponent - 3.0 * n) + fmt.magic / 2**digits)
    place = (m.bits(u) >> (fmt.fraction_bits - digits)) + j
    t = m.lookup(ROOTS[name], place)
    f = m.fma(u, m.lookup(ROOT_INVERSES[name], place), -1.0)
    root = m.scale(t + t * (f * polynomial(ROOT_SERIES[name], f)), n)
    return m.copysign(m.select(m.abs(exponent) < math.inf, root, m.abs(x)), x)


def _iterated_root(m: Lanes, x: Lane) -> Lane:
    """q = a**(-1/3) for a = |x| by a step of fourth order from the bits of a (in f64 by
    two), then a Newton step for a q**2."""
    fmt = m.format
    a = m.abs(x)
    lift, lower = 2.0 ** (3 * fmt.fraction_bits), 2.0**-fmt.fraction_bits
    small = a < 8.0 * fmt.smallest_normal
    a = a * m.select(small, lift, 0.125)  # the cube of the root shall not overflow
    q = _inverse_root_guess(m, a)
    for _ in range(2 if fmt.name == "f64" else 1):
        h = 1.0 - (a * q) * (q * q)
        q = q + q * (h * polynomial(ROOT_TAIL, h))
    square = q * q
    root = a * square
    root = root - (root * root * root - a) * (square * (1 / 3))
    root = root * m.select(small, lower, 2.0)
    return m.copysign(m.select(a < math.inf, root, a), x)


def _inverse_root_guess(m: Lanes, a: Lane) -> Lane:
    name, fmt = m.format.name, m.format
    digits = as_float(m, m.bits(a) >> CBRT_SHIFT[name])
    guess = (CBRT_GUESS[name] - digits * (1 / 3)) + fmt.magic
    return m.from_bits((m.bits(guess) - fmt.magic_bits) << CBRT_SHIFT[name])


def power(m: Lanes, x: Lane, y: Lane) -> Lane:
    """x**y = 2**(y log2|x|), with the sign of x where y is odd; the corners are those of C's pow.

    The logarithm is a pair, since its error counts y times.
    """
    farthest, steepest = FARTHEST[m.format.name], STEEPEST[m.format.name]
    high, low = _log2(m, *_octave(m, m.abs(x)))
    y_near = clamp(m, y, -steepest, steepest)
    exponent, rest = m.product(high, y_near)
    inside = m.abs(exponent) < farthest
    rest = m.select(inside, rest + low * y_near, 0.0)
    result = _exp2(m, clamp(m, exponent, -farthest, farthest), rest)
    return _power_corners(m, x, y, result)


def _octave(m: Lanes, a: Lane) -> Pair:
    """k as a float and u with a = 2**k u, 1 <= u < 2, for a >= 0; of 0 and infinity k is infinite,
    of NaN it is NaN."""
    if m.avx512:
        return m.exponent(a), m.mantissa(a)
    fmt = m.format
    subnormal = a < fmt.smallest_normal
    lift = fmt.fraction_bits + 2
    pattern = m.bits(m.select(subnormal, a * 2.0**lift, a))
    k = as_float(m, (pattern >> fmt.fraction_bits) - fmt.bias)
    k = m.select(subnormal, k - float(lift), k)
    k = m.select(a == 0.0, -math.inf, m.select(a < math.inf, k, a))
    return k, m.from_bits((pattern & ((1 << fmt.fraction_bits) - 1)) + fmt.one_bits)


def _log2(m: Lanes, k: Lane, u: Lane) -> Pair:
    """log2(2**k u) as a pair: k, and the logarithms of c and of 1 + r = u / c."""
    name = m.format.name
    part = m.bits(u) >> (m.format.fraction_bits - (5 if name == "f32" else 4))
    r = m.fma(u, m.lookup(INVERSES[name], part), -1.0)
    half = -0.5 * r
    first = m.fma(half, r, r)
    rest = m.fma(half, r, r - first) + r * (r * r) * polynomial(LOG_TAIL[name], r)
    slope, slope_low = LOG2_SLOPE[name]
    linear, linear_low = m.product(first, slope)
    small = linear_low + (first * slope_low + rest * slope) + m.lookup(LOW_HEIGHTS[name], part)
    height = k + m.lookup(HEIGHTS[name], part)
    high = height + linear
    return high, (linear - (high - height)) + small


def _exp2(m: Lanes, x: Lane, rest: Lane) -> Lane:
    """2**(x + rest)."""
    n, pattern = to_integer(m, x + rest)
    r = (x - n) + rest
    return scaled(m, 1.0 + r * polynomial(EXP2_TAIL[m.format.name], r), n, pattern)


def _power_corners(m: Lanes, x: Lane, y: Lane, result: Lane) -> Lane:
    """The sign of an odd power, NaN for a negative number to no integer, 1 for x = 1 or y = 0."""
    half = y * 0.5
    whole = m.rint(y) == y
    odd = whole & (m.rint(half) != half)
    result = m.select(odd, m.copysign(result, x), result)
    negative = (x < 0.0) & (x > -math.inf)
    result = m.select(negative, m.select(whole, result, math.nan), result)
    return m.select((y == 0.0) | (x == 1.0), 1.0, result)
