"""Special cases of elementwise functions, as the standard lists them.

A row is `class [class] -> result`: for every operand of the class (of each pair of them), the
result. Rows of one function hold independently of each other. Where the standard lets a library
choose (`inf|nan`), NumPy's choice is the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Final

import numpy as np

POSITIVE: Final = (1e-40, 1e-30, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 7.0, 255.0, 1e6, 1e30)
VALUES: Final = (
    *POSITIVE, *(-v for v in POSITIVE), 0.0, -0.0, math.inf, -math.inf, math.nan
)  # fmt: skip
"""Operands; 1e-40 is subnormal in float32."""


def _odd(x: float) -> bool:
    return math.isfinite(x) and x % 2 == 1


def _plus_zero(x: float) -> bool:
    return x == 0 and math.copysign(1, x) > 0


def _minus_zero(x: float) -> bool:
    return x == 0 and math.copysign(1, x) < 0


CLASSES: Final[dict[str, Callable[[float], bool]]] = {
    "any": lambda x: True,
    "nan": math.isnan,
    "number": lambda x: not math.isnan(x),
    "finite": math.isfinite,
    "inf": lambda x: x == math.inf,
    "-inf": lambda x: x == -math.inf,
    "±inf": math.isinf,
    "+0": _plus_zero,
    "-0": _minus_zero,
    "±0": lambda x: x == 0,
    "nonzero": lambda x: x != 0,  # a NaN too
    "not1": lambda x: x != 1,
    ">0": lambda x: x > 0,
    "<0": lambda x: x < 0,
    "pos": lambda x: 0 < x < math.inf,
    "neg": lambda x: -math.inf < x < 0,
    "1": lambda x: x == 1,
    "-1": lambda x: x == -1,
    "±1": lambda x: abs(x) == 1,
    ">1": lambda x: x > 1,
    "<1": lambda x: x < 1,
    "<-1": lambda x: x < -1,
    "|>1|": lambda x: abs(x) > 1,
    "|<1|": lambda x: abs(x) < 1,
    "integer": lambda x: math.isfinite(x) and x == math.floor(x),
    "fraction": lambda x: math.isfinite(x) and x != math.floor(x),
    "odd>0": lambda x: x > 0 and _odd(x),
    "odd<0": lambda x: x < 0 and _odd(x),
    "notodd>0": lambda x: x > 0 and not _odd(x),
    "notodd<0": lambda x: x < 0 and not _odd(x),
    "half": lambda x: math.isfinite(x) and abs(x) < 100 and abs(x) % 1 == 0.5,
}

RESULTS: Final[dict[str, float]] = {
    "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "+0": 0.0, "-0": -0.0, "1": 1.0,
    "-1": -1.0, "pi": math.pi, "-pi": -math.pi, "pi/2": math.pi / 2, "-pi/2": -math.pi / 2,
    "pi/4": math.pi / 4, "-pi/4": -math.pi / 4, "3pi/4": 3 * math.pi / 4,
    "-3pi/4": -3 * math.pi / 4, "true": True, "false": False,
}  # fmt: skip

OF_OPERANDS: Final[dict[str, Callable[..., float]]] = {
    "x": lambda x: x,
    "-x": lambda x: -x,
    "x1": lambda x, y: x,
    "x2": lambda x, y: y,
    "abs": lambda x, y: abs(x),
    "-abs": lambda x, y: -abs(x),
    "even": lambda x: math.copysign(2 * round(abs(x) / 2), x),
}

_LOG = "nan -> nan; <0 -> nan; ±0 -> -inf; 1 -> +0; inf -> inf"
_ROUNDING = "nan -> nan; ±inf -> x; ±0 -> x; integer -> x"
_EXTREME = "nan any -> nan; any nan -> nan; inf number -> {0}; number inf -> {1}"

TABLE: Final[dict[str, str]] = {
    "abs": "nan -> nan; ±0 -> +0; ±inf -> inf",
    "acos": "nan -> nan; >1 -> nan; <-1 -> nan; 1 -> +0",
    "acosh": "nan -> nan; <1 -> nan; 1 -> +0; inf -> inf",
    "asin": "nan -> nan; >1 -> nan; <-1 -> nan; ±0 -> x",
    "asinh": "nan -> nan; ±0 -> x; ±inf -> x",
    "atan": "nan -> nan; ±0 -> x; inf -> pi/2; -inf -> -pi/2",
    "atanh": "nan -> nan; <-1 -> nan; >1 -> nan; -1 -> -inf; 1 -> inf; ±0 -> x",
    "ceil": _ROUNDING,
    "cos": "nan -> nan; ±0 -> 1; ±inf -> nan",
    "cosh": "nan -> nan; ±0 -> 1; ±inf -> inf",
    "exp": "nan -> nan; ±0 -> 1; inf -> inf; -inf -> +0",
    "expm1": "nan -> nan; ±0 -> x; inf -> inf; -inf -> -1",
    "floor": _ROUNDING,
    "isfinite": "nan -> false; ±inf -> false; finite -> true",
    "isinf": "nan -> false; ±inf -> true; finite -> false",
    "isnan": "nan -> true; ±inf -> false; finite -> false",
    "log": _LOG,
    "log1p": "nan -> nan; <-1 -> nan; -1 -> -inf; ±0 -> x; inf -> inf",
    "log2": _LOG,
    "log10": _LOG,
    "negative": "nan -> nan; ±0 -> -x; ±inf -> -x; finite -> -x",
    "positive": "nan -> nan; ±0 -> x; ±inf -> x; finite -> x",
    "reciprocal": "nan -> nan; +0 -> inf; -0 -> -inf; inf -> +0; -inf -> -0; ±1 -> x",
    "round": f"{_ROUNDING}; half -> even",
    "sign": "nan -> nan; ±0 -> +0; >0 -> 1; <0 -> -1",
    "signbit": "+0 -> false; -0 -> true; >0 -> false; <0 -> true",
    "sin": "nan -> nan; ±0 -> x; ±inf -> nan",
    "sinh": "nan -> nan; ±0 -> x; ±inf -> x",
    "sqrt": "nan -> nan; <0 -> nan; ±0 -> x; inf -> inf",
    "square": "nan -> nan; ±0 -> +0; ±inf -> inf",
    "tan": "nan -> nan; ±0 -> x; ±inf -> nan",
    "tanh": "nan -> nan; ±0 -> x; inf -> 1; -inf -> -1",
    "trunc": _ROUNDING,
    "add": """nan any -> nan; any nan -> nan; inf -inf -> nan; -inf inf -> nan; inf inf -> inf;
        -inf -inf -> -inf; inf finite -> inf; -inf finite -> -inf; finite inf -> inf;
        finite -inf -> -inf; -0 -0 -> -0; -0 +0 -> +0; +0 -0 -> +0; +0 +0 -> +0; ±0 pos -> x2;
        ±0 neg -> x2; pos ±0 -> x1; neg ±0 -> x1""",
    "subtract": """nan any -> nan; any nan -> nan; inf inf -> nan; -inf -inf -> nan;
        inf -inf -> inf; -inf inf -> -inf; inf finite -> inf; finite inf -> -inf;
        -0 +0 -> -0; -0 -0 -> +0; +0 +0 -> +0; +0 -0 -> +0; pos ±0 -> x1; neg ±0 -> x1""",
    "multiply": """nan any -> nan; any nan -> nan; ±inf ±0 -> nan; ±0 ±inf -> nan;
        inf >0 -> inf; inf <0 -> -inf; -inf >0 -> -inf; -inf <0 -> inf; >0 inf -> inf;
        <0 inf -> -inf; >0 -inf -> -inf; <0 -inf -> inf; +0 pos -> +0; -0 pos -> -0;
        +0 neg -> -0; -0 neg -> +0; -0 -0 -> +0; +0 -0 -> -0""",
    "divide": """nan any -> nan; any nan -> nan; ±inf ±inf -> nan; ±0 ±0 -> nan;
        +0 >0 -> +0; -0 >0 -> -0; +0 <0 -> -0; -0 <0 -> +0; >0 +0 -> inf; >0 -0 -> -inf;
        <0 +0 -> -inf; <0 -0 -> inf; inf pos -> inf; inf neg -> -inf; -inf pos -> -inf;
        -inf neg -> inf; pos inf -> +0; pos -inf -> -0; neg inf -> -0; neg -inf -> +0""",
    "floor_divide": """nan any -> nan; any nan -> nan; ±inf ±inf -> nan; ±0 ±0 -> nan;
        +0 >0 -> +0; -0 >0 -> -0; +0 <0 -> -0; -0 <0 -> +0; pos +0 -> inf; pos -0 -> -inf;
        neg +0 -> -inf; neg -0 -> inf; inf pos -> nan|inf; inf neg -> nan|-inf;
        -inf pos -> nan|-inf; -inf neg -> nan|inf; pos inf -> +0; pos -inf -> -1|-0;
        neg inf -> -1|-0; neg -inf -> +0""",
    "remainder": """nan any -> nan; any nan -> nan; ±inf ±inf -> nan; ±0 ±0 -> nan;
        +0 >0 -> +0; -0 >0 -> +0; +0 <0 -> -0; -0 <0 -> -0; >0 ±0 -> nan; <0 ±0 -> nan;
        ±inf pos -> nan; ±inf neg -> nan; pos inf -> x1; pos -inf -> x2; neg inf -> x2;
        neg -inf -> x1""",
    "pow": """not1 nan -> nan; any ±0 -> 1; nan nonzero -> nan; |>1| inf -> inf; |>1| -inf -> +0;
        ±1 ±inf -> 1|nan; 1 any -> 1; |<1| inf -> +0; |<1| -inf -> inf; inf >0 -> inf;
        inf <0 -> +0; -inf odd>0 -> -inf; -inf notodd>0 -> inf; -inf odd<0 -> -0;
        -inf notodd<0 -> +0; +0 >0 -> +0; +0 <0 -> inf; -0 odd>0 -> -0; -0 notodd>0 -> +0;
        -0 odd<0 -> -inf; -0 notodd<0 -> inf; neg fraction -> nan""",
    "atan2": """nan any -> nan; any nan -> nan; >0 ±0 -> pi/2; <0 ±0 -> -pi/2; +0 >0 -> +0;
        +0 +0 -> +0; +0 -0 -> pi; +0 <0 -> pi; -0 >0 -> -0; -0 +0 -> -0; -0 -0 -> -pi;
        -0 <0 -> -pi; pos inf -> +0; pos -inf -> pi; neg inf -> -0; neg -inf -> -pi;
        inf finite -> pi/2; -inf finite -> -pi/2; inf inf -> pi/4; inf -inf -> 3pi/4;
        -inf inf -> -pi/4; -inf -inf -> -3pi/4""",
    "copysign": """number >0 -> abs; number +0 -> abs; number -0 -> -abs; number <0 -> -abs;
        nan number -> nan""",
    "hypot": """±inf any -> inf; any ±inf -> inf; nan finite -> nan; finite nan -> nan;
        nan nan -> nan; ±0 ±0 -> +0""",
    "logaddexp": "nan any -> nan; any nan -> nan; inf number -> inf; number inf -> inf",
    "maximum": _EXTREME.format("inf", "inf"),
    "minimum": _EXTREME.format("x2", "x1"),
    "equal": "nan any -> false; any nan -> false; ±0 ±0 -> true; inf inf -> true",
    "not_equal": "nan any -> true; any nan -> true; ±0 ±0 -> false; inf inf -> false",
    "less": "nan any -> false; any nan -> false; ±0 ±0 -> false; -inf finite -> true",
    "less_equal": "nan any -> false; any nan -> false; ±0 ±0 -> true; finite inf -> true",
    "greater": "nan any -> false; any nan -> false; ±0 ±0 -> false; inf finite -> true",
    "greater_equal": "nan any -> false; any nan -> false; ±0 ±0 -> true; finite -inf -> true",
}


def cases(name: str, dtype: np.dtype) -> Iterator[tuple[tuple[float, ...], tuple[float, ...], str]]:
    """(operands, the results allowed, the row) of every special case of a function."""
    operands = [float(dtype.type(v)) for v in VALUES]
    for row in TABLE[name].split(";"):
        left, _, right = row.partition("->")
        chosen = [[v for v in operands if CLASSES[c](v)] for c in left.split()]
        assert all(chosen), f"a class of the row {row!r} is empty"
        for values in product(*chosen):
            yield values, tuple(_result(r, values) for r in right.strip().split("|")), row.strip()


def _result(token: str, operands: tuple[float, ...]) -> float:
    if token in OF_OPERANDS:
        return OF_OPERANDS[token](*operands)
    return RESULTS[token]
