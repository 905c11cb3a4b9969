"""Every special case of the standard's elementwise functions, in float32 and float64, by function,
and by operator."""

import math
import operator

import numpy as np
import pytest

from array_api import namespace as xp
from array_api import special, standard

FLOATS = ("float32", "float64")
SYMBOLS = {function: name for name, function in standard.OPERATORS.items()}


def same(actual: float, wanted: float, dtype: np.dtype) -> bool:
    if math.isnan(wanted) or math.isnan(actual):
        return math.isnan(wanted) and math.isnan(actual)
    if wanted == 0 or math.isinf(wanted):
        return actual == wanted and math.copysign(1, actual) == math.copysign(1, wanted)
    return bool(abs(actual - wanted) <= 4 * np.finfo(dtype).eps * abs(wanted))


def check(name: str, call, dtype: str) -> None:
    kind = xp.dtypes[dtype]
    cases = list(special.cases(name, kind))
    operands = [
        xp.asarray(list(column), dtype=kind) for column in zip(*(c[0] for c in cases), strict=True)
    ]
    results = call(*operands)
    boolean = isinstance(cases[0][1][0], bool)
    assert results.dtype == (xp.bool if boolean else kind)
    wrong = [
        f"{name}{values} = {actual}, not {allowed}: {row}"
        for (values, allowed, row), actual in zip(cases, results._data.tolist(), strict=True)
        if not any(same(actual, wanted, kind) for wanted in allowed)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", special.TABLE)
def test_function(name: str, dtype: str) -> None:
    check(name, getattr(xp, name), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(special.TABLE.keys() & SYMBOLS.keys()))
def test_operator(name: str, dtype: str) -> None:
    check(name, getattr(operator, SYMBOLS[name]), dtype)
