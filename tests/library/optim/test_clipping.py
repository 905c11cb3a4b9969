"""Clipping by global norm: one factor for all leaves, 1 below the bound."""

import numpy as np
import pytest
import tapeless as tl

GRADS = {"w": np.arange(6.0).reshape(2, 3), "b": [np.array([-3.0, 4.0])]}
NORM = np.sqrt(np.sum(np.arange(6.0) ** 2) + 25)


def compiled(grads, max_norm):
    @tl.compile
    def step(grads, max_norm):
        clipped = tl.optim.clip_by_global_norm(grads, max_norm)
        return clipped, tl.optim.global_norm(clipped)

    return step(grads, max_norm)


@pytest.mark.parametrize("max_norm", [1.0, NORM, 100.0])
def test_the_norm_is_bounded(max_norm):
    clipped, norm = compiled(GRADS, max_norm)
    factor = min(1.0, max_norm / NORM)
    np.testing.assert_allclose(norm, factor * NORM, rtol=1e-14)
    for found, g in zip(tl.tree.leaves(clipped), tl.tree.leaves(GRADS), strict=True):
        np.testing.assert_allclose(found, factor * g, rtol=1e-14)
    eager = tl.optim.clip_by_global_norm(GRADS, max_norm)
    np.testing.assert_allclose(eager["w"], clipped["w"], rtol=1e-14)


def test_gradients_below_the_bound_keep_their_bits():
    clipped, _ = compiled(GRADS, NORM + 1)
    np.testing.assert_array_equal(clipped["w"], GRADS["w"])


def test_f32_does_not_overflow():
    grads = [np.full(10, 1e30, np.float32)]
    (clipped,), norm = compiled(grads, 1.0)
    assert clipped.dtype == np.float32
    np.testing.assert_allclose(norm, 1.0, rtol=1e-6)


@pytest.mark.parametrize("size", [0, 3])
def test_zero_and_empty_gradients_stay(size):
    (clipped,), norm = compiled([np.zeros(size)], 1.0)
    np.testing.assert_array_equal(clipped, np.zeros(size))
    assert norm == 0


def test_one_nan_spoils_all():
    clipped, _ = compiled({"w": np.array([1.0, np.nan]), "b": np.ones(2)}, 1.0)
    assert np.all(np.isnan(clipped["b"]))


def test_no_gradients():
    assert tl.optim.global_norm({}) == 0.0
