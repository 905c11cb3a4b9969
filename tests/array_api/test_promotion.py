"""The standard's type promotion: its tables, for every function and operator of two arrays, and for
Python numbers. The tables are written out; NumPy is not asked."""

import operator

import numpy as np
import pytest

from array_api import drawing, standard
from array_api import namespace as xp

INTEGERS = """
         i1 i2 i4 i8 u1 u2 u4 u8
    i1   i1 i2 i4 i8 i2 i4 i8 .
    i2   i2 i2 i4 i8 i2 i4 i8 .
    i4   i4 i4 i4 i8 i4 i4 i8 .
    i8   i8 i8 i8 i8 i8 i8 i8 .
    u1   i2 i2 i4 i8 u1 u2 u4 u8
    u2   i4 i4 i4 i8 u2 u2 u4 u8
    u4   i8 i8 i8 i8 u4 u4 u4 u8
    u8   .  .  .  .  u8 u8 u8 u8
"""
FLOATS = """
         f4 f8
    f4   f4 f8
    f8   f8 f8
"""


def table(text: str) -> dict[tuple[str, str], str]:
    """(first, second) -> the result, without the places of a dot."""
    header, *rows = (line.split() for line in text.strip().splitlines())
    return {
        (first, second): result
        for first, *results in rows
        for second, result in zip(header, results, strict=True)
        if result != "."
    }


PAIRS = table(INTEGERS) | table(FLOATS) | {("?", "?"): "?"}
RETURNS_BOOL = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
MIXED = [pair for pair in PAIRS if pair[0] != pair[1]]


def name_of(code: str) -> str:
    return np.dtype(code).name


def one(code: str):
    return xp.asarray([1, 1], dtype=np.dtype(code))


def pairs_of(name: str) -> list[tuple[str, str]]:
    kinds = drawing.KINDS.get(name, drawing.FLOAT)
    return [pair for pair in PAIRS if name_of(pair[0]) in kinds and name_of(pair[1]) in kinds]


def test_result_type() -> None:
    for (first, second), result in PAIRS.items():
        assert xp.result_type(np.dtype(first), one(second)) == np.dtype(result)


@pytest.mark.parametrize("name", [n for n in standard.BINARY if n in standard.CLAIMED])
def test_function(name: str) -> None:
    integer_powers = name == "pow"
    for first, second in pairs_of(name):
        if integer_powers and "f" not in first:
            continue
        wanted = "?" if name in RETURNS_BOOL else PAIRS[first, second]
        assert getattr(xp, name)(one(first), one(second)).dtype == np.dtype(wanted), (first, second)


@pytest.mark.parametrize("name", standard.ARITHMETIC_OPERATORS)
def test_operator(name: str) -> None:
    """The operator, its reflected form with a Python number, and in place where the left side
    keeps its dtype."""
    function = getattr(operator, name)
    for first, second in pairs_of(standard.OPERATORS[name]):
        whole = name == "__pow__" and "f" not in first
        if not whole:
            assert function(one(first), one(second)).dtype == np.dtype(PAIRS[first, second])
        if name == "__matmul__":
            continue
        number = {"?": True, "f": 1.0}.get(first[0], 1)
        assert function(one(first), number).dtype == np.dtype(first)
        if not whole:
            assert function(number, one(first)).dtype == np.dtype(first)
        if PAIRS[first, second] == first and not whole:
            target = one(first)
            kept = target
            target = getattr(operator, f"__i{name[2:]}")(target, one(second))
            assert target is kept
            assert target.dtype == np.dtype(first)


@pytest.mark.parametrize("name", ["concat", "stack", "where", "matmul", "tensordot", "vecdot"])
def test_other_functions(name: str) -> None:
    condition = xp.asarray([True, False])
    for first, second in PAIRS:
        x, y = one(first), one(second)
        if name in ("concat", "stack"):
            result = getattr(xp, name)([x, y])
        elif first == "?" and name != "where":
            continue
        else:
            more = {"tensordot": {"axes": 1}}.get(name, {})
            operands = (condition, x, y) if name == "where" else (x, y)
            result = getattr(xp, name)(*operands, **more)
        assert result.dtype == np.dtype(PAIRS[first, second]), (first, second)


@pytest.mark.parametrize("name", ["sum", "prod", "cumulative_sum", "cumulative_prod"])
def test_sums_are_wide(name: str) -> None:
    """Integers are summed in the widest integer of their sign; floats as they are."""
    for code in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]:
        wanted = {"i": "i8", "u": "u8", "f": code}[code[0]]
        assert getattr(xp, name)(one(code)).dtype == np.dtype(wanted)
        for asked in ("i8", "f4", "f8"):
            assert getattr(xp, name)(one(code), dtype=np.dtype(asked)).dtype == np.dtype(asked)


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "signbit", "logical_not"])
def test_predicates_are_bool(name: str) -> None:
    kinds = drawing.KINDS.get(name, drawing.FLOAT)
    for dtype in kinds:
        assert getattr(xp, name)(one(dtype)).dtype == xp.bool


@pytest.mark.parametrize("name", ["argmax", "argmin", "argsort", "count_nonzero"])
def test_places_are_int64(name: str) -> None:
    for dtype in drawing.NUMERIC:
        assert getattr(xp, name)(one(dtype)).dtype == xp.int64
