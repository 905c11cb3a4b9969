"""Elementary functions: error in ulp over the whole range, special values, vectorised loops."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tapeless.ir.types import DTYPES
from tapeless.runtime import engine, kernels, vecmath, vector_text
from tapeless.runtime import module as making
from tapeless.runtime.engine import compile_source
from tapeless.runtime.kernel import VECMATH, KernelSpec, arity
from tapeless.runtime.lanes import ArrayLanes

Array = NDArray[Any]
LIMIT = {"f32": 2.0, "f64": 4.0}
WIDER_LIMIT = {("tan", "f32"): 2.5}
DIVISIONS = ("fmod", "remainder", "floor_divide")
EVERY = [(name, dtype) for name in VECMATH for dtype in LIMIT]
CASES = [(name, dtype) for name, dtype in EVERY if name not in DIVISIONS]


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


def reference(name: str, *operands: Array) -> Array:
    """The function in a wider format (f32 in f64, f64 in long double)."""
    own: dict[str, Callable[[Array], Array]] = {
        "erf": _erf, "sigmoid": _sigmoid, "softplus": _softplus
    }  # fmt: skip
    function = own.get(name) or getattr(np, name)
    wider = np.float64 if operands[0].dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        return function(*(x.astype(wider) for x in operands))


def arguments(name: str, dtype: str) -> tuple[Array, ...]:
    """Every binade, the ranges where something happens, and the neighbourhood of special points."""
    drawn = {"power": _bases_and_exponents, "arctan2": _points}.get(name, _numbers)(dtype)
    return tuple(
        np.concatenate([_patterns(dtype, seed), *(x.astype(DTYPES[dtype]) for x in parts)])
        for seed, parts in enumerate(drawn)
    )


def _patterns(dtype: str, seed: int) -> Array:
    """Any numbers, infinities and NaN."""
    bits = np.uint32 if dtype == "f32" else np.uint64
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, np.iinfo(bits).max, 40000, dtype=bits, endpoint=True)
    return drawn.view(DTYPES[dtype])


def _numbers(dtype: str) -> tuple[list[Array]]:
    rng = np.random.default_rng(7)
    spans = [(-760, 760), (-110, 110), (-20, 20), (-2, 2), (-0.7, 0.7)]
    regular = [rng.uniform(low, high, 30000) for low, high in spans]
    near = [1 + rng.normal(size=20000) * 1e-3, rng.normal(size=20000) * 1e-6]
    near += [sign * (1 - np.abs(x)) for sign in (1, -1) for x in near[1:]]
    turns = np.append(np.arange(1, 5000), rng.integers(5000, 660_000, 20000)) * (np.pi / 2)
    return ([*regular, *near, turns],)


def _bases_and_exponents(dtype: str) -> tuple[list[Array], list[Array]]:
    """Results of any size, and with whole exponents bases of both signs."""
    rng, n = np.random.default_rng(7), 20000
    most = 150 if dtype == "f32" else 1080
    logarithms = rng.uniform(-30, 30, n)
    near_one = 1 + rng.normal(size=n) * 1e-3
    bases = [np.exp2(logarithms), near_one, rng.uniform(0, 10, n), rng.uniform(-10, 10, n)]
    exponents = [
        rng.uniform(-most, most, n) / np.abs(logarithms),
        rng.uniform(-most, most, n) * 1e3,
        rng.uniform(-3, 3, n),
        np.rint(rng.uniform(-20, 20, n)),
    ]
    return bases, exponents


def _points(dtype: str) -> tuple[list[Array], list[Array]]:
    """In all directions, and near the axes and the diagonals."""
    rng, n = np.random.default_rng(7), 20000
    x, y, small = rng.normal(size=(3, n))
    return [y, y * 1e-4, y, x + 1e-4 * small], [x, x, x * 1e-4, x]


def special_values(name: str, dtype: str) -> tuple[Array, ...]:
    """Of one operand, or in every pair."""
    numbers = _special_numbers(dtype)
    if arity(name) == 1:
        return (numbers,)
    whole = [2, -2, 3, -3, 2.5, -2.5, 1e10, -1e10, 2.0**53 + 2]
    numbers = np.concatenate([numbers, np.array(whole, numbers.dtype)])
    return tuple(x.ravel() for x in np.meshgrid(numbers, numbers))


def _special_numbers(dtype: str) -> Array:
    info = np.finfo(DTYPES[dtype])
    magnitudes = [0.0, info.smallest_subnormal, info.tiny, info.eps, 0.5, 1.0, info.max, np.inf]
    values = [sign * x for x in magnitudes for sign in (1, -1)]
    return np.array([*values, np.nan], DTYPES[dtype])


def native(name: str, *operands: Array) -> Array:
    """The function compiled in a loop."""
    y = np.zeros_like(operands[0])
    table = np.array([x.ctypes.data for x in (*operands, y)], np.uintp)
    assert module(name, dtype_of(y), y.size).call(table.ctypes.data) == 0
    return y


def dtype_of(x: Array) -> str:
    return "f32" if x.dtype == np.float32 else "f64"


def module(name: str, dtype: str, size: int):
    count = arity(name)
    buffers = ", ".join(f"x{k}" for k in range(count))
    elements = ", ".join(f"x{k}[i]" for k in range(count))
    places = ", ".join(f"{dtype}_at(t, {k})" for k in range(count + 1))
    source = f'''"""One elementary function in a loop."""
from tapeless.runtime.kernel import *


def k0({buffers}, y0, n0):
    for i in range(n0):
        y0[i] = {name}_{dtype}({elements})


def step(t):
    k0({places}, {size})
    return 0
'''
    return compile_source(source, [KernelSpec("k0", (dtype,) * (count + 1), 1)])


def plain(name: str, *operands: Array) -> Array:
    with np.errstate(all="ignore"):
        result: Array = VECMATH[name](ArrayLanes(dtype_of(operands[0])), *operands)
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
    operands = arguments(name, dtype)
    if dtype == "f64" and name in ("sin", "cos", "tan"):
        (x,) = operands
        operands = (x[np.abs(x) < 1e15],)  # beyond, long double itself loses digits
    error = ulp_error(run(name, *operands), reference(name, *operands))
    worst = int(np.argmax(error))
    where = ", ".join(repr(x[worst]) for x in operands)
    limit = WIDER_LIMIT.get((name, dtype), LIMIT[dtype])
    assert error[worst] <= limit, f"{name}({where}) is off by {error[worst]:.2f} ulp"


@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize(
    "name", ["exp", "exp2", "log", "log2", "log10", "log1p", "arctanh", "power", "cbrt", "tan"]
)
def test_processors_without_avx512_keep_the_bounds(name, dtype, monkeypatch):
    monkeypatch.setattr(vector_text, "registers", lambda features: vector_text.AVX2)
    table = kernels.KernelTable()
    for user in (engine, making):
        monkeypatch.setattr(user, "kernel_table", lambda: table)
    assert "avx512" not in module(name, dtype, 8).llvm()
    test_error_stays_within_the_bound(native, name, dtype)
    test_special_values(native, name, dtype)


@pytest.mark.parametrize("run", [plain, native])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_special_values(run, name, dtype):
    operands = special_values(name, dtype)
    actual = run(name, *operands)
    with np.errstate(all="ignore"):
        expected = reference(name, *operands).astype(actual.dtype)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_allclose(actual, expected, rtol=4 * np.finfo(actual.dtype).eps)
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(actual[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("run", [plain, native])
@pytest.mark.parametrize("dtype", LIMIT)
def test_whole_logarithms_are_exact(run, dtype):
    t, info = DTYPES[dtype].type, np.finfo(DTYPES[dtype])
    n = np.arange(info.minexp - info.nmant, info.maxexp + 20)
    with np.errstate(over="ignore"):
        powers = np.ldexp(t(1), n)
    np.testing.assert_array_equal(run("exp2", n.astype(t)), powers)
    finite = np.isfinite(powers)
    np.testing.assert_array_equal(run("log2", powers[finite]), n[finite].astype(t))
    tens = t(10) ** np.arange(11 if dtype == "f32" else 23, dtype=t)
    np.testing.assert_array_equal(run("log10", tens), np.arange(tens.size, dtype=t))


def test_case_table_values():
    m = ArrayLanes("f64")
    with np.errstate(all="ignore"):
        softplus = vecmath.softplus(m, np.array([25.0, 1000.0, -1000.0]))
        small = vecmath.sigmoid(m, np.array([-50.0]))
    np.testing.assert_allclose(softplus, [25.000000000013888, 1000.0, 0.0], rtol=1e-15)
    np.testing.assert_allclose(small, [1.9287498479639178e-22], rtol=1e-15)


@pytest.mark.parametrize("run", [plain, native])
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_of_any_size_beside_small_ones(run, name):
    """Whole vectors without large ones, with some, and large ones in the remainder of the loop."""
    x = np.random.default_rng(0).uniform(-10, 10, 1003)
    x[[17, 18, 200, 1002]] = [1.7976931348623157e308, -1e22, 6381956970095103 * 2.0**797, 2.0**21]
    rtol = 2e-15 if name == "tan" else 1e-15  # NumPy's own tangent is off by 8 ulp
    np.testing.assert_allclose(run(name, x), getattr(np, name)(x), rtol=rtol)
    x[17], x[200] = 3.4028235e38, 16367173 * 2.0**72
    exact = getattr(np, name)(x.astype(np.float32).astype(np.float64))  # libm reduces exactly
    rtol = 3e-7 if name == "tan" else 2e-7
    np.testing.assert_allclose(run(name, x.astype(np.float32)), exact, rtol=rtol)


def _dividends(dtype: str) -> tuple[Array, Array]:
    """Any pairs, multiples and their neighbours, subnormal and huge numbers."""
    rng, n, info = np.random.default_rng(5), 20000, np.finfo(DTYPES[dtype])
    special = special_values("power", dtype)
    y, large, small, any_ = rng.uniform(-3, 3, (4, n)).astype(DTYPES[dtype])
    multiples = y * np.rint(rng.uniform(-50, 50, n)).astype(y.dtype)
    pairs = [
        special,
        (_patterns(dtype, 0), _patterns(dtype, 1)),
        (multiples, y),
        (np.nextafter(multiples, y.dtype.type(0)), y),
        (small * info.tiny, any_ * info.tiny),
        (large / 3 * info.max, any_ / 30 * info.max),
        (large * y.dtype.type(1e8), any_),
        _largest(dtype),
    ]
    first, second = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return first, second


def _largest(dtype: str) -> tuple[Array, Array]:
    """The largest number by its quotients by whole numbers and their neighbours: a product of the
    two may overflow."""
    t, info = DTYPES[dtype].type, np.finfo(DTYPES[dtype])
    q = np.arange(2, 1000, dtype=t)
    near = [info.max / q, np.nextafter(info.max / q, t(0)), np.nextafter(info.max / q, info.max)]
    y = np.concatenate(near)
    return np.full_like(y, info.max), y


@pytest.mark.parametrize("run", [plain, native])
@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions_are_numpys(run, name, dtype):
    operands = _dividends(dtype)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(*operands)
    actual = run(name, *operands)
    np.testing.assert_array_equal(actual, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(actual[known]), np.signbit(expected[known]))


@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_loops_vectorise(name, dtype):
    text = module(name, dtype, 1000).llvm()
    element = {"f32": "float", "f64": "double"}[dtype]
    found = re.search(rf"f(mul|div) contract <(2|4|8|16) x {element}>", text)
    assert found, f"{name}_{dtype} stayed scalar"
