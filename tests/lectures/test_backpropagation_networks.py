"""Neural networks and backpropagation: networks, gates, and derivatives of matrices (from E9)."""

import itertools

import numpy as np
import pytest
import tapeless as tl
from formulas import sigma

# --- E9 to E12: networks -------------------------------------------------------------------


@pytest.mark.parametrize(("sizes", "count"), [((3, 4, 2), 26), ((3, 4, 4, 2), 46)])
def test_E9_parameters(sizes, count):
    layers = [(np.zeros((m, n)), np.zeros(m)) for n, m in itertools.pairwise(sizes)]
    assert tl.tree.count(layers) == count


def test_E10_linear_networks_collapse(agrees, normal):
    def layered(layers, x):
        for W, b in layers:
            x = W @ x + b
        return x

    def composed(layers, x):
        W, b = np.eye(5), np.zeros(5)
        for W_k, b_k in layers:
            W, b = W_k @ W, W_k @ b + b_k
        return W @ x + b

    layers = [(normal(m, n), normal(m)) for n, m in ((5, 4), (4, 6), (6, 3))]
    agrees(layered, [layers, normal(5)], composed)


def test_E10_products_are_taken_in_the_cheap_order(agrees, normal):
    def product(W1, W2, W3, x):
        return W3 @ W2 @ W1 @ x

    args = [normal(40, 30), normal(40, 40), normal(20, 40), normal(30)]
    program = agrees(product, args, product)
    # Matrix by vector three times: 2 (40 30 + 40 40 + 20 40).
    assert program.cost().flops == 2 * (40 * 30 + 40 * 40 + 20 * 40)


def test_E11_linear_autoencoder(every_way):
    """4-2-4 reaches the error of the two principal components."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    x = rng.standard_normal((100, 4)) * (2, 1.5, 0.5, 0.3) @ turn
    x -= x.mean(axis=0)
    best = np.sum(np.linalg.svd(x, compute_uv=False)[2:] ** 2) / len(x)

    def step(p, state, x, rate):
        def loss_fn(p):
            return np.sum((x @ p["encode"] @ p["decode"] - x) ** 2) / len(x)

        loss, g = tl.value_and_grad(loss_fn)(p)
        tl.optim.adam(rate).update(p, g, state)
        return loss

    start = {"encode": 0.5 * rng.standard_normal((4, 2)), "decode": rng.standard_normal((2, 4))}
    for run, dtype in every_way(step):
        p = tl.tree.map(lambda a, dtype=dtype: a.astype(dtype), start)
        state = tl.optim.adam().init(p)
        for k in range(800):
            loss = run(p, state, x.astype(dtype), 0.05 * (1 - k / 800))
        np.testing.assert_allclose(loss, best, rtol=1e-3)


XOR = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0.0, 1, 1, 0])


def relu_network(p, x):
    W, c, w, b = p
    return tl.nn.relu(x @ W.T + c) @ w + b


def test_E12_xor_has_no_linear_fit():
    x, y = XOR
    columns = np.column_stack([x, np.ones(4)])
    w = np.linalg.lstsq(columns, y)[0]
    np.testing.assert_allclose(columns @ w, 0.5)


def test_E12_xor_by_the_given_network(agrees):
    W, c, w, b = np.ones((2, 2)), np.array([0.0, -1]), np.array([1.0, -2]), np.array(0.0)
    agrees(relu_network, [(W, c, w, b), XOR[0]], XOR[1])


def test_E12_xor_trained(every_way):
    rng = np.random.default_rng(1)
    start = [rng.standard_normal((8, 2)), np.zeros(8), rng.standard_normal(8), np.zeros(())]
    opt = tl.optim.adam(0.05)

    def step(p, state, x, y):
        g = tl.grad(lambda p: np.mean((relu_network(p, x) - y) ** 2))(p)
        opt.update(p, g, state)

    for run, dtype in every_way(step):
        p, (x, y) = [a.astype(dtype) for a in start], (a.astype(dtype) for a in XOR)
        state = opt.init(p)
        for _ in range(600):
            run(p, state, x, y)
        np.testing.assert_allclose(relu_network(p, x), y, atol=1e-3)


# --- E13 to E16: derivatives looked at -----------------------------------------------------


def test_E13_squared_error_against_cross_entropy(agrees):
    def gradients(z, y):
        squared = tl.grad(lambda z: 0.5 * (sigma(z) - y) ** 2)(z)
        crossed = tl.grad(lambda z: -y * np.log(sigma(z)) - (1 - y) * np.log(1 - sigma(z)))(z)
        return squared, crossed

    agrees(gradients, [np.array(-50.0), np.array(1.0)], (0.0, -1.0))


def test_E14_gates(agrees):
    """Add distributes, multiply switches; every intermediate gradient has its line."""

    def f(x, y, z):
        q = x + y
        return q * z

    args = [np.array(-2.0), np.array(5.0), np.array(-4.0)]
    program = agrees(tl.grad(f, (0, 1, 2)), args, (-4.0, -4.0, 3.0))
    text = program.ir("autodiff")
    assert "%gq:f64[] = contract" in text
    for name in "xyz":
        assert f"%g{name}:f64[] = contract" in text


def test_E14_max_routes(agrees):
    args = [np.array([1.0, 4, -1]), np.array([2.0, 3, -5])]

    def f(x, y):
        return np.sum(np.maximum(x, y) ** 2)

    agrees(tl.grad(f, (0, 1)), args, (np.array([0.0, 8, -2]), np.array([4.0, 0, 0])))


def test_E14_each_choice_of_a_sequence_routes_to_its_own_step(every_way):
    """Where nothing was chosen the derivative is zero, not 0 * inf; and what was chosen where is
    one array, not one per step."""
    x = np.array([[0.0, 4.0, 1.0], [9.0, 0.0, 0.25], [1.0, 16.0, 0.0]])

    def loss(x):
        roots, total = np.sqrt(x), 0.0
        for step, chosen in zip(roots, x > 0, strict=True):
            total = total + np.sum(np.where(chosen, step * step * step, 0))
        return total

    for run, dtype in every_way(tl.grad(loss)):
        np.testing.assert_allclose(run(x.astype(dtype)), 1.5 * np.sqrt(x), rtol=1e-5)
    ops = [node.op.name for node in tl.compile(tl.grad(loss)).lower(x).graph("optimized").nodes]
    assert "or" not in ops and ops.count("select") == 4
    tl.check_grads(loss, (x + 1,), order=2)


def test_E14_sigmoid_neuron(agrees):
    """The lecture's numbers: w = (2, -3, -3), x = (-1, -2)."""

    def neuron(w, x):
        s = w[0] * x[0] + w[1] * x[1] + w[2]
        return 1 / (1 + np.exp(-s))

    def expected(w, x):
        p = sigma(1.0)
        return p * (1 - p) * np.array([*x, 1]), p * (1 - p) * w[:2]

    args = [np.array([2.0, -3, -3]), np.array([-1.0, -2])]
    program = agrees(tl.grad(neuron, (0, 1)), args, expected)
    assert "%gs:f64[] = contract" in program.ir("autodiff")


def test_E14_softplus(agrees):
    x = np.array([-1e3, -2, 0, 3, 1e3])

    def slope(x):
        with np.errstate(over="ignore"):
            return sigma(x)

    program = agrees(tl.grad(lambda x: np.sum(np.log(1 + np.exp(x)))), [x], slope)
    assert "softplus" in program.ir("stable")


def test_E15_hessian(agrees, normal):
    def f(x):
        return np.sum(np.sin(x) * x[::-1]) + np.exp(x[0] * x[1])

    def expected(x):
        crossed = np.cos(x) + np.cos(x[::-1])
        H = np.diag(-np.sin(x) * x[::-1]) + np.fliplr(np.diag(crossed))
        e = np.exp(x[0] * x[1])
        H[:2, :2] += e * np.array([[x[1] ** 2, 1 + x[0] * x[1]], [1 + x[0] * x[1], x[0] ** 2]])
        return H

    x = normal(4)
    agrees(tl.hessian(f), [x], expected)
    H, step = tl.hessian(f)(x), 1e-5
    columns = [(tl.grad(f)(x + e) - tl.grad(f)(x - e)) / (2 * step) for e in step * np.eye(4)]
    np.testing.assert_allclose(H, np.array(columns), atol=1e-8)
    np.testing.assert_array_equal(H, H.T)


def test_E16_squared_distance(agrees, ops, normal):
    def distance(x, h):
        d = x - h
        return np.sum(d**2)

    program = agrees(tl.grad(distance), [normal(5), normal(5)], lambda x, h: 2 * (x - h))
    inner = next(row for row in program.zeros() if (row.result, row.wrt) == ("d", "x"))
    assert inner.form == "[a;i] = I[a,i]" and inner.shape == (5, 5)
    assert not {"jacobian", "contract", "eye", "dot"} & ops(program, "jacobian-free")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_E16_squared_distance_structured(dtype, normal):
    x, h = normal(5).astype(dtype), normal(5).astype(dtype)
    inner = tl.jacobian(lambda x: x - h, structured=True)(x)
    curvature = tl.hessian(lambda x: np.sum((x - h) ** 2), structured=True)(x)
    for found, factor in ((inner, 1), (curvature, 2)):
        assert found.structure == "[a;b] = I[a,b] v0[]"
        np.testing.assert_array_equal(found.dense(), factor * np.eye(5))


# --- E17 to E20: matrices ------------------------------------------------------------------


def residual(W, x, y):
    z = W @ x
    return 0.5 * np.sum((y - z) ** 2)


def test_E17_rank_3_tensor_is_never_built(agrees, ops, normal):
    def expected(W, x, y):
        return -np.outer(y - W @ x, x)

    program = agrees(tl.grad(residual), [normal(3, 4), normal(4), normal(3)], expected)
    assert "%J4:f64[3,4,3] = jacobian %z wrt %W [a,b;i] = I[a,i] %x[b]" in program.ir("autodiff")
    assert "= outer %gz, %x" in program.ir("jacobian-free")
    assert not {"jacobian", "contract"} & ops(program, "jacobian-free")
    entry = next(row for row in program.zeros() if row.wrt == "W")
    assert (entry.shape, entry.elements, entry.nonzeros) == ((3, 4, 3), 36, 12)
    assert entry.instead == ("outer %gz, %x",)


def test_E17_least_squares_solution(every_way):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 30)), rng.standard_normal((3, 30))

    def step(W, x, y):
        W -= 0.01 * tl.grad(residual)(W, x, y)

    for run, dtype in every_way(step):
        W = np.zeros((3, 4), dtype)
        for _ in range(300):
            run(W, x.astype(dtype), y.astype(dtype))
        np.testing.assert_allclose(W, np.linalg.lstsq(x.T, y.T)[0].T, atol=1e-5)


def test_E18_matrix_product(agrees, normal):
    def gradients(W, X, G):
        _, pull = tl.vjp(lambda W, X: W @ X, W, X)
        return pull(G)

    args = [normal(3, 4), normal(4, 6), normal(3, 6)]
    agrees(gradients, args, lambda W, X, G: (G @ X.T, W.T @ G))


@pytest.mark.parametrize(
    ("relu", "at_tie"), [(tl.nn.relu, 0.0), (lambda z: np.maximum(z, 0), 0.5)], ids=["nn", "np"]
)
def test_E19_relu_layer(agrees, normal, relu, at_tie):
    def loss(W, x, b, y):
        return np.sum((relu(W @ x + b) - y) ** 2)

    def expected(W, x, b, y):
        z = W @ x + b
        delta = 2 * (np.maximum(z, 0) - y) * np.where(z == 0, at_tie, z > 0)
        return np.outer(delta, x), W.T @ delta, delta

    W, b = normal(5, 3), normal(5)
    W[0] = b[0] = 0  # an exact tie
    agrees(tl.grad(loss, (0, 1, 2)), [W, normal(3), b, normal(5)], expected)


def test_E20_multivariate_chain_rule(agrees, normal):
    """dz/dx = dy/dx dz/dy in denominator layout: the transposes, right to left."""

    def inner(x, A):
        return np.sin(A @ x)

    def outer(y, B):
        return np.exp(B @ y)

    def both(x, A, B):
        y = inner(x, A)
        whole = tl.jacobian(lambda x: outer(inner(x, A), B))(x)
        product = tl.jacobian(inner)(x, A).T @ tl.jacobian(outer)(y, B).T
        return whole, product.T

    def expected(x, A, B):
        y = inner(x, A)
        J = (outer(y, B)[:, None] * B) @ (np.cos(A @ x)[:, None] * A)
        return J, J

    agrees(both, [normal(3), normal(4, 3), normal(2, 4)], expected)
