"""Dropout: what it keeps, how it scales, its derivative, and what it refuses."""

import numpy as np
import pytest
import tapeless as tl
from tables import close

nn = tl.nn
KEY = tl.random.key(3)
X = np.random.default_rng(0).standard_normal((40, 50))
RUNS = {
    "eager": lambda step, *args: step(*args),
    "interpreted": lambda step, *args: tl.compile(step).interpret(*args),
    "compiled": lambda step, *args: tl.compile(step)(*args),
}


@pytest.mark.parametrize("how", RUNS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_keeps_some_and_scales_them(dtype, how):
    def step(x, key):
        y = nn.dropout(x, 0.3, key=key)
        return y, tl.grad(lambda v: np.sum(nn.dropout(v, 0.3, key=key)))(x)

    x = X.astype(dtype)
    y, slope = RUNS[how](step, x, KEY)
    kept = tl.random.bernoulli(KEY, 0.7, x.shape)
    assert abs(kept.mean() - 0.7) < 0.03
    close(y, np.where(kept, x.astype(np.float64) / 0.7, 0), dtype)
    close(slope, kept / 0.7, dtype)


def test_other_keys_keep_others():
    first, second = (nn.dropout(X, key=k) for k in tl.random.split(KEY))
    assert 0.4 < np.mean((first == 0) == (second == 0)) < 0.6


def test_what_is_dropped_has_no_part_in_the_derivative():
    """Not even where it is infinite."""
    x = np.full((8, 8), np.inf)
    slope = tl.grad(lambda v: np.sum(nn.dropout(v, key=KEY)))(x)
    np.testing.assert_array_equal(slope, 2.0 * (nn.dropout(np.ones((8, 8)), key=KEY) > 0))


@pytest.mark.parametrize("how", RUNS)
def test_probabilities_at_the_ends_need_no_key(how):
    np.testing.assert_array_equal(RUNS[how](lambda x: nn.dropout(x, 0.0), X), X)
    np.testing.assert_array_equal(RUNS[how](lambda x: nn.dropout(x, 1), X), 0 * X)
    np.testing.assert_array_equal(RUNS[how](lambda x: nn.dropout(x, 0.5, False), X), X)
    np.testing.assert_array_equal(
        RUNS[how](lambda x: tl.grad(lambda v: np.sum(nn.dropout(v, 1)))(x), X), 0 * X
    )


def test_the_probability_may_be_an_argument():
    step = tl.compile(lambda x, p, key: nn.dropout(x, p, key=key))
    for p in (0.0, 0.2, 1.0):
        expected = nn.dropout(X, p, key=KEY)
        np.testing.assert_allclose(step(X, p, KEY), expected, rtol=1e-15)
    assert len(step.programs) == 1


def test_a_step_that_moves_its_key_drops_others_in_every_call():
    @tl.compile
    def step(x, key):
        y = nn.dropout(x, key=key)
        key[:] = tl.random.fold_in(key, 1)
        return y

    key = KEY.copy()
    first, second = step(X, key), step(X, key)
    assert 0.4 < np.mean((first == 0) == (second == 0)) < 0.6


@pytest.mark.parametrize("how", RUNS)
def test_attention_drops_weights(how):
    q, k, v = np.random.default_rng(1).standard_normal((3, 2, 4, 4))
    key = tl.random.key(5)

    def step(q, k, v, key):
        return nn.scaled_dot_product_attention(q, k, v, dropout_p=0.5, dropout_key=key)

    weights = nn.softmax(q @ np.swapaxes(k, 1, 2) / 2)
    kept = tl.random.bernoulli(key, 0.5, weights.shape)
    found = RUNS[how](step, q, k, v, key)
    np.testing.assert_allclose(found, np.where(kept, 2 * weights, 0) @ v, rtol=1e-12)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (r"needs a key.*tl\.random\.key", lambda: nn.dropout(X)),
        ("between 0 and 1, it is 1.5", lambda: nn.dropout(X, 1.5, key=KEY)),
        ("between 0 and 1", lambda: nn.dropout(X, -0.1, False)),
        ("needs a key", lambda: nn.scaled_dot_product_attention(X, X, X, dropout_p=0.1)),
    ],
)
def test_misuse(message, call):
    with pytest.raises(ValueError, match=message):
        call()
