"""Rules of arithmetic and logic that hold for every IEEE value, NaN, inf and -0.0 included.

    %a:f64[8] = mul %x, 1.0
    %b:f64[8] = neg %a
    %y:f64[8] = add %b, %z
=>
    %y:f64[8] = sub %z, %x

`x + 0.0` is not x for x = -0.0, `x * 0.0` not 0 for x = inf, `x - x` not 0 for NaN: no such rules
here. Those that round differently from what they replace say so in their identity.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ir.graph import Value
from .patterns import k, n, p, x, y
from .rules import Rule, Site, rule


@rule(p.mul(x, 1.0), p.div(x, 1.0))
def times_one(site: Site, x: Value) -> Value:
    """x * 1 = x / 1 = x"""
    return x


@rule(p.add(x, -0.0), p.sub(x, 0.0))
def plus_zero(site: Site, x: Value) -> Value:
    """x + (-0.0) = x - 0.0 = x, and x + 0 = x for integers"""
    return x


@rule(p.mul(x, 0.0))
def integer_times_zero(site: Site, x: Value) -> Value | None:
    """x * 0 = 0 for integers only (inf * 0 is NaN)"""
    return site.b.constant(np.zeros((), x.type.dtype)) if x.type.is_integer else None


@rule(p.stop_gradient(x))
def gradient_stopped(site: Site, x: Value) -> Value:
    """stop_gradient(x) = x, now that every derivative has been taken"""
    return x


@rule(p.mul(x, -1.0), p.div(x, -1.0))
def times_minus_one(site: Site, x: Value) -> Value:
    """x * -1 = x / -1 = -x"""
    return site.b.neg(x)


@rule(p.neg(p.neg(x)))
def double_negation(site: Site, x: Value) -> Value:
    """-(-x) = x"""
    return x


@rule(p.add(x, p.neg(y)))
def add_negation(site: Site, x: Value, y: Value) -> Value:
    """x + (-y) = x - y"""
    return site.b.sub(x, y)


@rule(p.sub(x, p.neg(y)))
def subtract_negation(site: Site, x: Value, y: Value) -> Value:
    """x - (-y) = x + y"""
    return site.b.add(x, y)


@rule(p.mul(p.neg(x), p.neg(y)), p.div(p.neg(x), p.neg(y)))
def negations_cancel(site: Site, x: Value, y: Value) -> Value:
    """(-x) * (-y) = x * y, and the quotient likewise"""
    return site.b.emit(site.node.op, (x, y)).results[0]


@rule(p.mul(p.neg(x), n), p.div(p.neg(x), n))
def negation_into_factor(site: Site, x: Value, n: Any) -> Value:
    """(-x) * k = x * (-k), and the quotient likewise"""
    return site.b.emit(site.node.op, (x, site.b.constant(np.negative(n)))).results[0]


@rule(p.neg(p.mul(x, n, name="z")), p.neg(p.div(x, n, name="z")))
def factor_absorbs_negation(site: Site, x: Value, n: Any, z: Value) -> Value:
    """-(x * k) = x * (-k), and the quotient likewise"""
    return site.b.emit(site.producers[z].op, (x, site.b.constant(np.negative(n)))).results[0]


@rule(p.mul(p.neg(x, name="z"), y), p.div(p.neg(x, name="z"), y))
def negation_outwards(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """(-x) * y = -(x * y), and the quotient likewise: a sum nearby may absorb it"""
    if not site.used_once(z) or x.type.size < site.result.type.size:
        return None
    return site.b.neg(site.b.emit(site.node.op, (x, y)).results[0])


@rule(p.div(x, n))
def exact_reciprocal(site: Site, x: Value, n: Any) -> Value | None:
    """x / k = x * (1 / k) for k a power of two, whose reciprocal is exact"""
    mantissa, exponent = math.frexp(float(n)) if np.isfinite(n) else (0.0, 0)
    if abs(mantissa) != 0.5 or abs(exponent) > np.finfo(x.type.dtype).maxexp - 2:
        return None
    return site.b.mul(x, site.b.constant(1 / n, x.type.dtype))


@rule(p.mul(p.mul(x, k), n))
def merge_factors(site: Site, x: Value, k: Any, n: Any) -> Value | None:
    """(x * k) * l = x * (k * l) if both are at least 1 or both at most 1: then x * k overflows or
    vanishes only where the result does. Rounds once less."""
    with np.errstate(all="ignore"):
        product = k * n
    if x.type.is_float:
        apart = (abs(k) - 1) * (abs(n) - 1) < 0
        if apart or not abs(product) >= np.finfo(x.type.dtype).tiny:
            return None
    return site.b.mul(x, site.b.constant(product)) if np.isfinite(product) else None


@rule(p.mul(x, p.div(1.0, y, name="z")))
def times_reciprocal(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """x * (1 / y) = x / y. Rounds once less. Not where 1 / y is shared or smaller than x."""
    if not site.used_once(z) or y.type.size < site.result.type.size:
        return None
    return site.b.div(x, y)


@rule(p.sub(p.exp(x, name="z"), 1.0))
def exp_minus_one(site: Site, x: Value, z: Value) -> Value | None:
    """exp(x) - 1 = expm1(x), which keeps the digits of a small x; where exp(x) is not shared"""
    return site.b.expm1(x) if site.used_once(z) else None


@rule(p.neg(p.div(n, x)))
def numerator_absorbs_negation(site: Site, n: Any, x: Value) -> Value:
    """-(k / x) = (-k) / x"""
    return site.b.div(site.b.constant(-n), x)


@rule(p.abs(p.neg(x)))
def abs_of_negation(site: Site, x: Value) -> Value | None:
    """|-x| = |x|, but for unsigned integers, which wrap around"""
    return None if x.type.dtype.kind == "u" else site.b.abs(x)


@rule(p.abs(p.abs(x, name="y")), p.abs(p.mul(x, x, name="y")))
def abs_of_positive(site: Site, x: Value, y: Value) -> Value | None:
    """||x|| = |x|, and |x x| = x x but for integers, which wrap around"""
    return y if x.type.is_float or site.producer(y, "abs") else None


@rule(p.maximum(x, x), p.minimum(x, x))
def extremum_of_equals(site: Site, x: Value) -> Value:
    """max(x, x) = min(x, x) = x"""
    return x


SIGNS: tuple[Rule, ...] = (
    times_one,
    plus_zero,
    times_minus_one,
    double_negation,
    add_negation,
    subtract_negation,
)
"""Rules that bring expressions into the shape other patterns are written for."""

RULES: tuple[Rule, ...] = (
    *SIGNS,
    gradient_stopped,
    integer_times_zero,
    negations_cancel,
    negation_into_factor,
    factor_absorbs_negation,
    numerator_absorbs_negation,
    exact_reciprocal,
    merge_factors,
    times_reciprocal,
    negation_outwards,
    exp_minus_one,
    abs_of_negation,
    abs_of_positive,
    extremum_of_equals,
)
