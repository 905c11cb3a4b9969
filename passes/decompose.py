"""Spell softmax and log-sum-exp out in primitives, shifted by the maximum.

    %p:f64[4,3] = softmax %z [axis=1]
=>
    %m:f64[4]   = max %z [axes=(1)]
    %k:f64[4,1] = reshape %m [shape=(4,1)]
    %d:f64[4,3] = sub %z, %k
    %e:f64[4,3] = exp %d
    %s:f64[4]   = sum %e [axes=(1)]
    %t:f64[4,1] = reshape %s [shape=(4,1)]
    %p:f64[4,3] = div %e, %t

Every derivative exists by now, so nothing is lost; fusion sees the parts, and a softmax and a
log-sum-exp of the same logits share all but their last op once equal expressions are merged.
"""

from __future__ import annotations

import math
from typing import Final

from ..ir.graph import Value
from ..ir.ops.reduce import expand_reduced
from .rewriting.patterns import Var, match_node, p, x, y
from .rewriting.rules import RulePass, Site, rule
from .rewriting.views import below_moves, replay

LOGSUMEXP: Final = p.select(p.isfinite(Var("m")), p.add(Var("m"), Var("l")), Var("m"))
"""What `logsumexp_parts` makes: m is the maximum, l the logarithm of the shifted sum."""


@rule("softmax")
def softmax_parts(site: Site) -> Value:
    """softmax(x) = e / sum(e) with e = exp(x - max(x)); NaN for a row without a finite maximum"""
    (x,), axes = site.operands, (site.node.attrs["axis"],)
    e = _shifted_exp(site, x, axes)
    total = site.b.sum(e, axes=axes)
    return site.b.div(e, expand_reduced(site.b, total, x.type, axes))


@rule("logsumexp")
def logsumexp_parts(site: Site) -> Value:
    """logsumexp(x) = m + log(sum(exp(x - m))) with m = max(x), and m itself if it is not finite"""
    b, (x,), axes = site.b, site.operands, (site.node.attrs["axis"],)
    top = b.max(x, axes=axes)
    total = b.sum(_shifted_exp(site, x, axes), axes=axes)
    return b.select(b.isfinite(top), b.add(top, b.log(total)), top)


@rule(p.sub(x, y))
def log_softmax_parts(site: Site, x: Value, y: Value) -> Value | None:
    """x - logsumexp(u) = (x - m) - log(sum(exp(u - m))) with m = max(u): near the maximum the first
    difference is exact, where m + log(..) would round. NaN, not -inf, beside an infinite m."""
    total, moves = below_moves(site, y)
    node = site.producer(total, "select")
    for found in match_node(site.producers, LOGSUMEXP, node) if node is not None else ():
        top, log_total = (replay(site, moves, found[name]) for name in ("m", "l"))
        return site.b.sub(site.b.sub(x, top), log_total)
    return None


def _shifted_exp(site: Site, x: Value, axes: tuple[int, ...]) -> Value:
    top = site.b.max(x, axes=axes)
    return site.b.exp(site.b.sub(x, expand_reduced(site.b, top, x.type, axes)))


@rule("eye")
def eye_parts(site: Site) -> Value:
    """eye[i, j] = (i == j), counting the elements of a shape in order"""
    b, attrs = site.b, site.node.attrs
    n = math.prod(attrs["shape"])
    position = b.iota(n=n)
    equal = b.eq(b.reshape(position, shape=(n, 1)), position)
    return b.reshape(b.cast(equal, dtype=attrs["dtype"]), shape=site.result.shape)


decompose: Final = RulePass(
    "decompose", (softmax_parts, logsumexp_parts, log_softmax_parts, eye_parts)
)
