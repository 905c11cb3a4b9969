"""The angle of a point."""

from __future__ import annotations

from .lanes import Lane, Lanes
from .vecmath import polynomial

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
