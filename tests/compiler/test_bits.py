"""Operations on the bits of integers, and the ufuncs of floats with corners of their own."""

import operator

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms
from hypothesis import given, settings
from hypothesis import strategies as st
from tapeless.ir.errors import UnsupportedError

INTEGERS = {"i32": np.int32, "i64": np.int64}
OPERATORS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


def extremes(dtype):
    """Numbers and shift counts around every limit."""
    info = np.iinfo(dtype)
    edges = [info.min, info.min + 1, -65, -33, -2, -1, 0, 1, 2, 31, 32, 33, 63, 64, 65, info.max]
    x = np.array(edges, dtype)
    return x[:, None], x[None, :]


@pytest.mark.parametrize("dtype", INTEGERS.values(), ids=INTEGERS)
def test_every_operator_is_numpys_at_the_limits(dtype):
    def everything(x, y):
        return [op(x, y) for op in OPERATORS] + [~x, np.fmod(x, y)]

    x, y = extremes(dtype)
    conforms(everything, x, y)
    with np.errstate(all="ignore"):
        expected = everything(x, y)
    for actual, wanted in zip(tl.compile(everything)(x, y), expected, strict=True):
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, wanted)


def test_shifts_of_other_widths():
    for dtype in (np.uint8, np.int8, np.uint32, np.uint64):
        step = tl.compile(lambda x, y: (x << y, x >> y, ~x, x ^ y))
        x = np.array([0, 1, 5, 100, np.iinfo(dtype).max], dtype)[:, None]
        y = np.array([0, 1, 7, 8, 9, 31, 32, 63, 64], dtype)
        for actual, wanted in zip(step(x, y), (x << y, x >> y, ~x, x ^ y), strict=True):
            np.testing.assert_array_equal(actual, wanted, strict=True)


def test_mixed_dtypes_and_literals():
    small, large = np.array([1, -2, 3], np.int32), np.array([7, 8, -9], np.int64)
    for op in OPERATORS:
        conforms(lambda x, y, op=op: op(x, np.abs(y)), small, large)
        conforms(lambda x, op=op: (op(x, 3), op(3, np.abs(x))), small)
        conforms(lambda x, b, op=op: op(x, b), small, np.array([True, False, True]))


def test_in_place():
    def step(x, m):
        x <<= 2
        x |= 1
        x ^= m
        x >>= 1
        x &= 0xFF

    conforms(step, np.arange(6), np.arange(6) * 3)


@pytest.mark.parametrize("op", [operator.and_, operator.lshift])
def test_floats_have_no_bits(op):
    with pytest.raises(TypeError, match=r"np\.\w+: not defined for float64 and int"):
        tl.compile(lambda x: op(x, 1)).lower(np.ones(2))


def test_python_ints_are_not_shifted():
    with pytest.raises(UnsupportedError, match=r"np\.int64\(n\)"):
        tl.compile(lambda n: n << 2).lower(3)
    assert tl.compile(lambda n: n << 2)(np.int64(3)) == 12
    assert tl.compile(lambda n: n & 6)(3) == 2


@settings(max_examples=60)
@given(st.data())
def test_bits_through_the_optimiser(data):
    """Random expressions of bit operations mean the same after every pass."""
    dtype = data.draw(st.sampled_from([np.int32, np.int64]))
    info = np.iinfo(dtype)
    number = st.integers(info.min, info.max)
    x, y = (np.array(data.draw(st.lists(number, min_size=3, max_size=3)), dtype) for _ in "xy")
    operators = data.draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=5))

    def step(x, y):
        z = y
        for op in operators:
            z = op(x, z ^ op(z, y))
        return ~z

    with np.errstate(all="ignore"):
        expected = step(x, y)
    program = tl.compile(step).lower(x, y)
    np.testing.assert_array_equal(program.interpret("fused", x, y), expected)


# --- floats ----------------------------------------------------------------------------------


CORNERS = np.array([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -2.5, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "fn", [np.fmod, np.fmax, np.fmin, np.copysign, np.heaviside, np.logaddexp2],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_corners_of_two_operands(fn, dtype):
    x, y = CORNERS[:, None].astype(dtype), CORNERS.astype(dtype)
    with np.errstate(all="ignore"):
        expected = fn(x, y)
    actual = tl.compile(lambda x, y: fn(x, y))(x, y)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=4 * np.finfo(dtype).eps)
    if fn in (np.fmod, np.copysign):  # IEEE 754 leaves the sign of a NaN open, but to copysign
        signed = ~np.isnan(expected) | (fn is np.copysign)
        np.testing.assert_array_equal(np.signbit(actual[signed]), np.signbit(expected[signed]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "fn", [np.cbrt, np.arcsinh, np.arccosh, np.arctanh, np.signbit, np.sinc],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_corners_of_one_operand(fn, dtype):
    x = np.concatenate([CORNERS, [1e-30, 0.07, 0.15, 0.16, 1.0001, 3e4, 1e30]]).astype(dtype)
    with np.errstate(all="ignore"):
        expected = fn(x)
    actual = tl.compile(lambda x: fn(x))(x)
    assert actual.dtype == expected.dtype
    if fn is np.sinc:  # whole numbers are zeros of the sine
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=np.finfo(dtype).eps)
    else:
        np.testing.assert_allclose(actual, expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "fn", [np.cbrt, np.arcsinh, np.sinc, lambda x: np.arctanh(0.3 * x), lambda x: np.arccosh(x + 4)]
)
def test_derivatives_of_one_operand(fn):
    tl.check_grads(fn, (np.array([-2.3, -0.4, 0.1, 0.7, 1.9]),), order=2)


@pytest.mark.parametrize("fn", [np.fmod, np.fmax, np.fmin, np.copysign, np.logaddexp2])
def test_derivatives_of_two_operands(fn):
    x, y = np.array([-2.3, 0.4, 1.1, 7.6]), np.array([1.2, -0.9, 1.3, 2.4])
    tl.check_grads(fn, (x, y), order=2)


def test_derivatives_at_corners():
    x = np.array([0.0])
    assert tl.grad(lambda x: np.sum(np.sinc(x)))(x) == 0
    hessian = tl.hessian(lambda x: np.sum(np.sinc(x)))(x)
    np.testing.assert_allclose(hessian, [[-(np.pi**2) / 3]], rtol=1e-14)
    nan = np.array([np.nan])
    total = lambda x, y: np.sum(np.fmax(x, y))  # noqa: E731
    assert tl.grad(total, (0, 1))(nan, x) == (0.0, 1.0)
    assert tl.grad(total, (0, 1))(x, x) == (0.5, 0.5)
    assert tl.grad(lambda x, h: np.sum(np.heaviside(x, h)), (0, 1))(x, x) == (0.0, 1.0)
