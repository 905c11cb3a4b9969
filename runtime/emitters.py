"""LLVM instructions for the scalar operations of generated code.

Each emitter takes the builder and the operands, which are values of one dtype, and returns the
result. Nothing here can trap: integer division guards its divisor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final

from .builder import BITS, Builder, Value, constant

Emit = Callable[..., Value]


def _like(x: Value, number: float) -> Value:
    return constant(x.kind, number, x.lanes)


def _regrouped(emit: Emit, b: Builder, x: Value, y: Value) -> Value:
    """A sum or product whose parts may be regrouped: what lets a reduction loop vectorise."""
    return emit(b, x, y, flags="reassoc contract")


def _abs(b: Builder, x: Value) -> Value:
    if x.letter == "f":
        return b.intrinsic("fabs", x)
    return x if x.letter == "u" else b.select(b.compare("<", x, _like(x, 0)), b.neg(x), x)


def _sign(b: Builder, x: Value) -> Value:
    """1, -1, 0, or a NaN as it came."""
    zero, one = _like(x, 0), _like(x, 1)
    rest = zero
    if x.letter == "f":
        rest = b.select(b.compare("==", x, zero), zero, x)
    if x.letter != "u":
        rest = b.select(b.compare("<", x, zero), _like(x, -1), rest)
    return b.select(b.compare("<", zero, x), one, rest)


def _extremum(largest: bool, b: Builder, x: Value, y: Value) -> Value:
    """llvm.maximum has NumPy's NaN rule and, unlike compare and select, vectorises in a loop. Of
    zeros either may be taken, as in NumPy. x86 compares the first operand with itself to find NaN:
    that is the new one, for which no accumulator `x` has to wait. Were it not frozen, LLVM would
    turn `maximum(acc, select(c, -inf, new))` into a selection, and not vectorise that."""
    if x.letter == "f":
        new = b.instruction(y.kind, f"freeze {y.typed}", y.lanes)
        return b.intrinsic("maximum" if largest else "minimum", new, x, flags="nsz")
    if x.letter == "b":
        return b.or_(x, y) if largest else b.and_(x, y)
    smaller = b.compare("<", x, y)
    return b.select(smaller, y, x) if largest else b.select(smaller, x, y)


def _safe_divisor(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Whether y is zero, and y with the divisors that would trap replaced by 1."""
    zero = b.compare("==", y, _like(y, 0))
    trap = zero
    if x.letter == "i" and not _by_inverse(x, y):
        lowest = _like(x, -(2 ** (BITS[x.kind] - 1)))
        overflow = b.and_(b.compare("==", x, lowest), b.compare("==", y, _like(y, -1)))
        trap = b.or_(zero, overflow)
    return zero, b.select(trap, _like(y, 1), y)


def _by_inverse(x: Value, y: Value) -> bool:
    """Whether x is multiplied by the inverse of y: vectors have no instruction that divides
    integers. Where y is known, LLVM finds an inverse among the integers."""
    return x.lanes > 0 and BITS[x.kind] <= 32 and y.text.startswith("%")


def _quotient(b: Builder, x: Value, y: Value, divisor: Value) -> Value:
    """x / divisor without its fraction; the divisor is y where that does not trap. The inverse is
    too large by so little that wholes stay wholes, and no fraction becomes one."""
    if not _by_inverse(x, y):
        return b.div(x, divisor)
    kind, unit = ("f64", 2.0**-51) if BITS[x.kind] == 32 else ("f32", 2.0**-22)
    inverse = b.div(constant(kind, 1 + unit, x.lanes), b.convert(divisor, kind))
    found = b.mul(b.convert(x, kind), inverse)
    if x.letter == "u":
        return b.convert(found, x.kind)
    if kind == "f32":
        return b.convert(b.convert(found, "i32"), x.kind)
    overflows = b.compare("==", divisor, _like(y, -1))  # where x is the lowest number
    return b.select(overflows, b.neg(x), b.convert(found, x.kind))


def _rest(b: Builder, x: Value, y: Value, divisor: Value) -> Value:
    """What the quotient leaves of x."""
    if not x.lanes:
        return b.rem(x, divisor)
    return b.sub(x, b.mul(_quotient(b, x, y, divisor), divisor))


def _is_off_floor(b: Builder, remainder: Value, divisor: Value) -> Value:
    """Whether a truncated division of signed integers must step down by one to be a floor."""
    zero = _like(remainder, 0)
    return b.and_(b.compare("!=", remainder, zero), b.compare("<", b.xor(remainder, divisor), zero))


def _floor_divide(b: Builder, x: Value, y: Value) -> Value:
    is_zero, divisor = _safe_divisor(b, x, y)
    quotient = _quotient(b, x, y, divisor)
    if x.letter == "i":
        rest = b.sub(x, b.mul(quotient, divisor))
        quotient = b.sub(quotient, b.convert(_is_off_floor(b, rest, divisor), x.kind))
    return b.select(is_zero, _like(x, 0), quotient)


def _remainder(b: Builder, x: Value, y: Value) -> Value:
    is_zero, divisor = _safe_divisor(b, x, y)
    rest = _rest(b, x, y, divisor)
    if x.letter == "i":
        rest = b.select(_is_off_floor(b, rest, divisor), b.add(rest, divisor), rest)
    return b.select(is_zero, _like(x, 0), rest)


def _fmod(b: Builder, x: Value, y: Value) -> Value:
    """The remainder of a truncated division, with the sign of x."""
    is_zero, divisor = _safe_divisor(b, x, y)
    return b.select(is_zero, _like(x, 0), _rest(b, x, y, divisor))


def _shift(left: bool, b: Builder, x: Value, y: Value) -> Value:
    """x << y or x >> y; LLVM leaves a count of as many bits as x has, or of more, undefined."""
    bits, unsigned = BITS[x.kind], f"u{BITS[x.kind]}"
    fits = b.compare("<", b.convert(y, unsigned), constant(unsigned, bits, y.lanes))
    count = b.select(fits, y, _like(y, bits - 1))
    if x.letter == "i" and not left:
        return b.shr(x, count)
    return b.select(fits, (b.shl if left else b.shr)(x, count), _like(x, 0))


def _isinf(b: Builder, x: Value) -> Value:
    return b.compare("==", b.intrinsic("fabs", x), _like(x, math.inf))


def _isfinite(b: Builder, x: Value) -> Value:
    return b.compare("<", b.intrinsic("fabs", x), _like(x, math.inf))


def _isnan(b: Builder, x: Value) -> Value:
    return b.compare("!=", x, x)


def _llvm(name: str, b: Builder, *operands: Value) -> Value:
    return b.intrinsic(name, *operands)


EMITTERS: Final[dict[str, tuple[int, Emit]]] = {
    "add": (2, Builder.add),
    "sub": (2, Builder.sub),
    "mul": (2, Builder.mul),
    "div": (2, Builder.div),
    "add_reassoc": (2, partial(_regrouped, Builder.add)),
    "mul_reassoc": (2, partial(_regrouped, Builder.mul)),
    "neg": (1, Builder.neg),
    "abs": (1, _abs),
    "sign": (1, _sign),
    "maximum": (2, partial(_extremum, True)),
    "minimum": (2, partial(_extremum, False)),
    "floor_divide": (2, _floor_divide),
    "remainder": (2, _remainder),
    "fmod": (2, _fmod),
    "shift_left": (2, partial(_shift, True)),
    "shift_right": (2, partial(_shift, False)),
    "copysign": (2, partial(_llvm, "copysign")),
    "sqrt": (1, partial(_llvm, "sqrt")),
    "floor": (1, partial(_llvm, "floor")),
    "ceil": (1, partial(_llvm, "ceil")),
    "rint": (1, partial(_llvm, "rint")),
    "isnan": (1, _isnan),
    "isinf": (1, _isinf),
    "isfinite": (1, _isfinite),
    "not": (1, Builder.not_),
}
"""Operation to arity and emitter; the words are `<operation>_<dtype>`."""

PREDICATES: Final = ("isnan", "isinf", "isfinite")
"""Operations whose result is Boolean whatever the operands are."""
