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
from functools import reduce

import numpy as np

from ...ir.dotspec import canonical_spec, parse_spec
from ...ir.graph import Value
from .patterns import c, p, x, y
from .rules import Rule, Site, rule
from .views import AxisMap, axis_map

REDUCTIONS = ("sum", "prod", "max", "min", "any", "all")


@rule("sum", "dot")
def sum_of_nothing(site: Site) -> Value | None:
    """A sum along an axis of no elements is 0, whatever others are multiplied by."""
    if site.result.type.size == 0 or all(v.type.size for v in site.operands):
        return None
    return site.b.broadcast(_number(site, 0), shape=site.result.shape)


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


@rule("sum", "max", "min", "any", "all")
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


@rule(p.sum(p.mul(x, y, name="z")), p.sum(p.select(c, p.mul(x, y, name="z"), 0.0)))
def sum_of_scaled(site: Site, z: Value, c: Value | None = None, **_: Value) -> Value | None:
    """sum(x * k) = sum(x) * k for k that is the same along all axes that are summed, also under a
    selection: where nothing is selected no k counts. See the note on what is taken out. Rounds
    differently; an infinite k meets sums that cancel."""
    (value,), axes = site.operands, site.node.attrs["axes"]
    alike, rest = _taken_out(site, z)
    once = site.used_once(z) and site.used_once(value)
    if not (alike and 0 < len(rest) <= (2 if once else 1)):
        return None
    shapes = [v.shape for v in (*rest, *([] if c is None else [c]))]
    if np.broadcast_shapes(*shapes) != value.shape:
        return None
    left, zero = reduce(site.b.mul, rest), site.b.constant(0, value.type.dtype)
    if c is not None:
        left = site.b.select(c, left, zero)
    total = reduce(site.b.mul, [_along_kept(site, k) for k in alike], site.b.sum(left, axes=axes))
    if c is None or all(_is_finite(site, k) for k in alike):
        return total
    every = c if c.shape == value.shape else site.b.broadcast(c, shape=value.shape)
    return site.b.select(site.b.any(every, axes=axes), total, zero)


@rule(p.sum(p.select(c, x, 0.0)))
def sum_of_selected(site: Site, c: Value, x: Value) -> Value | None:
    """sum(select(c, x, 0)) = select(c, sum(x), 0) for c that is the same along all axes that are
    summed"""
    (value,) = site.operands
    if x.shape != value.shape or not _is_alike(site, c, site.node.attrs["axes"]):
        return None
    total = site.b.sum(x, axes=site.node.attrs["axes"])
    return site.b.select(_along_kept(site, c), total, site.b.constant(0, x.type.dtype))


@rule(p.sum(p.sub(x, y, name="z")))
def sum_around_mean(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """sum(x - mean(x)) = sum(x) - sum(x), which is NaN where it was. Rounds differently: not at
    all."""
    axes = site.node.attrs["axes"]
    mean = _unshaped(site, y)
    scaled = site.producer(mean, "mul", "div")
    if scaled is None or x.shape != z.shape or not _is_alike(site, y, axes):
        return None
    total, factor = scaled.operands
    made, number = site.producer(total, "sum"), site.uniform(factor)
    if made is None or made.operands != (x,) or made.attrs["axes"] != axes or number is None:
        return None
    count = x.type.size // max(site.result.type.size, 1)
    dtype = x.type.dtype.type
    if number != (dtype(1) / dtype(count) if scaled.op.name == "mul" else dtype(count)):
        return None
    return site.b.sub(total, total)


@rule(p.sum(p.add(x, y, name="z")))
def sum_of_scaled_terms(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """sum(x * k + y * l) = sum(x * k) + sum(y * l) where `sum_of_scaled` takes k and l out. Rounds
    differently."""
    axes = site.node.attrs["axes"]
    if not all(v.shape == z.shape and _is_scaled(site, v) for v in (x, y)):
        return None
    return site.b.add(site.b.sum(x, axes=axes), site.b.sum(y, axes=axes))


def _is_scaled(site: Site, value: Value) -> bool:
    """Whether all but one factor of a value are taken out of the site's sum."""
    chosen = site.producer(value, "select")
    zero = chosen is not None and site.uniform(chosen.operands[2]) == 0
    alike, rest = _taken_out(site, chosen.operands[1] if chosen is not None and zero else value)
    return len(rest) == 1 and len(alike) > 0


def _taken_out(site: Site, product: Value) -> tuple[list[Value], list[Value]]:
    """The factors of a product that the site's sum is multiplied by instead, and the others.

    Note [What is taken out of a sum]
    A derivative is multiplied in whatever order is best. Where the user wrote the product nothing
    may overflow that did not: the sum of all x may, where the sum of all x * 0.001 does not. So of
    these only numbers of magnitude 1 and more are taken out, and only those multiplied by last:
    x * y may be too small for its digits where x * 1000 * y is not.
    """
    axes = site.node.attrs["axes"]
    if _is_free(site):
        factors = _factors(site, product)
        alike = [k for k in factors if _is_alike(site, k, axes)]
        return alike, [k for k in factors if k not in alike]
    node = site.producer(product, "mul")
    for value, k in (node.operands, node.operands[::-1]) if node is not None else ():
        if _is_large(site, k) and _is_alike(site, k, axes):
            alike, rest = _taken_out(site, value)
            return [*alike, k], rest
    return [], [product]


def _is_free(site: Site) -> bool:
    """Whether factors may go anywhere: in derivatives, and in integers, which wrap around."""
    return site.node.origin in ("autodiff", "jacobian-free") or not site.result.type.is_float


def _is_large(site: Site, factor: Value) -> bool:
    """Whether a factor is known to be one finite number of magnitude 1 or more."""
    number = site.uniform(factor)
    return number is not None and bool(1 <= abs(number) < np.inf)


def _is_finite(site: Site, factor: Value) -> bool:
    """Whether a factor is known to be one finite number."""
    number = site.uniform(factor)
    return number is not None and bool(np.isfinite(number))


def _factors(site: Site, value: Value) -> list[Value]:
    """What a product is the product of."""
    node = site.producer(value, "mul")
    return [value] if node is None else [f for v in node.operands for f in _factors(site, v)]


def _is_alike(site: Site, factor: Value, axes: Sequence[int]) -> bool:
    """Whether an operand of what makes the site's operand is the same along these axes."""
    missing = site.operands[0].type.rank - factor.type.rank
    return all(a < missing or factor.shape[a - missing] == 1 for a in axes)


def _along_kept(site: Site, factor: Value) -> Value:
    """Such an operand beside the site's sum."""
    missing = site.operands[0].type.rank - factor.type.rank
    gone = {a - missing for a in site.node.attrs["axes"]}
    shape = tuple(n for k, n in enumerate(factor.shape) if k not in gone)
    return site.b.reshape(factor, shape=shape)


def _unshaped(site: Site, value: Value) -> Value:
    """What a value is a reshape of, by axes of extent 1."""
    node = site.producer(value, "reshape")
    if node is None or axis_map(node) is None:
        return value
    return _unshaped(site, node.operands[0])


@rule(p.dot(p.neg(x, name="z"), y), p.dot(y, p.neg(x, name="z")))
def dot_of_negation(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """dot(-x, y) = dot(x, -y) = -dot(x, y)"""
    if not site.used_once(z) or x.type.size < site.result.type.size:
        return None
    return site.b.neg(_dot(site, site.operands[0] is z, x, y))


@rule(p.dot(p.mul(x, c, name="z"), y), p.dot(y, p.mul(x, c, name="z")))
def dot_of_scaled(site: Site, x: Value, c: Value, y: Value, z: Value) -> Value | None:
    """dot(x * c, y) = dot(x, y) * c for a scalar c, where the result is smaller than x, or
    dot(x, y * c), where y is and c is a number below 1: nothing overflows that did not, as the note
    on what is taken out of a sum has it. Rounds differently; an infinite c meets sums that
    cancel."""
    if c.shape != () or not site.used_once(z) or x.type.size <= site.result.type.size:
        return None
    left = site.operands[0] is z
    if _is_free(site) or _is_large(site, c):
        return site.b.mul(_dot(site, left, x, y), c)
    small = site.uniform(c) is not None and y.type.size < x.type.size
    return _dot(site, left, x, site.b.mul(y, c)) if small else None


def _dot(site: Site, left: bool, x: Value, y: Value) -> Value:
    """The site's contraction of other values, x on the left or on the right."""
    return site.b.dot(*((x, y) if left else (y, x)), spec=site.node.attrs["spec"])


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
    """A count in the dtype of the result, in which integers wrap around."""
    return site.b.constant(np.array(number).astype(site.result.type.dtype))


RULES: tuple[Rule, ...] = (
    sum_of_nothing,
    reduce_single_elements,
    reduce_twice,
    reduce_of_broadcast,
    reduce_below_move,
    sum_of_negation,
    sum_of_scaled,
    sum_of_scaled_terms,
    sum_of_selected,
    sum_around_mean,
    sum_of_dot,
    dot_of_negation,
    dot_of_scaled,
)
