"""Calculus for neural networks: rules, losses, least squares, training, approximation."""

import itertools
import runpy
from pathlib import Path

import numpy as np
import pytest
import tapeless as tl
from formulas import sigma, softmax

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


# --- C1, C2: functions of one variable -----------------------------------------------------

SLOPES = {
    "sigmoid": (sigma, lambda x: sigma(x) * (1 - sigma(x))),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "relu": (tl.nn.relu, lambda x: 1.0 * (x > 0)),
    "product": (lambda x: x**2 * np.sin(x), lambda x: 2 * x * np.sin(x) + x**2 * np.cos(x)),
    "quotient": (
        lambda x: np.cos(x) / (1 + x**2),
        lambda x: (-np.sin(x) * (1 + x**2) - np.cos(x) * 2 * x) / (1 + x**2) ** 2,
    ),
    "chain": (
        lambda x: np.sin(np.exp(-(x**2))),
        lambda x: np.cos(np.exp(-(x**2))) * np.exp(-(x**2)) * -2 * x,
    ),
}


def check_slope(agrees, normal, name):
    f, slope = SLOPES[name]
    x = np.concatenate([normal(6), np.zeros(1)])
    agrees(tl.value_and_grad(lambda x: np.sum(f(x))), [x], lambda x: (np.sum(f(x)), slope(x)))


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_C1_activations(agrees, normal, name):
    check_slope(agrees, normal, name)


@pytest.mark.parametrize("name", ["product", "quotient", "chain"])
def test_C2_rules(agrees, normal, name):
    check_slope(agrees, normal, name)


# --- C3: vectors and matrices --------------------------------------------------------------

RULES = {
    # The function, the shapes of its operands, its Jacobian with respect to each.
    "x^T a": (lambda x, a: x.T @ a, [(4,), (4,)], lambda x, a: (a, x)),
    "a^T x": (lambda x, a: a.T @ x, [(4,), (4,)], lambda x, a: (a, x)),
    "x^T A x": (
        lambda x, A: x.T @ A @ x,
        [(4,), (4, 4)],
        lambda x, A: ((A + A.T) @ x, np.outer(x, x)),
    ),
    "x^T A": (
        lambda x, A: x.T @ A,
        [(4,), (4, 3)],
        lambda x, A: (A.T, np.einsum("m,jn->jmn", x, np.eye(3))),
    ),
    # A matrix with respect to a matrix: entry (i, j) by entry (m, n).
    "X^T A": (
        lambda X, A: X.T @ A,
        [(4, 2), (4, 3)],
        lambda X, A: (
            np.einsum("in,mj->ijmn", np.eye(2), A),
            np.einsum("mi,jn->ijmn", X, np.eye(3)),
        ),
    ),
    "A^T X": (
        lambda X, A: A.T @ X,
        [(4, 2), (4, 3)],
        lambda X, A: (
            np.einsum("mi,jn->ijmn", A, np.eye(2)),
            np.einsum("in,mj->ijmn", np.eye(3), X),
        ),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_C3_vectors_and_matrices(agrees, normal, rule):
    f, shapes, expected = RULES[rule]
    agrees(tl.jacobian(f, (0, 1)), [normal(*shape) for shape in shapes], expected)


STRUCTURES = {"X^T A": "[a,b;c,d] = I[a,d] v0[b,c]", "A^T X": "[a,b;c,d] = I[b,d] v0[a,c]"}


@pytest.mark.parametrize("rule", STRUCTURES)
def test_C3_matrix_with_respect_to_matrix_structured(normal, rule):
    f, shapes, expected = RULES[rule]
    args = [normal(*shape) for shape in shapes]
    J = tl.jacobian(f, structured=True)(*args)
    assert J.structure == STRUCTURES[rule]
    np.testing.assert_allclose(J.dense(), expected(*args)[0])


# --- C5, C6: losses ------------------------------------------------------------------------


def test_C5_mean_squared_error(agrees, normal):
    x, target = normal(6), normal(6)
    agrees(tl.grad(tl.nn.mse_loss), [x, target], lambda x, t: 2 / 6 * (x - t))
    agrees(tl.grad(lambda x, t: 0.5 * np.sum((x - t) ** 2)), [x, target], lambda x, t: x - t)


@pytest.mark.parametrize("target", [np.eye(5)[2], np.array([0.1, 0.2, 0.3, 0.15, 0.25])])
def test_C5_cross_entropy(agrees, normal, target):
    """-1/p at k* for a one-hot target, -x*/p for probabilities."""

    def loss(p, target):
        return -np.sum(target * np.log(p))

    agrees(tl.grad(loss), [softmax(normal(5)), target], lambda p, t: -t / p)


def written_out(logits, target):
    p = np.exp(logits) / np.sum(np.exp(logits))
    return -np.sum(target * np.log(p))


@pytest.mark.parametrize("loss", [tl.nn.cross_entropy, written_out])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_C6_softmax_with_cross_entropy(agrees, loss, scale):
    logits = scale * np.array([0.5, -1.0, 1.0, 0.25])
    for k in range(4):
        one_hot = np.eye(4)[k]

        def expected(z, t):
            high = np.max(z)
            log_p = z - high - np.log(np.sum(np.exp(z - high)))
            return -np.sum(t * log_p), np.exp(log_p) - t

        agrees(tl.value_and_grad(loss), [logits, one_hot], expected)


def test_C6_integer_labels(agrees, normal):
    agrees(
        tl.grad(tl.nn.cross_entropy),
        [normal(6, 4), np.array([0, 3, 1, 1, 2, 0])],
        lambda z, labels: (softmax(z) - np.eye(4)[labels]) / 6,
    )


# --- C7: split, concatenate, reshape -------------------------------------------------------


def test_C7_gradients_add_where_values_fan_out(agrees, normal):
    def f(x, y):
        a, b = x[:3], x[2:]  # element 2 goes both ways
        joined = np.concatenate([a, y, b])
        return np.sum(np.reshape(joined, (2, 5)) ** 3 * np.arange(5))

    def expected(x, y):
        joined = np.concatenate([x[:3], y, x[2:]])
        g = 3 * joined**2 * np.tile(np.arange(5), 2)
        dx = np.zeros_like(x)
        dx[:3] += g[:3]
        dx[2:] += g[6:]
        return dx, g[3:6]

    agrees(tl.grad(f, (0, 1)), [normal(6), normal(3)], expected)


# --- C9 to C11: training -------------------------------------------------------------------


def test_C7_one_element_passes_its_derivative_to_itself_alone(every_way, ops):
    """However many are read, one by one: also where a derivative is not finite. Each is added
    where it belongs, not multiplied by an array of zeros."""
    x = np.array([[1.0, 4.0], [0.0, 9.0], [4.0, 16.0]])

    def chosen(x, i):
        roots = np.sqrt(x)
        return np.sum(np.sqrt(roots[1])) + np.sum(np.sqrt(roots[i])) + np.sum(roots[0] * roots[2])

    def slopes(x, i):
        with np.errstate(divide="ignore"):
            each = 0.25 * x**-0.75
        ends = np.array([0.5 * np.sqrt(x[2] / x[0]), [0.0, 0.0], 0.5 * np.sqrt(x[0] / x[2])])
        one, other = (np.arange(3)[:, None] == k for k in (1, i))
        return ends + np.where(one, each, 0) + np.where(other, each, 0)

    for i in (np.int64(2), np.array(0)):
        for run, dtype in every_way(tl.grad(chosen)):
            for at in (x, x + 1):
                found = run(at.astype(dtype), i)
                np.testing.assert_allclose(found, slopes(at, i), rtol=1e-5)
        assert "dot" not in ops(tl.compile(tl.grad(chosen)).lower(x, i), "jacobian-free")
    tl.check_grads(lambda x: chosen(x, np.int64(0)), (x + 1,), order=2)


def test_C9_least_squares(every_way):
    """The closed form (A^T A)^-1 A^T y, and descent x - a 2 A^T (A x - y), which reaches it."""
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal((40, 4)), rng.standard_normal(40)

    def closed(A, y):
        return np.linalg.inv(A.T @ A) @ A.T @ y, np.linalg.solve(A.T @ A, A.T @ y)

    def step(x, A, y, rate):
        x -= rate * tl.grad(lambda x: np.sum((A @ x - y) ** 2))(x)

    for (solve, dtype), (descend, _) in zip(every_way(closed), every_way(step), strict=True):
        given = A.astype(dtype), y.astype(dtype)
        x = np.zeros(4, dtype)
        for _ in range(200):
            descend(x, *given, 0.01)
        for found in solve(*given):
            assert found.dtype == dtype
            np.testing.assert_allclose(x, found, rtol=0, atol=1e-6)


def test_C9_derivative_of_the_closed_form(every_way):
    """dx/dy is the pseudoinverse; dx/dA of the residual's minimiser, against differences."""
    rng = np.random.default_rng(0)
    A, y = rng.standard_normal((12, 3)), rng.standard_normal(12)

    def closed(A, y):
        return np.linalg.solve(A.T @ A, A.T @ y)

    tl.check_grads(closed, (A, y), order=2)
    for run, dtype in every_way(lambda A, y: tl.jacobian(closed, 1)(A, y)):
        found = run(A.astype(dtype), y.astype(dtype))
        np.testing.assert_allclose(
            found, np.linalg.pinv(A), atol=1e-5 if dtype == np.float32 else 1e-12
        )


def test_C10_forward_error_backward_update(every_way):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 5))
    y = np.sin(x @ rng.standard_normal((5, 2)))
    start = {"W": 0.5 * rng.standard_normal((5, 16)), "V": 0.5 * rng.standard_normal((16, 2))}

    def step(p, x, y, rate):
        out, back = tl.vjp(lambda p: np.tanh(x @ p["W"]) @ p["V"], p)  # forward
        error = out - y
        (g,) = back(2 * error / error.size)  # backward
        for name in p:
            p[name] -= rate * g[name]  # update
        return np.mean(error**2)

    for run, dtype in every_way(step):
        p = {name: value.astype(dtype) for name, value in start.items()}
        xs, ys = x.astype(dtype), y.astype(dtype)
        order, epochs = np.random.default_rng(1), []
        for _ in range(40):
            batches = order.permutation(64).reshape(8, 8)
            epochs.append(np.mean([run(p, xs[rows], ys[rows], 0.3) for rows in batches]))
        assert epochs[-1] < 0.1 * epochs[0]
        assert np.mean(epochs[-5:]) < np.mean(epochs[-15:-10]) < np.mean(epochs[:5])


def test_C11_digits(every_way):
    """x5 = H3 relu(H0 x0 + h1) + h4 with softmax cross-entropy, on real images."""
    module = runpy.run_path(str(EXAMPLES / "digits_data.py"))
    x, y, x_test, y_test = module["load"]()
    rng = np.random.default_rng(0)
    start = {"H0": rng.standard_normal((128, 64)) / 5.6, "h1": np.zeros(128)}
    start |= {"H3": rng.standard_normal((10, 128)) / 8, "h4": np.zeros(10)}
    epochs = 45

    def network(p, x):
        return tl.nn.relu(x @ p["H0"].T + p["h1"]) @ p["H3"].T + p["h4"]

    def step(p, state, x, y, rate):
        loss, g = tl.value_and_grad(lambda p: tl.nn.cross_entropy(network(p, x), y))(p)
        tl.optim.sgd(rate, 0.9).update(p, g, state)
        return loss

    for run, dtype in every_way(step):
        p = {name: value.astype(dtype) for name, value in start.items()}
        state, order = tl.optim.sgd(0.1, 0.9).init(p), np.random.default_rng(1)
        for epoch in range(epochs):
            rate = 0.1 * (1 - epoch / epochs)
            for rows in order.permutation(len(x))[len(x) % 32 :].reshape(-1, 32):
                run(p, state, module["vary"](x[rows], order).astype(dtype), y[rows], rate)
        right = network(p, x_test.astype(dtype)).argmax(axis=1) == y_test
        assert right.mean() >= 0.95


# --- C12, C13: approximation, memory -------------------------------------------------------


def triangles(x, knots, values):
    """Sum of values f(t_k) times triangles of width 2d about the knots, each of three ReLUs."""
    d = knots[1] - knots[0]
    u = (x[:, None] - knots) / d
    hat = tl.nn.relu(u + 1) - 2 * tl.nn.relu(u) + tl.nn.relu(u - 1)
    return hat @ values


def curve(x):
    """Two outputs, of both signs."""
    return np.stack([np.sin(3 * x) - x, np.exp(-x) * np.cos(x)], axis=-1)


def test_C12_triangles_meet_the_function_at_the_knots(agrees):
    knots = np.arange(-2, 3.25, 0.25)
    agrees(triangles, [knots, knots, curve(knots)], lambda x, knots, values: values)


def largest_error(run, dtype, pieces):
    knots, x = np.linspace(-2, 3, pieces + 1), np.linspace(-2, 3, 777)
    found = run(*(a.astype(dtype) for a in (x, knots, curve(knots))))
    return np.max(np.abs(found - curve(x)))


def test_C12_the_error_falls_with_the_square_of_the_width(every_way):
    for run, dtype in every_way(triangles):
        errors = [largest_error(run, dtype, pieces) for pieces in (20, 40, 80)]
        for wide, narrow in itertools.pairwise(errors):
            assert 3.5 < wide / narrow < 4.5


def tents(x, knots, values, d):
    """The same for vector input: tents 1 + min(0, u) - max(0, u) over the components u."""
    u = (x[:, None, :] - knots) / d
    above, below = tl.nn.relu(u[..., 0]), tl.nn.relu(-u[..., 0])
    for k in range(1, u.shape[-1]):
        # max(a, b) = a + relu(b - a)
        above = above + tl.nn.relu(u[..., k] - above)
        below = below + tl.nn.relu(-u[..., k] - below)
    return tl.nn.relu(1 - above - below) @ values


def surface(x):
    a, b = x[..., 0], x[..., 1]
    return np.stack([np.sin(a + b) - 1, a * np.cos(b), a**2 - b], axis=-1)


def grid(pieces):
    side = np.linspace(-1, 1, pieces + 1)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def test_C12_vector_input_and_output(every_way):
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    for run, dtype in every_way(tents):
        errors = []
        for pieces in (8, 16):
            knots = grid(pieces).astype(dtype)
            values, d = surface(knots), 2 / pieces
            np.testing.assert_allclose(run(knots, knots, values, d), values, atol=1e-5)
            found = run(x.astype(dtype), knots, values, d)
            errors.append(np.max(np.abs(found - surface(x))))
        assert errors[1] < 0.35 * errors[0]


def test_C13_backward_keeps_the_layer_input(agrees, normal):
    """dL/dV needs the layer's input h, and dL/dW the slope 1 - h**2, which is computed from it: the
    plan keeps h until then, and says for which line."""

    def loss(W, V, x, y):
        h = np.tanh(W @ x)
        return np.sum((V @ h - y) ** 2)

    def expected(W, V, x, y):
        h = np.tanh(W @ x)
        error = 2 * (V @ h - y)
        return np.outer((V.T @ error) * (1 - h**2), x), np.outer(error, h)

    args = [normal(6, 4), normal(3, 6), normal(4), normal(3)]
    program = agrees(tl.grad(loss, (0, 1)), args, expected)
    report = program.memory()
    kept = dict(zip(report.names, report.buffers, strict=True))
    assert kept["%h"].last > kept["%gV"].first > kept["%h"].first + 1
    line = loss.__code__.co_firstlineno + 1
    assert kept["%h"].kept_for == f"fused at test_calculus.py:{line}"
    assert kept["%h"].kept_for in str(report)
