"""Initial weights: moments and bounds from the fans, orthogonality, dtypes, traces."""

import math

import numpy as np
import pytest
import tapeless as tl
from tapeless.ir.errors import ShapeError

init = tl.nn.init
KEY = tl.random.key(1)
DENSE, KERNEL = (300, 200), (32, 24, 5, 3)
# (shape, keywords): fan_in, fan_out, by torch's convention unless axes say otherwise
FANS = [
    (DENSE, {}, 200, 300),
    (DENSE, {"in_axis": 0, "out_axis": 1}, 300, 200),
    (KERNEL, {}, 24 * 15, 32 * 15),
    (KERNEL, {"in_axis": -2, "out_axis": -1}, 5 * 32 * 24, 3 * 32 * 24),
]
SPREAD = {
    "glorot": lambda i, o: math.sqrt(2 / (i + o)),
    "xavier": lambda i, o: math.sqrt(2 / (i + o)),
    "he": lambda i, o: math.sqrt(2 / i),
    "kaiming": lambda i, o: math.sqrt(2 / i),
    "lecun": lambda i, o: math.sqrt(1 / i),
}


def fits(w, std, kind):
    """Mean 0 and this standard deviation, by six standard errors; bounded if uniform."""
    n = w.size
    assert abs(w.mean()) < 6 * std / math.sqrt(n)
    assert abs(w.std() / std - 1) < 6 / math.sqrt(2 * n)
    if kind == "uniform":
        assert 0.99 < np.abs(w).max() / (math.sqrt(3) * std) <= 1 + 1e-6
    else:
        assert np.abs(w).max() > 3 * std


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("name", [n for n in SPREAD if hasattr(init, f"{n}_normal")])
@pytest.mark.parametrize(("shape", "axes", "fan_in", "fan_out"), FANS)
def test_the_spread_follows_from_the_fans(shape, axes, fan_in, fan_out, name, kind):
    w = getattr(init, f"{name}_{kind}")(KEY, shape, **axes)
    assert w.shape == shape and w.dtype == np.float64
    fits(w, SPREAD[name](fan_in, fan_out), kind)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_gain_slope_and_mode(kind):
    glorot, he = getattr(init, f"glorot_{kind}"), getattr(init, f"he_{kind}")
    fits(glorot(KEY, DENSE, gain=3), 3 * math.sqrt(2 / 500), kind)
    fits(he(KEY, DENSE, mode="fan_out"), math.sqrt(2 / 300), kind)
    fits(he(KEY, DENSE, negative_slope=2), math.sqrt(2 / 5 / 200), kind)


def test_plain_distributions():
    fits(init.normal(KEY, DENSE, mean=0, std=0.02), 0.02, "normal")
    fits(init.uniform(KEY, DENSE, a=-3, b=3), math.sqrt(3), "uniform")
    assert (init.zeros(None, (2, 3)) == 0).all() and (init.ones(None, (2,)) == 1).all()
    assert (init.constant(None, (2, 3), value=7) == 7).all()


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (6, 2, 2)])
def test_orthogonal(shape):
    w = init.orthogonal(KEY, shape, gain=2)
    assert w.shape == shape
    flat = w.reshape(shape[0], -1)
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-14)


def test_orthogonal_matrices_are_uniform():
    """Turned by any rotation they are as likely: the mean is 0, every element as large."""
    keys = tl.random.split(KEY, 2000)
    drawn = np.stack([init.orthogonal(key, (3, 3)) for key in keys])
    assert np.abs(drawn.mean(0)).max() < 6 / math.sqrt(3 * 2000)
    np.testing.assert_allclose((drawn**2).mean(0), np.full((3, 3), 1 / 3), atol=0.05)


EVERY = [name for name in init.__all__ if name != "constant"]


@pytest.mark.parametrize("name", EVERY)
def test_dtype_and_key(name):
    make = getattr(init, name)
    w = make(KEY, (4, 6), np.float32)
    assert w.dtype == np.float32 and w.shape == (4, 6) and w.flags.writeable
    np.testing.assert_array_equal(w, make(KEY, (4, 6), np.float32))
    if name not in ("zeros", "ones"):
        assert (w != make(tl.random.key(2), (4, 6), np.float32)).any()
    assert make(KEY, (0, 6)).shape == (0, 6)


def test_inside_a_step():
    step = tl.compile(lambda key: init.he_normal(key, (3, 4)))
    np.testing.assert_allclose(step(KEY), init.he_normal(KEY, (3, 4)), rtol=1e-14)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda: init.glorot_normal(KEY, (3,))),
        (ShapeError, lambda: init.orthogonal(KEY, (3,))),
        (ValueError, lambda: init.he_normal(KEY, (3, 4), mode="fan")),
    ],
)
def test_misuse(error, call):
    with pytest.raises(error):
        call()
