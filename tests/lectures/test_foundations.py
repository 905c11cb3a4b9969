"""Mathematical foundations: forward propagation, Jacobians, the multi-layer gradient."""

import itertools

import numpy as np
import pytest
import tapeless as tl
from formulas import sigma


def diagonal(v):
    """A matrix with `v` on its diagonal, in the traced language too."""
    return np.eye(len(v), dtype=v.dtype) * v


# --- A1, A2: values ------------------------------------------------------------------------


def test_A1_two_layers(agrees, normal):
    def forward(W1, b1, W2, b2, x):
        h = sigma(W1 @ x + b1)
        return sigma(W2 @ h + b2)

    agrees(forward, [normal(4, 3), normal(4), normal(2, 4), normal(2), normal(3)], forward)


@pytest.mark.parametrize("layers", [1, 5])
def test_A1_many_layers(agrees, normal, layers):
    activations = (np.tanh, sigma, np.sin)

    def forward(A, b, f):
        for i in range(layers):
            f = activations[i % 3](A @ f + b)
        return f

    agrees(forward, [normal(3, 3), normal(3), normal(3)], forward)


PRODUCTS = {
    "ij,j->i": [(3, 4), (4,)],
    "ik,kj->ij": [(3, 4), (4, 5)],
    "il,lj->ij": [(2, 3), (3, 4)],
    "il,ljk->ijk": [(2, 3), (3, 4, 5)],
}


@pytest.mark.parametrize("spec", PRODUCTS)
def test_A2_products_as_einsum(agrees, normal, spec):
    a, b = (normal(*shape) for shape in PRODUCTS[spec])
    inputs, out = spec.split("->")
    left, right = inputs.split(",")

    def product(a, b):
        return np.einsum(inputs, a, b)

    def loss(a, b):
        return np.sum(np.sin(product(a, b)))

    agrees(product, [a, b], lambda a, b: np.einsum(spec, a, b))

    def gradients(a, b):
        g = np.cos(np.einsum(spec, a, b))
        return (
            np.einsum(f"{out},{right}->{left}", g, b),
            np.einsum(f"{left},{out}->{right}", a, g),
        )

    agrees(tl.grad(loss, (0, 1)), [a, b], gradients)
    tl.check_grads(loss, (a, b), order=1)


# --- A3 to A9: derivatives -----------------------------------------------------------------


def test_A3_tanh_of_a_power(agrees, normal):
    powers = (1, 2, 3, 5)

    def derivatives(x):
        return [tl.grad(lambda x, n=n: np.sum(np.tanh(x**n)))(x) for n in powers]

    def expected(x):
        return [(1 - np.tanh(x**n) ** 2) * n * x ** (n - 1) for n in powers]

    agrees(derivatives, [normal(6)], expected)


def test_A4_partial_derivatives(agrees, normal):
    def f(x):
        return x[0] ** 2 * x[1] + x[0] * x[1] ** 3

    def expected(x):
        a, b = x
        return np.array([2 * a * b + b**3, a**2 + 3 * a * b**2])

    agrees(tl.grad(f), [normal(2)], expected)


def test_A5_squared_residual(agrees, normal):
    def loss(x, y, A):
        return 0.5 * np.sum((y - A @ x) ** 2)

    agrees(tl.grad(loss), [normal(3), normal(4), normal(4, 3)], lambda x, y, A: -(y - A @ x) @ A)


def test_A6_jacobian_of_a_linear_map(agrees, normal):
    agrees(tl.jacobian(lambda x, A: A @ x), [normal(3), normal(4, 3)], lambda x, A: A)


def test_A7_along_a_curve(agrees):
    def f(t):
        x1, x2 = np.sin(t), np.cos(t)
        return x1**2 + 2 * x2

    agrees(tl.grad(f), [np.array(0.7)], lambda t: 2 * np.sin(t) * (np.cos(t) - 1))


def layer(A, b, x):
    return np.tanh(A @ x + b)


def layer_jacobians(A, b, x):
    """df/dA of shape M x (M x N), and df/db."""
    slope = diagonal(1 - layer(A, b, x) ** 2)
    return slope[:, :, None] * x, slope


def test_A8_layer_jacobians(agrees, normal):
    args = [normal(3, 4), normal(3), normal(4)]
    program = agrees(tl.jacobian(layer, (0, 1)), args, layer_jacobians)
    text = program.ir("autodiff")
    # Of A x with respect to A, and of the sum with respect to b.
    assert "wrt %A [a,b;i] = I[a,i] %x[b]" in text
    assert "wrt %b [a;i] = I[a,i]" in text


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_A8_layer_jacobians_structured(dtype, normal):
    A, b, x = (normal(*shape).astype(dtype) for shape in [(3, 4), (3,), (4,)])
    dA, db = tl.jacobian(layer, (0, 1), structured=True)(A, b, x)
    assert dA.structure == "[a;b,c] = I[a,b] v0[a] v1[c]" and dA.nnz == 12
    assert db.structure == "[a;b] = I[a,b] v0[a]" and db.nnz == 3
    for found, expected in zip((dA, db), layer_jacobians(A, b, x), strict=True):
        assert found.dense().dtype == dtype
        np.testing.assert_allclose(found.dense(), expected, rtol=1e-5, atol=1e-6)


def test_A9_matrix_by_matrix(agrees, normal):
    def f(X, B, C):
        return np.tanh(B @ X @ C)

    def expected(X, B, C):
        return np.einsum("pq,pm,nq->pqmn", 1 - f(X, B, C) ** 2, B, C)

    args = [normal(3, 4), normal(2, 3), normal(4, 5)]
    agrees(tl.jacobian(f), args, expected)

    J, step = tl.jacobian(f)(*args), 1e-6
    assert J.shape == (2, 5, 3, 4)
    for at in np.ndindex(3, 4):
        change = np.zeros((3, 4))
        change[at] = step
        slope = (f(args[0] + change, *args[1:]) - f(args[0] - change, *args[1:])) / (2 * step)
        np.testing.assert_allclose(J[:, :, *at], slope, atol=1e-8)


# --- A10, A11: training --------------------------------------------------------------------


def test_A10_multi_layer_gradient(agrees, normal, ops):
    """dL/dtheta_i = dL/df_K df_K/df_(K-1) ... df_(i+1)/df_i df_i/dtheta_i, for every i."""
    sizes = (3, 4, 4, 2, 3)
    theta = [(normal(m, n), normal(m)) for n, m in itertools.pairwise(sizes)]

    def loss(theta, x, y):
        f = x
        for A, b in theta:
            f = layer(A, b, f)
        return np.sum((y - f) ** 2)

    def product(theta, x, y):
        values = [x]
        for A, b in theta:
            values.append(layer(A, b, values[-1]))
        chain, gradients = -2 * (y - values[-1]), []
        for (A, b), f in zip(reversed(theta), reversed(values[:-1]), strict=True):
            dA, db = layer_jacobians(A, b, f)
            gradients.append((np.tensordot(chain, dA, 1), chain @ db))
            chain = chain @ tl.jacobian(layer, 2)(A, b, f)
        return gradients[::-1]

    program = agrees(tl.grad(loss), [theta, normal(3), normal(3)], product)
    assert {"jacobian", "contract"} <= ops(program, "autodiff")
    assert not {"jacobian", "contract"} & ops(program, "jacobian-free")


def test_A11_regression_with_noise(every_way):
    rng, noise = np.random.default_rng(0), 0.1
    z = np.linspace(-2, 2, 200)[:, None]
    y = np.sin(2 * z) + noise * rng.standard_normal(z.shape)
    start = {"W": rng.standard_normal((1, 16)), "b": rng.standard_normal(16)}
    start |= {"w": rng.standard_normal((16, 1)) / 4, "c": np.zeros(1)}
    opt = tl.optim.adam(0.02)

    def loss_fn(p, z, y):
        return np.mean((np.tanh(z @ p["W"] + p["b"]) @ p["w"] + p["c"] - y) ** 2)

    def step(p, state, z, y):
        loss, g = tl.value_and_grad(loss_fn)(p, z, y)
        opt.update(p, g, state)
        return loss

    for run, dtype in every_way(step):
        p = tl.tree.map(lambda a, dtype=dtype: a.astype(dtype), start)
        state = opt.init(p)
        losses = [float(run(p, state, z.astype(dtype), y.astype(dtype))) for _ in range(800)]
        assert losses[0] > 10 * noise**2
        assert losses[-1] < 1.1 * noise**2


# --- A12: uncertainty ----------------------------------------------------------------------


def propagated_by_hand(mean, S, A, B):
    h = np.tanh(A @ mean)
    J = B @ diagonal(1 - h**2) @ A
    return B @ h, J @ S @ J.T


def test_A12_uncertainty_through_a_network(agrees, every_way):
    """To first order: mean f(m), covariance J S J^T."""
    rng = np.random.default_rng(1)
    A, B = rng.standard_normal((4, 3)), rng.standard_normal((2, 4))
    root = 0.01 * rng.standard_normal((3, 3))
    mean, S = rng.standard_normal(3), root @ root.T
    sample = mean + rng.standard_normal((100_000, 3)) @ root.T

    def f(x, A, B):
        return B @ np.tanh(A @ x)

    def propagated(mean, S, A, B):
        J = tl.jacobian(f)(mean, A, B)
        return f(mean, A, B), J @ S @ J.T

    def sampled(x, A, B):
        y = np.tanh(x @ A.T) @ B.T
        m = np.mean(y, axis=0)
        return m, (y - m).T @ (y - m) / len(x)

    agrees(propagated, [mean, S, A, B], propagated_by_hand)
    first, second = propagated_by_hand(mean, S, A, B)
    for run, dtype in every_way(sampled):
        m, covariance = run(*(a.astype(dtype) for a in (sample, A, B)))
        np.testing.assert_allclose(m, first, rtol=0.05)
        np.testing.assert_allclose(covariance, second, atol=0.05 * np.max(np.abs(second)))
