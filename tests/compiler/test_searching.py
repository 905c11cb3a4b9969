"""Searching, counting and interpolating in a step, against NumPy."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, sample
from tapeless.compiler.trace import trace

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.bool_, np.uint8]
KNOTS = np.array([-2.0, -0.5, 0.0, 0.0, 1.0, 2.5])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("left", [np.float32, np.int64])
@pytest.mark.parametrize("right", DTYPES)
def test_searchsorted(left, right, side):
    a, v = np.sort(sample(left, 9)), sample(right, 3, 4)
    conforms(lambda a, v: np.searchsorted(a, v, side), a, v)
    conforms(lambda a, v: a.searchsorted(v[0], side=side), a, v)
    conforms(lambda a: (np.searchsorted(a, 0, side), np.searchsorted(a, 1e-9, side=side)), a)
    conforms(lambda v: np.searchsorted(KNOTS, v, side), v)


def test_searchsorted_with_nan_and_a_sorter():
    special = np.array([-np.inf, 0.0, np.nan, np.nan])
    conforms(lambda a: (np.searchsorted(a, a), np.searchsorted(a, a, "right")), special)
    x = sample(np.float64, 7)
    conforms(lambda x: np.searchsorted(x, x, sorter=np.argsort(x)), x)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("bins", [KNOTS, KNOTS[::-1], KNOTS[:1], [1, 2]])
def test_digitize(bins, right):
    x = np.append(sample(np.float64, 9), KNOTS)
    conforms(lambda x: np.digitize(x, bins, right), x)
    conforms(lambda x: np.digitize(x, bins, right), np.arange(4))


RISING = np.array([-2.0, -0.5, 0.25, 1.0, 2.5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("options", [{}, {"left": -1.0, "right": 7.5}, {"period": 2.75}])
def test_interp(dtype, options):
    x = sample(dtype, 4, 5, low=-4, high=4)
    conforms(lambda x: np.interp(x, RISING, RISING**2, **options), x, exact=False)
    conforms(lambda x, y: np.interp(0.5, x, y, **options), RISING, RISING**3, exact=False)


def test_interp_at_the_knots_and_beyond_and_at_what_is_not_finite():
    x = np.array([-np.inf, *RISING, np.inf, np.nan, 0.3])
    for y in ([1.0, np.inf, 3, 4, 5], [1, 2, -np.inf, -np.inf, 5], [1, 2, np.nan, 4, 5]):
        conforms(lambda x, y: np.interp(x, RISING, y), x, np.array(y, float), exact=False)
    conforms(lambda x: np.interp(x, RISING[:1], RISING[:1] * 3, left=9), x)


def test_derivatives_of_interp():
    x, y = np.array([-1.0, 0.1, 0.7, 2.0]), RISING**3
    slopes = np.diff(y) / np.diff(RISING)
    found = tl.grad(lambda x: np.sum(np.interp(x, RISING, y)))(np.append(x, [-9.0, 9.0]))
    np.testing.assert_allclose(found, [*slopes, 0, 0])
    tl.check_grads(lambda *a: np.interp(*a) ** 2, (x, RISING, y), order=2)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.bool_])
def test_bincount(dtype):
    x = sample(dtype, 30, low=0, high=5)
    conforms(lambda x: np.bincount(x, minlength=5), x)
    conforms(lambda x, w: np.bincount(x, w, 7), x, sample(np.float32, 30))
    conforms(lambda x: np.bincount(x, weights=x, minlength=5), x)


def test_the_gradient_of_bincount_goes_to_the_weights():
    x, w, share = np.array([0, 2, 2, 1]), sample(np.float64, 4), np.arange(3.0)
    found = tl.grad(lambda w: np.sum(np.bincount(x, w, minlength=3) * share))(w)
    np.testing.assert_array_equal(found, share[x])
    tl.check_grads(lambda w: np.bincount(x, w, minlength=3) ** 2, (w,), order=2)


@pytest.mark.parametrize("wrong", [4, -1])
def test_a_value_without_a_bin_stops_the_step(wrong):
    x, total = np.array([0, 3, wrong]), np.zeros(4)

    @tl.compile
    def step(x, total):
        total += np.bincount(x, minlength=4)

    for call in (step, step.interpret):
        with pytest.raises(tl.errors.BoundsError, match="out of bounds for axis 0 with size 4"):
            call(x, total)
    assert not total.any()


def test_compiled():
    x, grid = sample(np.float32, 500, low=-4, high=4), np.sort(sample(np.float32, 77))
    labels = np.random.default_rng(0).integers(0, 9, 500)

    def plain(x, grid, labels):
        found = np.searchsorted(grid, x, "right")
        counts = np.bincount(labels, minlength=9)
        return found, counts, np.bincount(labels, x, 9), np.interp(x, grid, grid * grid)

    mine = tl.compile(plain)(x, grid, labels)
    for found, expected in zip(mine, plain(x, grid, labels), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (lambda x: np.bincount(x), TypeError, r"length.*depends on the data.*minlength=n"),
        (lambda x: np.bincount(x, minlength=x[0]), TypeError, r"np\.bincount\(x, minlength=n\)"),
        (lambda x: np.bincount(x * 1.0, minlength=2), TypeError, "must be integers"),
        (lambda x: np.bincount(x, np.ones(2), 2), ValueError, r"weights \(2,\) do not fit"),
        (lambda x: np.digitize(0.5, x), TypeError, r"bins are traced.*np\.searchsorted"),
        (lambda x: np.digitize(x, [1, 3, 2]), ValueError, "monotonically"),
        (lambda x: np.searchsorted(x, x, "middle"), ValueError, "'left' or 'right'"),
        (lambda x: np.searchsorted(x.reshape(2, 2), x), ValueError, "must have rank 1"),
        (lambda x: np.interp(x, x, x[1:]), ValueError, "one length > 0"),
        (lambda x: np.histogram(x), TypeError, r"np\.histogram is not supported.*np\.bincount"),
        (lambda x: np.argwhere(x), TypeError, r"np\.argwhere is not supported.*np\.where"),
        (lambda x: np.flatnonzero(x), TypeError, r"np\.flatnonzero is not supported.*np\.where"),
        (lambda x: np.unique(x), TypeError, r"np\.unique is not supported.*np\.sort"),
        (lambda x: np.where(x), TypeError, r"np\.where\(mask, x, y\)"),
    ],
)
def test_errors(fn, error, words):
    with pytest.raises(error, match=words):
        trace(fn, (np.arange(4),), {})
