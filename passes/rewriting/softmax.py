"""Stable forms of the softmax family, however the shapes are spelled.

    %e:f64[4,3] = exp %z
    %s:f64[4]   = sum %e [axes=(1)]
    %k:f64[4,1] = reshape %s [shape=(4,1)]
    %p:f64[4,3] = div %e, %k
    %l:f64[4,3] = log %p
=>
    %s:f64[4]   = logsumexp %z [axis=1]
    %k:f64[4,1] = reshape %s [shape=(4,1)]
    %l:f64[4,3] = sub %z, %k

A maximum subtracted first is subtracted by the composite op anyway, so it goes too: its derivative
cancels, and only a rule that sees the whole knows that.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ...ir.graph import Node, Value
from .patterns import c, n, p, x, y
from .rules import Rule, Site, rule
from .views import MOVES, View, below_moves, replay, view


@rule(p.div(x, y))
def softmax(site: Site, x: Value, y: Value) -> Value | None:
    """exp(u) / sum(exp(u)) = softmax(u)"""
    rows, totals = view(site, x), view(site, y)
    exp, total = site.producer(rows.base, "exp"), site.producer(totals.base, "sum")
    if exp is None or total is None or total.operands[0] is not rows.base:
        return None
    axes = total.attrs["axes"]
    if not totals.follows(rows, axes) or not _is_run(axes):
        return None
    moves = below_moves(site, x, rows.base)[1]
    return replay(site, moves, _along(site, "softmax", exp.operands[0], axes))


@rule(p.exp(p.sub(x, y)))
def softmax_from_log(site: Site, x: Value, y: Value) -> Value | None:
    """exp(u - logsumexp(u)) = softmax(u)"""
    totals = view(site, y)
    node = site.producer(totals.base, "logsumexp")
    if node is None:
        return None
    (u,), axis = node.operands, node.attrs["axis"]
    rows = view(site, x, u)
    if rows.base is not u or not totals.follows(rows, (axis,)):
        return None
    return replay(site, below_moves(site, x, u)[1], site.b.softmax(u, axis=axis))


@rule("softmax")
def softmax_shift(site: Site) -> Value | None:
    """softmax(u - max(u)) = softmax(u)"""
    axis = site.node.attrs["axis"]
    shift = _shift_by_maximum(site, site.operands[0], axis)
    return None if shift is None else site.b.softmax(shift[0], axis=axis)


@rule(p.log(x))
def log_sum_exp(site: Site, x: Value) -> Value | None:
    """log(sum(exp(u))) = logsumexp(u)"""
    total, moves = below_moves(site, x)
    node = site.producer(total, "sum")
    exp = site.producer(node.operands[0], "exp") if node is not None else None
    if node is None or exp is None or not _is_run(node.attrs["axes"]):
        return None
    return replay(site, moves, _along(site, "logsumexp", exp.operands[0], node.attrs["axes"]))


@rule(p.log(p.div(x, n)))
def log_mean_exp(site: Site, x: Value, n: Any) -> Value | None:
    """log(sum(exp(u)) / n) = log(sum(exp(u))) - log(n) for a constant n > 0"""
    node = site.producer(below_moves(site, x)[0], "sum")
    if node is None or site.producer(node.operands[0], "exp") is None or not n > 0:
        return None
    b = site.b
    return b.sub(b.log(x), b.log(b.constant(n)))


@rule("softmax", "logsumexp", below=("transpose",))
def softmax_before_transpose(site: Site) -> Value | None:
    """softmax(transpose(x)) = transpose(softmax(x)), along the axis where it was, so for logsumexp:
    rows are read in order. Not where a product computes its result transposed anyway. Sums round
    differently."""
    node, axis = site.producer(site.operands[0], "transpose"), site.node.attrs["axis"]
    if node is None:
        return None
    (x,), perm = node.operands, node.attrs["perm"]
    once = site.used_once(site.operands[0]) and site.used_once(x)
    if once and site.producer(x, "dot") is not None:
        return None
    value = site.b.emit(site.node.op, (x,), {"axis": perm[axis]}).results[0]
    kept = [a for a in perm if a != perm[axis]] if value.type.rank < len(perm) else perm
    return site.b.transpose(value, perm=tuple(sorted(kept).index(a) for a in kept))


@rule(p.add(x, y))
def logsumexp_shift(site: Site, x: Value, y: Value) -> Value | None:
    """logsumexp(u - max(u)) + max(u) = logsumexp(u)"""
    totals = view(site, x)
    node = site.producer(totals.base, "logsumexp")
    shift = _shift_by_maximum(site, node.operands[0], node.attrs["axis"]) if node else None
    if node is None or shift is None or x.shape != site.result.shape:
        return None
    (u, inside), axis = shift, node.attrs["axis"]
    outside = view(site, y, inside.base)
    per_axis = inside.aligned(u.type.rank)
    kept = per_axis[:axis] + per_axis[axis + 1 :]
    expected = tuple(None if a is None else kept[a] for a in totals.axes)
    if outside.base is not inside.base or outside.aligned(x.type.rank) != expected:
        return None
    moves = below_moves(site, x, totals.base)[1]
    return replay(site, moves, site.b.logsumexp(u, axis=axis))


@rule(p.sub(x, y))
def log_softmax_shift(site: Site, x: Value, y: Value) -> Value | None:
    """(u - max(u)) - logsumexp(u - max(u)) = u - logsumexp(u)"""
    totals = view(site, y)
    node = site.producer(totals.base, "logsumexp")
    shift = _shift_by_maximum(site, node.operands[0], node.attrs["axis"]) if node else None
    if node is None or shift is None:
        return None
    shifted, axis, u = node.operands[0], node.attrs["axis"], shift[0]
    rows = view(site, x, shifted)
    if rows.base is not shifted or not totals.follows(rows, (axis,)):
        return None
    above, beside = below_moves(site, x, shifted)[1], below_moves(site, y, totals.base)[1]
    total = replay(site, beside, site.b.logsumexp(u, axis=axis))
    return site.b.sub(replay(site, above, u), total)


@rule(p.log(x))
def log_softmax(site: Site, x: Value) -> Value | None:
    """log(move(softmax(u))) = move(u - logsumexp(u)), whatever moves the elements"""
    base, moves = below_moves(site, x)
    node = site.producer(base, "softmax")
    if node is None:
        return None
    (u,), axis = node.operands, node.attrs["axis"]
    keepdims = (*u.shape[:axis], 1, *u.shape[axis + 1 :])
    total = site.b.reshape(site.b.logsumexp(u, axis=axis), shape=keepdims)
    return replay(site, moves, site.b.sub(u, total))


@rule(p.log(x), p.log1p(x))
def log_above_moves(site: Site, x: Value) -> Value | None:
    """log(f(move(g(u)))) = log(f(g(move(u)))) for g = sigmoid or exp and f made of -v, 1 - v,
    1 + v: moves commute with elementwise ops. Not when they repeat elements."""
    b, (base, path) = site.b, _descend(site, x)
    moves = [step.node for step in path if step.node.op.name in MOVES]
    inner = site.producer(base, "sigmoid", "exp")
    if inner is None or not moves or x.type.size > base.type.size:
        return None
    value = b.emit(inner.op, (replay(site, moves, inner.operands[0]),)).results[0]
    for step in path:
        if step.node not in moves:
            operands = list(map(site.scalar, step.node.operands))
            operands[step.operand] = value
            value = b.emit(step.node.op, operands).results[0]
    return b.emit(site.node.op, (value,)).results[0]


@rule(p.log(p.select(c, x, y)))
def log_of_choice(site: Site, c: Value, x: Value, y: Value) -> Value | None:
    """log(select(c, v, w)) = select(c, log(v), log(w)) where both are probabilities or constants,
    whose logarithms have stable forms"""
    if not (_is_probability(site, x) and _is_probability(site, y)):
        return None
    return site.b.select(c, site.b.log(x), site.b.log(y))


class _Step(NamedTuple):
    """A node on a path, and which of its operands the path goes through."""

    node: Node
    operand: int


def _descend(site: Site, value: Value) -> tuple[Value, list[_Step]]:
    """Follow `value` down through moves, -v and k + v, k - v; the path comes inner first."""
    path: list[_Step] = []
    while (node := site.producer(value, *MOVES, "neg", "add", "sub")) is not None:
        through = [i for i, v in enumerate(node.operands) if site.uniform(v) is None]
        if not through or (node.op.name in ("add", "sub") and len(through) != 1):
            break
        path.append(_Step(node, through[0]))
        value = node.operands[through[0]]
    return value, path[::-1]


def _is_probability(site: Site, value: Value) -> bool:
    known = site.uniform(value) is not None
    return known or site.producer(_descend(site, value)[0], "sigmoid", "softmax") is not None


def _shift_by_maximum(site: Site, value: Value, axis: int) -> tuple[Value, View] | None:
    """(u, view of m) if `value` is u - m where m is a maximum of u, the same all along `axis`."""
    node = site.producer(value, "sub")
    if node is None or node.operands[0].shape != value.shape:
        return None
    u, shift = node.operands[0], view(site, node.operands[1])
    top = site.producer(shift.base, "max")
    if top is None or top.operands[0] is not u:
        return None
    return (u, shift) if shift.aligned(u.type.rank)[axis] is None else None


def _along(site: Site, op: str, u: Value, axes: tuple[int, ...]) -> Value:
    """softmax or logsumexp of `u` along a run of axes, joined into one."""
    first, last = axes[0], axes[-1] + 1
    if len(axes) == 1:
        return site.b.emit(op, (u,), {"axis": first}).results[0]
    joined = (*u.shape[:first], math.prod(u.shape[first:last]), *u.shape[last:])
    value = site.b.emit(op, (site.b.reshape(u, shape=joined),), {"axis": first}).results[0]
    return site.b.reshape(value, shape=u.shape) if op == "softmax" else value


def _is_run(axes: tuple[int, ...]) -> bool:
    return len(axes) > 0 and axes[-1] - axes[0] == len(axes) - 1


RULES: tuple[Rule, ...] = (
    softmax_shift,
    softmax,
    softmax_from_log,
    logsumexp_shift,
    log_softmax_shift,
    log_sum_exp,
    log_mean_exp,
    softmax_before_transpose,
    log_softmax,
    log_above_moves,
    log_of_choice,
)
