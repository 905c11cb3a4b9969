"""Softmax, gradient descent, neural networks and backpropagation."""

import itertools

import numpy as np
import pytest
import tapeless as tl
from formulas import sigma

SCORES = [
    ((2.1, 3.4, -2.0), 0, 1.54, 2.3),
    ((0.2, 5.1, 1.7), 1, 0.04, 0.0),
    ((2.3, 3.1, -1.2), 2, 4.68, 9.8),
]
"""Scores, their class, the softmax loss (2 decimals), the hinge loss."""


def check_scores(agrees, loss, expected, column, accuracy):
    for scores, label, *_ in SCORES:
        agrees(loss, [np.array(scores), np.array(label)], lambda s, k: expected(s, int(k)))
    given = np.array([row[0] for row in SCORES]), np.array([row[1] for row in SCORES])
    for dtype in (np.float32, np.float64):
        each = tl.compile(lambda s, k: loss(s, k, reduction="none"))
        found = each(given[0].astype(dtype), given[1])
        table = [row[column] for row in SCORES]
        np.testing.assert_allclose(found, table, rtol=0, atol=accuracy)


# --- E1 to E4: classifiers -----------------------------------------------------------------


def test_E1_softmax_losses(agrees):
    def by_hand(s, k):
        return np.log(np.sum(np.exp(s))) - s[k]

    check_scores(agrees, tl.nn.cross_entropy, by_hand, column=2, accuracy=0.005)


def test_E1_softmax_classifier_on_linear_scores(agrees, normal):
    def loss(W, b, x, labels):
        return tl.nn.cross_entropy(x @ W.T + b, labels)

    def expected(W, b, x, labels):
        e = np.exp(x @ W.T + b)
        error = (e / e.sum(axis=1, keepdims=True) - np.eye(3)[labels]) / len(x)
        return error.T @ x, error.sum(axis=0)

    labels = np.array([0, 2, 1, 1, 0])
    agrees(tl.grad(loss, (0, 1)), [normal(3, 4), normal(3), normal(5, 4), labels], expected)


def test_E2_hinge_losses(agrees):
    def by_hand(s, k):
        return sum(max(0, s[j] - s[k] + 1) for j in range(3) if j != k)

    check_scores(agrees, tl.nn.multiclass_hinge, by_hand, column=3, accuracy=1e-5)


def binary_hinge(w, b, x, y):
    return np.mean(np.maximum(0, 1 - y * (x @ w + b)))


def test_E3_binary_hinge(agrees, normal):
    def expected(w, b, x, y):
        margin = 1 - y * (x @ w + b)
        active = -y * (margin > 0) / len(x)
        return np.mean(np.maximum(0, margin)), (active @ x, np.sum(active))

    y = np.array([1.0, -1, 1, -1, 1, 1])
    args = [normal(3), np.array(0.1), normal(6, 3), y]
    agrees(tl.value_and_grad(binary_hinge, (0, 1)), args, expected)


def test_E3_support_vector_machine(every_way):
    """Subgradient descent on 0.005 |w|^2 + hinge separates the data, with a margin."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(60) % 2, 1.0, -1.0)
    x = rng.uniform(-1, 1, (60, 2)) + np.outer(y, (1.5, 1.0))

    def step(w, b, x, y, rate):
        def objective(w, b):
            return 0.005 * (w @ w) + binary_hinge(w, b, x, y)

        loss, (dw, db) = tl.value_and_grad(objective, (0, 1))(w, b)
        w -= rate * dw
        b -= rate * db
        return loss

    for run, dtype in every_way(step):
        w, b = np.zeros(2, dtype), np.zeros((), dtype)
        for k in range(400):
            run(w, b, x.astype(dtype), y.astype(dtype), 1 / (1 + 0.01 * k))
        assert np.min(y * (x @ w + b)) > 0.5


@pytest.mark.parametrize("name", ["nn", "written out"])
def test_E4_softmax_does_not_overflow(agrees, name):
    written = {"nn": tl.nn.softmax, "written out": lambda z: np.exp(z) / np.sum(np.exp(z))}[name]
    exact = np.array([np.e, 1, np.exp(-2)]) / (np.e + 1 + np.exp(-2))
    agrees(written, [np.array([10_001.0, 10_000, 9_998])], exact)
    agrees(written, [np.array([-1e4, 0, 1e4])], np.array([0.0, 0, 1]))


# --- E5 to E7: gradient descent ------------------------------------------------------------


def gd(func, x0, eps=0.1, tol=1e-6, max_iters=1000):
    """Descend from x0 until the gradient's norm is below tol.

    Returns the path, costs, gradients, and whether max_iters was hit first.
    """
    x, path, costs, gradients = x0, [], [], []
    for _ in range(max_iters):
        cost, g = func(x)
        path.append(x)
        costs.append(cost)
        gradients.append(g)
        if np.linalg.norm(g) < tol:
            return path, costs, gradients, False
        x = x - x.dtype.type(eps) * g
    return path, costs, gradients, True


def bowl(x):
    return (x[0] - 1) ** 2 + 2 * (x[1] + 0.5) ** 2 + x[0] * x[1]


def test_E5_gradient_descent_with_tolerance(every_way):
    minimum = np.linalg.solve([[2, 1], [1, 4]], [2, -2])
    for run, dtype in every_way(tl.value_and_grad(bowl)):
        start = np.array([2, 2], dtype)
        path, costs, gradients, hit = gd(run, start, tol=1e-5)
        assert not hit and len(path) == len(costs) == len(gradients) < 200
        assert np.linalg.norm(gradients[-1]) < 1e-5 < np.linalg.norm(gradients[-2])
        assert all(later <= sooner for sooner, later in itertools.pairwise(costs[:20]))
        np.testing.assert_allclose(path[-1], minimum, atol=1e-5)
        path, _, _, hit = gd(run, start, tol=1e-5, max_iters=7)
        assert hit and len(path) == 7


def test_E6_step_sizes(every_way):
    """On curvatures up to c, steps below 2/c converge; larger ones diverge, tiny ones crawl."""
    for run, dtype in every_way(tl.value_and_grad(bowl)):
        start = np.array([2, 2], dtype)
        ends = {eps: gd(run, start, eps, max_iters=60)[1] for eps in (0.6, 0.3, 1e-4)}
        assert ends[0.6][-1] > 100 * ends[0.6][0]
        assert ends[0.3][-1] < ends[1e-4][-1]
        assert ends[1e-4][-1] > 0.9 * ends[1e-4][0]


@pytest.mark.parametrize("rows", [64, 8, 1], ids=["batch", "mini-batch", "stochastic"])
def test_E6_batches(every_way, rows):
    rng = np.random.default_rng(0)
    x, truth = rng.standard_normal((64, 3)), np.array([1.0, -2, 0.5])

    def step(w, x, y):
        w -= 0.05 * tl.grad(lambda w: np.mean((x @ w - y) ** 2))(w)

    for run, dtype in every_way(step):
        w, order = np.zeros(3, dtype), np.random.default_rng(1)
        for _ in range(400 * rows // 64 + 20):
            for chosen in order.permutation(64).reshape(-1, rows):
                run(w, x[chosen].astype(dtype), (x[chosen] @ truth).astype(dtype))
        np.testing.assert_allclose(w, truth, atol=1e-3)


OPTIMISERS = {
    "momentum": tl.optim.sgd(0.05, 0.9),
    "nesterov": tl.optim.sgd(0.05, 0.9, nesterov=True),
    "adagrad": tl.optim.adagrad(0.5),
    "rmsprop": tl.optim.rmsprop(0.01),
    "adam": tl.optim.adam(0.1),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_E6_momentum_and_adaptive_steps(every_way, name):
    """Each reaches the minimum; the update rules themselves are the optimisers' own tests."""
    opt = OPTIMISERS[name]
    minimum = np.linalg.solve([[2, 1], [1, 4]], [2, -2])

    def step(x, state):
        opt.update(x, tl.grad(bowl)(x), state)

    for run, dtype in every_way(step):
        x = np.array([2, 2], dtype)
        state = opt.init(x)
        for _ in range(500):
            run(x, state)
        np.testing.assert_allclose(x, minimum, atol=0.02)


def test_E7_numerical_gradient(normal):
    def loss(W, b, x):
        return np.sum(np.tanh(W @ x + b) ** 2)

    for dtype in (np.float32, np.float64):
        tl.check_grads(loss, [a.astype(dtype) for a in (normal(3, 4), normal(3), normal(4))])


# --- E8: activations -----------------------------------------------------------------------


ACTIVATIONS = {
    "sigmoid": (tl.nn.sigmoid, lambda x: sigma(x) * (1 - sigma(x))),
    "tanh": (tl.nn.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "relu": (tl.nn.relu, lambda x: 1.0 * (x > 0)),
    "softplus": (tl.nn.softplus, sigma),
    "leaky relu": (tl.nn.leaky_relu, lambda x: np.where(x > 0, 1, 0.01)),
    "elu": (lambda x: tl.nn.elu(x, 1.5), lambda x: np.where(x > 0, 1, 1.5 * np.exp(x))),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_E8_activations(agrees, normal, name):
    f, slope = ACTIVATIONS[name]
    agrees(tl.grad(lambda x: np.sum(f(x))), [np.append(normal(6), 0.0)], slope)


def test_E8_prelu_trains_its_slope(agrees, normal):
    def f(x, a):
        return np.sum(np.maximum(x, 0) + a * np.minimum(x, 0))

    def expected(x, a):
        return np.where(x > 0, 1, a), np.sum(np.minimum(x, 0))

    agrees(tl.grad(f, (0, 1)), [normal(8), np.array(0.2)], expected)


@pytest.mark.parametrize("pieces", [2, 3])
def test_E8_maxout(agrees, normal, pieces):
    def expected(x):
        groups = x.reshape(-1, pieces)
        largest = groups.max(axis=1, keepdims=True)
        return largest[:, 0], (groups == largest).astype(float).reshape(-1)

    def both(x):
        gradient = tl.grad(lambda x: np.sum(tl.nn.maxout(x, pieces)))(x)
        return tl.nn.maxout(x, pieces), gradient

    agrees(both, [normal(6)], expected)
