"""P2. Derivatives of first and second order agree with differences, and with JAX where it is
installed."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from soak.functions import ALL, NUMPY, WITH_NUMPY, matrices


def loss_of(function):
    """The sum of squares of all floating results."""

    def loss(x, y):
        leaves = [r for r in tl.tree.leaves(function(x, y)) if r.dtype.kind == "f"]
        return sum(np.sum(r * r) for r in leaves)

    return loss


SMOOTH = {name: loss_of(f) for name, f in ALL.items() if name != "positions"}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_agree_with_differences(name):
    tl.check_grads(SMOOTH[name], matrices(np.float64), order=2)


@pytest.mark.parametrize("name", NUMPY)
def test_derivatives_agree_with_jax(name):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    x, y = matrices(np.float64)

    def theirs(x, y):
        return jax.numpy.sum(WITH_NUMPY[name](jax.numpy, x, y) ** 2)

    found = tl.grad(SMOOTH[name], (0, 1))(x, y)
    for f, e in zip(found, jax.grad(theirs, (0, 1))(x, y), strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-9, atol=1e-9)
    second = tl.hessian(lambda x: SMOOTH[name](x, y))(x)
    np.testing.assert_allclose(second, jax.hessian(theirs)(x, y), rtol=1e-8, atol=1e-8)


PLACES = {
    "column": (lambda x: np.sum(np.sqrt(x[:, 0])), [[np.inf, 0], [0.5, 0]]),
    "row": (lambda x: np.sum(np.sqrt(x[0])), [[np.inf, 0.5], [0, 0]]),
    "element": (lambda x: np.sqrt(x[0, 0]), [[np.inf, 0], [0, 0]]),
    "index": (lambda x: np.sum(np.sqrt(x[np.array([0])])), [[np.inf, 0.5], [0, 0]]),
    "stack": (lambda x: np.sum(np.sqrt(np.stack([x[1], x[0]]))), [[np.inf, 0.5], [0.5, 0.5]]),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_not_read_has_no_part_in_an_infinite_derivative(name, dtype):
    """One place that is read along an axis is no product with ones and zeros."""
    function, expected = PLACES[name]
    step = tl.compile(lambda x: tl.grad(function)(x))
    x = np.array([[0, 1], [1, 1]], dtype)
    np.testing.assert_array_equal(step(x), np.array(expected, dtype))
    step.lower(x).verify(x)
