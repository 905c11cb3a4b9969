"""Running totals, products and extrema in a step: NumPy's values and dtypes, and derivatives."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, run_traced, sample
from tapeless.compiler.trace import trace

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.bool_, np.uint8]
SPECIAL = np.array([1.0, np.inf, -2.0, np.nan, 0.0, 3.0, -np.inf])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_cumsum_and_cumprod(dtype, axis):
    x = sample(dtype, 3, 4, 5)
    conforms(lambda x: (np.cumsum(x, axis), x.cumsum(axis)), x)
    conforms(lambda x: (np.cumprod(x, axis), x.cumprod(axis)), x, exact=False)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("fn", [np.cumsum, np.cumprod], ids=lambda f: f.__name__)
def test_arguments(fn, dtype):
    x = sample(dtype, 3, 4)
    conforms(lambda x: fn(x, 1, dtype=np.float64), x, exact=False)
    conforms(lambda x: fn(x, dtype=np.int32), x)
    conforms(lambda x: fn(x > 0, dtype=bool), x)
    conforms(lambda x, y: (fn(x, 0, out=y), y)[1], x.astype(np.float64), np.zeros((3, 4)))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (3, 1)])
def test_few_elements(shape):
    x = np.ones(shape)
    conforms(lambda x: (np.cumsum(x), np.cumprod(x)), x)
    conforms(lambda x: (np.cumsum(x, 0), np.cumprod(x, -1)), x)


@pytest.mark.parametrize("fn", [np.cumulative_sum, np.cumulative_prod], ids=lambda f: f.__name__)
@pytest.mark.parametrize("include_initial", [False, True])
def test_cumulative(fn, include_initial):
    x = sample(np.float32, 4, 5)
    conforms(lambda x: fn(x[0], include_initial=include_initial), x, exact=False)
    conforms(lambda x: fn(x, axis=-1, include_initial=include_initial), x, exact=False)
    with pytest.raises(ValueError, match="axis must be given for an array of shape"):
        run_traced(lambda x: fn(x), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "ufunc",
    [np.add, np.multiply, np.maximum, np.minimum, np.logical_and, np.logical_or, np.logical_xor],
    ids=lambda f: f.__name__,
)
def test_accumulate(ufunc, dtype):
    x = sample(dtype, 7, 5)
    conforms(lambda x: (ufunc.accumulate(x), ufunc.accumulate(x, axis=1)), x, exact=False)
    conforms(lambda x: ufunc.accumulate(x, -1, out=x), x.astype(np.float64), exact=False)


def test_nan_and_infinity():
    conforms(lambda x: (np.cumsum(x), np.maximum.accumulate(x), np.minimum.accumulate(x)), SPECIAL)


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum], ids=lambda f: f.__name__)
def test_f32_is_folded_in_numpys_order(ufunc):
    """One by one, whatever the axis and its length: the same bits. In place, too."""
    x = np.random.default_rng(0).uniform(0.5, 1.5, (1000, 33)).astype(np.float32)

    def step(x):
        x[0] += 1
        y = x + 0
        y[:] = ufunc.accumulate(y, 1)
        rows = ufunc.accumulate(x.T, 0), ufunc.accumulate(x, 0)[::-1]
        return (ufunc.accumulate(x.ravel()), ufunc.accumulate(x, 0), *rows, y)

    for found, wanted in zip(tl.compile(step)(x.copy()), step(x.copy()), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_compiled_products_and_extrema():
    x = sample(np.float32, 6, 37)

    @tl.compile
    def step(x):
        return np.cumprod(x, 1), np.maximum.accumulate(x, 1), np.cumprod(x > -2, axis=0)

    product, largest, whole = step(x)
    np.testing.assert_allclose(product, np.cumprod(x, 1), rtol=1e-5)
    np.testing.assert_array_equal(largest, np.maximum.accumulate(x, 1))
    np.testing.assert_array_equal(whole, np.cumprod(x > -2, axis=0))
    assert whole.dtype == np.int64


FUNCTIONS = {
    "cumsum": lambda x: np.cumsum(x, 1) ** 2,
    "cumsum of all": lambda x: np.cumsum(np.sin(x)) * x.ravel(),
    "cumprod": lambda x: np.cumprod(x, axis=0),
    "maximum": lambda x: np.maximum.accumulate(x, 1) * x,
    "minimum": lambda x: np.minimum.accumulate(x) ** 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name):
    tl.check_grads(FUNCTIONS[name], (sample(np.float64, 3, 4),), order=2)


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0, 4.0], [0.0, 0.0, 3.0, 1.0]])
def test_the_gradient_of_a_product_is_right_at_zeros(x):
    x = np.array(x)
    found = tl.jacobian(lambda x: np.cumprod(x))(x)
    for i in range(4):
        for j in range(4):
            others = np.delete(x[: i + 1], j) if j <= i else [0.0]
            assert found[i, j] == np.prod(others)
    tl.check_grads(lambda x: np.cumprod(x), (x,), order=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_derivatives_of_products(dtype):
    """The second order, too, is a few passes over the array: the same with and without zeros."""
    x = np.random.default_rng(0).uniform(0.5, 1.5, (2, 4)).astype(dtype)
    x[0, 2] = x[1, 0] = x[1, 2] = 0

    def loss(x):
        return np.sum(np.cumprod(x, 1) ** 2) + np.sum(np.sin(np.cumprod(x, 0)))

    gradient, hessian = tl.grad(loss), tl.hessian(loss)
    for derivative in (gradient, hessian):
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        found, wanted = tl.compile(derivative)(x), derivative(x.astype(np.float64))
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
    if dtype == np.float64:
        tl.check_grads(loss, (x,), order=2)


@pytest.mark.parametrize("fn", [np.maximum, np.minimum], ids=lambda f: f.__name__)
def test_equals_share_the_gradient_of_an_extremum(fn):
    """The first and the last so far get a half each; a number that is passed over nothing, were its
    derivative infinite."""
    sign = 1.0 if fn is np.maximum else -1.0
    x = sign * np.array([[0.0, 2.0, 2.0, 1.0, 2.0, 3.0]])
    found = tl.jacobian(lambda x: fn.accumulate(x, 1)[0])(x)[:, 0]
    expected = np.array(
        [[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0, 0],
         [0, 0.5, 0.5, 0, 0, 0], [0, 0.5, 0, 0, 0.5, 0], [0, 0, 0, 0, 0, 1]]
    )  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    roots = tl.grad(lambda x: fn.accumulate(sign * np.sqrt(x)).sum())(np.array([4.0, 0.0, 1.0]))
    np.testing.assert_array_equal(roots, [sign * 0.75, 0, 0])


def test_the_hessian_of_running_sums_is_the_matrix_of_common_terms():
    found = tl.hessian(lambda x: 0.5 * np.sum(np.cumsum(x) ** 2))(np.zeros(4))
    np.testing.assert_array_equal(found, 4.0 - np.maximum.outer(np.arange(4), np.arange(4)))


def test_unselected_infinities_stay_out_of_the_sums():
    """Positions whose logarithm is infinite are not selected, so nothing flows back to them."""
    x = np.array([1.0, 0.0, 4.0])
    found = tl.grad(lambda x: np.sum(np.cumsum(np.where(x > 0, np.log(x), 0))))(x)
    np.testing.assert_array_equal(found, [3.0, 0.0, 0.25])


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (lambda x: np.cumsum(x, 2), ValueError, "axis 2 is out of bounds"),
        (lambda x: np.add.accumulate(x[0, 0]), ValueError, "cannot accumulate on a scalar"),
        (lambda x: np.subtract.accumulate(x), TypeError, r"np\.subtract\.accumulate is not supp"),
    ],
)
def test_errors(fn, error, words):
    with pytest.raises(error, match=words):
        trace(fn, (np.ones((3, 4)),), {})
