"""Where the array API standard's tables found a difference from NumPy: each stays equal."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, run_traced
from tapeless import errors

FLOATS = [np.float32, np.float64]
EXTREME = {np.float32: 89.0, np.float64: 710.0}
"""exp overflows there; cosh and sinh, half of it, do not."""


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fn", [np.sinh, np.cosh])
def test_hyperbolic_functions_overflow_where_numpys_do(fn, dtype) -> None:
    top = EXTREME[dtype]
    x = np.array([top, -top, 80.5, -80.5, 79.5, 0.5, 0.0, -0.0, 2 * top, np.inf, -np.inf], dtype)
    conforms(fn, x, exact=False)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(
            tl.compile(lambda x: fn(x))(x), fn(x), rtol=8 * np.finfo(dtype).eps
        )


@pytest.mark.parametrize("fn", [np.sinh, np.cosh])
def test_derivatives_of_hyperbolic_functions(fn) -> None:
    other = np.sinh if fn is np.cosh else np.cosh
    x = np.array([0.0, 0.5, -1.5, 81.0, -81.0, 710.0])
    np.testing.assert_allclose(tl.grad(lambda x: np.sum(fn(x)))(x), other(x), rtol=1e-14)
    second = tl.grad(lambda x: np.sum(tl.grad(lambda y: np.sum(fn(y)))(x)))(x)
    np.testing.assert_allclose(second, fn(x), rtol=1e-14, atol=1e-16)
    tl.check_grads(lambda x: np.sum(fn(x)), (x[:3],), order=2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_beside_an_infinite_side_a_nan_does_not_count(dtype) -> None:
    x = np.array([np.inf, -np.inf, np.nan, np.nan, np.nan, 3.0], dtype)
    y = np.array([np.nan, np.nan, np.inf, np.nan, 1.0, 4.0], dtype)
    conforms(np.hypot, x, y)
    np.testing.assert_array_equal(tl.compile(lambda x, y: np.hypot(x, y))(x, y), np.hypot(x, y))
    slopes = tl.grad(lambda x: np.sum(np.hypot(x, np.full(2, 4.0))))(np.array([3.0, 0.0]))
    np.testing.assert_allclose(slopes, [0.6, 0.0])


@pytest.mark.parametrize("fn", [np.tril, np.triu])
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint64, np.float32])
def test_triangles_keep_their_dtype(fn, dtype) -> None:
    conforms(lambda x: fn(x, 1), np.ones((2, 3, 4), dtype))
    conforms(fn, np.ones((0, 0), dtype))
    conforms(fn, np.arange(3).astype(dtype))  # a vector becomes the rows of a square


def test_differences_of_order_zero() -> None:
    """NumPy returns the array as it is, whatever should be prepended."""
    conforms(lambda x: np.diff(x, 0, append=x), np.arange(3.0))
    with pytest.raises(errors.ShapeError, match="negative"):
        run_traced(lambda x: np.diff(x, -1), np.arange(3.0))


def test_product_ufuncs_take_their_options() -> None:
    x, y = np.ones((3, 2), np.float32), np.full((3, 2), 2.0, np.float32)
    conforms(lambda x, y: np.vecdot(x, y, axis=0), x, y)
    conforms(lambda x, y: np.matmul(x.T, y, dtype=np.float64), x, y)
    conforms(lambda x, y: np.vecdot(x, y, dtype=np.float64), x, y)
    conforms(lambda x, y: np.divmod(x, y, dtype=np.float64), x, y)
    with pytest.raises(errors.UnsupportedError, match="axes"):
        run_traced(lambda x, y: np.matmul(x, y, axes=[(0, 1), (0, 1), (0, 1)]), x, y)
    with pytest.raises(errors.DTypeError, match="same_kind"):
        run_traced(lambda x, y: np.matmul(x.T, y, dtype=np.int64), x, y)


@pytest.mark.parametrize("run", ["__call__", "interpret"])
def test_an_outer_product_keeps_the_sign_of_zero(run) -> None:
    x, y = np.array([0.0, -1.0, -0.0]), np.array([-0.0, 0.0, 2.0])
    found = getattr(tl.compile(lambda x, y: np.outer(x, y)), run)(x, y)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(np.outer(x, y)))


@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_empty_products_compile(dtype) -> None:
    empty, one = np.zeros((0, 1), dtype), np.zeros((1, 0), dtype)
    products = tl.compile(lambda x, y: (x @ y, y @ x, np.outer(x, y)))
    for found, wanted in zip(
        products(empty, one), (empty @ one, one @ empty, empty @ one), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
        assert found.shape == wanted.shape


def test_too_many_indices_are_an_index_error() -> None:
    with pytest.raises(IndexError, match="too many indices"):
        run_traced(lambda x: x[0, 0, 0], np.ones((2, 2)))
