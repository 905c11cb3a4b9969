"""Sine, cosine, tangent and their inverses, and the angle of a point.

The reduction by multiples of pi/2 is that of Cody and Waite (1980): pi/2 is cut into parts whose
products with n are exact. The polynomials are Chebyshev fits.
"""

from __future__ import annotations

import math

from .lanes import Lane, Lanes
from .vecmath import polynomial

TWO_OVER_PI = 2 / math.pi
QUARTERS = {
    "f32": (1.5707963267341256, 6.077100506506192e-11),
    "f64": (
        1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32,
    ),
}  # fmt: skip
"""pi/2 as a sum of parts of 33 bits and what is left, smallest last."""
SINGLE_QUARTERS = (1.570796251296997, 7.549789415861596e-08, 5.390302953474238e-15)
"""The same as a sum of numbers in f32."""
SPAN = {"f32": 2.0**19, "f64": 2.0**20}
"""Arguments up to this magnitude are reduced by them; beyond, they are the platform's."""
SIN_TAIL = {
    "f32": [-0.16666664183, 0.00833274890, -0.00019587950],
    "f64": [
        -0.16666666666666666, 0.00833333333333095, -0.00019841269836760024, 2.755731610311032e-06,
        -2.505113193735323e-08, 1.591813482985522e-10,
    ],
}  # fmt: skip
COS_TAIL = {
    "f32": [0.04166666418, -0.00138883037, 0.00002454799],
    "f64": [
        0.041666666666666664, -0.00138888888888874, 2.48015872987686e-05, -2.7557317272750235e-07,
        2.0876146423805166e-09, -1.1382641042429178e-11,
    ],
}  # fmt: skip
ATAN_TAIL = {
    "f32": [
        -0.33333331347, 0.19999766350, -0.14279110730, 0.11037994176, -0.08673170954,
        0.06284360588, -0.03627017513, 0.01375028398, -0.00244703121,
    ],
    "f64": [
        -0.3333333333333333, 0.1999999999999785, -0.1428571428542142, 0.11111111095226348,
        -0.0909090863371138, 0.07692299617127817, -0.06666571186800367, 0.05881552654085964,
        -0.05258208797122267, 0.04738654847505206, -0.042630013104860254, 0.03755415143075709,
        -0.03137953182678928, 0.023832471819423516, -0.015672181944273687, 0.008472278484259733,
        -0.00355225226667244, 0.0010705959517508744, -0.00020473729819059372,
        1.8562376499176026e-05,
    ],
}  # fmt: skip
"""A Chebyshev fit to (arctan(q) / q - 1) / z in z = q*q on [0, 1]."""
RIGHT_ANGLE = {
    "f32": (1.57079637050628662109375, -4.37113882867379e-08),
    "f64": (1.5707963267948966192, 6.123233995736766e-17),
}
"""pi/2 as the sum of two numbers."""

TAN_TAIL = {
    "f32": [
        0.333333343, 0.133331671, 0.0540078804, 0.021519186, 0.0103072524, 0.000652945717,
        0.00414828723,
    ],
    "f64": [
        0.33333333333333315, 0.13333333333344657, 0.05396825395714088, 0.021869488964484325,
        0.00886322694378018, 0.003592230735139463, 0.001455042377216036,
        0.0005941480471699557, 0.00022431139135469706, 0.0001340151897108107,
        -2.4746276466512152e-05, 8.953540241750375e-05, -4.569940280376567e-05,
        2.122987371662585e-05,
    ],
}  # fmt: skip
"""A Chebyshev fit to (tan(r) / r - 1) / z in z = r*r, a little beyond pi/4."""
ASIN_TAIL = {
    "f32": [0.166666657, 0.0750009492, 0.0445993915, 0.0311007686, 0.0171486866, 0.0336918347],
    "f64": [
        0.1666666666666665, 0.07500000000020775, 0.04464285710340527, 0.030381947368342346,
        0.02237204758881928, 0.017355260815388678, 0.01392964222031815, 0.011875579284505212,
        0.007802517548198804, 0.016036874427024065, -0.010751463593282391, 0.02817106234849569,
    ],
}  # fmt: skip
"""A Chebyshev fit to (arcsin(s) / s - 1) / z in z = s*s on [0, 1/4]."""


def _reduce_angle(m: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """The integer n as a bit pattern and r with x = n pi/2 + r, |r| <= pi/4 or hardly more; in f32
    by way of f64, or with what the rounding of a difference lost."""
    name, magic = m.format.name, m.format.magic
    shifted = x * TWO_OVER_PI + magic
    n, rest = shifted - magic, x
    if name == "f32" and m.avx512:
        return m.bits(shifted), _rest_in_f32(m, n, x)
    if name == "f32":
        n, rest = m.widen(n), m.widen(x)
    for part in QUARTERS[name]:
        rest = rest - n * part
    return m.bits(shifted), m.narrow(rest) if name == "f32" else rest


def _rest_in_f32(m: Lanes, n: Lane, x: Lane) -> Lane:
    """x - n pi/2. The first difference is exact, and so is the second where little is left."""
    high, middle, low = SINGLE_QUARTERS
    product, rest = m.product(n, middle)
    return (m.fma(n, -high, x) - product) - (n * low + rest)


def _wave(m: Lanes, x: Lane, quarters: int) -> Lane:
    """sin(x + quarters pi/2), within the span of the reduction."""
    name = m.format.name
    pattern, r = _reduce_angle(m, x)
    quadrant = pattern + quarters
    z = r * r
    sine = r + r * (z * polynomial(SIN_TAIL[name], z))
    cosine = 1.0 + (z * z * polynomial(COS_TAIL[name], z) - 0.5 * z)
    value = m.select((quadrant & 1) == 0, sine, cosine)
    sign_bit = m.format.fraction_bits + (8 if name == "f32" else 11)
    return m.from_bits(m.bits(value) ^ ((quadrant & 2) << (sign_bit - 1)))


def sin(m: Lanes, x: Lane) -> Lane:
    """Sine."""
    value = m.select(x == 0.0, x, _wave(m, x, 0))
    return m.within(SPAN[m.format.name], x, value, "sin", x)


def cos(m: Lanes, x: Lane) -> Lane:
    """Cosine."""
    return m.within(SPAN[m.format.name], x, _wave(m, x, 1), "cos", x)


def tan(m: Lanes, x: Lane) -> Lane:
    """Tangent."""
    pattern, r = _reduce_angle(m, x)
    z = r * r
    t = r + r * (z * polynomial(TAN_TAIL[m.format.name], z))
    even = (pattern & 1) == 0
    value = m.select(even, t, -1.0) / m.select(even, 1.0, t)
    return m.within(SPAN[m.format.name], x, value, "tan", x)


def _arcsin_parts(m: Lanes, a: Lane) -> tuple[Lane, Lane, Lane]:
    """Whether a >= 0 is large; s, and what arcsin(s) is more than s. The arcsine of a is that of s,
    or if it is large pi/2 less twice that."""
    large = a > 0.5
    z = m.select(large, 0.5 - 0.5 * a, a * a)
    s = m.select(large, m.sqrt(z), a)
    return large, s, s * (z * polynomial(ASIN_TAIL[m.format.name], z))


def arcsin(m: Lanes, x: Lane) -> Lane:
    """Inverse of the sine."""
    large, s, more = _arcsin_parts(m, m.abs(x))
    high, low = RIGHT_ANGLE[m.format.name]
    complement = (high - (s + s)) - (more + more - low)
    return m.copysign(m.select(large, complement, s + more), x)


def arccos(m: Lanes, x: Lane) -> Lane:
    """Inverse of the cosine."""
    large, s, more = _arcsin_parts(m, m.abs(x))
    high, low = RIGHT_ANGLE[m.format.name]
    angle = m.copysign(s + more, x)
    far = m.select(x < 0.0, 2.0 * high, 0.0)
    return m.select(large, far + (angle + angle), (high - angle) + low)


def arctan2(m: Lanes, y: Lane, x: Lane) -> Lane:
    """The angle of the point (x, y): q = smaller / larger side, then the octant."""
    height, width = m.abs(y), m.abs(x)
    steep = height > width
    smaller = m.select(steep, width, height)
    larger = m.select(steep, height, width)
    q = m.select(smaller == larger, 1.0, smaller / larger)  # also where both are infinite
    q = m.select(height + width == 0.0, 0.0, q)
    z = q * q
    angle = q + q * (z * polynomial(ATAN_TAIL[m.format.name], z))
    left = m.bits(x) < 0
    turns = m.select(steep, 1.0, 0.0)
    turns = m.select(left, 2.0 - turns, turns)
    high, low = RIGHT_ANGLE[m.format.name]
    angle = m.select(steep, -angle, angle)
    angle = m.select(left, -angle, angle)
    return m.copysign(turns * high + (turns * low + angle), y)
