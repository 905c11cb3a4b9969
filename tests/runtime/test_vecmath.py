"""Elementary functions: error in ulp over the whole range, special values, vectorised loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tapeless.ir.types import DTYPES
from tapeless.runtime import vecmath
from tapeless.runtime.engine import compile_source
from tapeless.runtime.kernel import VECMATH, KernelSpec
from tapeless.runtime.lanes import ArrayLanes

Array = NDArray[Any]
LIMIT = {"f32": 2.0, "f64": 4.0}
CASES = [(name, dtype) for name in VECMATH for dtype in LIMIT]


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    result: Array = np.where(x < 0, small / (1 + small), 1 / (1 + small))
    return result


def _softplus(x: Array) -> Array:
    result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


def _erf(x: Array) -> Array:
    """2/sqrt(pi) exp(-x**2) sum of 2**n x**(2n + 1) / (2n + 1)!!, whose terms are all positive."""
    square = np.minimum(np.abs(x), 7) ** 2
    term = total = np.minimum(np.abs(x), 7)
    for n in range(1, 200):
        term = term * (2 * square / (2 * n + 1))
        total = total + term
    pi = np.arctan2(x.dtype.type(0), x.dtype.type(-1))
    result: Array = np.copysign(2 / np.sqrt(pi) * np.exp(-square) * total, x)
    return result


def reference(name: str, x: Array) -> Array:
    """The function in a wider format (f32 in f64, f64 in long double)."""
    own: dict[str, Callable[[Array], Array]] = {
        "erf": _erf, "sigmoid": _sigmoid, "softplus": _softplus
    }  # fmt: skip
    function = own.get(name) or getattr(np, name)
    with np.errstate(all="ignore"):
        return function(x.astype(np.float64 if x.dtype == np.float32 else np.longdouble))


def arguments(dtype: str) -> Array:
    """Every binade, the ranges where something happens, and the neighbourhood of special points."""
    rng = np.random.default_rng(7)
    bits = np.uint32 if dtype == "f32" else np.uint64
    patterns = rng.integers(0, np.iinfo(bits).max, 40000, dtype=bits, endpoint=True)
    spans = [(-760, 760), (-110, 110), (-20, 20), (-2, 2), (-0.7, 0.7)]
    regular = [rng.uniform(low, high, 30000) for low, high in spans]
    near = [1 + rng.normal(size=20000) * 1e-3, rng.normal(size=20000) * 1e-6]
    turns = np.arange(1, 20000) * (np.pi / 2)
    return np.concatenate(
        [patterns.view(DTYPES[dtype]), *(x.astype(DTYPES[dtype]) for x in (*regular, *near, turns))]
    )


def special_values(dtype: str) -> Array:
    info = np.finfo(DTYPES[dtype])
    magnitudes = [0.0, info.smallest_subnormal, info.tiny, info.eps, 0.5, 1.0, info.max, np.inf]
    values = [sign * x for x in magnitudes for sign in (1, -1)]
    return np.array([*values, np.nan], DTYPES[dtype])


def native(name: str, x: Array) -> Array:
    """The function compiled in a loop."""
    y = np.zeros_like(x)
    table = np.array([x.ctypes.data, y.ctypes.data], np.uintp)
    assert module(name, dtype_of(x), x.size).call(table.ctypes.data) == 0
    return y


def dtype_of(x: Array) -> str:
    return "f32" if x.dtype == np.float32 else "f64"


def module(name: str, dtype: str, size: int):
    source = f'''"""One elementary function in a loop."""
from tapeless.runtime.kernel import *


def k0(x0, y0, n0):
    for i in range(n0):
        y0[i] = {name}_{dtype}(x0[i])


def step(t):
    k0({dtype}_at(t, 0), {dtype}_at(t, 1), {size})
    return 0
'''
    return compile_source(source, [KernelSpec("k0", (dtype, dtype), 1)])


def plain(name: str, x: Array) -> Array:
    with np.errstate(all="ignore"):
        result: Array = VECMATH[name](ArrayLanes(dtype_of(x)), x)
        return result


def ulp_error(actual: Array, exact: Array) -> Array:
    """Distance in units of the last place of the right result; 0 where both are inf or NaN."""
    dtype = actual.dtype
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        finite = np.isfinite(rounded)
        assert np.array_equal(np.isnan(actual), np.isnan(rounded))
        infinite = ~finite & ~np.isnan(rounded)
        assert np.array_equal(actual[infinite], rounded[infinite])
        unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(dtype).tiny)).astype(exact.dtype)
        error = np.abs(actual.astype(exact.dtype) - exact) / unit
        return np.where(finite, error, 0).astype(float)


@pytest.mark.parametrize("run", [plain, native])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_error_stays_within_the_bound(run, name, dtype):
    x = arguments(dtype)
    if dtype == "f64" and name in ("sin", "cos"):
        x = x[np.abs(x) < 1e15]  # long double itself loses digits reducing larger arguments
    error = ulp_error(run(name, x), reference(name, x))
    worst = int(np.argmax(error))
    assert error[worst] <= LIMIT[dtype], f"{name}({x[worst]!r}) is off by {error[worst]:.2f} ulp"


@pytest.mark.parametrize("run", [plain, native])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_special_values(run, name, dtype):
    x = special_values(dtype)
    actual = run(name, x)
    with np.errstate(all="ignore"):
        expected = reference(name, x).astype(x.dtype)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_allclose(actual, expected, rtol=4 * np.finfo(x.dtype).eps)
    odd = name in ("log1p", "expm1", "tanh", "erf", "arcsinh", "arctanh", "cbrt", "sin")
    if odd:
        np.testing.assert_array_equal(np.signbit(actual[:2]), [False, True])


def test_case_table_values():
    m = ArrayLanes("f64")
    with np.errstate(all="ignore"):
        softplus = vecmath.softplus(m, np.array([25.0, 1000.0, -1000.0]))
        small = vecmath.sigmoid(m, np.array([-50.0]))
    np.testing.assert_allclose(softplus, [25.000000000013888, 1000.0, 0.0], rtol=1e-15)
    np.testing.assert_allclose(small, [1.9287498479639178e-22], rtol=1e-15)


def test_sine_of_huge_f32_arguments_is_exactly_reduced():
    x = np.array([3.4028235e38, 1e22, 2.0**100, 16367173 * 2.0**72], np.float32)
    expected = np.sin(x.astype(np.float64)).astype(np.float32)  # libm reduces exactly in f64
    np.testing.assert_allclose(native("sin", x), expected, rtol=2e-7)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_loops_vectorise(name, dtype):
    if dtype == "f64" and name in ("sin", "cos"):
        pytest.skip("libm, by design one element at a time")
    text = module(name, dtype, 1000).llvm()
    element = {"f32": "float", "f64": "double"}[dtype]
    widths = [w for w in (2, 4, 8, 16) if f"fmul contract <{w} x {element}>" in text]
    if name in ("sin", "cos"):
        widths = [w for w in (2, 4, 8, 16) if f"fmul contract <{w} x double>" in text]
    assert widths, f"{name}_{dtype} stayed scalar"
