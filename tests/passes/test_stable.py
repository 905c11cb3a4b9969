"""Losses written out in NumPy are finite, with the right derivative, at logits of 1e4.

Every result is computed by the interpreter at each stage from `stable` on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tapeless.compiler.pipeline import Lowered, lower
from tapeless.compiler.trace import trace
from tapeless.compiler.transforms import value_and_grad
from tapeless.ir.evaluate import evaluate

STAGES = ("autodiff", "jacobian-free", "optimized", "fused", "planned")
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
Function = Callable[..., Any]


def lowered(function: Function, *args: Any) -> Lowered:
    return lower(trace(function, args, {}, name="f").graph, verify=True)


def run(function: Function, *args: Any) -> list[np.ndarray]:
    """The outputs, which must be the same at every stage."""
    stages = lowered(function, *args).graphs
    first, *others = (evaluate(stages[s], [np.asarray(a) for a in args])[0] for s in STAGES)
    for other in others:
        for ours, theirs in zip(other, first, strict=True):
            tolerance = 8 * np.finfo(theirs.dtype).eps
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-3 * tolerance)
    return list(others[-1])


def gradient(loss: Function) -> Function:
    return lambda z, *rest: value_and_grad(loss)(z, *rest)


# --- softmax cross-entropy -------------------------------------------------------------------


def plain(z: Any) -> Any:
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def shifted(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / np.sum(e, axis=-1)[:, None]


def globally_shifted(z: Any) -> Any:
    e = np.exp(z - np.max(z))
    return e / e.sum(1).reshape(-1, 1)


def transposed(z: Any) -> Any:
    e = np.exp(z.T)
    return (e / e.sum(axis=0)).T


def divided_transposed(z: Any) -> Any:
    e = np.exp(z)
    return (e.T / e.sum(axis=1)).T


SOFTMAXES = pytest.mark.parametrize(
    "softmax", [plain, shifted, globally_shifted, transposed, divided_transposed]
)


def labels(p: Any, y: Any, onehot: Any) -> Any:
    return -np.log(p[np.arange(3), y]).mean()


def log_then_pick(p: Any, y: Any, onehot: Any) -> Any:
    return -np.log(p)[np.arange(3), y].mean()


def probabilities(p: Any, y: Any, onehot: Any) -> Any:
    return -(onehot * np.log(p)).sum(axis=1).mean()


def einsum(p: Any, y: Any, onehot: Any) -> Any:
    return -np.einsum("nc,nc->", onehot, np.log(p)) / 3


@DTYPES
@SOFTMAXES
@pytest.mark.parametrize("loss", [labels, log_then_pick, probabilities, einsum])
def test_cross_entropy_written_out(softmax: Function, loss: Function, dtype: Any) -> None:
    z = np.array([[1e4, -1e4, 0], [0, 1, 2], [-1e4, -1e4, 1e4]], dtype)
    y = np.array([1, 0, 2])
    onehot = np.eye(3, dtype=dtype)[y]
    value, g = run(gradient(lambda z, y, t: loss(softmax(z), y, t)), z, y, onehot)
    tail = np.log(1 + np.exp(1.0) + np.exp(2.0))
    np.testing.assert_allclose(value, (2e4 + tail + 0) / 3, rtol=1e-6)
    p = np.array([[1, 0, 0], np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum(), [0, 0, 1]])
    np.testing.assert_allclose(g, (p - onehot) / 3, rtol=1e-6, atol=1e-7)


def test_gradient_is_softmax_minus_onehot_in_the_text() -> None:
    z, y = np.zeros((4, 3)), np.array([0, 1, 2, 0])
    stage = lowered(gradient(lambda z, y: -np.log(plain(z)[np.arange(4), y]).sum()), z, y)
    *_, last = stage.graphs["optimized"].nodes
    assert last.op.name == "scatter_add"
    assert stage.graphs["optimized"].producer[last.operands[0]].op.name == "div"


def test_written_log_softmax_keeps_its_digits_in_float32() -> None:
    z = np.array([[10000.0, 9999.0, 9990.0]], np.float32)
    exact = z.astype(float) - 1e4 - np.log(np.exp(z.astype(float) - 1e4).sum())
    shifted_by_hand = lambda z: (  # noqa: E731
        z - z.max(1, keepdims=True) - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1))[:, None]
    )
    for function in (shifted_by_hand, lambda z: np.log(plain(z))):
        planned = lowered(function, z).graphs["planned"]
        ((result,), _) = evaluate(planned, [z])
        np.testing.assert_allclose(result, exact, rtol=1e-6)


@DTYPES
def test_logsumexp(dtype: Any) -> None:
    z = np.array([[1e4, 1e4], [-1e4, -1e4], [-np.inf, -np.inf], [np.inf, 0]], dtype)
    expected = [1e4 + np.log(2), -1e4 + np.log(2), -np.inf, np.inf]
    for axis in (1, -1):
        (result,) = run(lambda z, axis=axis: np.log(np.exp(z).sum(axis=axis)), z)
        np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_logsumexp_over_all_axes_and_its_gradient() -> None:
    value, g = run(gradient(lambda z: np.log(np.sum(np.exp(z)))), np.full((2, 2), 1e4))
    np.testing.assert_allclose(value, 1e4 + np.log(4))
    np.testing.assert_allclose(g, np.full((2, 2), 0.25))


def test_logsumexp_with_the_maximum_added_back() -> None:
    def loss(z: Any) -> Any:
        m = z.max(axis=1)
        return (m + np.log(np.exp(z - m[:, None]).sum(axis=1))).sum()

    z = np.array([[1e4, 1e4], [0.0, 1.0]])
    value, g = run(gradient(loss), z)
    np.testing.assert_allclose(value, 1e4 + np.log(2) + np.log(1 + np.e))
    np.testing.assert_allclose(g, [[0.5, 0.5], [1 / (1 + np.e), np.e / (1 + np.e)]])


def test_log_mean_exp() -> None:
    (value,) = run(lambda z: np.log(np.exp(z).mean()), np.array([1e4, 1e4, 1e4]))
    np.testing.assert_allclose(value, 1e4)


@DTYPES
def test_softmax_without_a_finite_maximum(dtype: Any) -> None:
    z = np.array([[-np.inf, -np.inf], [np.inf, 0], [0, -np.inf], [1e4, -1e4]], dtype)
    (p,) = run(plain, z)
    assert np.isnan(p[0]).all()
    assert np.isnan(p[1, 0])
    np.testing.assert_array_equal(p[2:], [[1, 0], [1, 0]])


# --- the logistic family ---------------------------------------------------------------------


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def sigmoid_of_positive(z: Any) -> Any:
    return np.exp(z) / (1 + np.exp(z))


SIGMOIDS = pytest.mark.parametrize("sigmoid", [sigmoid, sigmoid_of_positive])


def bce(p: Any, y: Any) -> Any:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def bce_by_choice(p: Any, y: Any) -> Any:
    return -np.log(np.where(y == 1, p, 1 - p))


@DTYPES
@SIGMOIDS
@pytest.mark.parametrize("loss", [bce, bce_by_choice])
def test_binary_cross_entropy_written_out(sigmoid: Function, loss: Function, dtype: Any) -> None:
    z = np.array([50, -50, 1000, -1000, 1e4, -1e4, 50, -50], dtype)
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype)
    tiny = 1.9287498479639178e-22
    value, g = run(gradient(lambda z, y: loss(sigmoid(z), y).sum()), z, y)
    (each,) = run(lambda z, y: loss(sigmoid(z), y), z, y)
    np.testing.assert_allclose(each, [50, tiny, 1000, 0, 0, 1e4, tiny, 50], rtol=1e-6)
    np.testing.assert_allclose(g, [1, tiny, 1, 0, 0, -1, -tiny, -1], rtol=1e-6)
    np.testing.assert_allclose(value, 11100, rtol=1e-6)


@SIGMOIDS
def test_binary_cross_entropy_of_a_column(sigmoid: Function) -> None:
    """Elements moved between the sigmoid and the logarithm do not hide one from the other."""

    def loss(z: Any, y: Any) -> Any:
        p = sigmoid(z)[:, 0]
        return bce(p, y).mean()

    z, y = np.array([[1e4], [-1e4]]), np.array([0.0, 0.0])
    value, g = run(gradient(loss), z, y)
    np.testing.assert_allclose(value, 5e3)
    np.testing.assert_allclose(g, [[0.5], [0]])


def test_logistic_regression_has_no_division_left() -> None:
    def loss(w: Any, b: Any, x: Any, y: Any) -> Any:
        p = 1 / (1 + np.exp(-(x @ w + b)))
        return bce(p, y).mean()

    def step(w: Any, b: Any, x: Any, y: Any) -> Any:
        return value_and_grad(loss, argnums=(0, 1))(w, b, x, y)

    rng = np.random.default_rng(0)
    w, b, x, y = rng.normal(size=3), np.zeros(()), rng.normal(size=(8, 3)), np.ones(8)
    y[::2] = 0
    ops = {node.op.name for node in lowered(step, w, b, x, y).graphs["optimized"].nodes}
    assert not ops & {"div", "power", "log", "exp"}
    _, gw, gb = run(step, w, b, x, y)
    p = 1 / (1 + np.exp(-(x @ w + b)))
    np.testing.assert_allclose(gw, (p - y) @ x / 8, rtol=1e-14)
    np.testing.assert_allclose(gb, (p - y).mean(), rtol=1e-13)


@DTYPES
def test_softplus_and_log_sigmoid(dtype: Any) -> None:
    z = np.array([25, 1000, -1000], dtype)
    for softplus in (lambda z: np.log(1 + np.exp(z)), lambda z: np.log1p(np.exp(z))):
        (value,) = run(softplus, z)
        np.testing.assert_allclose(value, [25.000000000013888, 1000, 0], rtol=1e-7)
    value, g = run(gradient(lambda z: np.log(sigmoid(z)).sum()), z[1:])
    assert value == -1000
    np.testing.assert_array_equal(g, [0, 1])


def test_tanh_written_out() -> None:
    z = np.array([1e4, -1e4, 0.5])
    forms: list[Function] = [
        lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
        lambda z: (np.exp(2 * z) - 1) / (np.exp(2 * z) + 1),
        lambda z: (1 - np.exp(-2 * z)) / (1 + np.exp(-2 * z)),
    ]
    for form in forms:
        (value,) = run(form, z)
        np.testing.assert_allclose(value, [1, -1, np.tanh(0.5)])


def test_swish_written_out() -> None:
    _, g = run(gradient(lambda z: (z / (1 + np.exp(-z))).sum()), np.array([1e4, -1e4]))
    np.testing.assert_array_equal(g, [1, 0])


# --- powers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "at_zero"), [(0, 0), (1, 1), (2, 0), (3, 0), (4, 0), (5, 0), (0.0, 0), (0.5, np.inf)]
)
def test_derivative_of_powers(n: float, at_zero: float) -> None:
    x = np.array([0.0, 2.0])
    _, g = run(gradient(lambda x: (x**n).sum()), x)
    np.testing.assert_allclose(g, [at_zero, n * 2.0 ** (n - 1)])


def test_zeroth_power_is_one_everywhere() -> None:
    (value,) = run(lambda x: x**0, np.array([0.0, 2.0, np.nan]))
    np.testing.assert_array_equal(value, [1, 1, 1])
