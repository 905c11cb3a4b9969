"""What a compiled step promises about numbers: NumPy's dtypes, integers and special values, sums
that are accurate however long, the same bits every time."""

from __future__ import annotations

import hashlib
import itertools
import operator

import numpy as np
import pytest
import tapeless as tl

INF, NAN = np.inf, np.nan
FLOATS = [np.float32, np.float64]


def call(step):
    return step


def interpret(step):
    return step.interpret


both_ways = pytest.mark.parametrize("how", [call, interpret])


# --- dtypes ---------------------------------------------------------------------------------

DTYPES = [np.bool_, np.int32, np.int64, np.float32, np.float64]
FORMS = {
    "array": lambda v: np.full(2, v),
    "0-d": lambda v: np.array(v),
    "scalar": lambda v: v,
}
PYTHON = [True, 3, 2.5]
OPERATIONS = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.lt, operator.eq, np.maximum, np.arctan2,
    lambda a, b: np.where(a > b, a, b),
]  # fmt: skip


def operands():
    """Pairs of which at least one is an array: all dtypes, all kinds of number beside them."""
    for first, second in itertools.product(DTYPES, DTYPES):
        for a, b in itertools.product(FORMS, FORMS):
            yield FORMS[a](first(1)), FORMS[b](second(1))
    for dtype, form, number in itertools.product(DTYPES, FORMS, PYTHON):
        yield FORMS[form](dtype(1)), number
        yield number, FORMS[form](dtype(1))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
def test_result_dtypes_are_numpys(operation):
    step = tl.compile(operation)
    for a, b in operands():
        try:
            expected = np.asarray(operation(a, b))
        except TypeError:
            expected = None
        if expected is None or expected.dtype == np.float16:  # which tapeless does not have
            with pytest.raises(TypeError):
                step.interpret(a, b)
            continue
        found = step.interpret(a, b)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), (a, b)
        np.testing.assert_array_equal(found, expected, err_msg=f"{a!r} {b!r}")


def every_mix(b, i, j, f, d):
    """One step that mixes everything, so that native code is compiled once."""
    arrays = [b, i, j, f, d]
    for x, y in itertools.combinations_with_replacement(arrays, 2):
        yield x + y
        yield x * y
        yield x / y
        yield np.maximum(x, y)
        yield x < y
    for x in arrays:
        yield x + True
        yield x * 3
        yield x / 2
        yield x * 2.5
        yield x + np.float32(0.5)
        yield x + np.float64(0.5)
        yield x + np.int32(7)
        yield np.sum(x)
        yield np.mean(x)
        yield np.max(x)
        yield np.exp(x) if x.dtype.itemsize > 1 else x
        yield np.sqrt(x) if x.dtype.itemsize > 1 else x


def test_native_result_dtypes_are_numpys():
    args = [np.arange(1, 4).astype(d) for d in DTYPES]
    expected = list(every_mix(*args))
    found = tl.compile(lambda *a: list(every_mix(*a)))(*args)
    for a, e in zip(found, expected, strict=True):
        e = np.asarray(e)
        assert (a.dtype, a.shape) == (e.dtype, e.shape)
        rtol = 4 * np.finfo(e.dtype).eps if e.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, e, rtol=rtol)


# --- integers -------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_integer_edges_have_numpys_values(how, dtype):
    limits = np.iinfo(dtype)
    edges = np.array([limits.min, limits.min + 1, -7, -1, 0, 1, 7, limits.max], dtype)
    a, b = (x.ravel() for x in np.meshgrid(edges, edges))

    def arithmetic(a, b):
        return (
            a + b, a - b, a * b, a // b, a % b, -a, abs(a), np.sign(a), np.maximum(a, b), a < b,
            a * 3, a // 3, a % 3, a // -1, a - 1, a**2,
            np.sum(a), np.max(a), np.min(b), a / b, a.astype(np.float32), a.astype(bool),
        )  # fmt: skip

    for found, expected in zip(how(tl.compile(arithmetic))(a, b), arithmetic(a, b), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**63, 2**100])
def test_a_python_integer_that_does_not_fit_raises(number):
    x = np.zeros(2, np.int32)
    for step, args in (
        (tl.compile(lambda x: x + number), (x,)),
        (tl.compile(lambda x, n: x + n), (x, number)),
    ):
        for run in (step, step.interpret):
            with pytest.raises(OverflowError):
                run(*args)


# --- special values -------------------------------------------------------------------------

SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 2.5, -3.5, 1e-40, -1e-40, 3e38, -3e38]


def special_unary(x):
    return (
        -x, abs(x), np.sqrt(x), np.floor(x), np.ceil(x), np.rint(x), np.sign(x), x + 0, x - 0,
        0 - x, x * 1, x * 0, x * -1, x / 2, 1 / x, x - x, x / x, x * x, x**2, x**0, x**1, x**-1,
        np.negative(-x), -(x - 1), x == x, x != x, ~(x < 1), ~(x >= 1), np.isnan(x), np.isfinite(x),
        np.isinf(x), np.where(np.isnan(x), 0, x), np.where(x > 0, x, x), x * 4 * 0.25, x / 3 * 3,
    )  # fmt: skip


def special_rounded(x):
    return (
        np.exp(x), np.log(x), np.log1p(x), np.expm1(x), np.tanh(x), np.sin(x), np.cos(x),
        x**0.5, x**1.5, x**-0.5, 2.0**x, np.logaddexp(x, 0), np.arctan2(x, 1), np.arctan2(0, x),
    )  # fmt: skip


def special_binary(x, y):
    return (
        x + y, x - y, x * y, x / y, x // y, x % y, x < y, x <= y, x > y, x == y, x != y,
        np.where(x < y, x, y), x * y - y * x, -(x - y), -x * y, -x / -y, x + -y, x - -y,
    )  # fmt: skip


def special_binary_unsigned(x, y):
    """Where the sign of a zero is not specified, or values are rounded."""
    return np.maximum(x, y), np.minimum(x, y), np.clip(x, y, 1), x**y, np.arctan2(x, y)


def signs(array):
    return np.signbit(np.where(np.isnan(array), 0, array))


@both_ways
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize(
    ("function", "signed", "ulps"),
    [
        (special_unary, True, 0),
        (special_rounded, True, 4),
        (special_binary, True, 0),
        (special_binary_unsigned, False, 4),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_special_values_propagate_as_in_numpy(function, signed, ulps, long, dtype, how):
    """Short arrays run in the loops' remainders, long ones in their vectors."""
    x = np.array(SPECIAL, dtype)
    if function.__code__.co_argcount == 2:
        args = [a.ravel() for a in np.meshgrid(x, x)]
    else:
        args = [np.tile(x, 5 if long else 1)]
    if not long:
        args = [a[:13] for a in args]
    with np.errstate(all="ignore"):
        expected = function(*args)
    found = how(tl.compile(function))(*args)
    tiny = 4 * np.finfo(dtype).smallest_subnormal if ulps else 0
    for k, (a, e) in enumerate(zip(found, expected, strict=True)):
        assert a.dtype == e.dtype
        if e.dtype.kind == "f":
            rtol = ulps * np.finfo(dtype).eps
            np.testing.assert_allclose(a, e, rtol=rtol, atol=tiny, err_msg=f"result {k}")
            if signed:
                np.testing.assert_array_equal(signs(a), signs(e), err_msg=f"sign of result {k}")
        else:
            np.testing.assert_array_equal(a, e, err_msg=f"result {k}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_subnormals_are_kept(dtype):
    tiny = np.finfo(dtype).tiny
    x = np.linspace(tiny / 64, tiny, 37).astype(dtype)

    @tl.compile
    def step(x):
        return x * 0.5, x / 4 + x, np.sum(x), np.max(x), x @ np.ones(37, dtype), np.exp(np.log(x))

    found = step(x)
    np.testing.assert_array_equal(found[0], x * dtype(0.5))
    np.testing.assert_array_equal(found[1], x / 4 + x)
    total = np.sum(x, dtype=np.float64) if dtype == np.float32 else np.sum(x)
    for value, exact in ((found[2], total), (found[3], x.max()), (found[4], total)):
        np.testing.assert_allclose(value, exact, rtol=1e-6)
    np.testing.assert_allclose(found[5], x, rtol=1e-4)
    assert (x / 2)[0] > 0 and x[0] * dtype(0.5) > 0  # NumPy's own arithmetic is as before


# --- accuracy -------------------------------------------------------------------------------

MANY = 10_000_000


@pytest.fixture(scope="module")
def many():
    """Ten million positive f32 numbers whose plain running sum would stall."""
    return np.random.default_rng(0).random(MANY, np.float32) + np.float32(0.1)


@tl.compile
def totals(x):
    return np.sum(x), np.mean(x), np.var(x), x @ x, np.sum(x * x)


@tl.compile
def by_axis(x):
    return np.sum(x, axis=0), np.mean(x, axis=0), np.sum(x, axis=1), np.mean(x), np.var(x, axis=0)


@tl.compile
def contracted(x, w):
    return np.ones(len(x), x.dtype) @ x, w @ x, x.T @ w


def test_whole_sums_of_ten_million_numbers(many):
    exact = many.astype(np.float64)
    wide = (exact.sum(), exact.mean(), exact.var(), exact @ exact, exact @ exact)
    for found, expected in zip(totals(many), wide, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_sums_along_axes_of_ten_million_numbers(many, layout):
    x = many.reshape(-1, 10)
    if layout == "F":
        x = np.asfortranarray(x)
    elif layout == "strided":
        x = many[: MANY // 2].reshape(-1, 10)[::2, ::-1]
    exact = x.astype(np.float64)
    wide = (exact.sum(0), exact.mean(0), exact.sum(1), exact.mean(), exact.var(0))
    for found, expected in zip(by_axis(x), wide, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_contractions_over_a_million_rows(many):
    x, w = many.reshape(-1, 10), many[: MANY // 10]
    wide = w.astype(np.float64) @ x.astype(np.float64)
    found = contracted(x, w)
    np.testing.assert_allclose(found[0], x.sum(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(found[1], wide, rtol=1e-6)
    np.testing.assert_allclose(found[2], wide, rtol=1e-6)


# --- the same bits --------------------------------------------------------------------------

BITS = """
import hashlib, numpy as np, tapeless as tl

def loss(p, x, y):
    h = np.tanh(x @ p["w"] + p["b"])
    return tl.nn.cross_entropy(h @ p["v"], y) + 1e-3 * np.sum(p["w"] ** 2)

@tl.compile
def step(p, x, y, lr):
    value, g = tl.value_and_grad(loss)(p, x, y)
    for k in p:
        p[k] -= lr * g[k]
    return value

r = np.random.default_rng(0)
p = {"w": r.normal(size=(37, 29)), "b": np.zeros(29), "v": r.normal(size=(29, 7))}
p = {k: v.astype(np.float32) for k, v in p.items()}
x, y = r.normal(size=(101, 37)).astype(np.float32), r.integers(0, 7, 101)
losses = [step(p, x, y, 0.1) for _ in range(5)]
bits = b"".join(a.tobytes() for a in [*losses, *p.values()])
print(hashlib.sha256(bits).hexdigest())
"""


def test_the_same_bits_run_to_run_and_cold_or_warm(python, monkeypatch, tmp_path):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    assert len({python("-c", BITS) for _ in range(2)}) == 1


def test_the_same_bits_wherever_the_arrays_lie():
    @tl.compile
    def step(x, w):
        return np.sum(np.exp(x) * w), x @ w, np.mean(x)

    values = np.random.default_rng(0).normal(size=(2, 1003)).astype(np.float32)
    digests = set()
    for offset in range(0, 64, 4):
        memory = np.empty(2 * 1003 + 16, np.float32)
        x, w = memory[offset // 4 :][: 2 * 1003].reshape(2, 1003)
        x[:], w[:] = values
        bits = b"".join(a.tobytes() for a in step(x, w))
        digests.add(hashlib.sha256(bits).hexdigest())
    assert len(digests) == 1
