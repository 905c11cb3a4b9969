"""A `contract` node as one index expression over ordinary values.

`contract %J, %g` reads the Jacobian's terms through to the values they name and appends the
cotangent, so that the whole is a sum of products again: what `jacobian-free` eliminates, and what
the next order of `autodiff` differentiates (drop a factor, tie the rest).
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.builder import Builder
from ...ir.graph import Node, Value
from ...ir.jacobian import (
    Axes,
    Delta,
    Factor,
    Form,
    Letter,
    Map,
    Mask,
    Term,
    Val,
    indexed,
    map_refs,
)
from ...ir.maps import MAPS
from ...ir.record import dataclass


@dataclass(frozen=True)
class Expression:
    """Sum of terms over letters with `extent`; `out` names the axes of the result.

    `open`: an intermediate of a Jacobian, which is better kept as a product than multiplied out.
    `placed`: slices and reshapes between its axes are to stay, as places.
    """

    out: tuple[Letter, ...]
    extent: dict[Letter, int]
    terms: tuple[Term, ...]
    open: bool = False
    placed: bool = False


def contraction(contract: Node, jacobian: Node) -> Expression:
    """The expression of a `contract` node whose Jacobian `jacobian` defines."""
    form: Form = jacobian.attrs["form"]
    terms = [map_refs(t, jacobian.operands.__getitem__) for t in form.terms]
    extent = dict(enumerate(form.extents))
    other, *where = contract.operands[1:]
    if contract.attrs["side"] == "jvp":
        factors: tuple[Factor, ...] = (indexed(other, form.a),)
        out = form.z
    else:
        batch = tuple(range(len(extent), len(extent) + contract.attrs["batch"]))
        extent.update(zip(batch, other.shape, strict=False))
        factors = (indexed(other, (*batch, *form.z)),)
        factors += tuple(_aligned_mask(m, form.z) for m in where)
        out = (*batch, *form.a)
    closed = tuple(Term(t.coef, t.factors + factors) for t in terms)
    return Expression(out, extent, closed, open=contract.attrs["batch"] > 0)


def _aligned_mask(value: Value, letters: Sequence[Letter]) -> Mask:
    return Mask(value, indexed(value, letters[len(letters) - value.type.rank :]).ix)


def derivative(
    b: Builder, expression: Expression, wrt: Value, result: Value
) -> tuple[Axes, list[Term]]:
    """The Jacobian of the expression's result with respect to one of its values.

    By the product rule: for every factor `wrt[ix]`, drop it and tie its letters to the axes of
    `wrt` by deltas; for every map that depends on `wrt`, put its derivative. The algebra is closed,
    so derivatives of any order expand in one pass.
    """
    axes = Axes(wrt.type, result.type)
    table = dict(zip(expression.out, axes.z, strict=True))
    for letter, n in expression.extent.items():
        if letter not in table:
            table[letter] = axes.fresh(n)
    terms = []
    for term in expression.terms:
        for k, factor in enumerate(term.factors):
            inner = _partial(b, factor.rename(table), wrt, axes)
            if inner is not None:
                rest = Term(term.coef, term.factors[:k] + term.factors[k + 1 :]).rename(table)
                terms.append(Term(rest.coef * inner.coef, (*inner.factors, *rest.factors)))
    return axes, terms


def _partial(b: Builder, factor: Factor, wrt: Value, axes: Axes) -> Term | None:
    """The derivative of one factor; None when it does not depend on `wrt`."""
    match factor:
        case Val(v, ix) if v is wrt:
            pairs = zip(axes.a, ix, strict=True)
            return Term(1.0, tuple(Delta(a, x) for a, x in pairs if x is not None))
        case Map() if wrt in factor.operands:
            rule = MAPS[factor.op].partial
            return None if rule is None else rule(b, factor, axes)
    return None
