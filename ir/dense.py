"""Jacobians written out in full, zeros and all: what the interpreter makes of a `jacobian` node.

A structural zero must annihilate even inf and NaN, so a dense Jacobian carries, next to its
values, where it is structurally non-zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import UnsupportedError
from .jacobian import Delta, DenseJacobian, Form, Letter, Map, Mask, Term, Val
from .maps import dense_map

DENSE_LIMIT = 10_000_000
"""Largest number of elements the interpreter builds for one Jacobian."""


def dense_jacobian(form: Form, operands: Sequence[np.ndarray], dtype: np.dtype) -> DenseJacobian:
    """Evaluate a form; `operands` are those of the `jacobian` node (result, wrt, *values)."""
    shape = form.shape
    if math.prod(form.extents) > DENSE_LIMIT:
        raise UnsupportedError(
            f"the Jacobian of shape {shape} has {math.prod(shape):,} elements, more than the "
            f"interpreter builds ({DENSE_LIMIT:,}); interpret the stage 'jacobian-free' instead, "
            "or take smaller shapes"
        )
    values, support = np.zeros(shape, dtype), np.zeros(shape, bool)
    for term in form.terms:
        term_values, term_support = _dense_term(form, term, operands, dtype)
        values += term_values
        support |= term_support
    return DenseJacobian(values, support)


def _dense_term(
    form: Form, term: Term, operands: Sequence[np.ndarray], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """One term over all its letters, then summed over those no header names. A letter to sum that
    only other terms mention does not count here."""
    headers, used = form.rank_a + form.rank_z, set(term.letters)
    extents = tuple(n if x < headers or x in used else 1 for x, n in enumerate(form.extents))
    product = np.full(extents, term.coef, dtype)
    support = np.ones(extents, bool)
    for factor in term.factors:
        match factor:
            case Delta(i, j):
                eye = np.eye(extents[i], dtype=bool)
                support &= spread(eye, (i, j), extents)
            case Val(v, ix):
                product *= spread(operands[v], ix, extents)
            case Mask(v, ix):
                support &= spread(operands[v], ix, extents)
            case Map():
                matrix = dense_map(factor, [operands[v] for v in factor.operands], extents)
                support &= spread(matrix != 0, factor.letters, extents)
                product *= spread(matrix, factor.letters, extents).astype(dtype)
    summed = tuple(range(headers, len(extents)))
    kept = np.where(support, product, np.zeros((), dtype))
    return np.asarray(kept.sum(axis=summed, dtype=dtype)), np.asarray(support.any(axis=summed))


def spread(array: Any, ix: Sequence[Letter | None], extents: Sequence[int]) -> Any:
    """Lay `array`, whose axes are named by `ix`, out so that it broadcasts over all letters."""
    array = np.asarray(array)
    array = array.reshape([n for n, x in zip(array.shape, ix, strict=True) if x is not None])
    letters = [x for x in ix if x is not None]
    while repeated := [x for x in letters if letters.count(x) > 1]:
        letter = repeated[0]
        first, second, *_ = (k for k, x in enumerate(letters) if x == letter)
        array = np.diagonal(array, axis1=first, axis2=second)
        letters = [x for k, x in enumerate(letters) if k not in (first, second)] + [letter]
    order = sorted(range(len(letters)), key=lambda k: letters[k])
    shape = [n if x in letters else 1 for x, n in enumerate(extents)]
    return array.transpose(order).reshape(shape)


def contract_dense(
    jacobian: DenseJacobian, other: np.ndarray, where: np.ndarray | None, side: str, batch: int
) -> np.ndarray:
    """Sum a Jacobian against a cotangent or a tangent; structural zeros annihilate.

    side="vjp": `other` is a cotangent of shape batch axes + shape(result), `where` its support
    (broadcastable to shape(result)); gives batch axes + shape(operand).
    side="jvp": `other` is a tangent of shape(operand); gives shape(result).
    """
    values, support = jacobian.values, jacobian.support
    zero = np.zeros((), values.dtype)
    if side == "jvp":
        tangent = other.reshape(other.shape + (1,) * (values.ndim - other.ndim))
        product = np.where(support, values * tangent, zero)
        return np.asarray(product.sum(axis=tuple(range(other.ndim)), dtype=values.dtype))
    rank_a = values.ndim - (other.ndim - batch)
    lead, trail = other.shape[:batch], other.shape[batch:]
    if math.prod(lead) * values.size > DENSE_LIMIT:
        raise UnsupportedError(
            f"contracting the Jacobian of shape {values.shape} with {other.shape} multiplies more "
            f"than {DENSE_LIMIT:,} elements; interpret the stage 'jacobian-free' instead"
        )
    if where is not None:
        support = support & where
    cotangent = other.reshape(lead + (1,) * rank_a + trail)
    with np.errstate(invalid="ignore", over="ignore"):
        product = np.where(support, values * cotangent, zero)
    summed = tuple(range(batch + rank_a, product.ndim))
    return np.asarray(product.sum(axis=summed, dtype=values.dtype))
