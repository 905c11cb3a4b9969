"""grad, value_and_grad, vjp, jvp, jacobian, hessian against closed forms, eager and in a trace."""

from collections import namedtuple

import numpy as np
import pytest
import tapeless as tl
from conformance import run_traced, same
from tapeless import errors
from tapeless.compiler.pipeline import lower
from tapeless.compiler.signature import bind, parameters
from tapeless.compiler.trace import trace
from tapeless.runtime.interpreter import interpret

random = np.random.default_rng(0)
A, X = random.normal(size=(3, 4)), random.normal(size=4)


def in_trace(fn, *args):
    """The same call inside a trace, lowered and interpreted."""
    traced = trace(fn, args, {})
    graph = lower(traced.graph, until="optimized", verify=True).graphs["optimized"]
    leaves = traced.described.leaves
    types = [v.type.dtype for v in graph.inputs]
    outputs, _ = interpret(graph, *(np.asarray(x, d) for x, d in zip(leaves, types, strict=True)))
    finish = traced.prepare(bind(parameters(fn), args, {}).arguments, outputs)
    finish.replay()
    return finish.result


def check(fn, args, expected):
    same(fn(*args), expected, exact=False)
    same(in_trace(fn, *args), expected, exact=False)


def half_square(x, a):
    z = a @ x
    return 0.5 * np.sum(z * z)


def test_grad_of_one_argument():
    check(tl.grad(half_square), (X, A), A.T @ (A @ X))
    check(tl.grad(half_square, argnums=1), (X, A), np.outer(A @ X, X))
    check(tl.grad(half_square, argnums=-1), (X, A), np.outer(A @ X, X))


def test_grad_of_several_arguments():
    expected = (np.outer(A @ X, X), A.T @ (A @ X))
    check(tl.grad(half_square, argnums=(1, 0)), (X, A), expected)
    check(tl.grad(half_square, argnums=(0,)), (X, A), (A.T @ (A @ X),))


def test_value_and_grad_with_aux():
    def loss(x):
        y = np.sin(x)
        return np.sum(y), {"y": y, "n": None, "label": "sin"}

    expected = (np.sum(np.sin(X)), {"y": np.sin(X), "n": None, "label": "sin"}), np.cos(X)
    check(tl.value_and_grad(loss, has_aux=True), (X,), expected)
    check(tl.grad(loss, has_aux=True), (X,), (np.cos(X), expected[0][1]))
    value, gradient = tl.value_and_grad(lambda x: np.sum(x**3))(X)
    same((value, gradient), (np.sum(X**3), 3 * X**2), exact=False)


Params = namedtuple("Params", "w b")


def test_containers_keep_their_structure():
    p = {"net": [Params(A, np.ones(3)), None], "scale": np.float64(2)}

    def loss(p):
        layer = p["net"][0]
        return p["scale"] * np.sum(layer.w @ X + layer.b)

    total = np.sum(A @ X + 1)
    expected = {
        "net": [Params(2 * np.outer(np.ones(3), X), 2 * np.ones(3)), None], "scale": total,
    }  # fmt: skip
    check(tl.grad(loss), (p,), expected)


def test_float32_stays_float32():
    x = X.astype(np.float32)
    check(tl.grad(lambda x: np.sum(x * x)), (x,), 2 * x)
    assert tl.grad(lambda x, s: np.sum(x * x) * s, (0, 1))(x, 2.0)[0].dtype == np.float32


def test_python_floats_may_be_differentiated():
    check(tl.grad(lambda s: s**3), (2.0,), np.float64(12))
    check(tl.grad(tl.grad(lambda s: s**3)), (2.0,), np.float64(12))
    check(tl.grad(tl.grad(tl.grad(lambda s: s**4))), (2.0,), np.float64(48))


def test_unused_argument_has_zero_gradient():
    check(tl.grad(lambda x, y: np.sum(x), 1), (X, A), np.zeros_like(A))
    check(tl.grad(lambda x: 3.0), (X,), np.zeros_like(X))


def test_closures_are_constants_and_arguments_are_distinct():
    def step(x):
        return tl.grad(lambda w: np.sum(w * x))(x), tl.grad(lambda a, b: np.sum(a * b))(x, x)

    same(in_trace(step, X), (X, X), exact=False)


def test_the_gradient_is_a_snapshot():
    def step(x):
        first = tl.grad(lambda w: np.sum(w**2))(x)
        x -= 0.5 * first
        return first, tl.grad(lambda w: np.sum(w**2))(x)

    same(in_trace(step, X.copy()), (2 * X, 0 * X), exact=False)


def test_mutation_inside_of_arrays_made_inside():
    def loss(x):
        buffer = np.zeros_like(x)
        for k in range(4):
            buffer[k] = x[k] ** 2 * (k + 1)
        buffer[1:] += buffer[:-1]
        return buffer.sum()

    def closed(x):
        weights = np.arange(1.0, 5)
        return 2 * x * weights * np.array([2, 2, 2, 1])

    check(tl.grad(loss), (X,), closed(X))


def test_one_gradient_node_per_call():
    def step(p):
        return tl.grad(lambda p: np.sum(p["a"] * p["b"]))(p)

    graph = trace(step, ({"a": X, "b": X + 1},), {}).graph
    names = [node.op.name for node in graph.nodes]
    assert names == ["arg", "arg", "mul", "sum", "gradient"]
    assert [v.name for v in graph.nodes[-1].results] == ["ga", "gb"]
    assert [node.result.name for node in graph.nodes[:2]] == ["a'", "b'"]


def test_vjp():
    def call(x, a):
        out, pull = tl.vjp(lambda x, a: (a @ x, {"s": np.sin(x)}), x, a)
        return out, pull((np.ones(3), {"s": np.full(4, 2.0)}))

    expected = (
        (A @ X, {"s": np.sin(X)}),
        (A.T @ np.ones(3) + 2 * np.cos(X), np.outer(np.ones(3), X)),
    )
    check(call, (X, A), expected)
    same(call(X, A), expected, exact=False)
    out, pull, aux = tl.vjp(lambda x: (x * 2, "aux"), X, has_aux=True)
    same((out, pull(np.ones(4)), aux), (X * 2, (2 * np.ones(4),), "aux"), exact=False)


def test_jvp():
    def call(x, t):
        return tl.jvp(lambda x, y: (np.sin(x) * y, y), (x, x), (t, np.zeros(4)))

    expected = ((np.sin(X) * X, X), (np.cos(X) * X, np.zeros(4)))
    check(call, (X, np.ones(4)), expected)
    same(tl.jvp(lambda x: (x**2, 7), (X,), (X,), has_aux=True), (X**2, 2 * X * X, 7), exact=False)


def test_jacobian_layout_is_out_then_in():
    check(tl.jacobian(lambda x: A @ x), (X,), A)
    check(tl.jacobian(lambda a: a @ X), (A,), np.einsum("ij,k->ijk", np.eye(3), X))
    pair = tl.jacobian(lambda x, y: {"p": x * y, "s": np.sum(x)}, (0, 1))
    expected = {"p": (np.diag(X), np.diag(X)), "s": (np.ones(4), np.zeros(4))}
    check(pair, (X, X.copy()), expected)
    same(tl.jacobian(lambda x: (x * 2, 1), has_aux=True)(X), (2 * np.eye(4), 1), exact=False)


def test_hessian():
    check(tl.hessian(lambda x: np.sum(x**3)), (X,), np.diag(6 * X))
    check(tl.hessian(lambda x: x @ (A.T @ A) @ x), (X,), 2 * A.T @ A)
    both = tl.hessian(lambda x, y: np.sum(x * y * y), (0, 1))(X, X)
    expected = ((np.zeros((4, 4)), np.diag(2 * X)), (np.diag(2 * X), np.diag(2 * X)))
    same(both, expected, exact=False)


def test_forward_over_reverse():
    def product(x, v):
        return tl.jvp(tl.grad(lambda x: np.sum(np.tanh(x) * x)), (x,), (v,))[1]

    x, step = X, 1e-6
    gradient = tl.grad(lambda x: np.sum(np.tanh(x) * x))
    numeric = (gradient(x + step) - gradient(x - step)) / (2 * step)
    np.testing.assert_allclose(product(x, np.ones(4)), numeric, rtol=1e-6)
    np.testing.assert_allclose(in_trace(product, x, np.ones(4)), numeric, rtol=1e-6)


def test_reverse_over_forward():
    def directional(x):
        return np.sum(tl.jvp(np.sin, (x,), (np.ones(4),))[1])

    check(tl.grad(directional), (X,), -np.sin(X))


def test_gradient_of_a_function_with_a_gradient_inside():
    def outer(x):
        inner = tl.grad(lambda w: np.sum(w**3))(x)
        return np.sum(inner * x)

    check(tl.grad(outer), (X,), 9 * X**2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tl.grad(lambda p: p["w"].sum())({"w": X, "t": 3}), r"p\['t'\] of dtype int64"),
        (lambda: tl.grad(lambda x: x.sum())(X > 0), r"x of dtype bool"),
        (lambda: tl.grad(lambda x: x)(X), r"scalar of shape \(\), it is f64\[4\]"),
        (lambda: tl.grad(lambda x: x.argmax())(X), r"it is i64\[\]"),
        (lambda: tl.grad(lambda x: (x.sum(), 1))(X), r"has_aux=True"),
        (lambda: tl.grad(lambda x: x.sum(), has_aux=True)(X), r"pair \(result, aux\)"),
        (lambda: tl.grad(lambda x: x.sum(), argnums=2)(X), r"argnums 2 does not fit 1"),
        (lambda: tl.grad(lambda x: x["a"].sum())({"a": X, "n": "text"}), r"x\['n'\]: 'text'"),
        (lambda: tl.vjp(lambda x: x * 2, X)[1]((X, X)), r"structure"),
        (lambda: tl.jvp(lambda x: x, (X,), (X, X)), r"tangents must have the structure"),
        (lambda: tl.jacobian(lambda x: x.argmax())(X), r"result has dtype int64"),
    ],
)
def test_type_errors(call, message):
    with pytest.raises(TypeError, match=message) as caught:
        call()
    assert isinstance(caught.value, errors.TapelessError)


def test_shape_errors():
    with pytest.raises(errors.ShapeError, match=r"cotangent has shape \(3,\), it must be \(4,\)"):
        tl.vjp(lambda x: x * 2, X)[1](np.ones(3))


def test_errors_name_the_line():
    with pytest.raises(errors.TapelessError, match=r"at test_transforms\.py:\d+: .*tl\.grad"):
        tl.grad(lambda x: x)(X)


def test_a_pull_function_dies_with_its_trace():
    kept = []

    def step(x):
        out, pull = tl.vjp(lambda w: w * 2, x)
        kept.append(pull)
        return out

    run_traced(step, X)
    with pytest.raises(errors.TraceError, match="after its trace"):
        kept[0](X)


def test_norm_and_std_have_gradient_zero_at_zero():
    check(tl.grad(lambda x: np.linalg.norm(x)), (np.zeros(2),), np.zeros(2))
    check(tl.grad(lambda x: np.std(x)), (np.ones(3),), np.zeros(3))
    check(tl.grad(lambda x: np.hypot(x[0], x[1])), (np.zeros(2),), np.zeros(2))
    check(tl.grad(lambda x: np.linalg.norm(x)), (np.array([3.0, 4.0]),), np.array([0.6, 0.8]))


@pytest.mark.parametrize(
    ("x", "expected"), [([0.0, 2, 3], [6.0, 0, 0]), ([0.0, 0, 3], [0.0, 0, 0])]
)
def test_gradient_of_a_product_with_zeros(x, expected):
    check(tl.grad(lambda x: np.prod(x)), (np.array(x),), np.array(expected))


def test_gradients_accumulate_at_repeated_indices():
    check(tl.grad(lambda x: np.sum(x[[0, 0]])), (np.ones(2),), np.array([2.0, 0]))
