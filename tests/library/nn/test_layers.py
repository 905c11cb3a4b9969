"""Layers against formulas written out, eagerly, interpreted and compiled, with gradients."""

import math
from functools import lru_cache

import numpy as np
import pytest
import tapeless as tl
from tables import Case, check, close, run
from tapeless.ir.errors import BoundsError, DTypeError, ShapeError

nn = tl.nn
RNG = np.random.default_rng(2)
DTYPES = [np.float64, np.float32]


def r(*shape):
    return RNG.standard_normal(shape)


def normal(x, axes, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def grouped(x, groups, w, b):
    parts = [normal(p, (1, 2, 3)) for p in np.split(x, groups, axis=1)]
    return np.concatenate(parts, axis=1) * w[:, None, None] + b[:, None, None]


def attention(q, k, v, seen, scale):
    """Row by row, over the keys that each row sees."""
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for n in np.ndindex(q.shape[:-1]):
        keys = [j for j in range(k.shape[-2]) if seen[n[-1], j]]
        if not keys:
            continue
        e = np.array([math.exp(q[n] @ k[(*n[:-1], j)] * scale) for j in keys])
        out[n] = sum(p * v[(*n[:-1], j)] for p, j in zip(e / e.sum(), keys, strict=True))
    return out


def sigma(x):
    return 1 / (1 + np.exp(-x))


def gru(x, h, wi, wh, bi, bh):
    r, z, n = (x @ wi[k : k + 3].T + bi[k : k + 3] for k in (0, 3, 6))
    hr, hz, hn = (h @ wh[k : k + 3].T + bh[k : k + 3] for k in (0, 3, 6))
    update = sigma(z + hz)
    return (1 - update) * np.tanh(n + sigma(r + hr) * hn) + update * h


def lstm(x, h, c, wi, wh, bi, bh):
    i, f, g, o = np.split(x @ wi.T + bi + h @ wh.T + bh, 4, axis=1)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return np.stack([sigma(o) * np.tanh(c), c])


def trilinear(x, y, w, b):
    out = np.zeros((len(x), len(w))) + b
    for n, k in np.ndindex(out.shape):
        out[n, k] += x[n] @ w[k] @ y[n]
    return out


X, IMAGES, WORDS = r(4, 6), r(2, 6, 3, 2), np.array([[2, 0], [3, 2]])
W6, B6 = r(6), r(6)
SEEN = np.array([[1, 0, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
ADDED = np.where(SEEN, 0.0, -np.inf)
ATTENTION = nn.scaled_dot_product_attention
CASES = [
    Case("linear", nn.linear, (X, r(3, 6), r(3)), lambda x, w, b: x @ w.T + b),
    Case("bilinear", nn.bilinear, (X, r(4, 3), r(2, 6, 3), r(2)), trilinear),
    Case("embedding", lambda w, i: nn.embedding(i, w), (r(4, 3), WORDS), lambda w, i: w[i]),
    Case("normalize", nn.normalize, (X,), lambda x: x / np.sqrt((x * x).sum(1, keepdims=True))),
    Case("normalize_p", lambda x: nn.normalize(x, 3.5, 0), (X,),
         lambda x: x / (np.abs(x) ** 3.5).sum(0) ** (1 / 3.5)),
    Case("cosine_similarity", nn.cosine_similarity, (X, r(1, 6)),
         lambda x, y: [a @ y[0] / math.sqrt((a @ a) * (y[0] @ y[0])) for a in x]),
    Case("layer_norm", lambda x, w, b: nn.layer_norm(x, 6, w, b), (X, W6, B6),
         lambda x, w, b: normal(x, 1) * w + b),
    Case("layer_norm_2", lambda x: nn.layer_norm(x, (3, 2), eps=0.1), (IMAGES,),
         lambda x: normal(x, (2, 3), 0.1)),
    Case("rms_norm", lambda x, w: nn.rms_norm(x, (6,), w, eps=0.1), (X, W6),
         lambda x, w: x / np.sqrt((x * x).mean(1, keepdims=True) + 0.1) * w),
    Case("group_norm", lambda x, w, b: nn.group_norm(x, 3, w, b), (IMAGES, W6, B6),
         lambda x, w, b: grouped(x, 3, w, b)),
    Case("instance_norm", nn.instance_norm, (IMAGES,), lambda x: normal(x, (2, 3))),
    Case("batch_norm", lambda x, w, b: nn.batch_norm(x, None, None, w, b, True), (X, W6, B6),
         lambda x, w, b: normal(x, 0) * w + b),
    Case("batch_norm_images", lambda x: nn.batch_norm(x, None, None, training=True), (IMAGES,),
         lambda x: normal(x, (0, 2, 3))),
    Case("batch_norm_evaluated", nn.batch_norm, (X, B6, W6**2, W6, B6),
         lambda x, m, v, w, b: (x - m) / np.sqrt(v + 1e-5) * w + b),
    Case("attention", ATTENTION, (r(2, 3, 4), r(2, 5, 4), r(2, 5, 2)),
         lambda q, k, v: attention(q, k, v, np.ones((3, 5)), 0.5)),
    Case("attention_masked", ATTENTION, (r(2, 3, 4), r(2, 5, 4), r(2, 5, 2), SEEN),
         lambda q, k, v, m: attention(q, k, v, m, 0.5)),
    Case("attention_added", lambda q, k, v: ATTENTION(q, k, v, ADDED.astype(q.dtype)),
         (r(3, 4), r(5, 4), r(5, 2)), lambda q, k, v: attention(q, k, v, SEEN, 0.5)),
    Case("attention_causal", lambda q, k, v: ATTENTION(q, k, v, is_causal=True, scale=0.3),
         (r(3, 4), r(5, 4), r(5, 2)), lambda q, k, v: attention(q, k, v, np.tri(3, 5), 0.3)),
    Case("rnn_cell", nn.rnn_cell, (X, r(4, 3), r(3, 6), r(3, 3), r(3)),
         lambda x, h, wi, wh, b: np.tanh(x @ wi.T + b + h @ wh.T)),
    Case("gru_cell", nn.gru_cell, (X, r(4, 3), r(9, 6), r(9, 3), r(9), r(9)), gru),
    Case("lstm_cell", lambda x, h, c, *p: np.stack(nn.lstm_cell(x, (h, c), *p)),
         (X, r(4, 3), r(4, 3), r(12, 6), r(12, 3), r(12), r(12)), lstm),
]  # fmt: skip


@lru_cache
def results(dtype):
    return run(CASES, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_formulas(case, dtype):
    with np.errstate(all="raise"):
        case.fn(*case.arguments(dtype))
    check(case, results(dtype), dtype, factor=10)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_of_two_orders(case):
    fn = case.on_moving(case.arrays)
    tl.check_grads(fn, [case.arrays[k] for k in case.moving], order=2)


RUNS = {
    "eager": lambda step, *args: step(*args),
    "interpreted": lambda step, *args: tl.compile(step).interpret(*args),
    "compiled": lambda step, *args: tl.compile(step)(*args),
}


# --- running statistics --------------------------------------------------------------------


def batch_step(p, stats, x):
    """A training step as users write it: the loss function changes the running statistics."""

    def loss_fn(p):
        h = nn.batch_norm(x, stats["mean"], stats["var"], p["w"], p["b"], training=True)
        return np.mean(np.square(h - 1))

    loss, g = tl.value_and_grad(loss_fn)(p)
    for k in p:
        p[k] -= 0.1 * g[k]
    return loss


def instance_step(p, stats, x):
    h = nn.instance_norm(x, stats["mean"], stats["var"], p["w"], p["b"])
    return np.mean(np.square(h - 1))


def statistics_after(x, steps, axes):
    """Torch's rule, from the definition: the unbiased variance goes into the running one."""
    mean, var = np.zeros(6), np.ones(6)
    for _ in range(steps):
        mean = 0.9 * mean + 0.1 * np.mean(x, axes).reshape(-1, 6).mean(0)
        var = 0.9 * var + 0.1 * np.var(x, axes, ddof=1).reshape(-1, 6).mean(0)
    return {"mean": mean, "var": var}


@pytest.mark.parametrize("how", ["interpreted", "compiled"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(8, 6), (3, 6, 4), (2, 6, 3, 2)])
def test_batch_norm_in_a_training_step(shape, dtype, how):
    x = r(*shape).astype(dtype)
    p = {"w": np.ones(6, dtype), "b": np.zeros(6, dtype)}
    stats = {"mean": np.zeros(6, dtype), "var": np.ones(6, dtype)}
    step = tl.compile(batch_step)
    losses = [(step.interpret if how == "interpreted" else step)(p, stats, x) for _ in range(3)]
    assert losses[2] < losses[0]
    expected = statistics_after(x.astype(np.float64), 3, (0, *range(2, x.ndim)))
    for name in stats:
        close(stats[name], expected[name], dtype)


@pytest.mark.parametrize("how", RUNS)
def test_running_statistics_of_instances(how):
    stats, p = {"mean": np.zeros(6), "var": np.ones(6)}, {"w": W6, "b": B6}
    RUNS[how](instance_step, p, stats, IMAGES)
    expected = statistics_after(IMAGES, 1, (2, 3))
    for name in stats:
        close(stats[name], expected[name], np.float64)


def test_statistics_stay_outside_training():
    mean, var = np.zeros(6), np.ones(6)
    nn.batch_norm(X, mean, var)
    nn.instance_norm(IMAGES, mean, var, use_input_stats=False)
    assert not mean.any() and (var == 1).all()


def test_statistics_from_outside_the_step_are_refused():
    mean, var = np.zeros(6), np.ones(6)

    @tl.compile
    def step(x):
        return nn.batch_norm(x, mean, var, training=True)

    with pytest.raises(tl.errors.TraceError, match=r"pass them as arguments, at test_layers\.py"):
        step(X)


# --- embedding -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", RUNS)
@pytest.mark.parametrize("padding", [None, 2, -2])
def test_the_derivative_of_an_embedding_adds_up_per_row(padding, how):
    w = r(4, 3)

    def gradient(w, i):
        return tl.grad(lambda w: np.sum(nn.embedding(i, w, padding)))(w)

    expected = np.array([1.0, 0, 2 if padding is None else 0, 1])
    found = RUNS[how](gradient, w, WORDS)
    np.testing.assert_array_equal(found, np.repeat(expected[:, None], 3, axis=1))
    np.testing.assert_array_equal(nn.embedding(WORDS, w, padding), w[WORDS])


def test_the_derivative_of_an_embedding_is_a_scatter():
    step = tl.compile(lambda w, i: tl.grad(lambda w: np.sum(np.tanh(nn.embedding(i, w))))(w))
    text = step.lower(r(1000, 3), WORDS).ir("optimized")
    assert "scatter_add" in text and "[1000,2" not in text and "dot" not in text


@pytest.mark.parametrize("how", ["interpreted", "compiled"])
def test_words_out_of_range(how):
    with pytest.raises(BoundsError):
        RUNS[how](lambda w, i: nn.embedding(i, w), r(3, 2), WORDS)


# --- misuse --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda: nn.layer_norm(X, (4,))),
        (ShapeError, lambda: nn.layer_norm(X, ())),
        (ShapeError, lambda: nn.layer_norm(X, (4, 6), W6)),
        (ShapeError, lambda: nn.rms_norm(X, 5)),
        (ShapeError, lambda: nn.group_norm(IMAGES, 4)),
        (ShapeError, lambda: nn.group_norm(W6, 3)),
        (ShapeError, lambda: nn.batch_norm(X, W6[:3], W6)),
        (ShapeError, lambda: nn.batch_norm(X[:1], None, None, training=True)),
        (ShapeError, lambda: nn.instance_norm(X)),
        (ValueError, lambda: nn.batch_norm(X, None, None)),
        (DTypeError, lambda: nn.embedding(np.zeros(3), X)),
        (ShapeError, lambda: nn.embedding(WORDS, W6)),
        (ValueError, lambda: nn.embedding(WORDS, X, padding_idx=4)),
        (ShapeError, lambda: nn.bilinear(X, X, r(2, 6, 5))),
        (ShapeError, lambda: ATTENTION(X, r(4, 5), X)),
        (ShapeError, lambda: ATTENTION(W6, W6, W6)),
        (DTypeError, lambda: ATTENTION(X, X, X, np.ones((4, 4), int))),
        (ValueError, lambda: ATTENTION(X, X, X, np.ones((4, 4)), is_causal=True)),
        (ShapeError, lambda: nn.rnn_cell(X, r(3, 3), r(3, 6), r(3, 3))),
        (ShapeError, lambda: nn.gru_cell(X, r(4, 3), r(6, 9), r(9, 3))),
        (ShapeError, lambda: nn.lstm_cell(X, (r(4, 3), r(3)), r(12, 6), r(12, 3))),
        (ShapeError, lambda: nn.gru_cell(X, r(3), r(9, 6), r(9, 3))),
        (ValueError, lambda: nn.rnn_cell(X, r(4, 3), r(3, 6), r(3, 3), nonlinearity="sin")),
    ],
)
def test_misuse(error, call):
    with pytest.raises(error):
        call()
