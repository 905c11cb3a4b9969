"""Arithmetic, order, rounding and conversion, element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..builder import Builder
from ..graph import Node, Value
from ..jacobian import Axes, Term
from ..op import REQUIRED, Attrs, Op, Sample, define
from ..types import DTYPES, Type, dtype_name
from .constant import scalar_constant
from .elementwise import NUMERIC, Selected, aligned_deltas, check_arity, elementwise


def _reciprocal(b: Builder, y: Value) -> Value | float:
    """1 / y, as a number where y is one."""
    known = scalar_constant(b.producer, y)
    return b.div(1.0, y) if known is None or known == 0 else 1.0 / float(known)


def _tie(b: Builder, x: Value, y: Value) -> Value:
    """1/2 at a tie, 1 elsewhere: how maximum and minimum share their derivative."""
    return b.select(b.eq(x, y), b.constant(0.5, x.type.dtype), b.constant(1.0, x.type.dtype))


for _op in (
    elementwise(
        "add", np.add, "{0} + {1}", [lambda b, x, y, z: 1.0, lambda b, x, y, z: 1.0],
        "x + y", accepts=NUMERIC, arity=2, commutative=True,
    ),
    elementwise(
        "sub", np.subtract, "{0} - {1}", [lambda b, x, y, z: 1.0, lambda b, x, y, z: -1.0],
        "x - y", accepts=NUMERIC, arity=2,
    ),
    elementwise(
        "mul", np.multiply, "{0} * {1}", [lambda b, x, y, z: y, lambda b, x, y, z: x],
        "x * y", accepts=NUMERIC, arity=2, commutative=True,
    ),
    elementwise(
        "div", np.divide, "{0} / {1}",
        [lambda b, x, y, z: _reciprocal(b, y), lambda b, x, y, z: b.neg(b.div(z, y))],
        "x / y, floats only", arity=2, low=0.5,
    ),
    elementwise(
        "floor_divide", np.floor_divide, "floor_divide_{t}({0}, {1})", None,
        "floor(x / y); an integer divided by zero gives 0", accepts=NUMERIC, arity=2,
    ),
    elementwise(
        "remainder", np.remainder, "remainder_{t}({0}, {1})",
        [lambda b, x, y, z: 1.0, lambda b, x, y, z: b.neg(b.floor_divide(x, y))],
        "x - y floor(x / y); an integer modulo zero gives 0",
        accepts=NUMERIC, arity=2, low=0.5,
    ),
    elementwise(
        # A structural zero where y == 0, so that x**0 has derivative 0 even at x = 0 and NaN.
        "power", np.power, "power_{t}({0}, {1})",
        [
            lambda b, x, y, z: Selected(b.ne(y, 0.0), b.mul(y, b.power(x, b.sub(y, 1.0)))),
            lambda b, x, y, z: Selected(b.ne(x, 0.0), b.mul(z, b.log(x))),
        ],
        "x ** y, floats only", arity=2, low=0.5,
    ),
    elementwise(
        "maximum", np.maximum, "maximum_{t}({0}, {1})",
        [
            lambda b, x, y, z: Selected(b.ge(x, y), _tie(b, x, y)),
            lambda b, x, y, z: Selected(b.ge(y, x), _tie(b, x, y)),
        ],
        "the larger one; NaN if either is NaN", accepts=NUMERIC, arity=2, commutative=True,
    ),
    elementwise(
        "minimum", np.minimum, "minimum_{t}({0}, {1})",
        [
            lambda b, x, y, z: Selected(b.le(x, y), _tie(b, x, y)),
            lambda b, x, y, z: Selected(b.le(y, x), _tie(b, x, y)),
        ],
        "the smaller one; NaN if either is NaN", accepts=NUMERIC, arity=2, commutative=True,
    ),
    elementwise(
        "arctan2", np.arctan2, "arctan2_{t}({0}, {1})",
        [
            lambda b, y, x, z: b.div(x, b.add(b.mul(x, x), b.mul(y, y))),
            lambda b, y, x, z: b.neg(b.div(y, b.add(b.mul(x, x), b.mul(y, y)))),
        ],
        "the angle of the point (y, x given as y, x)", arity=2, low=0.5,
    ),
    elementwise(
        # (z - x) / y is -trunc(x / y) but for its rounding.
        "fmod", np.fmod, "fmod_{t}({0}, {1})",
        [lambda b, x, y, z: 1.0, lambda b, x, y, z: b.rint(b.div(b.sub(z, x), y))],
        "x - y trunc(x / y); an integer modulo zero gives 0",
        accepts=NUMERIC, arity=2, low=0.5,
    ),
    elementwise(
        "copysign", np.copysign, "copysign_{t}({0}, {1})",
        [lambda b, x, y, z: b.mul(b.sign(x), b.copysign(1.0, y)), lambda b, x, y, z: None],
        "the magnitude of x with the sign of y", arity=2,
    ),
    elementwise("neg", np.negative, "-{0}", [lambda b, x, y: -1.0], "-x", accepts=NUMERIC),
    elementwise(
        # sign(0) = 0 is the derivative at 0 (JAX gives 1).
        "abs", np.abs, "abs_{t}({0})", [lambda b, x, y: b.sign(x)], "|x|", accepts=NUMERIC,
    ),
    elementwise("sign", np.sign, "sign_{t}({0})", None, "-1, 0, 1 or NaN", accepts=NUMERIC),
    elementwise("floor", np.floor, "floor_{t}({0})", None, "round down"),
    elementwise("ceil", np.ceil, "ceil_{t}({0})", None, "round up"),
    elementwise("rint", np.rint, "rint_{t}({0})", None, "round half to even"),
    elementwise(
        "stop_gradient", np.positive, "{0}", None, "x, a constant to derivatives", accepts=NUMERIC,
    ),
):  # fmt: skip
    define(_op)


def _cast_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("cast", types, 1)
    dtype_name(attrs["dtype"])
    return (types[0].with_dtype(attrs["dtype"]),)


def _cast_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    both_float = node.result.type.is_float and node.operands[0].type.is_float
    return (Term(1.0, aligned_deltas(axes)),) if both_float else ()


define(
    Op(
        "cast",
        "elementwise",
        _cast_type,
        lambda x, dtype: x.astype(dtype),
        "conversion to another dtype, as `astype`",
        attrs={"dtype": REQUIRED},
        jacobian=_cast_jacobian,
        scalar="{to}_from_{t}({0})",
        samples=tuple(
            Sample((Type(DTYPES[a], (3, 4)),), {"dtype": DTYPES[b]})
            for a, b in (
                ("f32", "f64"), ("f64", "f32"), ("i64", "f32"), ("bool", "f32"), ("f32", "i32"),
                ("i32", "i64"), ("f64", "bool"), ("bool", "i64"), ("u8", "f32"),
            )
        ),
    )
)  # fmt: skip
