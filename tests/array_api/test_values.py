"""Every claimed function on drawn arguments: value, dtype and shape are NumPy's.

NumPy is what the function's target means outside a trace. Functions that round (`exp`, `sum`, ...)
may differ by a few units in the last place, all others in none, the sign of zero included.
"""

import numpy as np
import pytest
from hypothesis import given

from array_api import calls, calls_linalg, calls_shapes, execution, standard
from array_api import namespace as xp
from array_api.array import Array
from array_api.drawing import STRATEGIES
from array_api.examples import examples

WITHOUT_VALUES = {"empty", "empty_like"}
OTHERWISE = {"asarray", "from_dlpack", "can_cast", "finfo", "iinfo", "isdtype", "result_type"}
"""Tested on their own, in test_namespace.py."""

_FEW = [
    "sin", "cos", "tanh", "sinh", "cosh", "exp", "expm1", "log", "log1p", "log2", "log10",
    "asinh", "acosh", "atan", "atanh", "tan",
]  # fmt: skip
_SOME = [
    "asin", "acos", "atan2", "pow", "hypot", "logaddexp",
]  # fmt: skip
_SUMS = [
    "sum", "prod", "mean", "var", "std", "matmul", "vecdot", "tensordot", "cumulative_sum",
    "cumulative_prod", "linspace", "trace", "det", "slogdet", "inv", "solve", "cholesky",
    "matrix_power", "vector_norm", "matrix_norm", "cross",
]  # fmt: skip
UNITS = {**dict.fromkeys(_FEW, 4), **dict.fromkeys(_SOME, 8), **dict.fromkeys(_SUMS, 32)}
"""How many units in the last place a result may differ: of its own place, or for what is summed
of the largest element's. Functions that are not named here are exact."""

assert calls and calls_linalg and calls_shapes  # importing them fills the table

NATIVE = ["argsort", "concat", "exp", "floor_divide", "matmul", "pow", "std", "sum", "where"]
"""The functions that are compiled in every run of the tests."""

TESTED = [n for n in standard.CLAIMED if n not in WITHOUT_VALUES | OTHERWISE and n in STRATEGIES]


def lifted(x):
    """Arguments with NumPy arrays as arrays of the namespace."""
    if isinstance(x, np.ndarray):
        return Array(x.copy())
    return type(x)(map(lifted, x)) if isinstance(x, (list, tuple)) else x


def looked_up(name: str):
    found = xp
    for part in name.split("."):
        found = getattr(found, part)
    return found


def assert_same(actual, expected, units: int) -> None:
    """Both are arrays, or sequences of them."""
    if isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e, units)
        return
    wanted = np.asarray(expected)
    assert isinstance(actual, Array)
    assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
    close(actual._data, wanted, units)


def close(actual: np.ndarray, wanted: np.ndarray, units: int) -> None:
    if wanted.dtype.kind != "f" or not units:
        np.testing.assert_array_equal(actual, wanted)
        if wanted.dtype.kind == "f":
            signs = ~np.isnan(wanted)
            np.testing.assert_array_equal(np.signbit(actual)[signs], np.signbit(wanted)[signs])
        return
    limits = np.finfo(wanted.dtype)
    bound, place = units * limits.eps, units * limits.smallest_subnormal
    if units == UNITS["sum"]:
        place += bound * np.max(np.abs(wanted), initial=1.0, where=np.isfinite(wanted))
    np.testing.assert_allclose(actual, wanted, rtol=bound, atol=place)


def conforms(name: str, number: int) -> None:
    """The function equals NumPy's on `number` examples, or as many as the run asks for."""

    @examples(number)  # type: ignore[untyped-decorator]
    @given(STRATEGIES[name]())
    def holds(call) -> None:
        args, kwargs = call
        with np.errstate(all="ignore"):
            expected = xp.target(name)(*args, **kwargs)
        actual = looked_up(name)(*lifted(args), **{k: lifted(v) for k, v in kwargs.items()})
        assert_same(actual, expected, UNITS.get(name.removeprefix("linalg."), 0))

    holds()


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
@pytest.mark.parametrize("name", TESTED)
def test_value(name: str) -> None:
    conforms(name, 6)


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("name", NATIVE)
def test_native_value(name: str) -> None:
    with execution.running("compiled"):
        conforms(name, 2)


def test_every_claimed_function_has_a_strategy() -> None:
    untested = set(standard.CLAIMED) - STRATEGIES.keys() - WITHOUT_VALUES - OTHERWISE
    assert untested == {"__array_namespace_info__"}
