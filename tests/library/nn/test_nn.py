"""`tl.nn`: closed forms and corner cases, run eagerly, interpreted and compiled alike."""

import numpy as np
import pytest
import tapeless as tl
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


def derivative(fn, run, x):
    """d sum(fn(x)) / dx."""
    return run(lambda v: tl.grad(lambda u: np.sum(fn(u)))(v), x)


def close(found, expected, dtype):
    tolerance = 1e-13 if dtype == np.float64 else 2e-6
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-300)


ACTIVATIONS = [
    # fn, x, value, derivative
    (nn.relu, [-2, 0, 3, NAN, INF, -INF], [0, 0, 3, NAN, INF, 0], [0, 0, 1, 0, 1, 0]),
    (nn.leaky_relu, [-2, 0, 3], [-0.02, 0, 3], [0.01, 0.01, 1]),
    (nn.elu, [-1000, 0, 1000], [-1, 0, 1000], [0, 1, 1]),
    (nn.tanh, [-1e4, 1e4, INF, 0], [-1, 1, 1, 0], [0, 0, 0, 1]),
    (nn.sigmoid, [-1000, 0, 1000], [0, 0.5, 1], [0, 0.25, 0]),
    (nn.silu, [0, 1000], [0, 1000], [0.5, 1]),
    (nn.softplus, [25, 1000, -1000, 0], [25.000000000013888, 1000, 0, np.log(2)],
     [1 - 1.3887943864771144e-11, 1, 0, 0.5]),
    (nn.logsigmoid, [1000, -1000], [0, -1000], [0, 1]),
]  # fmt: skip


NAMES = [case[0].__name__ for case in ACTIVATIONS]


@pytest.mark.parametrize("run", EXECUTORS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("fn", "x", "value", "slope"), ACTIVATIONS, ids=NAMES)
def test_activation(fn, x, value, slope, dtype, run):
    x = values(dtype, *x)
    close(run(fn, x), value, dtype)
    if run is not eager:
        close(derivative(fn, run, x), slope, dtype)


@pytest.mark.parametrize("run", EXECUTORS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([1e4, -1e4, 0], [1, 0, 0]),
        ([-INF, -INF], [NAN, NAN]),
        ([INF, 0], [NAN, NAN]),
        ([0, -INF], [1, 0]),
    ],
)
def test_softmax(x, expected, dtype, run):
    found = run(nn.softmax, values(dtype, *x))
    if np.isnan(expected).any():
        assert np.isnan(found).any()
    else:
        close(found, expected, dtype)


@pytest.mark.parametrize("run", EXECUTORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_logsumexp(dtype, run):
    close(run(nn.logsumexp, values(dtype, 1e4, 1e4)), 10000.69314718056, dtype)
    assert run(nn.logsumexp, values(dtype, -INF, -INF)) == -INF
    x = np.arange(6, dtype=dtype).reshape(2, 3)
    rows = np.log(np.exp(np.float64(x)).sum(1))
    close(run(lambda v: nn.logsumexp(v, axis=1), x), rows, dtype)
    close(run(lambda v: nn.logsumexp(v, 1, keepdims=True), x), rows[:, None], dtype)
    if run is not eager:
        close(derivative(nn.logsumexp, run, values(dtype, 1e4, 1e4)), [0.5, 0.5], dtype)


@pytest.mark.parametrize("run", EXECUTORS)
def test_log_softmax_is_finite_far_out(run):
    found = run(nn.log_softmax, np.array([[1e4, -1e4, 0.0]]))
    np.testing.assert_array_equal(found, [[0, -2e4, -1e4]])


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
def test_xlogy(run):
    x, y = np.array([0.0, 0, 0, 0, 2]), np.array([0.0, 3, INF, NAN, 3])
    np.testing.assert_allclose(run(nn.xlogy, x, y), [0, 0, 0, NAN, 2 * np.log(3)])


@pytest.mark.parametrize("run", EXECUTORS)
def test_other_losses_and_layers(run):
    a, b = np.array([1.0, 2, 4]), np.array([1.0, 1, 1])
    assert run(nn.mse_loss, a, b) == pytest.approx(10 / 3)
    assert run(lambda u, v: nn.mse_loss(u, v, reduction="sum"), a, b) == 10
    assert run(nn.l1_loss, a, b) == pytest.approx(4 / 3)
    assert run(nn.hinge, np.array([2.0, 0.5, -1.0]), b) == pytest.approx(2.5 / 3)
    w = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(run(nn.linear, a, w, np.ones(2)), w @ a + 1)
    np.testing.assert_array_equal(run(lambda v: nn.maxout(v, 2), np.arange(6.0)), [1, 3, 5])
    found = run(lambda v: nn.one_hot(v, 4), LABELS)
    np.testing.assert_array_equal(found, np.eye(4)[LABELS])
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda: nn.mse_loss(np.zeros((3, 1)), np.zeros(3))),
        (ShapeError, lambda: nn.cross_entropy(SCORES, LABELS[:2])),
        (ShapeError, lambda: nn.cross_entropy(SCORES, np.zeros((3, 2)))),
        (ShapeError, lambda: nn.cross_entropy(np.zeros(()), np.zeros((), int))),
        (ShapeError, lambda: nn.maxout(np.zeros(5), 2)),
        (DTypeError, lambda: nn.nll_loss(SCORES, np.zeros(3))),
        (DTypeError, lambda: nn.cross_entropy(SCORES, np.zeros(3))),
        (ValueError, lambda: nn.mse_loss(np.zeros(3), np.zeros(3), reduction="average")),
    ],
)
def test_misuse(error, call):
    with pytest.raises(error):
        call()
