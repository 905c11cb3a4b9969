"""Softmax and log-sum-exp: single ops until their derivatives exist, then decomposed.

Differentiated as they are written in exponentials they lose everything at large logits; as one op
each they have a closed Jacobian. The pass `decompose` later spells them out for fusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import DTypeError, ShapeError
from ..graph import Node
from ..jacobian import Axes, Term
from ..op import REQUIRED, Attrs, Op, Sample, define
from ..types import F32, F64, Type, dtype_name
from .elementwise import check_arity


def _check(name: str, types: tuple[Type, ...], axis: int) -> Type:
    check_arity(name, types, 1)
    x = types[0]
    if not x.is_float:
        raise DTypeError(f"{name} is not defined for {dtype_name(x.dtype)}")
    if not 0 <= axis < x.rank:
        raise ShapeError(f"{name}: axis {axis} is out of range for rank {x.rank}")
    if x.shape[axis] == 0:
        raise ShapeError(f"{name} of an empty axis has no value, shape {x.shape}")
    return x


def _softmax_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    return (_check("softmax", types, attrs["axis"]),)


def _softmax(x: Any, axis: int) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def _softmax_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """diag(p) - p p^T along the axis, the identity on the others."""
    axis, p = node.attrs["axis"], node.result
    batch = [(a, z) for k, (a, z) in enumerate(zip(axes.a, axes.z, strict=True)) if k != axis]
    own = list(axes.z)
    own[axis] = axes.a[axis]
    every = axes.deltas(list(zip(axes.a, axes.z, strict=True)))
    here, there = axes.val(p, axes.z), axes.val(p, own)
    return (Term(1.0, (*every, here)), Term(-1.0, (*axes.deltas(batch), there, here)))


def _logsumexp_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    axis = attrs["axis"]
    x = _check("logsumexp", types, axis)
    return (x.with_shape((*x.shape[:axis], *x.shape[axis + 1 :])),)


def _logsumexp(x: Any, axis: int) -> Any:
    top = np.max(x, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    total = np.sum(np.exp(x - shift), axis=axis)
    return np.squeeze(shift, axis) + np.log(total)


def _logsumexp_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """The softmax, on the axes that were kept."""
    axis = node.attrs["axis"]
    p = b.softmax(node.operands[0], axis=axis)
    kept = [a for k, a in enumerate(axes.a) if k != axis]
    deltas = axes.deltas(list(zip(kept, axes.z, strict=True)))
    return (Term(1.0, (*deltas, axes.val(p, axes.a))),)


_SAMPLES = tuple(
    Sample((Type(d, shape),), {"axis": axis}, -4.0, 4.0)
    for d in (F32, F64)
    for shape, axis in (((5,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((3, 1), 1))
)

define(
    Op(
        "softmax",
        "composite",
        _softmax_type,
        _softmax,
        "exp(x) / sum(exp(x)) along `axis`, shifted by the maximum",
        attrs={"axis": REQUIRED},
        jacobian=_softmax_jacobian,
        samples=_SAMPLES,
    )
)
define(
    Op(
        "logsumexp",
        "composite",
        _logsumexp_type,
        _logsumexp,
        "log(sum(exp(x))) along `axis`, which is gone from the result; shifted by the maximum",
        attrs={"axis": REQUIRED},
        jacobian=_logsumexp_jacobian,
        samples=_SAMPLES,
    )
)
