"""How values are written in IR text: numbers, arrays, attributes, slices; both ways.

Numbers are exact: a float is the shortest decimal that reads back as the same bits (`inf`, `nan`
and `-0.0` included). Arrays of more than 64 elements are written as base64 of their little-endian
bytes.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Final

import numpy as np

from .record import dataclass
from .tokens import Cursor, Token
from .types import DTYPES, F32, MAX_RANK, Type, dtype_name

MAX_SHOWN: Final = 64
"""Arrays of at most this many elements are written out."""

MAX_NESTING: Final = 8
"""How deep tuples may nest in attributes."""

_WORDS: Final = {"true": True, "false": False, "None": None, "inf": math.inf, "nan": math.nan}
_WORD: Final = re.compile(r"[^\W\d][\w.']*")

Slice = tuple[int, int, int]


def format_scalar(value: np.ndarray | np.generic) -> str:
    """A number of shape (): `-0.5`, `3`, `true`."""
    if value.dtype.kind == "b":
        return "true" if value else "false"
    if value.dtype.kind in "iu":
        return str(int(value))
    return repr(_shortest(value))


def _shortest(value: np.ndarray | np.generic) -> float:
    """The double whose `repr` is the shortest text that reads back as the same float."""
    number = float(value)
    if value.dtype != F32 or not math.isfinite(number):
        return number
    short = float(np.format_float_scientific(np.float32(number)))
    return short if np.float32(short) == value else number


def format_array(array: np.ndarray) -> str:
    """A constant: a literal, nested lists, or `base64"..."`; `[]` when it has no elements."""
    if array.size > MAX_SHOWN:
        little = array.astype(array.dtype.newbyteorder("<"))
        return f'base64"{base64.b64encode(little.tobytes()).decode()}"'
    return "[]" if array.size == 0 else _nested(array)


def _nested(array: np.ndarray) -> str:
    if array.ndim == 0:
        return format_scalar(array[()])
    return f"[{', '.join(_nested(row) for row in array)}]"


def format_attr(value: Any) -> str:
    """An attribute: number, word or quoted string, dtype, None, or a tuple of these."""
    match value:
        case None | bool():
            return {None: "None", True: "true", False: "false"}[value]
        case int() | float():
            return repr(value)
        case np.dtype():
            return dtype_name(value)
        case tuple():
            return f"({','.join(map(format_attr, value))})"
        case np.generic():
            return format_scalar(value)
    word = str(value)
    plain = _WORD.fullmatch(word) and word not in _WORDS and word not in DTYPES
    return word if plain else f'"{word}"'


def format_slices(spec: tuple[Slice, ...], shape: tuple[int, ...] | None = None) -> str:
    """`0:3, :, ::2`; whole axes are short if the shape is given."""
    extents = shape if shape is not None and len(shape) == len(spec) else (None,) * len(spec)
    return ", ".join(_slice(*part, n) for part, n in zip(spec, extents, strict=True))


def _slice(start: int, stop: int, step: int, n: int | None) -> str:
    if n is not None and (start, stop) == ((0, n) if step > 0 else (n - 1, -1)):
        return ":" if step == 1 else f"::{step}"
    return f"{start}:{stop}" + ("" if step == 1 else f":{step}")


@dataclass(frozen=True, slots=True)
class Literal:
    """A number in the text; `dtype` is None when it is bare."""

    value: float | int | bool
    dtype: np.dtype | None
    token: Token

    @property
    def kind(self) -> str:
        """`f`, `i` or `b`: the kind of dtype it may have."""
        return {float: "f", int: "i", bool: "b"}[type(self.value)]


def at_literal(cursor: Cursor) -> bool:
    """Whether a number starts here."""
    return cursor.token.kind in ("int", "float") or cursor.at("-", "inf", "nan", "true", "false")


def parse_literal(cursor: Cursor) -> Literal:
    """`1.0`, `-inf`, `true`, `1.0:f32`."""
    token = cursor.token
    value = parse_number(cursor)
    return Literal(value, parse_dtype(cursor) if cursor.accept(":") else None, token)


def parse_number(cursor: Cursor) -> float | int | bool:
    """A number without a dtype."""
    if cursor.at("true", "false"):
        return cursor.advance().text == "true"
    negative = cursor.accept("-")
    if cursor.at("inf", "nan"):
        value: float | int = float(cursor.advance().text)
    elif cursor.token.kind == "int":
        value = cursor.integer()
    else:
        value = _finite(cursor)
    return -value if negative else value


def _finite(cursor: Cursor) -> float:
    token = cursor.expect_kind("float", "a number")
    cursor.check_digits(token)
    value = float(token.text)
    if math.isinf(value):
        cursor.fail(f"{token} is too large for a float", token)
    return value


def parse_dtype(cursor: Cursor) -> np.dtype:
    """`f32`, `bool`, ..."""
    token = cursor.expect_kind("name", "a dtype")
    if token.text not in DTYPES:
        cursor.fail(f"expected a dtype ({', '.join(DTYPES)}), found {token}", token)
    return DTYPES[token.text]


def to_scalar(cursor: Cursor, literal: Literal, dtype: np.dtype) -> np.generic:
    """The literal in a dtype of its kind; fails when it does not fit."""
    if dtype.kind.replace("u", "i") != literal.kind:
        cursor.fail(f"{literal.value!r} is not a literal of {dtype_name(dtype)}", literal.token)
    if literal.kind == "i":
        info = np.iinfo(dtype)
        if not info.min <= literal.value <= info.max:
            cursor.fail(f"{literal.value} does not fit {dtype_name(dtype)}", literal.token)
    with np.errstate(over="ignore"):
        scalar: np.generic = dtype.type(literal.value)
    if np.isinf(scalar) and not math.isinf(literal.value):
        cursor.fail(f"{literal.value!r} does not fit {dtype_name(dtype)}", literal.token)
    return scalar


def parse_array(cursor: Cursor, expected: Type) -> np.ndarray:
    """The value of a constant of the type that its definition declares."""
    if cursor.token.kind == "base64":
        return _from_base64(cursor, expected)
    if expected.size == 0:
        cursor.expect("[")
        cursor.expect("]")
        return np.empty(expected.shape, expected.dtype)
    flat: list[np.generic] = []
    _collect(cursor, expected, 0, flat)
    return np.array(flat, expected.dtype).reshape(expected.shape)


def _collect(cursor: Cursor, expected: Type, axis: int, flat: list[np.generic]) -> None:
    if axis == expected.rank:
        flat.append(to_scalar(cursor, parse_literal(cursor), expected.dtype))
        return
    cursor.expect("[")
    for k in range(expected.shape[axis]):
        if k:
            cursor.expect(",")
        _collect(cursor, expected, axis + 1, flat)
    cursor.expect("]")


def _from_base64(cursor: Cursor, expected: Type) -> np.ndarray:
    token = cursor.advance()
    try:
        data = base64.b64decode(token.text[7:-1], validate=True)
    except binascii.Error as error:
        cursor.fail(f"invalid base64: {error}", token)
    if len(data) != expected.nbytes:
        cursor.fail(f"{expected} has {expected.nbytes} bytes, found {len(data)}", token)
    if expected.is_bool and max(data, default=0) > 1:
        cursor.fail("the bytes of a bool are 0 and 1", token)
    little = np.frombuffer(data, expected.dtype.newbyteorder("<"))
    return little.astype(expected.dtype).reshape(expected.shape)


def parse_attr(cursor: Cursor, depth: int = 0) -> Any:
    """An attribute's value, as `format_attr` writes it."""
    if cursor.at("("):
        if depth == MAX_NESTING:
            cursor.fail(f"attributes nest at most {MAX_NESTING} deep")
        cursor.advance()
        return tuple(cursor.sequence(")", lambda: parse_attr(cursor, depth + 1)))
    if at_literal(cursor):
        return parse_number(cursor)
    if cursor.token.kind == "string":
        return cursor.advance().text[1:-1]
    token = cursor.expect_kind("name", "a number, a word, a string or a tuple")
    return _WORDS[token.text] if token.text in _WORDS else DTYPES.get(token.text, token.text)


def parse_slices(cursor: Cursor, close: str, shape: tuple[int, ...] | None) -> tuple[Slice, ...]:
    """Slices up to `close`, which is left; `shape` says what a whole axis is."""
    parts: list[Slice] = []
    while not cursor.at(close) and (at_literal(cursor) or cursor.at(":")):
        if len(parts) == MAX_RANK:
            cursor.fail(f"more than {MAX_RANK} slices")
        extent = shape[len(parts)] if shape is not None and len(parts) < len(shape) else None
        parts.append(_parse_slice(cursor, extent))
        if not cursor.at(close):
            cursor.expect(",")
    return tuple(parts)


def _parse_slice(cursor: Cursor, extent: int | None) -> Slice:
    token = cursor.token
    start = None if cursor.at(":") else cursor.integer()
    cursor.expect(":")
    stop = None if cursor.at(":", ",", "]") else cursor.integer()
    step = cursor.integer() if cursor.accept(":") else 1
    if start is not None and stop is not None:
        return (start, stop, step)
    if start is not None or stop is not None or extent is None:
        cursor.fail("a slice has a start and a stop, or neither where the axis is known", token)
    return (0, extent, step) if step > 0 else (extent - 1, -1, step)
