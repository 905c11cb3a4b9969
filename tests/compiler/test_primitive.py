"""Library functions reach ops without a NumPy name: recorded in a trace, evaluated outside."""

import math

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, sample
from tapeless.compiler.primitive import apply
from tapeless.compiler.trace import trace
from tapeless.ir.errors import DTypeError, TraceError


def erf(x):
    return apply("erf", x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_traced_and_concrete_agree(dtype):
    conforms(erf, sample(dtype, 3, 4))
    conforms(erf, sample(dtype))


def test_concrete_arrays_are_evaluated():
    y = erf(np.array([0.5, -2.0], np.float32))
    assert isinstance(y, np.ndarray) and y.dtype == np.float32
    np.testing.assert_allclose(y, [math.erf(0.5), math.erf(-2.0)], rtol=1e-6)


def test_a_result_without_axes_is_a_scalar():
    assert isinstance(erf(np.float32(0.5)), np.float32)
    assert isinstance(erf(np.array(0.5)), np.float64)


def test_numbers_take_the_dtype_of_the_arrays():
    x = np.array([0.5], np.float32)
    assert apply("softplus", 1).dtype == np.float64
    assert apply("arctan2", x, 2.0).dtype == np.float32
    conforms(lambda x: apply("arctan2", x, 2.0), x)
    conforms(lambda x, s: apply("arctan2", s, x), x, 2.0)
    conforms(lambda s: apply("erf", s) * 2, 0.5)


def test_a_concrete_array_in_a_trace_is_a_constant():
    program = tl.compile(lambda x: x + erf(np.array([0.0, 1.0]))).lower(np.ones(2))
    assert "erf" not in program.ir("trace")


def test_a_recorded_op_has_the_line_of_the_user():
    graph = tl.compile(lambda x: erf(x)).lower(np.ones(2)).graph("trace")
    (node,) = graph.nodes
    assert node.op.name == "erf" and node.loc is not None
    assert node.loc.file == __file__


@pytest.mark.parametrize("run", [lambda x: erf(x), lambda x: tl.compile(erf).lower(x)])
def test_what_the_op_refuses(run):
    with pytest.raises(DTypeError, match="erf is not defined for i64"):
        run(np.arange(3))


def test_an_array_of_another_trace_is_refused():
    kept = []
    with pytest.raises(TraceError, match="kept holds"):
        trace(lambda x: kept.append(x), (np.ones(2),), {})
    with pytest.raises(TraceError, match="finished trace"):
        erf(kept[0])


def test_derivatives_of_erf():
    x = np.linspace(-3, 3, 13)
    tl.check_grads(erf, (x,), order=2)
    slope = tl.grad(lambda x: np.sum(erf(x)))(x)
    np.testing.assert_allclose(slope, 2 / np.sqrt(np.pi) * np.exp(-x * x), rtol=1e-14)


def straight_through(x):
    """The sign, with the derivative of tanh."""
    soft = np.tanh(x)
    return soft + tl.stop_gradient(np.sign(x) - soft)


def test_stop_gradient():
    x = np.array([-2.0, 0.5, 3.0])
    conforms(lambda x: tl.stop_gradient(x), x)
    slope = 1 - np.tanh(x) ** 2
    derive = tl.grad(lambda x: np.sum(x * straight_through(x)))
    for found in (derive(x), tl.compile(derive).interpret(x), tl.compile(derive)(x)):
        np.testing.assert_allclose(found, np.sign(x) + x * slope, rtol=1e-14)
    curved = tl.hessian(lambda x: np.sum(tl.stop_gradient(x * x) * x))(x)
    np.testing.assert_array_equal(curved, np.zeros((3, 3)))


def test_stop_gradient_of_containers():
    p = {"w": np.ones(2), "n": [np.zeros(3), 2.0]}
    for mine, own in zip(tl.tree.leaves(tl.stop_gradient(p)), tl.tree.leaves(p), strict=True):
        np.testing.assert_array_equal(mine, own)
    found = tl.grad(lambda p: np.sum(p["w"] * tl.stop_gradient(p)["w"]))(p)
    np.testing.assert_array_equal(found["w"], p["w"])
    np.testing.assert_array_equal(found["n"][0], np.zeros(3))


def test_nothing_is_left_of_it_in_the_optimized_stage():
    program = tl.compile(straight_through).lower(np.ones(3))
    assert "stop_gradient" in program.ir("trace")
    assert "stop_gradient" not in program.ir("optimized")
