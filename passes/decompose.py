"""Spell softmax, log-sum-exp and rolls out in primitives, solvers in terms of one factorisation.

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
log-sum-exp of the same logits share all but their last op once equal expressions are merged. So do
all that solve with one matrix, or its transpose, or take its determinant:

    %x:f64[3,1] = solve %A, %b
=>
    %f:f64[3,3], %p:i64[3] = lu %A
    %x:f64[3,1] = lu_solve %f, %p, %b
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ..ir.builder import Builder
from ..ir.graph import Value
from ..ir.ops.index import positions_along
from ..ir.ops.move import full_slice
from ..ir.ops.reduce import expand_reduced
from ..ir.types import I64
from .algebra.products import diagonal
from .rewriting.patterns import Var, match_node, p, x, y
from .rewriting.rules import RulePass, Site, rule
from .rewriting.views import below_moves, replay

LONG_SEARCH: Final = 32
"""Elements from which on two readings, of several at a time, take less than one reading."""

WIDE: Final = 8
"""Columns of Booleans from which on all are searched at a time, each with a place in memory."""

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


@rule("argmax", "argmin")
def arg_parts(site: Site) -> Value | None:
    """argmax(x) = min(i where x[i] == max(x), or x[i] is NaN), where the axis is not the last one:
    loops over vectors instead of one that compares an element at a time. So for argmin. Of Booleans
    the maximum is True, and the first place counts where all are alike."""
    b, (x,), axis = site.b, site.operands, site.node.attrs["axis"]
    n, name = x.shape[axis], site.node.op.name
    fewest, narrowest = (2, WIDE) if x.type.is_bool else (LONG_SEARCH, 2)
    if n < fewest or math.prod(x.shape[axis + 1 :]) < narrowest:
        return None
    places, far = _places(b, x, axis)
    if x.type.is_bool:
        here = x if name == "argmax" else b.emit("not", (x,)).result
        found = b.min(b.select(here, places, far), axes=(axis,))
        found = b.select(b.eq(found, far), b.constant(0, far.type.dtype), found)
    else:
        best = b.emit(name[3:], (x,), {"axes": (axis,)}).result
        here = b.eq(x, expand_reduced(b, best, x.type, (axis,)))
        if x.type.is_float:
            here = b.emit("or", (here, b.ne(x, x))).result
        found = b.min(b.select(here, places, far), axes=(axis,))
    return _cast(b, found, I64)


def _places(b: Builder, x: Value, axis: int) -> tuple[Value, Value]:
    """Where elements stand along an axis, and what is behind all of them, in the smallest integers
    that are no smaller than the elements: vectors have as many of both."""
    n, size = x.shape[axis], x.type.dtype.itemsize
    sizes = (k for k in (1, 2, 4, 8) if k >= size and n < 2 ** (8 * k - 1))
    dtype = np.dtype(f"i{next(sizes)}")
    return _cast(b, positions_along(b, x.shape, axis), dtype), b.constant(n, dtype)


def _cast(b: Builder, x: Value, dtype: np.dtype) -> Value:
    return x if x.type.dtype == dtype else b.cast(x, dtype=dtype)


@rule("roll")
def roll_parts(site: Site) -> Value:
    """roll(x, s) = concatenate(x[n - s:], x[:n - s]) for 0 < s < n, s taken modulo n; of a
    transposed x the transpose of a roll, as derivatives have them"""
    (x,), axis = site.operands, site.node.attrs["axis"]
    turned = site.producer(x, "transpose")
    if turned is not None:
        perm = turned.attrs["perm"]
        inner = site.b.roll(turned.operands[0], axis=perm[axis], shift=site.node.attrs["shift"])
        return site.b.transpose(inner, perm=perm)
    n = x.shape[axis]
    cut = -site.node.attrs["shift"] % max(n, 1)
    if not cut:
        return x
    whole = [full_slice(extent) for extent in x.shape]
    parts = ((*whole[:axis], part, *whole[axis + 1 :]) for part in ((cut, n, 1), (0, cut, 1)))
    return site.b.concatenate(*(site.b.slice(x, spec=spec) for spec in parts), axis=axis)


@rule("solve")
def solve_factor(site: Site) -> Value | None:
    """solve(L, B) = solve_triangular(L, B) for the factor L of Cholesky, or its transpose; for an
    infinite l_ij NaN may spread"""
    (a, right), transposed = site.operands, site.node.attrs["transposed"]
    *batch, row, column = range(a.type.rank)
    turned = site.producer(a, "transpose")
    if turned is not None and turned.attrs["perm"] == (*batch, column, row):
        a, transposed = turned.operands[0], not transposed
    if site.producer(a, "cholesky") is None:
        return None
    return site.b.solve_triangular(a, right, lower=True, transposed=transposed)


@rule("solve")
def solve_parts(site: Site) -> Value:
    """solve(A, B) = U^-1 L^-1 P B with P A = L U; for an infinite or NaN a_ij NaN may
    spread"""
    a, right = site.operands
    return site.b.lu_solve(*site.b.emit("lu", (a,)).results, right, **site.node.attrs)


@rule("logabsdet")
def logabsdet_parts(site: Site) -> Value:
    """log|det A| = sum(log|u_ii|) with P A = L U; NaN for an infinite element of A"""
    b, (a,) = site.b, site.operands
    pivots = _diagonal(b, b.lu(a))
    return b.sum(b.log(b.abs(pivots)), axes=(pivots.type.rank - 1,))


@rule("det_sign")
def det_sign_parts(site: Site) -> Value:
    """sign(det A) = (-1)^(row exchanges + negative u_ii), 0 if a u_ii is; for an infinite a_ij
    any sign"""
    b, (a,) = site.b, site.operands
    factors, rows = b.emit("lu", (a,)).results
    pivots, last = _diagonal(b, factors), (rows.type.rank - 1,)
    exchanged = b.ne(rows, b.iota(n=rows.shape[-1]))
    odd = b.ne(exchanged, b.lt(pivots, 0.0))
    count = b.sum(b.cast(odd, dtype=I64), axes=last)
    sign = b.cast(b.sub(1, b.mul(2, b.remainder(count, 2))), dtype=a.type.dtype)
    return b.select(b.any(b.eq(pivots, 0.0), axes=last), 0.0, sign)


def _diagonal(b: Builder, matrix: Value) -> Value:
    letters = tuple(range(matrix.type.rank - 1))
    return diagonal(b, matrix, (*letters, letters[-1]), letters[-1])[0]


decompose: Final = RulePass(
    "decompose",
    (
        softmax_parts,
        logsumexp_parts,
        log_softmax_parts,
        arg_parts,
        eye_parts,
        roll_parts,
        solve_factor,
        solve_parts,
        logabsdet_parts,
        det_sign_parts,
    ),
)
