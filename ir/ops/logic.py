"""Comparisons, logic, operations on bits, and selection, element by element."""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError
from ..op import Attrs, Op, Sample, define
from ..types import BOOL, F32, F64, I64, Type, dtype_name
from .elementwise import (
    ANY,
    INTEGER,
    Selected,
    broadcast_shapes,
    check_arity,
    common_dtype,
    elementwise,
    jacobian_rule,
)

for _op in (
    elementwise("isnan", np.isnan, "isnan_{t}({0})", None, "x is NaN", returns=BOOL),
    elementwise("isinf", np.isinf, "isinf_{t}({0})", None, "x is infinite", returns=BOOL),
    elementwise(
        "isfinite", np.isfinite, "isfinite_{t}({0})", None, "neither NaN nor inf", returns=BOOL
    ),
    *(
        elementwise(
            name, function, f"{{0}} {symbol} {{1}}", None, f"x {symbol} y",
            accepts=ANY, returns=BOOL, arity=2, commutative=symbol in ("==", "!="),
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
    *(
        elementwise(
            name, function, f"{{0}} {symbol} {{1}}", None, f"x {symbol} y, bit by bit",
            accepts=INTEGER, arity=2, commutative=True,
        )
        for name, function, symbol in (
            ("bit_and", np.bitwise_and, "&"), ("bit_or", np.bitwise_or, "|"),
            ("bit_xor", np.bitwise_xor, "^"),
        )
    ),
    elementwise("bit_not", np.invert, "~{0}", None, "every bit of x inverted", accepts=INTEGER),
    *(
        elementwise(
            name, function, f"{name}_{{t}}({{0}}, {{1}})", None,
            f"x {symbol} y; a count outside 0 .. bits - 1 shifts every bit out",
            accepts=INTEGER, arity=2,
        )
        for name, function, symbol in (
            ("shift_left", np.left_shift, "<<"), ("shift_right", np.right_shift, ">>"),
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
        jacobian=jacobian_rule(
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
