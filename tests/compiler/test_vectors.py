"""Cross and Kronecker products, turned arrays, grids and positions, against NumPy."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, sample
from tapeless.compiler.trace import trace

DTYPES = [np.float32, np.float64, np.int32, np.uint8]


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross(dtype):
    x, y = sample(dtype, 4, 3), sample(np.float32, 3)
    conforms(lambda x, y: (np.cross(x, y), np.cross(y, x[0])), x, y, exact=False)
    conforms(lambda x: np.cross(x[:3], x[1:], axis=0), x)
    conforms(lambda x: np.linalg.cross(x[:3], x[1:], axis=0), x)
    conforms(lambda x: np.cross(x[:3], x[1:], 0, 1, 0), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", [((2, 3), (4, 2)), ((3,), (2,)), ((2,), (2, 1, 3)), ((), (2,))])
def test_kron(dtype, shapes):
    x, y = (sample(dtype, *shape) for shape in shapes)
    conforms(lambda x, y: (np.kron(x, y), np.kron(y, x)), x, y)


@pytest.mark.parametrize("k", range(-1, 4))
@pytest.mark.parametrize("axes", [(0, 1), (2, 0)])
def test_rot90_is_a_view(k, axes):
    def turned(x):
        y = np.rot90(x, k, axes)
        y[0] = 7
        return y

    conforms(turned, sample(np.float64, 2, 3, 4))


@pytest.mark.parametrize("options", [{}, {"sparse": True}, {"indexing": "ij"}])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_meshgrid(options, count):
    def grids(x):
        found = np.meshgrid(*(x[k:] for k in range(count)), **options)
        found[0][...] += 1
        return found

    conforms(grids, np.arange(5.0))


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 2), (12,), (12, 1), ()])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_positions(shape, dtype):
    flat = np.arange(np.prod(shape, dtype=int)).astype(dtype)

    def there_and_back(flat):
        positions = np.unravel_index(flat, shape)
        return positions, np.ravel_multi_index(positions, shape) if shape else ()

    if shape:
        conforms(there_and_back, flat)
    conforms(lambda x: np.unravel_index(np.argmax(x), x.shape), sample(np.float64, *shape))


def test_positions_outside():
    i = np.array([-5, 9])
    conforms(lambda i: np.ravel_multi_index((i, i), (3, 4), mode=("wrap", "clip")), i)
    unravel = tl.compile(lambda i: np.unravel_index(i, (3, 4)))
    ravel = tl.compile(lambda i: np.ravel_multi_index((i, i), (3, 4)))
    for step in (unravel, unravel.interpret):
        for wrong in (12, -1):
            with pytest.raises(tl.errors.BoundsError, match="out of bounds"):
                step(np.array([0, wrong]))
    for wrong in (3, -1):
        with pytest.raises(tl.errors.BoundsError, match="out of bounds"):
            ravel(np.array([0, wrong]))


def test_derivatives():
    x, y = sample(np.float64, 2, 3), sample(np.float64, 3)
    tl.check_grads(lambda x, y: np.cross(x, y) * np.kron(x, y)[:, :3], (x, y), order=2)
    tl.check_grads(lambda x: np.rot90(x) @ np.meshgrid(x[0], x[1])[0][:2], (x,), order=2)


def test_compiled():
    def plain(x, i):
        places = np.unravel_index(i, (5, 4))
        return np.cross(x, x[::-1]), np.kron(x, x), np.rot90(x), *np.meshgrid(x[0], x[1]), *places

    x, i = sample(np.float32, 4, 3), np.array([[0, 19], [7, 8]])
    for found, expected in zip(tl.compile(plain)(x, i), plain(x, i), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (lambda x: np.cross(x[:, :2], x), ValueError, "must have 3 elements, got 2 and 3"),
        (lambda x: np.rot90(x, axes=(0, -2)), ValueError, "axes must be different"),
        (lambda x: np.meshgrid(x[0], indexing="yx"), ValueError, "'xy' or 'ij'"),
        (lambda x: np.unravel_index(x, (2,)), TypeError, "indices must be integers"),
        (lambda x: np.unravel_index(np.argmax(x), (2, 0)), ValueError, "has no elements"),
        (lambda x: np.maximum.at(x, np.argmax(x, 0), 1), TypeError, r"np\.add\.at is"),
    ],
)
def test_errors(fn, error, words):
    with pytest.raises(error, match=words):
        trace(fn, (np.ones((3, 3)),), {})
