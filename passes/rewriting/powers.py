"""Powers with a small constant exponent, as NumPy itself computes them.

    %y:f32[8] = power %x, 2.0
=>
    %y:f32[8] = mul %x, %x

`x ** 2` squares, `x ** 0.5` is `sqrt`, `x ** -1` is `1 / x` in NumPy too; higher powers by repeated
squaring differ from the library function by less than half their exponent in ulps. Derivatives then
come out in products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.builder import Builder
from ...ir.graph import Value
from .patterns import k, p, x
from .rules import Rule, Site, rule

LARGEST_PRODUCT = 12
"""The highest power that becomes a product (that of the Lennard-Jones potential): at most five
multiplications, which round by less than six ulps together."""


@rule(p.power(x, k))
def small_power(site: Site, x: Value, k: Any) -> Value | None:
    """x ** n = x * ... * x for n = 1 .. 12, and 1 for n = 0 (NaN ** 0 too). Rounds per product."""
    if not 0 <= k <= LARGEST_PRODUCT or k != int(k):
        return None
    return _product(site.b, x, int(k))


@rule(p.power(x, k))
def reciprocal_power(site: Site, x: Value, k: Any) -> Value | None:
    """x ** -n = 1 / x ** n for n = 1 .. 12. Rounds per product; 0 where x ** n overflows."""
    if not (1 <= -k <= LARGEST_PRODUCT and k == int(k) and x.type.is_float):
        return None
    return site.b.div(1.0, _product(site.b, x, -int(k)))


@rule(p.power(x, 0.5))
def root_power(site: Site, x: Value) -> Value:
    """x ** 0.5 = sqrt(x)"""
    return site.b.sqrt(x)


@rule(p.power(2.0, x))
def power_of_two(site: Site, x: Value) -> Value:
    """2 ** x = exp2(x). Rounds as exp2 does."""
    return site.b.exp2(x)


def _product(b: Builder, x: Value, n: int) -> Value:
    if n == 0:
        return b.constant(np.ones((), x.type.dtype))
    if n == 1:
        return x
    half = _product(b, x, n // 2)
    square = b.mul(half, half)
    return b.mul(square, x) if n % 2 else square


RULES: tuple[Rule, ...] = (small_power, reciprocal_power, root_power, power_of_two)
