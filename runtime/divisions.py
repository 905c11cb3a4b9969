"""Divisions of floats with a whole quotient: every result is exact, as NumPy's is.

The quotient is that of the rounded division, one too large at most; its product with the divisor is
taken as two numbers, so that what is left is exact.
"""

from __future__ import annotations

import math

from .lanes import Lane, Lanes

WHOLE = {"f32": 2.0**23, "f64": 2.0**52}
"""Up to here every whole number and its neighbours are numbers of the format."""
LARGE = {"f32": 2.0**127, "f64": 2.0**1023}
"""Beyond, the divisor times a quotient that is one too large may overflow."""


def fmod(m: Lanes, x: Lane, y: Lane) -> Lane:
    """x - y trunc(x / y), with the sign of x; the platform's where x or the quotient is very large,
    or y is 0."""
    a, b = m.abs(x), m.abs(y)
    ratio = a / b
    product, low = m.product(m.floor(ratio), b)
    rest = (a - product) - low
    rest = m.select(rest < 0.0, rest + b, rest)
    rest = m.copysign(m.select(ratio < 1.0, a, rest), x)  # also where y is infinite
    size = m.select(a > LARGE[m.format.name], math.inf, ratio)
    return m.within(WHOLE[m.format.name], size, rest, "fmod", x, y)


def _have_opposite_signs(rest: Lane, y: Lane) -> Lane:
    return (rest < 0.0) ^ (y < 0.0)


def remainder(m: Lanes, x: Lane, y: Lane) -> Lane:
    """x - y floor(x / y), with the sign of y; NaN where y is 0. NumPy's npy_remainder."""
    rest = fmod(m, x, y)
    lifted = m.select(_have_opposite_signs(rest, y), rest + y, rest)
    return m.select(rest == 0.0, m.copysign(m.abs(rest), y), lifted)


def floor_divide(m: Lanes, x: Lane, y: Lane) -> Lane:
    """floor(x / y); x / y where y is 0. NumPy's npy_floor_divide."""
    rest = fmod(m, x, y)
    plain, quotient = x / y, (x - rest) / y
    step_down = (rest != 0.0) & _have_opposite_signs(rest, y)
    quotient = m.select(step_down, quotient - 1.0, quotient)
    floor = m.floor(quotient)
    floor = m.select(quotient - floor > 0.5, floor + 1.0, floor)
    floor = m.select(quotient == 0.0, m.copysign(m.abs(quotient), plain), floor)
    return m.select(y == 0.0, plain, floor)
