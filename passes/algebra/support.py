"""Where a cotangent is structurally non-zero: its support.

Downstream of a selection (`where(c, y, 0)`) a cotangent is zero by structure where `c` is false,
and that zero must annihilate an infinite derivative further down: the gradient of
`where(x > 0, log(x), 0)` at 0 is 0, not 0 * inf = NaN. So the sweep carries a Boolean support and
writes `contract %J, %g where %m` where it matters.

Note [Where supports end]
A support is followed through every Jacobian whose values live on axes of the cotangent: elementwise
ops, reductions, moves. A contraction that brings in new axes (matmul, outer) ends it: carrying it
through would forbid using a matrix product at all. There an infinite weight is the user's number.
"""

from __future__ import annotations

import numpy as np

from ...ir.builder import Builder
from ...ir.graph import Node, Value
from ...ir.jacobian import Delta, Form, Map, Mask, Term, Val, indexed, map_refs
from ...ir.types import BOOL
from .eliminate import eliminate
from .expression import Expression
from .products import lay
from .reduced import Reduced

_FOLLOWED = ("slice", "reshape", "roll")


def matters(form: Form) -> bool:
    """Whether an infinite value of this Jacobian could meet a structural zero of the cotangent."""
    return pointwise(form) and any(isinstance(f, Val) for t in form.terms for f in t.factors)


def pointwise(form: Form) -> bool:
    """Whether all values of the terms live on axes the cotangent has (see the Note)."""
    return all(_is_pointwise(form, term) for term in form.terms)


def _is_pointwise(form: Form, term: Term) -> bool:
    ties = [f.letters for f in term.factors if isinstance(f, Delta | Map)]
    kept = {z for z in form.z if any(z in t and not set(form.a).isdisjoint(t) for t in ties)}
    reached = set(form.z) | {
        a for a in form.a if any(a in t and not kept.isdisjoint(t) for t in ties)
    }
    for factor in term.factors:
        letters = set(factor.letters) if isinstance(factor, Val) else set()
        new = letters - reached
        spreads = letters & reached and letters & set(form.z) <= kept and new <= set(form.a)
        if new and not spreads:
            return False
    return True


def propagate(b: Builder, jacobian: Node, where: Value | None) -> Value | None:
    """The support of the cotangent that `contract(jacobian, g where ..)` gives: the same
    contraction in the Boolean semiring. None means it may be non-zero everywhere."""
    form: Form = jacobian.attrs["form"]
    if not pointwise(form):
        return None
    terms = [_boolean(form, map_refs(t, jacobian.operands.__getitem__), where) for t in form.terms]
    if any(t is None for t in terms):
        return None
    extent = dict(enumerate(form.extents))
    expression = Expression(form.a, extent, tuple(t for t in terms if t is not None))
    return _union(b, eliminate_boolean(b, expression), form)


def eliminate_boolean(b: Builder, expression: Expression) -> list[Reduced]:
    """The reduced terms in the semiring of `and` and `any`, one per term."""
    return [
        r
        for term in expression.terms
        for r in eliminate(b, Expression(expression.out, expression.extent, (term,)), BOOL)
    ]


def _boolean(form: Form, term: Term, where: Value | None) -> Term | None:
    """The term's structure: its deltas, masks and maps, and the cotangent's support; where a map
    cannot be followed, the masks of the operand alone. None when nothing restricts it."""
    factors = [f for f in term.factors if not isinstance(f, Val)]
    masks = [Val(f.v, f.ix) for f in factors if isinstance(f, Mask)]
    if any(isinstance(f, Map) and f.op not in _FOLLOWED for f in factors):
        own = tuple(v for v in masks if set(form.a).issuperset(v.letters))
        return Term(1.0, own) if own else None
    if where is not None:
        masks.append(indexed(where, form.z[form.rank_z - where.type.rank :]))
    if not masks:
        return None
    structure = [f for f in factors if not isinstance(f, Mask)]
    return Term(1.0, (*structure, *masks))


def _union(b: Builder, terms: list[Reduced], form: Form) -> Value | None:
    """or over the terms, of shape(operand); None when a term is unrestricted."""
    shape = form.extents[: form.rank_a]
    total = None
    for term in terms:
        if not term.vals or term.deltas:
            return None
        value = lay(b, term.vals[0].v, term.letters, form.a)
        total = value if total is None else b.emit("or", (total, value)).result
    if total is None:
        return b.full(shape, np.False_, BOOL)
    return total if total.shape == shape else b.broadcast(total, shape=shape)
