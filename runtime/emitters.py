"""LLVM instructions for the scalar operations of generated code.

Each emitter takes the dtype's kind ("f", "i", "u" or "b", as in NumPy), the builder and the
operands, which are values of one type, and returns the result. Nothing here can trap: integer
division guards its divisor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir

from .builder_lanes import call_intrinsic

Emit = Callable[..., Any]


def _constant(like: Any, number: float) -> ir.Constant:
    return ir.Constant(like.type, number)


def _arithmetic(names: tuple[str, str], kind: str, b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """The builder's method for floats or for integers."""
    return getattr(b, names[kind != "f"])(x, y)


def _add_reassoc(kind: str, b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """A sum whose terms may be regrouped: what lets a reduction loop vectorise."""
    return b.fadd(x, y, flags=("reassoc", "contract"))


def _neg(kind: str, b: ir.IRBuilder, x: Any) -> Any:
    return b.fneg(x) if kind == "f" else b.neg(x)


def _less(kind: str, b: ir.IRBuilder, x: Any, y: Any) -> Any:
    if kind == "f":
        return b.fcmp_ordered("<", x, y)
    return b.icmp_signed("<", x, y) if kind == "i" else b.icmp_unsigned("<", x, y)


def _abs(kind: str, b: ir.IRBuilder, x: Any) -> Any:
    if kind == "f":
        return call_intrinsic(b, "fabs", x)
    if kind == "u":
        return x
    return b.select(_less(kind, b, x, _constant(x, 0)), b.neg(x), x)


def _sign(kind: str, b: ir.IRBuilder, x: Any) -> Any:
    """1, -1, 0, or a NaN as it came."""
    zero, one = _constant(x, 0), _constant(x, 1)
    rest = zero
    if kind == "f":
        rest = b.select(b.fcmp_ordered("==", x, zero), zero, x)
    if kind != "u":
        rest = b.select(_less(kind, b, x, zero), _constant(x, -1), rest)
    return b.select(_less(kind, b, zero, x), one, rest)


def _extremum(largest: bool, kind: str, b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """llvm.maximum has NumPy's NaN rule and, unlike compare and select, vectorises in a loop."""
    if kind == "f":
        return call_intrinsic(b, "maximum" if largest else "minimum", x, y)
    if kind == "b":
        return b.or_(x, y) if largest else b.and_(x, y)
    smaller = _less(kind, b, x, y)
    return b.select(smaller, y, x) if largest else b.select(smaller, x, y)


def _safe_divisor(kind: str, b: ir.IRBuilder, x: Any, y: Any) -> tuple[Any, Any]:
    """Whether y is zero, and y with the divisors that would trap replaced by 1."""
    zero = b.icmp_unsigned("==", y, _constant(y, 0))
    trap = zero
    if kind == "i":
        lowest = _constant(x, -(2 ** (x.type.width - 1)))
        overflow = b.and_(
            b.icmp_unsigned("==", x, lowest), b.icmp_unsigned("==", y, _constant(y, -1))
        )
        trap = b.or_(zero, overflow)
    return zero, b.select(trap, _constant(y, 1), y)


def _is_off_floor(b: ir.IRBuilder, remainder: Any, divisor: Any) -> Any:
    """Whether a truncated division must step down by one to be a floor."""
    zero = _constant(remainder, 0)
    return b.and_(
        b.icmp_unsigned("!=", remainder, zero), b.icmp_signed("<", b.xor(remainder, divisor), zero)
    )


def _floor_divide(kind: str, b: ir.IRBuilder, x: Any, y: Any) -> Any:
    if kind == "f":
        return _floor_divide_float(b, x, y)
    is_zero, divisor = _safe_divisor(kind, b, x, y)
    if kind == "u":
        quotient = b.udiv(x, divisor)
    else:
        truncated = b.sdiv(x, divisor)
        rest = b.sub(x, b.mul(truncated, divisor))
        step = b.zext(_is_off_floor(b, rest, divisor), x.type)
        quotient = b.sub(truncated, step)
    return b.select(is_zero, _constant(x, 0), quotient)


def _remainder(kind: str, b: ir.IRBuilder, x: Any, y: Any) -> Any:
    if kind == "f":
        return _remainder_float(b, x, y)
    is_zero, divisor = _safe_divisor(kind, b, x, y)
    if kind == "u":
        result = b.urem(x, divisor)
    else:
        rest = b.srem(x, divisor)
        result = b.select(_is_off_floor(b, rest, divisor), b.add(rest, divisor), rest)
    return b.select(is_zero, _constant(x, 0), result)


def _fmod(kind: str, b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """The remainder of a truncated division, with the sign of x."""
    if kind == "f":
        return b.frem(x, y)
    is_zero, divisor = _safe_divisor(kind, b, x, y)
    rest = b.urem(x, divisor) if kind == "u" else b.srem(x, divisor)
    return b.select(is_zero, _constant(x, 0), rest)


def _shift(left: bool, kind: str, b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """x << y or x >> y; LLVM leaves a count of as many bits as x has, or of more, undefined."""
    fits = b.icmp_unsigned("<", y, _constant(y, y.type.width))
    last = _constant(y, y.type.width - 1)
    if kind == "i" and not left:
        return b.ashr(x, b.select(fits, y, last))
    shifted = (b.shl if left else b.lshr)(x, b.select(fits, y, last))
    return b.select(fits, shifted, _constant(x, 0))


def _opposite_signs(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    zero = _constant(x, 0)
    return b.xor(b.fcmp_ordered("<", x, zero), b.fcmp_ordered("<", y, zero))


def _floor_divide_float(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """NumPy's npy_floor_divide: exact through fmod, x / y where y == 0."""
    zero, one = _constant(x, 0), _constant(x, 1)
    rest = b.frem(x, y)
    quotient = b.fdiv(b.fsub(x, rest), y)
    step_down = b.and_(b.fcmp_unordered("!=", rest, zero), _opposite_signs(b, rest, y))
    quotient = b.select(step_down, b.fsub(quotient, one), quotient)
    floor = call_intrinsic(b, "floor", quotient)
    rounded_up = b.fcmp_ordered(">", b.fsub(quotient, floor), _constant(x, 0.5))
    floor = b.select(rounded_up, b.fadd(floor, one), floor)
    plain = b.fdiv(x, y)
    signed_zero = call_intrinsic(b, "copysign", zero, plain)
    floor = b.select(b.fcmp_ordered("==", quotient, zero), signed_zero, floor)
    return b.select(b.fcmp_ordered("==", y, zero), plain, floor)


def _remainder_float(b: ir.IRBuilder, x: Any, y: Any) -> Any:
    """NumPy's npy_remainder: the sign of y, NaN where y == 0."""
    zero = _constant(x, 0)
    rest = b.frem(x, y)
    lifted = b.select(_opposite_signs(b, rest, y), b.fadd(rest, y), rest)
    signed_zero = call_intrinsic(b, "copysign", zero, y)
    return b.select(b.fcmp_ordered("==", rest, zero), signed_zero, lifted)


def _isinf(kind: str, b: ir.IRBuilder, x: Any) -> Any:
    return b.fcmp_ordered("==", call_intrinsic(b, "fabs", x), _constant(x, math.inf))


def _isfinite(kind: str, b: ir.IRBuilder, x: Any) -> Any:
    return b.fcmp_ordered("<", call_intrinsic(b, "fabs", x), _constant(x, math.inf))


def _isnan(kind: str, b: ir.IRBuilder, x: Any) -> Any:
    return b.fcmp_unordered("uno", x, x)


def _not(kind: str, b: ir.IRBuilder, x: Any) -> Any:
    return b.not_(x)


def _llvm(name: str, kind: str, b: ir.IRBuilder, *operands: Any) -> Any:
    return call_intrinsic(b, name, *operands)


EMITTERS: dict[str, tuple[int, Emit]] = {
    "add": (2, partial(_arithmetic, ("fadd", "add"))),
    "sub": (2, partial(_arithmetic, ("fsub", "sub"))),
    "mul": (2, partial(_arithmetic, ("fmul", "mul"))),
    "div": (2, partial(_arithmetic, ("fdiv", "sdiv"))),
    "add_reassoc": (2, _add_reassoc),
    "neg": (1, _neg),
    "abs": (1, _abs),
    "sign": (1, _sign),
    "maximum": (2, partial(_extremum, True)),
    "minimum": (2, partial(_extremum, False)),
    "floor_divide": (2, _floor_divide),
    "remainder": (2, _remainder),
    "fmod": (2, _fmod),
    "shift_left": (2, partial(_shift, True)),
    "shift_right": (2, partial(_shift, False)),
    "power": (2, partial(_llvm, "pow")),
    "arctan2": (2, partial(_llvm, "atan2")),
    "copysign": (2, partial(_llvm, "copysign")),
    "sqrt": (1, partial(_llvm, "sqrt")),
    "floor": (1, partial(_llvm, "floor")),
    "ceil": (1, partial(_llvm, "ceil")),
    "rint": (1, partial(_llvm, "rint")),
    "isnan": (1, _isnan),
    "isinf": (1, _isinf),
    "isfinite": (1, _isfinite),
    "not": (1, _not),
}
"""Operation to arity and emitter; the words are `<operation>_<dtype>`."""

PREDICATES = ("isnan", "isinf", "isfinite")
"""Operations whose result is Boolean whatever the operands are."""
