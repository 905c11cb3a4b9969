"""Medians and quantiles in a step: NumPy's values and dtypes, and derivatives."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, sample
from tapeless.compiler.trace import trace

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.uint8]
AXES = [None, 0, -1, (0, 2), (1,)]


@pytest.mark.parametrize("dtype", [*DTYPES, np.bool_])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_median(dtype, axis, keepdims):
    x = sample(dtype, 2, 3, 5)
    conforms(lambda x: np.median(x, axis, keepdims=keepdims), x, exact=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("q", [0.3, 0, 1, 0.5, [0.1, 0.75], np.float32(0.6), np.array([[0.2]])])
def test_quantile(dtype, axis, q):
    x = sample(dtype, 2, 3, 5)
    conforms(lambda x: np.quantile(x, q, axis), x, exact=False)
    conforms(lambda x: np.percentile(x, np.multiply(q, 100), axis, keepdims=True), x, exact=False)


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_special_values(n):
    special = np.array([[1.0, -np.inf, np.inf, 2.0, -0.0, 3.0], [np.nan, 1, 2, 3, 4, 5]])
    conforms(lambda x: (np.median(x, 1), np.quantile(x, [0.25, 0.5], 1)), special[:, :n])
    conforms(lambda x: np.median(x), special[0, 0])


def test_the_median_of_nothing_is_nan_with_a_warning():
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        conforms(lambda x: np.median(x, 0), np.zeros((0, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_compiled(dtype):
    x = sample(dtype, 40, 9)

    @tl.compile
    def step(x):
        return np.median(x), np.median(x, 0), np.percentile(x, [5, 95], axis=1)

    expected = np.median(x), np.median(x, 0), np.percentile(x, [5, 95], axis=1)
    for found, wanted in zip(step(x), expected, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_long_rows_are_not_sorted(dtype):
    """Places are found instead; equals, infinities and NaNs among them."""
    x = (sample(dtype, 3, 150, 70) * 9).round().astype(dtype)
    if dtype is not np.int64:
        x[0, :50, 3], x[1, 7, 5], x[2, :, 8] = -0.0, np.nan, -np.inf
    fn = lambda x: (np.median(x, 1), np.quantile(x, [0.2, 0.9], 2), np.median(x[2, :, :7]))  # noqa: E731
    step = tl.compile(fn)
    program = step.lower(x)
    ops = [node.op.name for node in program.graph("optimized").nodes]
    assert "argselect" in ops and "sort" not in ops
    conforms(fn, x, exact=False)
    with np.errstate(invalid="ignore"):
        expected = fn(x)
    for found, wanted in zip(step(x), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_derivatives_in_long_rows():
    x = sample(np.float64, 2, 80)
    order = np.argsort(x, 1)
    expected = np.zeros_like(x)
    np.put_along_axis(expected, order[:, 39:41], x[:, :2] / 2, 1)

    def loss(x, w):
        return np.sum(np.median(x, 1) * w)

    found = tl.compile(tl.grad(loss))(x, np.ones(2))
    np.testing.assert_array_equal(found != 0, expected != 0)
    tl.check_grads(lambda x: np.median(x, 1) ** 2, (x,), order=2)


def test_derivatives():
    x = sample(np.float64, 4, 5)
    found = tl.grad(lambda x: np.median(x[0]) + 2 * np.median(x[1:3, :2]))(x)
    middle = np.argsort(x[0])[2]
    assert found[0, middle] == 1 and np.count_nonzero(found) == 3
    tl.check_grads(lambda x: np.median(x, 0) ** 2, (x,), order=2)
    tl.check_grads(lambda x: np.quantile(x, [0.2, 0.9], axis=1) * x[:, 0], (x,), order=2)


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (lambda x, q: np.quantile(x, q), TypeError, "q is traced.*static argument"),
        (lambda x, q: np.quantile(x, 1.5), ValueError, r"q must be in the range \[0, 1\]"),
        (lambda x, q: np.percentile(x, [-1]), ValueError, r"q must be in the range \[0, 100\]"),
        (lambda x, q: np.quantile(x, 0.5, method="nearest"), TypeError, "only method='linear'"),
        (lambda x, q: np.quantile(x[:0], 0.5), IndexError, "no elements"),
    ],
)
def test_errors(fn, error, words):
    with pytest.raises(error, match=words):
        trace(fn, (np.ones(4), 0.5), {})
