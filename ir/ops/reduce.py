"""Reductions over axes. The reduced axes are gone from the result (no keepdims: use `reshape`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import DTypeError, ShapeError
from ..graph import Node, Value
from ..jacobian import Axes, Term
from ..op import REQUIRED, ZERO, Attrs, JacobianRule, Op, Sample, define
from ..types import BOOL, F32, F64, I32, I64, Type, dtype_name
from .elementwise import check_arity
from .move import slice_along


def kept_axes(rank: int, axes: Sequence[int]) -> tuple[int, ...]:
    """The axes that survive a reduction."""
    return tuple(k for k in range(rank) if k not in axes)


def expand_reduced(b: Builder, value: Value, like: Type, axes: Sequence[int]) -> Value:
    """Put the reduced axes back with extent 1, so that `value` broadcasts against `like`."""
    shape = tuple(1 if k in axes else n for k, n in enumerate(like.shape))
    return value if value.shape == shape else b.reshape(value, shape=shape)


def _check_axes(name: str, types: tuple[Type, ...], axes: Sequence[int]) -> None:
    check_arity(name, types, 1)
    rank = types[0].rank
    if list(axes) != sorted(set(axes)) or not all(0 <= k < rank for k in axes):
        raise ShapeError(f"{name}: axes {tuple(axes)} are not increasing axes of rank {rank}")


def _reduced(types: tuple[Type, ...], axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(types[0].shape[k] for k in kept_axes(types[0].rank, axes))


def _reduce_type(name: str, accepts: str, *, empty: bool) -> Any:
    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        axes = attrs["axes"]
        _check_axes(name, types, axes)
        if types[0].dtype.kind not in accepts:
            raise DTypeError(f"{name} is not defined for {dtype_name(types[0].dtype)}")
        if not empty and any(types[0].shape[k] == 0 for k in axes):
            raise ShapeError(f"{name} of an empty axis has no value, shape {types[0].shape}")
        return (types[0].with_shape(_reduced(types, axes)),)

    return infer


def _sum_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    return (Term(1.0, _kept_deltas(node, axes)),)


def _kept_deltas(node: Node, axes: Axes) -> tuple[Any, ...]:
    kept = kept_axes(len(axes.a), node.attrs["axes"])
    return axes.deltas([(axes.a[k], z) for k, z in zip(kept, axes.z, strict=True)])


def _extremum_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """Route to where the extremum is, shared equally among ties (a NaN wins as one)."""
    (x,), reduced = node.operands, node.attrs["axes"]
    best = expand_reduced(b, node.result, x.type, reduced)
    nans = getattr(b, "and")(b.isnan(x), b.isnan(best))
    hit = getattr(b, "or")(b.eq(x, best), nans)
    count = b.sum(b.cast(hit, dtype=x.type.dtype), axes=reduced)
    share = expand_reduced(b, b.div(1.0, count), x.type, reduced)
    factors = (axes.mask(hit, axes.a), axes.val(share, axes.a))
    return (Term(1.0, (*_kept_deltas(node, axes), *factors)),)


def _product_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """The product of all the others, which is right at zeros."""
    (x,), reduced = node.operands, node.attrs["axes"]
    order = (*reduced, *kept_axes(x.type.rank, reduced))
    count = math.prod(x.shape[k] for k in reduced)
    turned = b.transpose(x, perm=order)
    factors = b.reshape(turned, shape=(count, *node.result.shape))
    others = b.reshape(_others(b, factors), shape=turned.shape)
    others = b.transpose(others, perm=tuple(order.index(k) for k in range(x.type.rank)))
    return (Term(1.0, (*_kept_deltas(node, axes), axes.val(others, axes.a))),)


def _others(b: Builder, x: Value) -> Value:
    """In each row the product of all other rows: a factor's partner times what pairs of factors
    have for others."""
    n = x.shape[0]
    if n <= 1:
        return b.full(x.shape, 1, x.type.dtype)
    cuts = [0, n // 2, n // 2 * 2, n]
    first, second, last = (
        b.slice(x, spec=slice_along(x.shape, 0, (start, stop, 1)))
        for start, stop in itertools.pairwise(cuts)
    )
    pairs = b.mul(first, second)
    if n == 2:
        return b.concatenate(second, first, axis=0)
    if n % 2:
        pairs = b.concatenate(pairs, last, axis=0)
    others = _others(b, pairs)
    left = b.slice(others, spec=slice_along(others.shape, 0, (0, n // 2, 1)))
    parts = [b.mul(left, second), b.mul(left, first)]
    if n % 2:
        parts.append(b.slice(others, spec=slice_along(others.shape, 0, (n // 2, n // 2 + 1, 1))))
    return b.concatenate(*parts, axis=0)


def _samples(*dtypes: np.dtype) -> tuple[Sample, ...]:
    return tuple(
        Sample((Type(d, shape),), {"axes": axes})
        for d in dtypes
        for shape, axes in (
            ((3, 5), (0,)), ((3, 5), (1,)), ((3, 5), (0, 1)), ((2, 3, 4), (0, 2)),
            ((2, 3, 4), (1,)), ((3, 1), (1,)), ((4,), ()), ((70, 33), (0,)), ((33, 70), (1,)),
        )
    )  # fmt: skip


def _reduction(
    name: str,
    evaluate: Callable[..., Any],
    accepts: str,
    jacobian: JacobianRule,
    doc: str,
    samples: tuple[Sample, ...],
    *,
    empty: bool = True,
) -> None:
    define(
        Op(
            name,
            "reduce",
            _reduce_type(name, accepts, empty=empty),
            lambda x, axes: evaluate(x, axis=axes),
            doc,
            attrs={"axes": REQUIRED},
            jacobian=jacobian,
            samples=samples,
        )
    )


def _sum(x: Any, axis: tuple[int, ...]) -> Any:
    return np.sum(x, axis=axis, dtype=x.dtype)


def _prod(x: Any, axis: tuple[int, ...]) -> Any:
    return np.prod(x, axis=axis, dtype=x.dtype)


_reduction(
    "sum", _sum, "fiu", _sum_jacobian, "sum over `axes`, in the operand's dtype",
    (*_samples(F32, F64, I32), Sample((Type(F64, (0, 3)),), {"axes": (0,)})),
)  # fmt: skip
_reduction(
    "prod", _prod, "fiu", _product_jacobian, "product over `axes`, in the operand's dtype",
    (*_samples(F32, F64, I32), Sample((Type(F64, (0, 3)),), {"axes": (0,)})),
)  # fmt: skip
_reduction(
    "max", np.max, "fiu", _extremum_jacobian, "largest over `axes`; NaN if there is one",
    _samples(F32, F64, I64), empty=False,
)  # fmt: skip
_reduction(
    "min", np.min, "fiu", _extremum_jacobian, "smallest over `axes`; NaN if there is one",
    _samples(F32, F64, I64), empty=False,
)  # fmt: skip
_reduction("any", np.any, "b", ZERO, "true somewhere along `axes`", _samples(BOOL))
_reduction("all", np.all, "b", ZERO, "true everywhere along `axes`", _samples(BOOL))


def _arg_type(name: str) -> Any:
    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        axis = attrs["axis"]
        _check_axes(name, types, (axis,))
        if types[0].shape[axis] == 0:
            raise ShapeError(f"{name} of an empty axis has no value, shape {types[0].shape}")
        return (Type(I64, _reduced(types, (axis,))),)

    return infer


for _name, _function in (("argmax", np.argmax), ("argmin", np.argmin)):
    define(
        Op(
            _name,
            "argreduce",
            _arg_type(_name),
            lambda x, axis, function=_function: function(x, axis=axis),
            "index (i64) of the first extremum along `axis`; of the first NaN if there is one",
            attrs={"axis": REQUIRED},
            jacobian=ZERO,
            samples=tuple(
                Sample((Type(d, (4, 5)),), {"axis": axis})
                for d in (F32, F64, I64)
                for axis in (0, 1)
            ),
        )
    )
