"""Powers with any exponent, and the cube root.

A pair (high, low) of numbers stands for their sum; |low| is about a unit in the last place of
`high`. The polynomial of the logarithm is a Chebyshev fit.
"""

from __future__ import annotations

import math

from .lanes import Lane, Lanes
from .logarithms import lifted
from .vecmath import EXP_TAIL, LN_2, as_float, clamp, polynomial, scaled, to_integer

Pair = tuple[Lane, Lane]

CBRT_SHIFT = {"f32": 9, "f64": 32}
CBRT_GUESS = {"f32": float(0x54A20000 >> 9), "f64": float(0x553EE000)}
"""The high digits of the bit pattern of a**(-1/3) are this less a third of those of a; then
|1 - a q**3| < 0.11."""
ROOT_TAIL = (1 / 3, 2 / 9, 14 / 81)
"""(1 - h)**(-1/3) = 1 + h/3 + 2/9 h**2 + 14/81 h**3 + ..."""

LOG2_SLOPE = {
    "f32": (2.885390043258667, 3.851926067000022e-08),
    "f64": (2.8853900817779268, 4.0710547481862066e-17),
}
"""2 / ln 2 as a pair."""
LOG2_CUBE = {
    "f32": (0.9617967009544373, -7.028461812552678e-09),
    "f64": (0.9617966939259756, 5.0577616648125907e-17),
}
"""A third of it."""
LOG2_TAIL = {
    "f32": [0.5770782232, 0.4120656252, 0.3325273693],
    "f64": [
        0.5770780163555853, 0.4121985831111438, 0.320598897967139, 0.26230819147251677,
        0.22195278814576394, 0.1923805875545384, 0.16888477251567774, 0.1691346411862363,
    ],
}  # fmt: skip
"""log2((1 + s) / (1 - s)) = slope s + cube s**3 + s**5 (the polynomial in s**2)."""
FARTHEST = {"f32": 250.0, "f64": 2000.0}
"""An exponent of 2 whose power is infinite; its negative's is 0."""
STEEPEST = {"f32": 2.0**33, "f64": 2.0**65}
"""As good as any larger exponent, whatever the number next to 1."""


def cbrt(m: Lanes, x: Lane) -> Lane:
    """Cube root: q = a**(-1/3) for a = |x| by a step of fourth order from the bits of a (in f64 by
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
    a, farthest = m.abs(x), FARTHEST[m.format.name]
    high, low = _log2(m, a)
    high = m.select(a == 0.0, -math.inf, m.select(a < math.inf, high, a))
    steepest = STEEPEST[m.format.name]
    y_near = clamp(m, y, -steepest, steepest)
    exponent, rest = m.product(high, y_near)
    inside = m.abs(exponent) < farthest
    rest = m.select(inside, rest + low * y_near, 0.0)
    result = _exp2(m, clamp(m, exponent, -farthest, farthest), rest)
    return _power_corners(m, x, y, result)


def _log2(m: Lanes, a: Lane) -> Pair:
    """log2 of a positive number, as a pair."""
    name = m.format.name
    k, f = lifted(m, a)
    high, low = _quotient(m, f)
    square, square_low = m.product(high, high)
    cube, cube_low = m.product(square, high)
    cube_low = cube_low + high * square_low + 3.0 * square * low
    linear = _scaled(m, LOG2_SLOPE[name], high, low)
    cubic = _scaled(m, LOG2_CUBE[name], cube, cube_low)
    tail = cubic[1] + cube * (square * polynomial(LOG2_TAIL[name], square))
    return _sum(m, k, linear[0], cubic[0], linear[1] + tail)


def _quotient(m: Lanes, f: Lane) -> Pair:
    """f / (2 + f) as a pair."""
    divisor = 2.0 + f
    divisor_low = f - (divisor - 2.0)
    inverse = 1.0 / divisor
    high = f * inverse
    product, product_low = m.product(high, divisor)
    return high, (((f - product) - product_low) - high * divisor_low) * inverse


def _scaled(m: Lanes, factor: tuple[float, float], high: Lane, low: Lane) -> Pair:
    """The product of two pairs."""
    product, rest = m.product(high, factor[0])
    return product, rest + (low * factor[0] + high * factor[1])


def _sum(m: Lanes, k: Lane, linear: Lane, cubic: Lane, small: Lane) -> Pair:
    """k + linear + cubic + small as a pair; k is 0 or larger than the others."""
    first = k + linear
    small = small + (linear - (first - k))
    second = first + cubic
    return second, small + (cubic - (second - first))


def _exp2(m: Lanes, x: Lane, rest: Lane) -> Lane:
    """2**(x + rest)."""
    n, pattern = to_integer(m, x)
    r = ((x - n) + rest) * LN_2
    return scaled(m, 1.0 + (r + r * r * polynomial(EXP_TAIL[m.format.name], r)), n, pattern)


def _power_corners(m: Lanes, x: Lane, y: Lane, result: Lane) -> Lane:
    """The sign of an odd power, NaN for a negative number to no integer, 1 for x = 1 or y = 0."""
    half = y * 0.5
    whole = m.rint(y) == y
    odd = whole & (m.rint(half) != half)
    result = m.select(odd, m.copysign(result, x), result)
    negative = (x < 0.0) & (x > -math.inf)
    result = m.select(negative, m.select(whole, result, math.nan), result)
    return m.select((y == 0.0) | (x == 1.0), 1.0, result)
