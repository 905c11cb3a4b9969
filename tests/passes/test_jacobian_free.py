"""Golden texts of `autodiff` and `jacobian-free`, and the structure that survives."""

import numpy as np
import pytest
from tapeless.ir.builder import Builder
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Value
from tapeless.ir.types import F64, I64, Type
from tapeless.passes.autodiff import autodiff
from tapeless.passes.jacobian_free import jacobian_free


def f64(name, *shape):
    return Value(Type(F64, shape), name)


def gradient_of(loss, inputs, names):
    """The graph `inputs -> loss, its gradients`, `loss(b, *args)` building it."""
    b = Builder()
    args = [b.arg(v, name_hint=v.name + "'") if v.name in names else v for v in inputs]
    value = loss(b, *args)
    wrt = [a for a, v in zip(args, inputs, strict=True) if v.name in names]
    grads = b.emit("gradient", [value, *wrt], names=[f"g{n}" for n in names]).results
    return Graph("step", tuple(inputs), tuple(b.nodes), (value, *grads))


def least_squares(b, W, x, y):
    e = b.sub(y, b.dot(W, x, spec="ab,b->a", name_hint="z"), name_hint="e")
    return b.mul(0.5, b.sum(b.mul(e, e), axes=(0,)), name_hint="L")


def layer(b, W, c, x):
    z = b.add(b.dot(x, W, spec="ab,bc->ac"), c, name_hint="z")
    h = b.select(b.gt(z, 0.0), z, 0.0, name_hint="h")
    return b.sum(b.mul(h, h), axes=(0, 1), name_hint="L")


def log_likelihood(b, s, y):
    rows = b.iota(n=32)
    top = b.logsumexp(s, axis=1)
    return b.sum(b.sub(top, b.gather(s, rows, y, axes=(0, 1))), axes=(0,), name_hint="L")


PROGRAMS = {
    "least_squares": (least_squares, [f64("W", 3, 4), f64("x", 4), f64("y", 3)], ["W"]),
    "layer": (layer, [f64("W", 4, 3), f64("c", 3), f64("x", 5, 4)], ["W", "c"]),
    "log_likelihood": (log_likelihood, [f64("s", 32, 10), Value(Type(I64, (32,)), "y")], ["s"]),
    "softmax": (
        lambda b, s: b.sum(b.softmax(s, axis=1, name_hint="p"), axes=(0, 1)),
        [f64("s", 3, 4)],
        ["s"],
    ),
    "running_sums": (
        lambda b, x: b.sum(b.exp(b.cumsum(x, axis=1, name_hint="c")), axes=(0, 1)),
        [f64("x", 3, 4)],
        ["x"],
    ),
    "rows": (
        lambda b, x: b.add(
            b.sum(b.slice(x, spec=((0, 1, 1), (0, 4, 1))), axes=(0, 1)),
            b.sum(b.slice(x, spec=((2, 3, 1), (0, 4, 1))), axes=(0, 1)),
        ),
        [f64("x", 3, 4)],
        ["x"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden(name, golden):
    loss, inputs, names = PROGRAMS[name]
    expanded = autodiff(gradient_of(loss, inputs, names))
    golden(f"{name}.autodiff.txt", f"{expanded}\n")
    golden(f"{name}.jacobian-free.txt", f"{jacobian_free(expanded)}\n")


def test_softmax_cross_entropy_is_p_minus_onehot():
    loss, inputs, names = PROGRAMS["log_likelihood"]
    graph = jacobian_free(autodiff(gradient_of(loss, inputs, names)))
    rng = np.random.default_rng(0)
    s, y = rng.normal(size=(32, 10)), rng.integers(0, 10, 32)
    p = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    np.testing.assert_allclose(evaluate(graph, [s, y])[0][1], p - np.eye(10)[y], atol=1e-15)


def test_a_graph_without_derivatives_comes_back_itself():
    x = f64("x", 3)
    b = Builder()
    graph = Graph("f", (x,), (b.emit("exp", [x]),), (b.nodes[0].result,))
    assert autodiff(graph) is graph
    assert jacobian_free(graph) is graph


def hessian(function, value, *others):
    b = Builder()
    outer = b.arg(value)
    inner = b.arg(outer)
    g = b.gradient(function(b, inner, *others), inner)
    h = b.total_jacobian(g, outer)
    return jacobian_free(autodiff(Graph("f", (value, *others), tuple(b.nodes), (h,))))


def test_the_factorisation_hessian_is_a_delta_times_a_small_matrix():
    """||T - U V^T||^2 with respect to U: I[a,c] * 2 (V^T V)[b,d]; only V^T V is computed."""
    U, V, T = f64("U", 6, 2), f64("V", 5, 2), f64("T", 6, 5)

    def loss(b, U, V, T):
        r = b.sub(T, b.dot(U, V, spec="ab,cb->ac"))
        return b.sum(b.mul(r, r), axes=(0, 1))

    graph = hessian(loss, U, V, T)
    products = [n for n in graph.nodes if n.op.name == "dot"]
    assert [p.result.shape for p in products] == [(2, 2)]
    rng = np.random.default_rng(0)
    v = rng.normal(size=(5, 2))
    (got,), _ = evaluate(graph, [rng.normal(size=(6, 2)), v, rng.normal(size=(6, 5))])
    np.testing.assert_allclose(got, np.einsum("ac,bd->abcd", np.eye(6), 2 * v.T @ v), atol=1e-14)


def test_the_hessian_of_logsumexp():
    x = f64("x", 5)
    graph = hessian(lambda b, x: b.logsumexp(x, axis=0), x)
    v = np.random.default_rng(0).normal(size=5)
    p = np.exp(v) / np.exp(v).sum()
    np.testing.assert_allclose(evaluate(graph, [v])[0][0], np.diag(p) - np.outer(p, p), atol=1e-15)
