"""Elementwise ops: one record per function, with its derivative on the same line.

Operands broadcast as in NumPy and have equal dtypes (conversions are explicit `cast` nodes); only
the condition of `select` is bool. `scalar` is the expression generated code evaluates for one
element: `{0}`, `{1}` are the operands, `{t}` the operand dtype's short name.

A *partial* is the derivative with respect to one operand, a function of the builder, the operands
and the result that returns a number, a value (broadcastable to the result), a `Selected` or None
for zero. Conventions at corners follow JAX unless a comment says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import DTypeError, ShapeError
from ..graph import Node, Value
from ..jacobian import Axes, Factor, Term
from ..op import REQUIRED, ZERO, Attrs, JacobianRule, Op, Sample, define
from ..special import erf
from ..types import BOOL, DTYPES, F32, F64, I32, I64, Type, dtype_name
from .constant import scalar_constant


@dataclass(frozen=True)
class Selected:
    """A partial derivative that is `value` where `mask` holds and structurally zero elsewhere."""

    mask: Value
    value: Value | float = 1.0


Partial = Callable[..., "Value | Selected | float | None"]


def broadcast_shapes(name: str, types: Sequence[Type]) -> tuple[int, ...]:
    """The common shape of the operands; ShapeError naming the shapes that do not fit."""
    try:
        return np.broadcast_shapes(*(t.shape for t in types))
    except ValueError:
        shapes = " and ".join(str(t.shape) for t in types)
        raise ShapeError(f"{name}: shapes {shapes} do not broadcast together") from None


def _type_rule(name: str, arity: int, accepts: str, returns: np.dtype | None) -> Any:
    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        check_arity(name, types, arity)
        dtype = common_dtype(name, types)
        if dtype.kind not in accepts:
            raise DTypeError(f"{name} is not defined for {dtype_name(dtype)}")
        return (Type(returns or dtype, broadcast_shapes(name, types)),)

    return infer


def check_arity(name: str, types: Sequence[Type], arity: int) -> None:
    """ShapeError unless there are `arity` operands."""
    if len(types) != arity:
        raise ShapeError(f"{name} takes {arity} operand(s), got {len(types)}")


def common_dtype(name: str, types: Sequence[Type]) -> np.dtype:
    """The one dtype of the operands; DTypeError when they differ."""
    if len({t.dtype for t in types}) != 1:
        names = ", ".join(dtype_name(t.dtype) for t in types)
        raise DTypeError(f"{name} needs operands of one dtype, got {names}")
    return types[0].dtype


def _rule(partials: Sequence[Partial]) -> JacobianRule:
    """The Jacobian of an elementwise op: deltas between aligned axes times the partial."""

    def jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
        partial = partials[i](b, *node.operands, node.result)
        if partial is None:
            return ()
        factors: tuple[Factor, ...] = aligned_deltas(axes)
        if isinstance(partial, Selected):
            factors += (axes.mask(partial.mask, _aligned(axes.z, partial.mask)),)
            partial = partial.value
        if isinstance(partial, Value):
            return (Term(1.0, (*factors, axes.val(partial, _aligned(axes.z, partial)))),)
        return (Term(float(partial), factors),)

    return jacobian


def aligned_deltas(axes: Axes) -> tuple[Factor, ...]:
    """Deltas between the operand's axes and the result's, aligned at the right; an operand axis
    of extent 1 that was broadcast has none."""
    pairs = zip(reversed(axes.a), reversed(axes.z), strict=False)
    return axes.deltas([(a, z) for a, z in pairs if axes.extent[a] == axes.extent[z]][::-1])


def _aligned(letters: tuple[int, ...], value: Value) -> tuple[int, ...]:
    return letters[len(letters) - value.type.rank :]


_FLOAT, _NUMERIC, _ANY = "f", "fiu", "fiub"


def elementwise(
    name: str,
    evaluate: Callable[..., Any],
    scalar: str,
    partials: Sequence[Partial] | None,
    doc: str,
    *,
    accepts: str = _FLOAT,
    returns: np.dtype | None = None,
    arity: int = 1,
    commutative: bool = False,
    low: float = -2.0,
    high: float = 2.0,
) -> Op:
    """The record of an elementwise op; `partials=None` marks a piecewise constant one."""
    return Op(
        name,
        "elementwise",
        _type_rule(name, arity, accepts, returns),
        evaluate,
        doc,
        jacobian=ZERO if partials is None else _rule(partials),
        scalar=scalar,
        commutative=commutative,
        samples=_samples(arity, accepts, low, high),
    )


def _samples(arity: int, accepts: str, low: float, high: float) -> tuple[Sample, ...]:
    dtypes = [F32, F64] if "f" in accepts else [BOOL]
    shapes: list[tuple[tuple[int, ...], ...]] = [
        ((3, 5),) * arity,
        ((),) * arity,
        ((0, 4),) * arity,
    ]
    if arity == 2:
        shapes += [((3, 5), (5,)), ((3, 1), (1, 5)), ((4,), ())]
    if "i" in accepts:
        dtypes += [I32, I64]
    return tuple(
        Sample(tuple(Type(d, s) for s in group), {}, low, high) for d in dtypes for group in shapes
    )


def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


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
        "x + y", accepts=_NUMERIC, arity=2, commutative=True,
    ),
    elementwise(
        "sub", np.subtract, "{0} - {1}", [lambda b, x, y, z: 1.0, lambda b, x, y, z: -1.0],
        "x - y", accepts=_NUMERIC, arity=2,
    ),
    elementwise(
        "mul", np.multiply, "{0} * {1}", [lambda b, x, y, z: y, lambda b, x, y, z: x],
        "x * y", accepts=_NUMERIC, arity=2, commutative=True,
    ),
    elementwise(
        "div", np.divide, "{0} / {1}",
        [lambda b, x, y, z: _reciprocal(b, y), lambda b, x, y, z: b.neg(b.div(z, y))],
        "x / y, floats only", arity=2, low=0.5,
    ),
    elementwise(
        "floor_divide", np.floor_divide, "floor_divide_{t}({0}, {1})", None,
        "floor(x / y); an integer divided by zero gives 0", accepts=_NUMERIC, arity=2,
    ),
    elementwise(
        "remainder", np.remainder, "remainder_{t}({0}, {1})",
        [lambda b, x, y, z: 1.0, lambda b, x, y, z: b.neg(b.floor_divide(x, y))],
        "x - y floor(x / y); an integer modulo zero gives 0",
        accepts=_NUMERIC, arity=2, low=0.5,
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
        "the larger one; NaN if either is NaN", accepts=_NUMERIC, arity=2, commutative=True,
    ),
    elementwise(
        "minimum", np.minimum, "minimum_{t}({0}, {1})",
        [
            lambda b, x, y, z: Selected(b.le(x, y), _tie(b, x, y)),
            lambda b, x, y, z: Selected(b.le(y, x), _tie(b, x, y)),
        ],
        "the smaller one; NaN if either is NaN", accepts=_NUMERIC, arity=2, commutative=True,
    ),
    elementwise(
        "arctan2", np.arctan2, "arctan2_{t}({0}, {1})",
        [
            lambda b, y, x, z: b.div(x, b.add(b.mul(x, x), b.mul(y, y))),
            lambda b, y, x, z: b.neg(b.div(y, b.add(b.mul(x, x), b.mul(y, y)))),
        ],
        "the angle of the point (y, x given as y, x)", arity=2, low=0.5,
    ),
    elementwise("neg", np.negative, "-{0}", [lambda b, x, y: -1.0], "-x", accepts=_NUMERIC),
    elementwise(
        # sign(0) = 0 is the derivative at 0 (JAX gives 1).
        "abs", np.abs, "abs_{t}({0})", [lambda b, x, y: b.sign(x)], "|x|", accepts=_NUMERIC,
    ),
    elementwise("sign", np.sign, "sign_{t}({0})", None, "-1, 0, 1 or NaN", accepts=_NUMERIC),
    elementwise("exp", np.exp, "exp_{t}({0})", [lambda b, x, y: y], "e ** x"),
    elementwise(
        "log", np.log, "log_{t}({0})", [lambda b, x, y: b.div(1.0, x)],
        "natural logarithm", low=0.1, high=4.0,
    ),
    elementwise(
        "log1p", np.log1p, "log1p_{t}({0})", [lambda b, x, y: b.div(1.0, b.add(1.0, x))],
        "log(1 + x)", low=-0.5,
    ),
    elementwise(
        "expm1", np.expm1, "expm1_{t}({0})", [lambda b, x, y: b.add(y, 1.0)], "exp(x) - 1",
    ),
    elementwise(
        "sqrt", np.sqrt, "sqrt_{t}({0})", [lambda b, x, y: b.div(0.5, y)],
        "square root", low=0.1, high=4.0,
    ),
    elementwise(
        "tanh", np.tanh, "tanh_{t}({0})", [lambda b, x, y: b.sub(1.0, b.mul(y, y))],
        "hyperbolic tangent",
    ),
    elementwise(
        "erf", erf, "erf_{t}({0})",
        [lambda b, x, y: b.mul(2 / math.sqrt(math.pi), b.exp(b.neg(b.mul(x, x))))],
        "error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x",
    ),
    elementwise("sin", np.sin, "sin_{t}({0})", [lambda b, x, y: b.cos(x)], "sine"),
    elementwise("cos", np.cos, "cos_{t}({0})", [lambda b, x, y: b.neg(b.sin(x))], "cosine"),
    elementwise(
        "sigmoid", _sigmoid, "sigmoid_{t}({0})", [lambda b, x, y: b.mul(y, b.sub(1.0, y))],
        "1 / (1 + exp(-x))",
    ),
    elementwise(
        "softplus", _softplus, "softplus_{t}({0})", [lambda b, x, y: b.sigmoid(x)],
        "log(1 + exp(x)), finite for every finite x",
    ),
    elementwise("floor", np.floor, "floor_{t}({0})", None, "round down"),
    elementwise("ceil", np.ceil, "ceil_{t}({0})", None, "round up"),
    elementwise("rint", np.rint, "rint_{t}({0})", None, "round half to even"),
    elementwise("isnan", np.isnan, "isnan_{t}({0})", None, "x is NaN", returns=BOOL),
    elementwise("isinf", np.isinf, "isinf_{t}({0})", None, "x is infinite", returns=BOOL),
    elementwise(
        "isfinite", np.isfinite, "isfinite_{t}({0})", None, "neither NaN nor inf", returns=BOOL
    ),
    *(
        elementwise(
            name, function, f"{{0}} {symbol} {{1}}", None, f"x {symbol} y",
            accepts=_ANY, returns=BOOL, arity=2, commutative=symbol in ("==", "!="),
        )
        for name, function, symbol in (
            ("lt", np.less, "<"), ("le", np.less_equal, "<="), ("gt", np.greater, ">"),
            ("ge", np.greater_equal, ">="), ("eq", np.equal, "=="), ("ne", np.not_equal, "!="),
        )
    ),
    *(
        elementwise(
            name, function, f"{{0}} {symbol} {{1}}", None, f"logical {name} of Booleans",
            accepts="b", arity=2, commutative=True,
        )
        for name, function, symbol in (
            ("and", np.logical_and, "&"), ("or", np.logical_or, "|"), ("xor", np.logical_xor, "^"),
        )
    ),
    elementwise("not", np.logical_not, "not_bool({0})", None, "logical not", accepts="b"),
):  # fmt: skip
    define(_op)


def _select_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("select", types, 3)
    if not types[0].is_bool:
        raise DTypeError(f"select needs a bool condition, got {dtype_name(types[0].dtype)}")
    dtype = common_dtype("select", types[1:])
    return (Type(dtype, broadcast_shapes("select", types)),)


define(
    Op(
        "select",
        "elementwise",
        _select_type,
        lambda c, x, y: np.where(c, x, y),
        "x where the condition holds, else y; the other branch contributes no derivative",
        jacobian=_rule(
            [
                lambda b, c, x, y, z: None,
                lambda b, c, x, y, z: Selected(c),
                lambda b, c, x, y, z: Selected(getattr(b, "not")(c)),
            ]
        ),
        scalar="select_{t}({0}, {1}, {2})",
        samples=tuple(
            Sample((Type(BOOL, c), Type(d, x), Type(d, y)))
            for d in (F32, F64, I64)
            for c, x, y in (((3, 5), (3, 5), (3, 5)), ((5,), (3, 1), ()), ((), (4,), (4,)))
        ),
    )
)


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
