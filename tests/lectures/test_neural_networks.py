"""Neural networks: regression, matrix rules, softmax networks, training sets."""

import numpy as np
import pytest
import tapeless as tl
from formulas import sigma, softmax

# --- B1, B2: regression --------------------------------------------------------------------


def cross_entropy(p, y):
    return -y * np.log(p) - (1 - y) * np.log(1 - p)


def logistic(w, b, x, y):
    return cross_entropy(sigma(w @ x + b), y)


@pytest.mark.parametrize("y", [0.0, 1.0, 0.3])
def test_B1_logistic_regression(agrees, normal, ops, y):
    def expected(w, b, x, y):
        error = sigma(w @ x + b) - y
        return logistic(w, b, x, y), (error * x, error)

    args = [normal(5), np.array(0.2), normal(5), np.array(y)]
    program = agrees(tl.value_and_grad(logistic, (0, 1)), args, expected)
    assert "div" not in ops(program, "optimized")


@pytest.mark.parametrize("way", ["compiled", "interpreted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_B1_logistic_regression_at_any_score(dtype, way):
    """dL/dz within one unit in the last place of 1 of p - y, although written with log p."""
    z = np.array([0, 0.5, -3, 17, -40, 90, -700, 1e4, -1e4], dtype)
    step = tl.compile(
        lambda z, y: tl.value_and_grad(lambda z: np.sum(cross_entropy(sigma(z), y)))(z)
    )
    run = step if way == "compiled" else step.interpret
    for label in (0, 1):
        y = np.full_like(z, label)
        loss, dz = run(z, y)
        with np.errstate(over="ignore"):
            expected = sigma(z.astype(np.float64)) - label
        assert np.isfinite(loss)
        np.testing.assert_allclose(dz, expected, rtol=0, atol=np.finfo(dtype).eps)


def test_B2_linear_regression(agrees, normal):
    def loss(w, b, x, y):
        return 0.5 * (w @ x + b - y) ** 2

    def expected(w, b, x, y):
        error = w @ x + b - y
        return error * x, error

    agrees(tl.grad(loss, (0, 1)), [normal(5), np.array(0.3), normal(5), np.array(0.9)], expected)


# --- B3: matrix rules ----------------------------------------------------------------------


RULES = {
    "x + w": (lambda x, w, A: x + w, lambda x, w, A: np.eye(4), "[a;b] = I[a,b] v0[]"),
    "x * w": (lambda x, w, A: x * w, lambda x, w, A: np.diag(w), "[a;b] = I[a,b] v0[a]"),
    "x * x": (lambda x, w, A: x * x, lambda x, w, A: np.diag(2 * x), "[a;b] = I[a,b] v0[a]"),
    "A x": (lambda x, w, A: A @ x, lambda x, w, A: A, "[a;b] = v0[a,b]"),
    "sum(x)": (lambda x, w, A: np.sum(x), lambda x, w, A: np.ones(4), "[;a] = v0[a]"),
    "x.w": (lambda x, w, A: x @ w, lambda x, w, A: w, "[;a] = v0[a]"),
    "x.x": (lambda x, w, A: x @ x, lambda x, w, A: 2 * x, "[;a] = v0[a]"),
    "x^T A x": (lambda x, w, A: x @ A @ x, lambda x, w, A: (A + A.T) @ x, "[;a] = v0[a]"),
}


@pytest.mark.parametrize("rule", RULES)
def test_B3_matrix_rules(agrees, normal, rule):
    f, expected, structure = RULES[rule]
    args = [normal(4), normal(4), normal(4, 4)]
    agrees(tl.jacobian(f), args, expected)
    for dtype in (np.float32, np.float64):
        given = [a.astype(dtype) for a in args]
        J = tl.jacobian(f, structured=True)(*given)
        assert J.structure == structure
        np.testing.assert_allclose(J.dense(), expected(*given), rtol=1e-5, atol=1e-6)


# --- B4, B5: total derivatives, softmax ----------------------------------------------------


def test_B4_total_derivative(agrees, normal):
    """Every path adds its product: x reaches the result through u, through v, and alone."""

    def f(x, y):
        u = x * x
        v = np.sin(u) + x * y
        return np.sum(u * v + v * x + np.exp(x))

    def expected(x, y):
        u, v = x * x, np.sin(x * x) + x * y
        du, dv = 2 * x, np.cos(u) * 2 * x + y
        return du * v + u * dv + dv * x + v + np.exp(x), u * x + x * x

    agrees(tl.grad(f, (0, 1)), [normal(5), normal(5)], expected)


@pytest.mark.parametrize(
    "written", [tl.nn.softmax, softmax, lambda z: np.exp(z) / np.sum(np.exp(z))]
)
def test_B5_softmax_jacobian(agrees, normal, written):
    def expected(z):
        p = softmax(z)
        return np.diag(p) - np.outer(p, p)

    agrees(tl.jacobian(written), [normal(5)], expected)


# --- B6, B7: networks ----------------------------------------------------------------------


def network(normal):
    return {"W": normal(6, 4), "b": normal(6), "V": normal(3, 6), "c": normal(3)}


def vector_loss(p, x, target):
    h = sigma(p["W"] @ x + p["b"])
    return -np.sum(target * np.log(softmax(p["V"] @ h + p["c"])))


def vector_backprop(p, x, target):
    h = sigma(p["W"] @ x + p["b"])
    out = softmax(p["V"] @ h + p["c"])
    dz = out - target
    da = p["V"].T @ dz * h * (1 - h)
    gradients = {"W": np.outer(da, x), "b": da, "V": np.outer(dz, h), "c": dz}
    return -np.sum(target * np.log(out)), gradients


def batch_loss(p, x, target):
    h = sigma(x @ p["W"].T + p["b"])
    return -np.mean(np.sum(target * np.log(softmax(h @ p["V"].T + p["c"])), axis=1))


def batch_backprop(p, x, target):
    h = sigma(x @ p["W"].T + p["b"])
    out = softmax(h @ p["V"].T + p["c"])
    dz = (out - target) / len(x)
    da = dz @ p["V"] * h * (1 - h)
    gradients = {"W": da.T @ x, "b": da.sum(axis=0), "V": dz.T @ h, "c": dz.sum(axis=0)}
    return -np.mean(np.sum(target * np.log(out), axis=1)), gradients


def test_B6_softmax_network_on_a_vector(agrees, normal, ops):
    args = [network(normal), normal(4), np.eye(3)[1]]
    program = agrees(tl.value_and_grad(vector_loss), args, vector_backprop)
    assert not {"jacobian", "contract"} & ops(program, "jacobian-free")
    assert "outer " in program.ir("jacobian-free")


def test_B6_softmax_network_on_a_mini_batch(agrees, normal):
    args = [network(normal), normal(8, 4), np.eye(3)[np.arange(8) % 3]]
    agrees(tl.value_and_grad(batch_loss), args, batch_backprop)


@pytest.mark.parametrize("count", [1, 4])
def test_B7_error_over_a_training_set(agrees, normal, count):
    """The gradient of the mean divergence is the mean of the gradients of the divergences."""
    p, x, target = network(normal), normal(count, 4), np.eye(3)[np.arange(count) % 3]

    def per_sample(p, x, target):
        rows = [vector_backprop(p, *row)[1] for row in zip(x, target, strict=True)]
        return tl.tree.map(lambda *g: sum(g) / count, *rows)

    agrees(tl.grad(batch_loss), [p, x, target], per_sample)

    def unrolled(p, x, target):
        rows = [tl.grad(vector_loss)(p, x[n], target[n]) for n in range(count)]
        return tl.tree.map(lambda *g: sum(g) / count, *rows)

    agrees(unrolled, [p, x, target], per_sample)
