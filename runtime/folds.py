"""How loops accumulate, by their text.

    s = add_reassoc_f64(s, x0[i])                          add: vectors of sums
    s = s + i64_from_bool(v1)                              count: of the ones in masks
    s = minimum_i64(s, select_i64(v1, i, FAR))             first: where a mask has its first one
    s = maximum_f64(s, select_f64(isnan_f64(v1), -inf, v1)) larger: the maximum but for NaN

Sums of Booleans and the first place where something holds need no numbers in vectors: a mask is
bits of a register, of which processors count the ones and find the first. A comparison passes NaN
over by itself. Numbers of f32 that are added up in f64 are first added in fours, by which they lose
two roundings at most: to convert a vector takes longer than to add one.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import Final

from ..ir.record import dataclass
from .builder import BITS
from .expressions import literal

FAR: Final = 2**63 - 1
"""The place of what is nowhere."""

_CALLS: Final = {
    "add_reassoc": "add", "add": "add", "mul_reassoc": "mul", "mul": "mul",
    "maximum": "maximum", "minimum": "minimum",
}  # fmt: skip
_ORDERED: Final = {"maximum": ("larger", -math.inf), "minimum": ("smaller", math.inf)}
_OPERATORS: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "add", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or",
}  # fmt: skip


@dataclass(frozen=True)
class Fold:
    """How a variable accumulates: "add", "mul", "maximum", "minimum", "and", "or"; or, of an
    operand, "larger" or "smaller", "widened", a sum of f32 in f64, and "count" or "first", whose
    operand is a mask."""

    how: str
    operand: ast.expr | None = None

    @property
    def of_mask(self) -> bool:
        return self.how in ("count", "first")


def fold_of(
    value: ast.expr,
    name: str,
    kind: str,
    counter: str,
    defined: Callable[[ast.expr], ast.expr],
    is_f32: Callable[[ast.expr], bool],
) -> Fold | None:
    """How a value accumulates into the variable `name`, of this kind, in a loop with this counter;
    `defined` gives what a variable is assigned in the same iteration, other expressions back, and
    `is_f32` says of an expression whether it is one."""
    how = _how(value, name, kind)
    if how is None:
        return None
    new = _accumulated(value)
    if how == "add":
        mask = _as_number(new, defined)
        narrow = _narrow(new, kind, is_f32)
        return Fold("count", mask) if mask else Fold("widened", narrow) if narrow else Fold(how)
    if how == "minimum" and kind == "i64":
        mask = _place(new, counter)
        return Fold(how) if mask is None else Fold("first", mask)
    if how in _ORDERED:
        word, worst = _ORDERED[how]
        number = _unless_nan(new, worst, defined)
        return Fold(how) if number is None else Fold(word, number)
    return Fold(how)


def _how(value: ast.expr, name: str, kind: str) -> str | None:
    exact = kind in BITS and kind not in ("f32", "f64")
    match value:
        case ast.Call(func=ast.Name(id=word), args=[ast.Name(id=first), _]):
            op, _, dtype = word.rpartition("_")
            fits = first == name and dtype == kind and (exact or op not in ("add", "mul"))
            return _CALLS.get(op) if fits else None
        case ast.Call(func=ast.Name(id=word), args=[ast.BinOp() as total]):
            return _how(total, name, kind) if exact and word == kind else None
        case ast.BinOp(left=ast.Name(id=first), op=op):
            return _OPERATORS.get(type(op)) if exact and first == name else None
    return None


def _accumulated(value: ast.expr) -> ast.expr:
    """The operand that is not the accumulator."""
    match value:
        case ast.Call(args=[_, new]) | ast.BinOp(right=new):
            return new
        case ast.Call(args=[total]):
            return _accumulated(total)
    return value


def _as_number(value: ast.expr, defined: Callable[[ast.expr], ast.expr]) -> ast.expr | None:
    """The variable of a mask that a value is as a number, 1 or 0; None for other values."""
    match defined(value):
        case ast.Call(func=ast.Name(id=word), args=[ast.Name() as mask]) if "_from_bool" in word:
            return mask if defined(mask) is not mask else None
        case ast.Call(func=ast.Name(id="f64"), args=[narrow]):
            return _as_number(narrow, defined)
    return None


def _narrow(value: ast.expr, kind: str, is_f32: Callable[[ast.expr], bool]) -> ast.expr | None:
    """The f32 of a value `f64(v)`."""
    match value:
        case ast.Call(func=ast.Name(id="f64"), args=[narrow]) if kind == "f64":
            return narrow if is_f32(narrow) else None
    return None


def _place(value: ast.expr, counter: str) -> ast.expr | None:
    """The mask c of `select_i64(c, i, FAR)`."""
    match value:
        case ast.Call(
            func=ast.Name(id="select_i64"),
            args=[mask, ast.Name(id=place), ast.Constant(value=far)],
        ) if place == counter and far == FAR:
            return mask
    return None


def _unless_nan(
    value: ast.expr, worst: float, defined: Callable[[ast.expr], ast.expr]
) -> ast.expr | None:
    """The variable x of a value `select(isnan(x), worst, x)`."""
    match defined(value):
        case ast.Call(
            func=ast.Name(id=choice),
            args=[test, ast.Call(func=ast.Name(), args=[other]), ast.Name(id=name) as number],
        ) if choice.startswith("select_f") and literal(other) == worst:
            match defined(test):
                case ast.Call(func=ast.Name(id=word), args=[ast.Name(id=tested)]):
                    known = tested == name and defined(number) is not number
                    return number if known and word.startswith("isnan_") else None
    return None
