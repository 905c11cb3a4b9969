"""Derivatives by three routes: the dense stage `autodiff`, `jacobian-free`, finite differences."""

import sys

import numpy as np
import pytest
from sampling import all_samples, draw_operands, inputs_for, sample_graph
from tapeless.ir.builder import Builder
from tapeless.ir.errors import UnsupportedError
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Loc, Value
from tapeless.ir.types import F32, F64, Type
from tapeless.passes.algebra.repetition import Repetition
from tapeless.passes.autodiff import autodiff
from tapeless.passes.jacobian_free import jacobian_free


def float64_samples():
    """Samples whose floats are all f64 and whose result is one: those with derivatives."""
    for name, op, sample in all_samples():
        types = [x for x in sample.operands if isinstance(x, Type)]
        if op.jacobian is None or not any(t.dtype == F64 for t in types):
            continue
        if op.name == "stop_gradient":  # whose derivative is not that of its values
            continue
        if any(t.dtype == F32 for t in types) or sample.attrs.get("dtype") == F32:
            continue
        if _has_float_result(op, sample) and sum(t.size for t in types) < 1000:
            yield pytest.param(op, sample, id=name)


def _has_float_result(op, sample):
    return sample_graph(op, sample)[0].outputs[0].type.is_float


def numeric_jacobian(graph, arrays, i, h=1e-6):
    def f(array):
        return evaluate(graph, [*arrays[:i], array, *arrays[i + 1 :]])[0][0]

    out = np.zeros(f(arrays[i]).shape + arrays[i].shape)
    for ix in np.ndindex(*arrays[i].shape):
        step = np.zeros(arrays[i].shape)
        step[ix] = h
        out[(..., *ix)] = (f(arrays[i] + step) - f(arrays[i] - step)) / (2 * h)
    return out


@pytest.mark.parametrize(("op", "sample"), list(float64_samples()))
def test_rule_by_three_routes(op, sample):
    """total_jacobian, vjp and jvp of one op, dense and eliminated, against differences."""
    rng = np.random.default_rng(1)
    arrays = draw_operands(rng, sample)
    floats = [k for k, a in enumerate(arrays) if a.dtype == F64]
    inputs = inputs_for(arrays)
    b = Builder()
    args = [b.arg(v) if k in floats else v for k, v in enumerate(inputs)]
    y = b.emit(op, args, sample.attrs).result
    wrt = [args[k] for k in floats]
    seed = rng.normal(size=y.shape)
    tangents = [rng.normal(size=arrays[k].shape) for k in floats]
    attrs = {"outputs": 1, "wrt": len(wrt)}
    pulled = b.emit("vjp", [y, *wrt, b.constant(seed)], attrs).results
    pushed = b.emit("jvp", [y, *wrt, *map(b.constant, tangents)], attrs).results
    totals = [b.total_jacobian(y, a) for a in wrt]
    graph = Graph(op.name, inputs, tuple(b.nodes), (*pulled, *pushed, *totals))

    expanded = autodiff(graph)
    free = jacobian_free(expanded)
    assert not {"jacobian", "contract", "eye"} & {n.op.name for n in free.nodes}
    dense, eliminated = evaluate(expanded, arrays)[0], evaluate(free, arrays)[0]
    for x, z in zip(dense, eliminated, strict=True):
        np.testing.assert_allclose(z, x, rtol=1e-12, atol=1e-12)

    plain = Builder()
    result = plain.emit(op, inputs, sample.attrs).result
    function = Graph(op.name, inputs, tuple(plain.nodes), (result,))
    numeric = [numeric_jacobian(function, arrays, k) for k in floats]
    k = len(wrt)
    for got, want in zip(eliminated[k + 1 :], numeric, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)
    for got, want in zip(eliminated[:k], numeric, strict=True):
        np.testing.assert_allclose(got, np.tensordot(seed, want, seed.ndim), rtol=2e-5, atol=2e-6)
    want = sum(np.tensordot(j, t, t.ndim) for j, t in zip(numeric, tangents, strict=True))
    np.testing.assert_allclose(eliminated[k], want, rtol=2e-5, atol=2e-6)


def least_squares(m=3, n=4):
    """L = 1/2 sum (y - W x)^2 and its gradient with respect to W."""
    W, x, y = (Value(Type(F64, s), v) for v, s in (("W", (m, n)), ("x", (n,)), ("y", (m,))))
    b = Builder()
    a = b.arg(W, name_hint="W'")
    z = b.dot(a, x, spec="ab,b->a", name_hint="z")
    e = b.sub(y, z, name_hint="e")
    loss = b.mul(0.5, b.sum(b.mul(e, e), axes=(0,)), name_hint="L")
    g = b.gradient(loss, a, name_hint="gW")
    return Graph("step", (W, x, y), tuple(b.nodes), (loss, g))


def test_the_zero_heavy_jacobian_appears_and_vanishes():
    expanded = autodiff(least_squares())
    text = str(expanded)
    assert "f64[3,4,3] = jacobian %z wrt %W [a,b;i] = I[a,i] %x[b]" in text
    assert "%gW:f64[3,4] = contract" in text
    free = str(jacobian_free(expanded))
    assert "jacobian %" not in free
    assert free.count("= outer ") == 1


def test_the_dense_stage_and_the_outer_product_agree():
    rng = np.random.default_rng(0)
    W, x, y = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=3)
    expanded = autodiff(least_squares())
    for graph in (expanded, jacobian_free(expanded)):
        loss, g = evaluate(graph, [W, x, y])[0]
        np.testing.assert_allclose(g, -np.outer(y - W @ x, x), rtol=1e-14)
        np.testing.assert_allclose(loss, 0.5 * np.sum((y - W @ x) ** 2))


def test_the_dense_stage_refuses_what_would_not_fit():
    graph = autodiff(least_squares(500, 500))
    arrays = [np.zeros((500, 500)), np.zeros(500), np.zeros(500)]
    with pytest.raises(UnsupportedError, match=r"125,000,000 elements.*jacobian-free"):
        evaluate(graph, arrays)
    evaluate(jacobian_free(graph), arrays)


def nested(function, x, order):
    """d^order/dx^order of sum(function(x)), by nested requests; both executions."""
    value = Value(Type(x.dtype, x.shape), "x")
    b = Builder()
    a = b.arg(value)
    y = function(b, a)
    for _ in range(order):
        y = b.gradient(b.sum(y, axes=tuple(range(y.type.rank))), a)
    graph = autodiff(Graph("f", (value,), tuple(b.nodes), (y,)))
    return evaluate(graph, [x])[0][0], evaluate(jacobian_free(graph), [x])[0][0]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_nested_derivatives_of_tanh(order):
    x = np.linspace(-2, 2, 7)
    t = np.tanh(x)
    want = {
        1: 1 - t**2,
        2: -2 * t * (1 - t**2),
        3: (1 - t**2) * (6 * t**2 - 2),
        4: (1 - t**2) * (16 * t - 24 * t**3),
    }[order]
    for got in nested(lambda b, x: b.tanh(x), x, order):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_structural_zeros_annihilate(order):
    """where(x > 0, log x, 0) and where(x != 0, sin(x)/x, 1): the unselected branch, infinite at
    0, contributes nothing to any derivative."""
    x = np.array([0.0, 1.0, -1.0])
    log = nested(lambda b, x: b.select(b.gt(x, 0.0), b.log(x), 0.0), x, order)
    want = [0, {1: 1, 2: -1, 3: 2}[order], 0]
    sinc = nested(lambda b, x: b.select(b.ne(x, 0.0), b.div(b.sin(x), x), 1.0), x, order)
    for got in log:
        np.testing.assert_allclose(got, want)
    for got in sinc:
        assert got[0] == 0 and np.isfinite(got).all()


def test_a_numeric_zero_does_not_annihilate():
    dense, free = nested(lambda b, x: b.mul(b.sqrt(x), b.sub(x, x)), np.zeros(1), 1)
    assert np.isnan(dense).all() and np.isnan(free).all()


@pytest.mark.parametrize(
    ("function", "x", "want"),
    [
        (lambda b, x: b.maximum(x, 0.0), [0.0, 1.0, -1.0], [0.5, 1, 0]),
        (lambda b, x: b.minimum(x, 1.0), [1.0, 2.0, 0.0], [0.5, 0, 1]),
        (lambda b, x: b.max(x, axes=(0,)), [1.0, 3.0, 3.0, 2.0], [0, 0.5, 0.5, 0]),
        (lambda b, x: b.max(x, axes=(0,)), [1.0, np.nan, 3.0], [0, 1, 0]),
        (lambda b, x: b.abs(x), [0.0, 2.0, -2.0], [0, 1, -1]),
        (lambda b, x: b.sqrt(x), [0.0], [np.inf]),
        (lambda b, x: b.power(x, 0.0), [0.0, 2.0, np.nan], [0, 0, 0]),
        (lambda b, x: b.log(x), [0.0, -1.0], [np.inf, -1]),
        (lambda b, x: b.mul(b.mul(x, x), x), [2.0, -1.0], [12, 3]),
        (lambda b, x: b.mul(x, b.floor(x)), [2.5], [2]),
    ],
)
def test_corner_cases(function, x, want):
    for got in nested(function, np.array(x), 1):
        np.testing.assert_allclose(got, want)


def test_unused_arguments_have_zero_gradients():
    x, y = Value(Type(F64, (2,)), "x"), Value(Type(F64, (3,)), "y")
    b = Builder()
    ax, ay = b.arg(x), b.arg(y)
    g = b.emit("gradient", [b.sum(ax, axes=(0,)), ax, ay]).results
    outputs, _ = evaluate(autodiff(Graph("f", (x, y), tuple(b.nodes), g)), [np.ones(2), np.ones(3)])
    np.testing.assert_array_equal(outputs[0], [1, 1])
    np.testing.assert_array_equal(outputs[1], [0, 0, 0])


def test_only_flow_through_the_argument_counts():
    """A closure over the same array is a constant for this derivative."""
    x = Value(Type(F64, (2,)), "x")
    b = Builder()
    a = b.arg(x)
    g = b.gradient(b.sum(b.mul(a, x), axes=(0,)), a)
    outputs, _ = evaluate(autodiff(Graph("f", (x,), tuple(b.nodes), (g,))), [np.array([3.0, 4.0])])
    np.testing.assert_array_equal(outputs[0], [3, 4])


def test_casts_carry_cotangents_back_in_the_dtype_of_the_argument():
    x = Value(Type(F32, (2,)), "x")
    b = Builder()
    a = b.arg(x)
    wide = b.cast(a, dtype=F64)
    g = b.gradient(b.sum(b.mul(wide, wide), axes=(0,)), a)
    assert g.type == Type(F32, (2,))
    graph = autodiff(Graph("f", (x,), tuple(b.nodes), (g,)))
    for stage in (graph, jacobian_free(graph)):
        (got,), _ = evaluate(stage, [np.array([1.5, -2.0], np.float32)])
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, [3, -4])


def test_an_op_without_a_rule_says_so_with_the_line():
    c, p = Value(Type(F64, (2, 2)), "c"), Value(Type(F64, (2, 2)), "p")
    b = Builder()
    b.loc = Loc("train.py", 12)
    a = b.arg(p)
    y = b.emit("dot_acc", [c, a, a, b.constant(1.0)], {"spec": "ab,bc->ac"}).result
    g = b.gradient(b.sum(y, axes=(0, 1)), a)
    with pytest.raises(UnsupportedError, match=r"dot_acc at train.py:12 has no derivative rule"):
        autodiff(Graph("f", (c, p), tuple(b.nodes), (g,)))


@pytest.mark.parametrize("route", ["gradient", "jvp"])
def test_nor_is_the_derivative_of_several_results_taken_for_zero(route):
    p = Value(Type(F64, (2, 2)), "p")
    b = Builder()
    a = b.arg(p)
    factors = b.emit("lu", [a], {}).results[0]
    if route == "gradient":
        derivative = b.gradient(b.sum(factors, axes=(0, 1)), a)
    else:
        derivative = b.emit("jvp", [factors, a, p], {"outputs": 1, "wrt": 1}).result
    with pytest.raises(UnsupportedError, match="lu has no derivative rule"):
        autodiff(Graph("f", (p,), tuple(b.nodes), (derivative,)))


def chain(depth, function):
    x = Value(Type(F64, (4,)), "x")
    b = Builder()
    a = y = b.arg(x)
    for _ in range(depth):
        y = function(b, y)
    jacobian = b.total_jacobian(y, a)
    return jacobian_free(autodiff(Graph("f", (x,), tuple(b.nodes), (jacobian,))))


@pytest.mark.parametrize(
    "function",
    [
        lambda b, x: b.softmax(x, axis=0),
        lambda b, x: b.add(x, b.tanh(x)),
        lambda b, x: b.add(x, b.select(b.gt(x, 0.0), x, 0.0)),
        lambda b, x: b.reshape(b.softmax(b.reshape(x, shape=(1, 4)), axis=1), shape=(4,)),
    ],
    ids=["softmax", "residual tanh", "residual relu", "reshaped softmax"],
)
def test_open_composition_grows_linearly(function):
    """Equal patterns merge: without that a chain of n has 2**n terms."""
    sizes = [len(chain(depth, function).nodes) for depth in (4, 8, 12)]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0]


def test_a_reverse_sweep_is_linear_in_the_number_of_parameters():
    def layers(depth):
        x = Value(Type(F64, (4,)), "x")
        weights = [Value(Type(F64, (4, 4)), f"W{k}") for k in range(depth)]
        b = Builder()
        args = [b.arg(w) for w in weights]
        h = x
        for a in args:
            h = b.tanh(b.dot(a, h, spec="ab,b->a"))
        g = b.emit("gradient", [b.sum(h, axes=(0,)), *args]).results
        return len(autodiff(Graph("f", (x, *weights), tuple(b.nodes), g)).nodes)

    assert layers(30) - layers(20) == layers(20) - layers(10)


def _chain(length, *, side):
    """A loop written out: of selections, products, parts and numbers."""
    b, x = Builder(), Value(Type(F64, (4,)), "x")
    y = a = b.arg(x)
    for k in range(length):
        y = b.mul(b.tanh(b.mul(y, a)), b.select(b.gt(y, 0.0), y, b.constant(0.5)))
        part = b.reshape(b.slice(y, spec=((k % 2, k % 2 + 1, 1),)), shape=())
        y = b.add(b.power(y, 2.0), b.mul(part, part))
    if side == "jvp":
        node = b.emit("jvp", (y, a, x), {"outputs": 1, "wrt": 1})
    else:
        node = b.emit("gradient", (b.sum(y, axes=(0,)), a), {})
    return Graph("chain", (x,), tuple(b.nodes), node.results)


@pytest.mark.parametrize("side", ["vjp", "jvp"])
def test_what_comes_again_is_worked_out_once(side, monkeypatch):
    """And comes to the same nodes as if it were worked out each time."""
    counts = []

    def counting(original):
        def counted(*args):
            counts[-1] += 1
            return original(*args)

        return counted

    work = sys.modules[autodiff.__module__], "local_jacobian"
    more = sys.modules[jacobian_free.__module__], "eliminate"
    for module, name in (work, more):
        monkeypatch.setattr(module, name, counting(getattr(module, name)))
    for length in (4, 8):
        counts.append(0)
        found = jacobian_free(autodiff(_chain(length, side=side)))
    assert counts[0] == counts[1] > 10
    monkeypatch.setattr(Repetition, "emit", lambda self, b, key, values, make: make())
    monkeypatch.setattr(Repetition, "forget", lambda self, b, key, values: None)
    assert str(jacobian_free(autodiff(_chain(8, side=side)))) == str(found)
