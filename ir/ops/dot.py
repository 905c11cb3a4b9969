"""Contractions of two tensors: one op, `dot`, whose `spec` names the letters.

`dot %x, %w [na,aj->nj]` multiplies and sums over the letters that the result lacks. The text shows
it as `matmul` or `outer` when it is one (`ir/dotspec.py`).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..dotspec import parse_spec
from ..errors import DTypeError, ShapeError
from ..graph import Node
from ..jacobian import Axes, Letter, Term
from ..op import REQUIRED, Attrs, Op, Sample, define
from ..types import F32, F64, I64, Type, dtype_name
from .elementwise import check_arity, common_dtype


def letter_extents(spec: str, types: Sequence[Type]) -> dict[str, int]:
    """The extent of every letter; ShapeError when the operands disagree."""
    parts = parse_spec(spec)
    extents: dict[str, int] = {}
    for letters, type_ in zip((parts.lhs, parts.rhs), types, strict=True):
        if len(letters) != type_.rank:
            raise ShapeError(f"dot [{spec}]: {letters} does not name the axes of {type_}")
        for letter, n in zip(letters, type_.shape, strict=True):
            if extents.setdefault(letter, n) != n:
                raise ShapeError(
                    f"dot [{spec}]: {types[0].shape} and {types[1].shape} do not match "
                    f"({extents[letter]} against {n} for {letter})"
                )
    return extents


def _dot_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("dot", types, 2)
    dtype = common_dtype("dot", types)
    if dtype.kind == "b":
        raise DTypeError("dot is not defined for bool")
    extents = letter_extents(attrs["spec"], types)
    return (Type(dtype, tuple(extents[x] for x in parse_spec(attrs["spec"]).out)),)


def _dot(x: Any, y: Any, spec: str) -> Any:
    """One batched matrix product, [batch, left, summed] @ [batch, summed, right]."""
    parts = parse_spec(spec)
    known = {
        **dict(zip(parts.lhs, x.shape, strict=True)),
        **dict(zip(parts.rhs, y.shape, strict=True)),
    }
    if any(n == 0 for c, n in known.items() if c not in parts.out):  # nothing, whatever x holds
        return np.zeros([known[c] for c in parts.out], x.dtype)
    x, lhs = _without_lone(x, parts.lhs, parts.rhs + parts.out)
    y, rhs = _without_lone(y, parts.rhs, parts.lhs + parts.out)
    batch, left, right, summed = parts.batch, parts.left, parts.right, parts.summed
    multiplied = operator.matmul if summed else operator.mul  # a sum would lose the sign of -0
    product = multiplied(
        _grouped(x, lhs, batch, left, summed), _grouped(y, rhs, batch, summed, right)
    )
    order = [*batch, *left, *right]
    product = product.reshape([known[c] for c in order])
    return product.transpose([order.index(c) for c in parts.out])


def _without_lone(x: Any, letters: str, elsewhere: str) -> tuple[Any, str]:
    """Sum over the letters that stand in this operand alone."""
    lone = tuple(k for k, c in enumerate(letters) if c not in elsewhere)
    if not lone:
        return x, letters
    return np.sum(x, axis=lone, dtype=x.dtype), "".join(c for c in letters if c in elsewhere)


def _grouped(x: Any, letters: str, *groups: Sequence[str]) -> Any:
    """x with its axes ordered and joined into one per group."""
    extents = dict(zip(letters, x.shape, strict=True))
    order = [letters.index(c) for group in groups for c in group]
    return x.transpose(order).reshape([math.prod(extents[c] for c in g) for g in groups])


def _dot_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """d z / d x_i = the other operand, with deltas for the letters x_i and z share."""
    parts = parse_spec(node.attrs["spec"])
    sides, out = (parts.lhs, parts.rhs), parts.out
    letter: dict[str, Letter] = dict(zip(sides[i], axes.a, strict=True))
    letter.update(zip(out, axes.z, strict=True))
    other = node.operands[1 - i]
    for name, n in zip(sides[1 - i], other.shape, strict=True):
        if name not in letter:
            letter[name] = axes.fresh(n)
    shared = [(a, letter[x]) for x, a in zip(sides[i], axes.a, strict=True) if x in out]
    value = axes.val(other, [letter[x] for x in sides[1 - i]])
    return (Term(1.0, (*axes.deltas(shared), value)),)


_SPECS = (
    ("ab,bc->ac", (3, 4), (4, 5)), ("ab,b->a", (3, 4), (4,)), ("a,ab->b", (3,), (3, 4)),
    ("a,a->", (5,), (5,)), ("a,b->ab", (3,), (4,)), ("ab,ac->bc", (4, 3), (4, 5)),
    ("ab,cb->ac", (3, 4), (5, 4)), ("ab,ca->bc", (4, 3), (5, 4)), ("ab,bc->ca", (3, 4), (4, 5)),
    ("abc,acd->abd", (2, 3, 4), (2, 4, 5)), ("abc,cd->abd", (2, 3, 4), (4, 5)),
    ("ab,ab->", (3, 4), (3, 4)), ("ab,ab->a", (3, 4), (3, 4)),
    ("ab,cd->bac", (3, 4), (2, 5)), ("abc,bd->ad", (2, 3, 4), (3, 5)), ("a,b->", (3,), (4,)),
    ("ab,bc->ac", (2, 0), (0, 3)), ("ab,bc->ac", (1, 7), (7, 1)), ("ab,bc->ac", (33, 65), (65, 17)),
)  # fmt: skip

define(
    Op(
        "dot",
        "dot",
        _dot_type,
        _dot,
        "contraction of two tensors: multiply, then sum over the letters the result lacks",
        attrs={"spec": REQUIRED},
        jacobian=_dot_jacobian,
        samples=tuple(
            Sample((Type(d, x), Type(d, y)), {"spec": spec})
            for d in (F32, F64, I64)
            for spec, x, y in _SPECS
        ),
    )
)


def _dot_acc_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("dot_acc", types, 4)
    (result,) = _dot_type(types[1:3], attrs)
    if types[0] != result or types[3] != Type(result.dtype, ()):
        raise ShapeError(
            f"dot_acc: cannot add the product {result} to {types[0]} scaled by {types[3]}"
        )
    if not result.is_float:
        raise DTypeError(f"dot_acc is not defined for {dtype_name(result.dtype)}")
    return (result,)


define(
    Op(
        "dot_acc",
        "dot",
        _dot_acc_type,
        lambda c, x, y, alpha, spec: c + alpha * _dot(x, y, spec),
        "c + alpha * dot(x, y); operands c, x, y, alpha (shape ()). Made by update fusion, after "
        "every derivative exists",
        attrs={"spec": REQUIRED},
        samples=tuple(
            Sample(
                (Type(d, (3, 5)), Type(d, (4, 3)), Type(d, (4, 5)), Type(d, ())),
                {"spec": "ab,ac->bc"},
            )
            for d in (F32, F64)
        )
        + tuple(
            Sample(
                (Type(d, (3, 5)), Type(d, (3,)), Type(d, (5,)), Type(d, ())), {"spec": "a,b->ab"}
            )
            for d in (F32, F64)
        ),
    )
)
