"""Integrals, differences and covariances of samples in a step, against NumPy."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, sample
from tapeless.compiler.trace import trace

POINTS = np.array([0.0, 0.5, 0.75, 2.0, 3.5])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("axis", [0, -1])
def test_trapezoid(dtype, axis):
    y = sample(dtype, 5, 5)
    conforms(lambda y: np.trapezoid(y, axis=axis), y, exact=False)
    conforms(lambda y: np.trapezoid(y, dx=0.5, axis=axis), y, exact=False)
    conforms(lambda y, x: np.trapezoid(y, x, axis=axis), y, POINTS, exact=False)
    conforms(lambda y, x: np.trapezoid(y, y * x, axis=axis), y, POINTS, exact=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient(dtype, edge_order):
    f, order = sample(dtype, 5, 4), {"edge_order": edge_order}
    conforms(lambda f: np.gradient(f, **order), f, exact=False)
    conforms(lambda f: np.gradient(f[0], 0.5, **order), f, exact=False)
    conforms(lambda f: np.gradient(f, 2, POINTS[:4], **order), f, exact=False)
    conforms(lambda f: np.gradient(f, np.arange(4), axis=-1, **order), f, exact=False)
    conforms(lambda f, x: np.gradient(f, x, axis=0, **order), f, POINTS, exact=False)
    conforms(lambda f, h: np.gradient(f, h, **order), f, np.float64(0.25), exact=False)
    conforms(lambda f: np.gradient(f, POINTS[:4], 3, axis=(1, 0), **order), f, exact=False)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("options", [{}, {"rowvar": False}, {"bias": True}, {"ddof": 2}])
def test_cov(dtype, options):
    x, y = sample(dtype, 4, 5), sample(dtype, 4, 5, low=0)
    conforms(lambda x: np.cov(x, **options), x, exact=False)
    conforms(lambda x, y: np.cov(x, y, **options), x, y, exact=False)
    conforms(lambda x, y: np.cov(x[0], y[0], **options), x, y, exact=False)
    conforms(lambda x: np.cov(x[0], **options), x, exact=False)


def test_corrcoef():
    x = sample(np.float64, 4, 7)
    conforms(lambda x: np.corrcoef(x), x, exact=False)
    conforms(lambda x: np.corrcoef(x, x[0] ** 2, dtype=np.float32), x, exact=False)
    conforms(lambda x: np.corrcoef(x, rowvar=False), x, exact=False)
    conforms(lambda x: np.corrcoef(x[0]), x, exact=False)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: np.trapezoid(x, POINTS, axis=1) ** 2,
        lambda x: np.gradient(x, axis=1, edge_order=2) ** 2,
        lambda x: np.gradient(x * x, POINTS, axis=1),
        lambda x: np.cov(x) ** 2,
        lambda x: np.corrcoef(x)[0, 1:],
    ],
)
def test_derivatives(fn):
    tl.check_grads(fn, (sample(np.float64, 3, 5),), order=2)


def test_compiled():
    def plain(x):
        return np.trapezoid(x, POINTS), np.gradient(x, POINTS, axis=1), np.cov(x), np.corrcoef(x)

    x = sample(np.float32, 3, 5)
    for found, expected in zip(tl.compile(plain)(x), plain(x), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (lambda x: np.gradient(x, edge_order=3), ValueError, "edge_order must be 1 or 2"),
        (lambda x: np.gradient(x, 1, 2), ValueError, "2 spacings for 1 axes"),
        (lambda x: np.gradient(x, [1, 2]), ValueError, r"coordinates \(2,\) for an axis of 4"),
        (lambda x: np.gradient(x[:1]), ValueError, "too short"),
        (lambda x: np.cov(x, fweights=[1, 1, 1, 2]), TypeError, "weights are not supported"),
        (lambda x: np.cov(x.reshape(1, 2, 2)), ValueError, "at most 2 axes"),
    ],
)
def test_errors(fn, error, words):
    with pytest.raises(error, match=words):
        trace(fn, (np.ones(4),), {})
