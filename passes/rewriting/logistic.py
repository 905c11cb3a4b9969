"""Stable forms of the logistic family: sigmoid, softplus, tanh and their logarithms.

    %e:f64[8] = exp %z
    %s:f64[8] = add 1.0, %e
    %y:f64[8] = log %s
=>
    %y:f64[8] = softplus %z

Written in exponentials these overflow, and their derivatives lose every digit, long before the
function itself does. Each rule's right side is finite wherever its value is.
"""

from __future__ import annotations

from ...ir.graph import Value
from .patterns import p, u, x
from .rules import Rule, Site, rule


@rule(p.div(x, p.add(1.0, p.exp(u))))
def logistic(site: Site, x: Value, u: Value) -> Value:
    """x / (1 + exp(u)) = x sigmoid(-u). Rounds once more unless x is 1."""
    gate = site.b.sigmoid(site.b.neg(u))
    return gate if site.uniform(x) == 1 else site.b.mul(x, gate)


@rule(p.div(p.exp(x), p.add(1.0, p.exp(x))))
def logistic_ratio(site: Site, x: Value) -> Value:
    """exp(x) / (1 + exp(x)) = sigmoid(x)"""
    return site.b.sigmoid(x)


@rule(p.div(p.sub(p.exp(x), p.exp(p.neg(x))), p.add(p.exp(x), p.exp(p.neg(x)))))
def tanh_ratio(site: Site, x: Value) -> Value:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)) = tanh(x)"""
    return site.b.tanh(x)


@rule(p.div(p.sub(p.exp(x), 1.0), p.add(p.exp(x), 1.0)))
def tanh_half(site: Site, x: Value) -> Value:
    """(exp(x) - 1) / (exp(x) + 1) = tanh(x / 2)"""
    return site.b.tanh(site.b.mul(x, 0.5))


@rule(p.div(p.sub(1.0, p.exp(x)), p.add(p.exp(x), 1.0)))
def tanh_half_negated(site: Site, x: Value) -> Value:
    """(1 - exp(x)) / (1 + exp(x)) = tanh(-x / 2)"""
    return site.b.tanh(site.b.mul(x, -0.5))


@rule(p.log(p.add(1.0, p.exp(x))), p.log1p(p.exp(x)))
def softplus(site: Site, x: Value) -> Value:
    """log(1 + exp(x)) = softplus(x)"""
    return site.b.softplus(x)


@rule(
    p.add(p.maximum(x, 0.0), p.softplus(p.neg(p.abs(x)))),
    p.add(p.maximum(p.neg(u, name="x"), 0.0), p.softplus(p.neg(p.abs(u)))),
)
def softplus_by_sign(site: Site, x: Value, u: Value | None = None) -> Value:
    """maximum(x, 0) + softplus(-abs(x)) = softplus(x), the stable form as it is written by hand"""
    return site.b.softplus(x)


@rule(p.log(p.add(1.0, x)))
def log_one_plus(site: Site, x: Value) -> Value:
    """log(1 + x) = log1p(x), which keeps the digits of a small x"""
    return site.b.log1p(x)


@rule(p.log(p.sigmoid(x)))
def log_sigmoid(site: Site, x: Value) -> Value:
    """log(sigmoid(x)) = -softplus(-x)"""
    b = site.b
    return b.neg(b.softplus(b.neg(x)))


@rule(p.log(p.sub(1.0, p.sigmoid(x))), p.log1p(p.neg(p.sigmoid(x))))
def log_one_minus_sigmoid(site: Site, x: Value) -> Value:
    """log(1 - sigmoid(x)) = -softplus(x)"""
    return site.b.neg(site.b.softplus(x))


@rule(p.log(p.div(p.sigmoid(x), p.sub(1.0, p.sigmoid(x)))))
def logit(site: Site, x: Value) -> Value:
    """log(sigmoid(x) / (1 - sigmoid(x))) = x"""
    return x


@rule(p.log(p.exp(x)))
def log_exp(site: Site, x: Value) -> Value:
    """log(exp(x)) = x"""
    return x


RULES: tuple[Rule, ...] = (
    tanh_ratio,
    tanh_half,
    tanh_half_negated,
    logistic_ratio,
    logistic,
    softplus,
    softplus_by_sign,
    log_sigmoid,
    log_one_minus_sigmoid,
    logit,
    log_exp,
    log_one_plus,
)
