"""Losses: formulas, corner cases and gradients, run eagerly, interpreted and compiled alike."""

import math
from functools import lru_cache

import numpy as np
import pytest
import tapeless as tl
from tables import Case, check, run
from tables import close as near
from tapeless.ir.errors import DTypeError, ShapeError

nn = tl.nn
INF, NAN = np.inf, np.nan


def eager(fn, *args):
    with np.errstate(all="ignore"):
        return fn(*args)


def interpreted(fn, *args):
    return tl.compile(fn).interpret(*args)


def compiled(fn, *args):
    return tl.compile(fn)(*args)


EXECUTORS = [eager, interpreted, compiled]
DTYPES = [np.float64, np.float32]


def values(dtype, *numbers):
    return np.array(numbers, dtype)


def close(found, expected, dtype):
    tolerance = 1e-13 if dtype == np.float64 else 2e-6
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-300)


SCORES = np.array([[2.1, 3.4, -2.0], [0.2, 5.1, 1.7], [2.3, 3.1, -1.2]])
LABELS = np.array([0, 1, 2])


@pytest.mark.parametrize("run", EXECUTORS)
def test_cross_entropy_and_hinge_of_the_lecture_scores(run):
    losses = run(lambda s, y: nn.cross_entropy(s, y, reduction="none"), SCORES, LABELS)
    np.testing.assert_allclose(losses, [1.54, 0.04, 4.68], atol=0.005)
    losses = run(lambda s, y: nn.multiclass_hinge(s, y, reduction="none"), SCORES, LABELS)
    np.testing.assert_allclose(losses, [2.3, 0, 9.8], atol=1e-12)


@pytest.mark.parametrize("run", EXECUTORS)
def test_labels_and_probabilities_agree(run):
    one_hot = np.eye(3)[LABELS]
    by_label = run(nn.cross_entropy, SCORES, LABELS)
    np.testing.assert_allclose(run(nn.cross_entropy, SCORES, one_hot), by_label, rtol=1e-14)
    smooth = run(lambda s, y: nn.cross_entropy(s, y, label_smoothing=0.1), SCORES, LABELS)
    mixed = run(nn.cross_entropy, SCORES, 0.9 * one_hot + 0.1 / 3)
    np.testing.assert_allclose(smooth, mixed, rtol=1e-14)


@pytest.mark.parametrize("run", [interpreted, compiled])
def test_gradient_of_cross_entropy_is_p_minus_y(run):
    def gradient(s, y):
        return tl.grad(lambda t: nn.cross_entropy(t, y, reduction="sum"))(s)

    p = nn.softmax(SCORES)
    np.testing.assert_allclose(run(gradient, SCORES, LABELS), p - np.eye(3)[LABELS], atol=1e-15)


@pytest.mark.parametrize("run", [interpreted, compiled])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_and_columns_of_one_matrix_of_logits(run, dtype):
    """As where two encoders are contrasted: neither softmax reads a transposed matrix."""

    def loss(s, y):
        return nn.cross_entropy(s, y, reduction="sum") + nn.cross_entropy(s.T, y, reduction="sum")

    s = SCORES.astype(dtype)
    y = np.array([2, 0, 0])
    expected = nn.softmax(s, axis=1) + nn.softmax(s, axis=0) - np.eye(3)[y] - np.eye(3)[y].T
    found = run(lambda s, y: tl.grad(loss)(s, y), s, y)
    np.testing.assert_allclose(found, expected, atol=20 * np.finfo(dtype).eps)
    optimized = tl.compile(tl.value_and_grad(loss)).lower(s, y).ir()
    assert "transpose" not in optimized
    tl.check_grads(lambda s: loss(s, y), (SCORES,), order=2)


@pytest.mark.parametrize("run", EXECUTORS)
def test_cross_entropy_of_one_sample_and_of_images(run):
    single = run(nn.cross_entropy, SCORES[0], np.array(0))
    np.testing.assert_allclose(single, 1.5445514572856585, rtol=1e-14)
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(2, 3, 4, 5)), random.integers(0, 3, (2, 4, 5))
    flat = np.moveaxis(logits, 1, -1).reshape(-1, 3)
    expected = nn.cross_entropy(flat, labels.reshape(-1))
    np.testing.assert_allclose(run(nn.cross_entropy, logits, labels), expected, rtol=1e-13)


@pytest.mark.parametrize("run", EXECUTORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_with_logits(dtype, run):
    def loss(z, y):
        return nn.binary_cross_entropy_with_logits(z, y, reduction="none")

    z = values(dtype, 50, -50, 1000, -1000)
    close(run(loss, z, np.zeros(4, dtype)), [50, 1.9287498479639178e-22, 1000, 0], dtype)
    assert run(loss, z, np.zeros(4, np.int64)).dtype == dtype
    if run is not eager:
        ones = np.ones(1, dtype)
        slope = run(lambda v, y: tl.grad(lambda u: np.sum(loss(u, y)))(v), z[:1], ones)
        close(slope, [-1.9287498479639178e-22], dtype)


@pytest.mark.parametrize("run", EXECUTORS)
def test_binary_cross_entropy_of_probabilities(run):
    p, y = np.array([0.0, 0.0, 1.0, 1.0, 0.5]), np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    found = run(lambda a, b: nn.binary_cross_entropy(a, b, reduction="none"), p, y)
    np.testing.assert_allclose(found, [INF, 0, 0, INF, np.log(2)])


@pytest.mark.parametrize("run", EXECUTORS)
def test_other_losses_and_layers(run):
    a, b = np.array([1.0, 2, 4]), np.array([1.0, 1, 1])
    assert run(nn.mse_loss, a, b) == pytest.approx(10 / 3)
    assert run(lambda u, v: nn.mse_loss(u, v, reduction="sum"), a, b) == 10
    assert run(nn.l1_loss, a, b) == pytest.approx(4 / 3)
    assert run(nn.hinge, np.array([2.0, 0.5, -1.0]), b) == pytest.approx(2.5 / 3)
    w = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(run(nn.linear, a, w, np.ones(2)), w @ a + 1)
    found = run(lambda v: nn.one_hot(v, 4), LABELS)
    np.testing.assert_array_equal(found, np.eye(4)[LABELS])
    assert found.dtype == np.int64


RNG = np.random.default_rng(1)
X, Y = RNG.standard_normal((2, 4, 5))
P = np.exp(X) / np.exp(X).sum(1, keepdims=True)
Q = np.exp(Y) / np.exp(Y).sum(1, keepdims=True)
V = RNG.uniform(0.2, 2, (4, 5))
SIGNS = np.sign(Y)
CLASSES = np.array([2, 0, 4, 2])


def huber(d, delta):
    return [[0.5 * e * e if abs(e) < delta else delta * (abs(e) - delta / 2) for e in r] for r in d]


def labelled(logits, labels, weights, smoothing, ignored):
    """Label by label: the mean weighted loss, from probabilities."""
    total = count = 0.0
    for row, label in zip(logits, labels, strict=True):
        if label == ignored:
            continue
        p = np.exp(row) / np.exp(row).sum()
        wanted = np.full(5, smoothing / 5)
        wanted[label] += 1 - smoothing
        total -= (wanted * weights * np.log(p)).sum()
        count += weights[label]
    return total / count


def cosine(a, b):
    return np.array([x @ y / math.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)])


def distance(a, b, p):
    return (np.abs(a - b + 1e-6) ** p).sum(1) ** (1 / p)


CASES = [
    Case("huber", lambda x, y: nn.huber_loss(x, y, "none", 0.7), (X, Y),
         lambda x, y: huber(x - y, 0.7)),
    Case("smooth_l1", lambda x, y: nn.smooth_l1_loss(x, y, beta=0.7), (X, Y),
         lambda x, y: np.mean(huber(x - y, 0.7)) / 0.7),
    Case("smooth_l1_of_0", lambda x, y: nn.smooth_l1_loss(x, y, beta=0), (X, Y),
         lambda x, y: np.mean(np.abs(x - y))),
    Case("kl_div", nn.kl_div, (np.log(P), Q), lambda x, q: np.sum(q * (np.log(q) - x)) / 20),
    Case("kl_div_batchmean", lambda x, q: nn.kl_div(x, q, reduction="batchmean"), (np.log(P), Q),
         lambda x, q: np.sum(q * (np.log(q) - x)) / 4),
    Case("kl_div_of_logs", lambda x, q: nn.kl_div(x, q, reduction="sum", log_target=True),
         (np.log(P), np.log(Q)), lambda x, q: np.sum(np.exp(q) * (q - x))),
    Case("gaussian", lambda x, y, v: nn.gaussian_nll_loss(x, y, v, True), (X, Y, V),
         lambda x, y, v: -np.mean(np.log(np.exp(-((x - y) ** 2) / v / 2) / np.sqrt(2 * np.pi * v))
                                  )),
    Case("gaussian_per_sample", nn.gaussian_nll_loss, (X, Y, V[:, 0]),
         lambda x, y, v: np.mean(np.log(v)[:, None] + (x - y) ** 2 / v[:, None]) / 2),
    Case("poisson", nn.poisson_nll_loss, (X, 3 * V), lambda x, y: np.mean(np.exp(x) - y * x)),
    Case("poisson_full", lambda x, y: nn.poisson_nll_loss(x, y, False, True), (V, 3 * V),
         lambda x, y: np.mean(x - y * np.log(x + 1e-8) + np.where(
             y > 1, np.log((y / math.e) ** y * np.sqrt(2 * np.pi * y)), 0))),
    Case("soft_margin", nn.soft_margin_loss, (X, SIGNS),
         lambda x, y: np.mean(np.log(1 + np.exp(-x * y)))),
    Case("cosine_embedding", lambda a, b, y: nn.cosine_embedding_loss(a, b, y, 0.1),
         (X, Y, SIGNS[:, 0].astype(int)), lambda a, b, y: np.mean(np.where(
             y == 1, 1 - cosine(a, b), np.maximum(0, cosine(a, b) - 0.1)))),
    Case("triplet", lambda a, b, c: nn.triplet_margin_loss(a, b, c, 2.0, 3, swap=True),
         (X, Y, X[::-1]), lambda a, b, c: np.mean(np.maximum(0, 2 + distance(a, b, 3) - np.minimum(
             distance(a, c, 3), distance(b, c, 3))))),
    Case("nll_loss", lambda x, w, y: nn.nll_loss(x, y, w, ignore_index=0),
         (np.log(P), V[0], CLASSES), lambda x, w, y: labelled(x, y, w, 0, 0)),
    Case("cross_entropy", lambda x, w, y: nn.cross_entropy(
        x, y, w, ignore_index=-100, label_smoothing=0.2), (X, V[0], np.array([-100, 1, 3, -100])),
         lambda x, w, y: labelled(x, y, w, 0.2, -100)),
    Case("cross_entropy_ignoring", lambda x, y: nn.cross_entropy(x, y, ignore_index=2),
         (X, CLASSES), lambda x, y: labelled(x, y, np.ones(5), 0, 2)),
    Case("cross_entropy_of_probabilities", nn.cross_entropy, (X, Q, V[0]), lambda x, q, w: np.mean(
        np.sum(-q * w * np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True)), axis=1))),
    Case("binary_cross_entropy", nn.binary_cross_entropy, (P, Q, V), lambda p, q, w: np.mean(
        -w * (q * np.log(p) + (1 - q) * np.log(1 - p)))),
    Case("with_logits", lambda x, q, w, v: nn.binary_cross_entropy_with_logits(
        x, q, w, pos_weight=v), (X, Q, V[0], V[1]), lambda x, q, w, v: np.mean(
            w * (v * q * np.log(1 + np.exp(-x)) + (1 - q) * np.log(1 + np.exp(x))))),
]  # fmt: skip


@lru_cache
def results(dtype):
    return run(CASES, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_formulas(case, dtype):
    check(case, results(dtype), dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_of_two_orders(case):
    fn = case.on_moving(case.arrays)
    tl.check_grads(fn, [np.ascontiguousarray(case.arrays[k]) for k in case.moving], order=2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_where_probabilities_are_0(dtype):
    """Of kl_div and binary_cross_entropy: what has no weight has no slope, and no NaN."""

    def step(q, log_q, log_p, p, y):
        of_q, of_p = tl.grad(lambda q, x: nn.kl_div(x, q, reduction="sum"), (0, 1))(q, log_p)
        kl_div = lambda q, x: nn.kl_div(x, q, reduction="sum", log_target=True)  # noqa: E731
        of_log_q, of_log_p = tl.grad(kl_div, (0, 1))(log_q, log_p)
        of_bce = tl.grad(lambda p: nn.binary_cross_entropy(p, y, reduction="sum"))(p)
        return of_q, of_p, of_log_q, of_log_p, of_bce

    q, p = np.array([0, 0.5, 0, 0.5]), np.array([0, 0.5, 0.25, 0.25])
    y = np.array([0, 1, 0, 1], dtype)
    with np.errstate(divide="ignore"):
        arguments = [np.asarray(a, dtype) for a in (q, np.log(q), np.log(p), p)]
    expected = (
        [0, 1, 0, 1 + math.log(2)],
        [0, -0.5, 0, -0.5],
        [0, 0.5, 0, 0.5 * (1 + math.log(2))],
        [0, -0.5, 0, -0.5],
        [1, -2, 4 / 3, -4],
    )
    for found in (tl.compile(step).interpret(*arguments, y), tl.compile(step)(*arguments, y)):
        for a, e in zip(found, expected, strict=True):
            near(a, e, dtype)


@pytest.mark.parametrize("run", EXECUTORS)
def test_far_out(run):
    big, zero = np.array([1e4, -1e4, INF, -INF]), np.zeros(4)
    near = run(lambda x, y: nn.huber_loss(x, y, "none"), big, zero)
    np.testing.assert_array_equal(near, [9999.5, 9999.5, INF, INF])
    soft = run(lambda x, y: nn.soft_margin_loss(x, y, reduction="none"), big, np.ones(4))
    np.testing.assert_array_equal(soft, [0, 1e4, 0, INF])
    assert np.isnan(run(nn.huber_loss, np.array([NAN]), np.zeros(1)))


@pytest.mark.parametrize("run", EXECUTORS)
def test_nothing_left_to_average_is_nan(run):
    labels = np.full(3, -100)
    ignoring = lambda s, y: nn.cross_entropy(s, y, ignore_index=-100)  # noqa: E731
    assert np.isnan(run(ignoring, SCORES, labels))
    total = lambda s, y: nn.cross_entropy(s, y, ignore_index=-100, reduction="sum")  # noqa: E731
    assert run(total, SCORES, labels) == 0


@pytest.mark.parametrize("run", EXECUTORS)
def test_labels_out_of_range(run):
    with pytest.raises(IndexError):
        run(nn.cross_entropy, SCORES, np.array([0, -100, 1]))
    with pytest.raises(IndexError):
        run(lambda s, y: nn.cross_entropy(s, y, ignore_index=7), SCORES, np.array([0, 7, 3]))


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda: nn.mse_loss(np.zeros((3, 1)), np.zeros(3))),
        (ShapeError, lambda: nn.cross_entropy(SCORES, LABELS[:2])),
        (ShapeError, lambda: nn.cross_entropy(SCORES, np.zeros((3, 2)))),
        (ShapeError, lambda: nn.cross_entropy(np.zeros(()), np.zeros((), int))),
        (DTypeError, lambda: nn.nll_loss(SCORES, np.zeros(3))),
        (DTypeError, lambda: nn.cross_entropy(SCORES, np.zeros(3))),
        (ValueError, lambda: nn.mse_loss(np.zeros(3), np.zeros(3), reduction="average")),
        (ShapeError, lambda: nn.cross_entropy(SCORES, LABELS, np.ones(2))),
        (ShapeError, lambda: nn.nll_loss(SCORES, LABELS, np.ones((3, 1)))),
        (ValueError, lambda: nn.cross_entropy(SCORES, SCORES, ignore_index=-100)),
        (ValueError, lambda: nn.huber_loss(np.zeros(3), np.zeros(3), delta=0)),
        (ValueError, lambda: nn.smooth_l1_loss(np.zeros(3), np.zeros(3), beta=-1)),
        (ShapeError, lambda: nn.kl_div(np.zeros(()), np.zeros(()), reduction="batchmean")),
        (ShapeError, lambda: nn.gaussian_nll_loss(SCORES, SCORES, np.ones((3, 2)))),
        (ValueError, lambda: nn.gaussian_nll_loss(SCORES, SCORES, SCORES, eps=0)),
        (ShapeError, lambda: nn.cosine_embedding_loss(SCORES, SCORES, np.ones(2))),
        (ShapeError, lambda: nn.triplet_margin_loss(SCORES, SCORES, SCORES[:2])),
    ],
)
def test_misuse(error, call):
    with pytest.raises(error):
        call()
