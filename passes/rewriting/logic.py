"""Rules for Booleans, selections and conversions. All are exact.

    %m:f64[8] = select %c, %g, 0.0
    %t:f64[8] = mul %m, %h
    %y:f64[8] = select %c, %t, 0.0
=>
    %t:f64[8] = mul %g, %h
    %y:f64[8] = select %c, %t, 0.0
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.graph import Value
from .patterns import c, n, p, u, x, y, z
from .rules import Rule, Site, rule

AND, OR, NOT = "and", "or", "not"


def _p(name: str, *operands: Any) -> Any:
    """A pattern whose op is a Python keyword."""
    return getattr(p, name)(*operands)


@rule(_p(AND, x, True), _p(OR, x, False), p.xor(x, False), _p(AND, x, x), _p(OR, x, x))
def neutral_logic(site: Site, x: Value) -> Value:
    """x and true = x or false = x xor false = x and x = x or x = x"""
    return x


@rule(_p(AND, x, False), _p(OR, x, True))
def dominant_logic(site: Site, x: Value) -> Value:
    """x and false = false; x or true = true"""
    return site.b.constant(site.node.op.name == OR)


@rule(_p(AND, x, _p(NOT, x)), _p(OR, x, _p(NOT, x)))
def excluded_middle(site: Site, x: Value) -> Value:
    """x and not x = false; x or not x = true"""
    return site.b.constant(site.node.op.name == OR)


@rule(_p(NOT, _p(NOT, x)))
def double_not(site: Site, x: Value) -> Value:
    """not (not x) = x"""
    return x


@rule(_p(NOT, p.eq(x, y)), _p(NOT, p.ne(x, y)))
def not_equal(site: Site, x: Value, y: Value) -> Value:
    """not (x == y) = (x != y) and back, for NaN too (which an order would not survive)"""
    inner = site.producers[site.operands[0]].op.name
    return site.b.emit("ne" if inner == "eq" else "eq", (x, y)).results[0]


@rule(p.select(n, x, y))
def known_choice(site: Site, n: Any, x: Value, y: Value) -> Value:
    """select(true, x, y) = x; select(false, x, y) = y"""
    return x if n else y


@rule(p.select(c, x, x))
def no_choice(site: Site, c: Value, x: Value) -> Value:
    """select(c, x, x) = x"""
    return x


@rule(p.select(_p(NOT, c), x, y))
def negated_choice(site: Site, c: Value, x: Value, y: Value) -> Value:
    """select(not c, x, y) = select(c, y, x)"""
    return site.b.select(c, y, x)


@rule(p.select(c, p.select(c, x, u), y), p.select(c, x, p.select(c, u, y)))
def repeated_choice(site: Site, c: Value, x: Value, u: Value, y: Value) -> Value:
    """select(c, select(c, x, u), y) = select(c, x, select(c, u, y)) = select(c, x, y)"""
    return site.b.select(c, x, y)


@rule(
    p.select(c, p.mul(p.select(c, x, u), y, name="v"), z),
    p.select(c, p.div(p.select(c, x, u), y, name="v"), z),
    p.select(c, p.neg(p.select(c, x, u), name="v"), z),
    p.select(c, z, p.mul(p.select(c, u, x), y, name="v")),
    p.select(c, z, p.div(p.select(c, u, x), y, name="v")),
    p.select(c, z, p.neg(p.select(c, u, x), name="v")),
)
def choice_of_chosen(site: Site, c: Value, v: Value, z: Value, **rest: Value) -> Value | None:
    """select(c, f(select(c, x, u)), z) = select(c, f(x), z) for products, quotients, negations,
    and in the other branch likewise"""
    if not site.used_once(v):
        return None
    operands = [rest[name] for name in ("x", "y") if name in rest]
    value = site.b.emit(site.producers[v].op, operands).results[0]
    return site.b.select(c, *((value, z) if site.operands[1] is v else (z, value)))


@rule(p.add(p.select(c, x, 0.0, name="u"), p.select(c, 0.0, y, name="v")))
def disjoint_choices(site: Site, c: Value, x: Value, y: Value, u: Value, v: Value) -> Value | None:
    """select(c, x, 0) + select(c, 0, y) = select(c, x, y) + 0, to the sign of a zero"""
    if not (site.used_once(u) and site.used_once(v)):
        return None
    b = site.b
    return b.add(b.select(c, x, y), b.constant(0, site.result.type.dtype))


@rule("cast")
def same_cast(site: Site) -> Value | None:
    """cast(x) = x when x has that dtype already"""
    (x,) = site.operands
    return x if x.type == site.result.type else None


@rule(p.cast(p.cast(x, name="y")))
def cast_of_cast(site: Site, x: Value, y: Value) -> Value | None:
    """cast(cast(x)) = cast(x) when the inner one loses nothing"""
    if not lossless(x.type.dtype, y.type.dtype):
        return None
    return site.b.cast(x, dtype=site.result.type.dtype)


def lossless(source: np.dtype, target: np.dtype) -> bool:
    """Whether `target` has every value of `source` (NumPy calls i64 to f64 safe)."""
    if source.kind in "iu" and target.kind == "f":
        return 8 * source.itemsize <= np.finfo(target).nmant + 1
    return np.can_cast(source, target, "safe")


RULES: tuple[Rule, ...] = (
    neutral_logic,
    dominant_logic,
    excluded_middle,
    double_not,
    not_equal,
    known_choice,
    no_choice,
    negated_choice,
    repeated_choice,
    choice_of_chosen,
    disjoint_choices,
    same_cast,
    cast_of_cast,
)
