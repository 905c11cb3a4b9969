"""Rules for reductions and for what contractions and sums have in common: they are linear.

    %b:f64[32,10] = broadcast %x [shape=(32,10)]
    %y:f64[10]    = sum %b [axes=(0)]
=>
    %y:f64[10]    = mul %x, 32.0

Sums change their order of additions here and there, and with it the last bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...ir.dotspec import canonical_spec, parse_spec
from ...ir.graph import Value
from .patterns import c, p, x, y
from .rules import Rule, Site, rule
from .views import AxisMap, axis_map

REDUCTIONS = ("sum", "max", "min", "any", "all")


@rule(*REDUCTIONS)
def reduce_single_elements(site: Site) -> Value | None:
    """reduce(x) = reshape(x) over axes of extent 1, or over none. A -0.0 stays; NumPy's sum of
    nothing but -0.0 is 0.0."""
    (x,) = site.operands
    if any(x.shape[a] != 1 for a in site.node.attrs["axes"]):
        return None
    return site.b.reshape(x, shape=site.result.shape)


@rule(*(getattr(p, name)(getattr(p, name)(x, name="y")) for name in REDUCTIONS))
def reduce_twice(site: Site, x: Value, y: Value) -> Value:
    """reduce(reduce(x)) = reduce(x) over both sets of axes. Sums round differently."""
    inner = site.producers[y].attrs["axes"]
    left = [a for a in range(x.type.rank) if a not in inner]
    outer = [left[a] for a in site.node.attrs["axes"]]
    return _reduce(site, x, [*inner, *outer])


@rule(*REDUCTIONS)
def reduce_below_move(site: Site) -> Value | None:
    """reduce(move(x)) = move(reduce(x)) for a transpose or a reshape by axes of extent 1, so that
    the smaller array is moved. Sums round differently."""
    node = site.producer(site.operands[0], "transpose", "reshape")
    axes = axis_map(node) if node is not None else None
    if node is None or axes is None:
        return None
    (x,), reduced = node.operands, site.node.attrs["axes"]
    inner = [a for k in reduced if (a := axes[k]) is not None]
    left = [a for a in range(x.type.rank) if a not in inner]
    kept = [a for k in range(len(axes)) if k not in reduced and (a := axes[k]) is not None]
    value = _reduce(site, x, inner)
    ones = [a for a in left if a not in kept]
    value = site.b.transpose(value, perm=tuple(left.index(a) for a in [*kept, *ones]))
    return site.b.reshape(value, shape=site.result.shape)


@rule(*REDUCTIONS)
def reduce_of_broadcast(site: Site) -> Value | None:
    """sum(broadcast(x)) = count * sum(x), and max, min, any, all do not see repetition. The product
    rounds once where the sum of equal terms rounds often."""
    node = site.producer(site.operands[0], "broadcast")
    axes: AxisMap = (axis_map(node) or ()) if node is not None else ()
    reduced = site.node.attrs["axes"]
    count = math.prod(site.operands[0].shape[k] for k in reduced if axes and axes[k] is None)
    if node is None or all(axes[k] is not None for k in reduced) or count == 0:
        return None
    (x,) = node.operands
    inner = [a for k in reduced if (a := axes[k]) is not None]
    value = _reduce(site, x, inner)
    offset = len(axes) - x.type.rank
    kept = [k for k in range(offset, len(axes)) if k not in reduced]
    value = site.b.reshape(value, shape=tuple(x.shape[k - offset] for k in kept))
    return site.b.mul(value, _number(site, count)) if site.node.op.name == "sum" else value


@rule(p.sum(p.neg(x, name="y")))
def sum_of_negation(site: Site, x: Value, y: Value) -> Value | None:
    """sum(-x) = -sum(x)"""
    if not site.used_once(y):
        return None
    return site.b.neg(_reduce(site, x, site.node.attrs["axes"]))


@rule(p.dot(p.neg(x, name="z"), y), p.dot(y, p.neg(x, name="z")))
def dot_of_negation(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """dot(-x, y) = dot(x, -y) = -dot(x, y)"""
    if not site.used_once(z) or x.type.size < site.result.type.size:
        return None
    operands = (x, y) if site.operands[0] is z else (y, x)
    return site.b.neg(site.b.dot(*operands, spec=site.node.attrs["spec"]))


@rule(p.dot(p.mul(x, c, name="z"), y), p.dot(y, p.mul(x, c, name="z")))
def dot_of_scaled(site: Site, x: Value, c: Value, y: Value, z: Value) -> Value | None:
    """dot(x * c, y) = dot(x, y) * c for a scalar c, where the result is smaller than x. Rounds
    differently; an infinite c meets sums that cancel."""
    if c.shape != () or not site.used_once(z) or x.type.size <= site.result.type.size:
        return None
    operands = (x, y) if site.operands[0] is z else (y, x)
    return site.b.mul(site.b.dot(*operands, spec=site.node.attrs["spec"]), c)


@rule(p.sum(p.dot(x, y, name="z")))
def sum_of_dot(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """sum_i dot(x, y) = dot(sum_i x, y) for i an axis of x alone; if both have it, the contraction
    sums it. Rounds differently; an infinite y meets sums that cancel."""
    if not site.used_once(z):
        return None
    spec = parse_spec(site.producers[z].attrs["spec"])
    gone = [spec.out[a] for a in site.node.attrs["axes"]]
    lhs, left = _sum_letters(site, x, spec.lhs, [c for c in gone if c not in spec.rhs])
    rhs, right = _sum_letters(site, y, spec.rhs, [c for c in gone if c not in spec.lhs])
    out = "".join(c for c in spec.out if c not in gone)
    return site.b.dot(left, right, spec=canonical_spec(f"{lhs},{rhs}->{out}"))


def _sum_letters(site: Site, x: Value, letters: str, gone: list[str]) -> tuple[str, Value]:
    value = _reduce(site, x, [letters.index(c) for c in gone]) if gone else x
    return "".join(c for c in letters if c not in gone), value


def _reduce(site: Site, x: Value, axes: Sequence[int]) -> Value:
    """The site's reduction of another value."""
    name = site.node.op.name
    return site.b.emit(name, (x,), {"axes": tuple(sorted(axes))}).results[0]


def _number(site: Site, number: int) -> Value:
    return site.b.constant(number, site.result.type.dtype)


RULES: tuple[Rule, ...] = (
    reduce_single_elements,
    reduce_twice,
    reduce_of_broadcast,
    reduce_below_move,
    sum_of_negation,
    sum_of_dot,
    dot_of_negation,
    dot_of_scaled,
)
