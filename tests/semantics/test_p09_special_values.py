"""P9. NaN, infinities and signed zeros go through functions as in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from conformance import both_ways

INF, NAN = np.inf, np.nan
FLOATS = [np.float32, np.float64]


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1])
def test_no_factor_of_what_is_not_selected_counts(axis, dtype):
    """A sum whose factor is taken out of it, with rows of which nothing is selected."""

    def masked(x, chosen, k):
        return np.sum(np.where(chosen, x * (k if axis == 0 else k[:, None]), 0.0), axis=axis)

    x = np.array([[1, 0, 2, 3], [4, 0, 5, 6], [0, 0, 7, 8], [1, 2, 9, 1]], dtype)
    chosen = np.eye(4, dtype=bool) | (x > 4)
    chosen[1] = chosen[:, 1] = False
    chosen[0, 0] = chosen[3, 3] = True
    for k in (np.inf, -np.inf, np.nan, 0.0):
        factors = np.array([2, k, k, 1], dtype)
        with np.errstate(all="ignore"):
            expected = masked(x, chosen, factors)
        step = tl.compile(masked)
        np.testing.assert_array_equal(step(x, chosen, factors), expected)
        np.testing.assert_array_equal(step.interpret(x, chosen, factors), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_factors_inside_sums_at_both_ends_of_the_range(dtype):
    """No rewrite makes an infinity of a finite sum, or loses digits of a small one."""
    ends = np.finfo(dtype)
    large, small = np.full((7, 5), ends.max / 2, dtype), np.full((7, 5), ends.tiny, dtype)

    def step(large, small, k, rows):
        return (
            np.sum(large * dtype(0.001)),
            np.sum(large * k, axis=0),
            np.sum(large * 0.001 * rows[:, None], axis=1),
            np.sum(small * 1000 * small * ends.max / 8),
            (large * 0.001) @ rows[:5],
            (small * 1000) @ rows[:5],
        )

    arguments = large, small, np.array(0.001, dtype), np.full(7, 0.5, dtype)
    compiled = tl.compile(step)
    for found in compiled(*arguments), compiled.interpret(*arguments):
        for value, wanted in zip(found, step(*arguments), strict=True):
            assert np.all(np.isfinite(wanted))
            np.testing.assert_allclose(value, wanted, rtol=20 * ends.eps)
