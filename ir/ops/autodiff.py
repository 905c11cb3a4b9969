"""Derivatives as nodes: requests (`gradient`, `vjp`, `jvp`, `total_jacobian`), and what the stage
`autodiff` makes of them (`jacobian`, `contract`, `eye`).

A request names `arg` nodes, identities that mark what the derivative is taken with respect to, so
that a closure over the same array is not differentiated by accident. Requests have no value of
their own: their meaning is their expansion by `passes/autodiff.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..dense import contract_dense, dense_jacobian
from ..errors import DTypeError, ShapeError, UnsupportedError
from ..graph import Node
from ..jacobian import Axes, Term
from ..op import REQUIRED, ZERO, Attrs, Op, Sample, define
from ..types import F32, F64, Type
from .elementwise import check_arity

REQUESTS = ("gradient", "vjp", "jvp", "total_jacobian")
"""The ops that stand for derivatives yet to be expanded."""


def _unexpanded(*operands: Any, **attrs: Any) -> Any:
    raise UnsupportedError(
        "a graph with unexpanded derivatives has no value by itself; run the pass 'autodiff' first"
    )


def _floats(name: str, types: Sequence[Type]) -> None:
    for t in types:
        if not t.is_float:
            raise DTypeError(f"{name}: derivatives need floats, got {t}")


def _arg_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("arg", types, 1)
    return types


def _identity_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    return (Term(1.0, axes.deltas(list(zip(axes.a, axes.z, strict=True)))),)


def _gradient_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    _floats("gradient", types)
    if len(types) < 2 or types[0].shape != ():
        raise ShapeError(f"gradient: the loss must have shape (), got {types[0].shape}")
    return types[1:]


def _split(name: str, types: tuple[Type, ...], attrs: Attrs) -> tuple[tuple[Type, ...], ...]:
    m, k = attrs["outputs"], attrs["wrt"]
    outputs, wrt, seeds = types[:m], types[m : m + k], types[m + k :]
    _floats(name, types)
    expected = outputs if name == "vjp" else wrt
    if seeds != expected or m < 1 or k < 1:
        raise ShapeError(
            f"{name}: seeds {list(map(str, seeds))} must be {list(map(str, expected))}"
        )
    return outputs, wrt


def _total_jacobian_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("total_jacobian", types, 2)
    _floats("total_jacobian", types)
    return (Type(types[1].dtype, types[0].shape + types[1].shape),)


def _jacobian_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    if len(types) < 2:
        raise ShapeError("jacobian needs the result, the operand, and the values of its terms")
    _floats("jacobian", types[:2])
    form = attrs["form"]
    if form.shape != types[1].shape + types[0].shape:
        raise ShapeError(f"jacobian: the form has shape {form.shape}, not operand + result")
    return (Type(types[1].dtype, types[1].shape + types[0].shape),)


def _contract_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    if len(types) not in (2, 3):
        raise ShapeError("contract takes a Jacobian, a cotangent or tangent, and maybe a support")
    jacobian, other = types[:2]
    batch, rank = attrs["batch"], jacobian.rank
    if jacobian.dtype != other.dtype:
        raise DTypeError(f"contract: {jacobian} and {other} have different dtypes")
    if attrs["side"] == "jvp":
        summed, kept = jacobian.shape[: other.rank], jacobian.shape[other.rank :]
        fits = summed == other.shape and batch == 0 and len(types) == 2
    else:
        split = rank - (other.rank - batch)
        summed, kept = (
            jacobian.shape[max(split, 0) :],
            other.shape[:batch] + jacobian.shape[: max(split, 0)],
        )
        fits = attrs["side"] == "vjp" and split >= 0 and summed == other.shape[batch:]
    if fits and len(types) == 3:
        fits = types[2].is_bool and np.broadcast_shapes(types[2].shape, summed) == summed
    if not fits:
        raise ShapeError(
            f"contract: {list(map(str, types))} do not fit as {attrs['side']}, batch {batch}"
        )
    return (jacobian.with_shape(kept),)


def _contract(jacobian: Any, other: Any, where: Any = None, *, side: str, batch: int) -> Any:
    return contract_dense(jacobian, other, where, side, batch)


def _eye(shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return np.eye(math.prod(shape), dtype=dtype).reshape(shape + shape)


define(
    Op(
        "arg",
        "autodiff",
        _arg_type,
        lambda x: x,
        "the same value, marked as what a derivative is taken with respect to",
        jacobian=_identity_jacobian,
        samples=(Sample((Type(F64, (3,)),)), Sample((Type(F32, (2, 2)),))),
    )
)
define(
    Op(
        "gradient",
        "autodiff",
        _gradient_type,
        _unexpanded,
        "d loss / d a for each a; operands loss, a...; one result per a",
    )
)
define(
    Op(
        "vjp",
        "autodiff",
        lambda types, attrs: _split("vjp", types, attrs)[1],
        _unexpanded,
        "cotangents of each a; operands y..., a..., a cotangent per y; one result per a",
        attrs={"outputs": REQUIRED, "wrt": REQUIRED},
    )
)
define(
    Op(
        "jvp",
        "autodiff",
        lambda types, attrs: _split("jvp", types, attrs)[0],
        _unexpanded,
        "tangents of each y; operands y..., a..., a tangent per a; one result per y",
        attrs={"outputs": REQUIRED, "wrt": REQUIRED},
    )
)
define(
    Op(
        "total_jacobian",
        "autodiff",
        _total_jacobian_type,
        _unexpanded,
        "d y / d a along every path, of shape(y) + shape(a); operands y, a",
    )
)
define(
    Op(
        "jacobian",
        "autodiff",
        _jacobian_type,
        lambda z, w, *values, form: dense_jacobian(form, (z, w, *values), w.dtype),
        "the local Jacobian of one node, of shape(operand) + shape(result); operands are the "
        "result, the operand and the values of its terms",
        attrs={"form": REQUIRED},
    )
)
define(
    Op(
        "contract",
        "autodiff",
        _contract_type,
        _contract,
        "sum a Jacobian against a cotangent (vjp) or a tangent (jvp); see `ir/dense.py`",
        attrs={"side": "vjp", "batch": 0},
    )
)
define(
    Op(
        "eye",
        "autodiff",
        lambda types, attrs: (Type(attrs["dtype"], attrs["shape"] * 2),),
        _eye,
        "the identity tensor of shape + shape: the seed of a total Jacobian",
        attrs={"shape": REQUIRED, "dtype": REQUIRED},
        jacobian=ZERO,
        samples=(
            Sample((), {"shape": (3,), "dtype": F64}),
            Sample((), {"shape": (2, 2), "dtype": F32}),
        ),
    )
)
