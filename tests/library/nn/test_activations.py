"""Activations: closed forms, kinks, far out, infinities and NaN, with their derivatives."""

import math
from functools import lru_cache

import numpy as np
import pytest
import tapeless as tl
from tables import Case, close, run
from tapeless.ir.errors import ShapeError

nn = tl.nn
INF, NAN = np.inf, np.nan
DTYPES = [np.float64, np.float32]
BIG = 1e4


def phi(x):
    """The normal distribution and its density."""
    return 0.5 * math.erfc(-x / math.sqrt(2)), math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def gelu_at(x):
    return x * phi(x)[0], phi(x)[0] + x * phi(x)[1]


def mish_at(x):
    t, s = math.tanh(math.log1p(math.exp(x))), 1 / (1 + math.exp(-x))
    return x * t, t + x * s * (1 - t * t)


def gelu_tanh_at(x):
    c = math.sqrt(2 / math.pi)
    t = math.tanh(c * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)


def rows(at, *points):
    """(points, values, derivatives) of a function that gives both."""
    return points, *zip(*map(at, points), strict=True)


def gated(at):
    """What every x * gate(x) gives: nothing far below, the identity far above."""
    x, y, d = rows(at, -1.5, 0.0, 0.7)
    return (*x, -BIG, BIG, -INF, INF, NAN), (*y, 0, BIG, 0, INF, NAN), (*d, 0, 1, 0, 1)


S, A = 1.0507009873554805, 1.6732632423543772
SIGMA = 1 / (1 + math.exp(-2))
POINTS = {
    # name: (points, values, derivatives; NaN points last, with a derivative where it is fixed)
    "relu": ([-2, 0, 3, INF, -INF, NAN], [0, 0, 3, INF, 0, NAN], [0, 0, 1, 1, 0, 0]),
    "relu6": ([-1, 0, 3, 6, 7, INF, NAN], [0, 0, 3, 6, 6, 6, NAN], [0, 0, 1, 0, 0, 0]),
    "leaky_relu": ([-2, 0, 3, -INF, NAN], [-0.02, 0, 3, -INF, NAN], [0.01, 0.01, 1, 0.01]),
    "prelu": ([-2, 0, 3, INF, NAN], [-0.5, 0, 3, INF, NAN], [0.25, 0.25, 1, 1]),
    "elu": ([-1000, 0, 1000, INF, -INF, NAN], [-1, 0, 1000, INF, -1, NAN], [0, 1, 1, 1, 0]),
    "selu": ([-1000, 0, 2, INF, -INF, NAN], [-S * A, 0, 2 * S, INF, -S * A, NAN],
             [0, S * A, S, S, 0]),
    "celu": ([-1000, 0, 2, INF, -1, NAN], [-0.5, 0, 2, INF, 0.5 * math.expm1(-2), NAN],
             [0, 1, 1, 1, math.exp(-2)]),
    "silu": gated(lambda x: (x / (1 + math.exp(-x)), (1 + math.exp(-x) * (1 + x))
                             / (1 + math.exp(-x)) ** 2)),
    "mish": gated(mish_at),
    "gelu": gated(gelu_at),
    "gelu_tanh": gated(gelu_tanh_at),
    "threshold": ([-INF, 0.5, 0.6, INF, NAN], [-7, -7, 0.6, INF, NAN], [0, 0, 1, 1]),
    "hardtanh": ([-INF, -2, 0, 3, 4, NAN], [-2, -2, 0, 3, 3, NAN], [0, 0, 1, 0, 0]),
    "hardsigmoid": ([-INF, -3, 0, 3, INF, NAN], [0, 0, 0.5, 1, 1, NAN], [0, 0, 1 / 6, 0, 0]),
    "hardswish": ([-INF, -3, 0, 1, 3, BIG, INF, NAN], [0, 0, 0, 4 / 6, 3, BIG, INF, NAN],
                  [0, 0, 0.5, 5 / 6, 1, 1, 1]),
    "softshrink": ([-INF, -2, -0.5, 0, 0.5, 2, INF, NAN], [-INF, -1.5, 0, 0, 0, 1.5, INF, NAN],
                   [1, 1, 0, 0, 0, 1, 1]),
    "hardshrink": ([-INF, -2, -0.5, 0, 0.5, 2, INF, NAN], [-INF, -2, 0, 0, 0, 2, INF, NAN],
                   [1, 1, 0, 0, 0, 1, 1]),
    "tanh": ([-BIG, BIG, INF, 0, NAN], [-1, 1, 1, 0, NAN], [0, 0, 0, 1]),
    "tanhshrink": ([-BIG, 0, BIG, INF, NAN], [1 - BIG, 0, BIG - 1, INF, NAN], [1, 0, 1, 1]),
    "softsign": ([-INF, -1, 0, 3, INF, NAN], [-1, -0.5, 0, 0.75, 1, NAN], [0, 0.25, 1, 1 / 16, 0]),
    "sigmoid": ([-1000, 0, 2, 1000, NAN], [0, 0.5, SIGMA, 1, NAN],
                [0, 0.25, SIGMA * (1 - SIGMA), 0]),
    "softplus": ([25, 1000, -1000, 0, NAN], [25.000000000013888, 1000, 0, math.log(2), NAN],
                 [1 - 1.3887943864771144e-11, 1, 0, 0.5]),
    "logsigmoid": ([1000, -1000, NAN], [0, -1000, NAN], [0, 1]),
}  # fmt: skip
FUNCTIONS = {
    "prelu": lambda x: nn.prelu(x, 0.25),
    "celu": lambda x: nn.celu(x, 0.5),
    "gelu_tanh": lambda x: nn.gelu(x, "tanh"),
    "threshold": lambda x: nn.threshold(x, 0.5, -7),
    "hardtanh": lambda x: nn.hardtanh(x, -2, 3),
}
CASES = {
    name: Case(name, FUNCTIONS.get(name) or getattr(nn, name), (np.array(x, float),), y)
    for name, (x, y, _) in POINTS.items()
}


@lru_cache
def results(dtype):
    return run(list(CASES.values()), dtype)


def same(found, expected, dtype):
    """A few units in the last place; exact zeros and infinities."""
    assert found.dtype == dtype
    tolerance = 1e-13 if dtype == np.float64 else 2e-6
    expected = np.asarray(expected)
    np.testing.assert_allclose(found[: len(expected)], expected, rtol=tolerance, atol=1e-300)


@pytest.mark.parametrize("how", ["eager", "interpreted", "compiled"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POINTS)
def test_values_and_derivatives(name, dtype, how):
    _, value, slope = POINTS[name]
    if how == "eager":
        with np.errstate(invalid="raise", divide="raise", over="raise"):
            same(CASES[name].fn(*CASES[name].arguments(dtype)), value, dtype)
        return
    found, (derivative,) = results(dtype)[how][name]
    same(found, value, dtype)
    same(derivative, slope, dtype)


@pytest.mark.parametrize("name", POINTS)
def test_derivatives_of_two_orders(name):
    x = np.random.default_rng(len(name)).uniform(-4, 4, (3, 4))
    tl.check_grads(CASES[name].fn, (x,), order=2)


@pytest.mark.parametrize(("shape", "slopes"), [((4, 3), 3), ((2, 3, 5), 3), ((2, 3, 2, 2), 3)])
def test_prelu_trains_a_slope_per_channel(shape, slopes):
    random = np.random.default_rng(0)
    x, w = random.standard_normal(shape), random.standard_normal(slopes)
    expected = x.copy()
    for k in range(slopes):
        part = expected[:, k]
        part[part < 0] *= w[k]
    np.testing.assert_allclose(nn.prelu(x, w), expected, rtol=1e-15)
    below = np.minimum(x, 0).sum(axis=tuple(k for k in range(x.ndim) if k != 1))
    found = tl.compile(tl.grad(lambda v, a: np.sum(nn.prelu(a, v))))(w, x)
    np.testing.assert_allclose(found, below, rtol=1e-12)
    tl.check_grads(nn.prelu, (x, w))


EDGE = [
    ([1e4, -1e4, 0], [1, 0, 0]),
    ([-INF, -INF], [NAN, NAN]),
    ([INF, 0], [NAN, NAN]),
    ([0, -INF], [1, 0]),
]
ALONG_AXES = [
    *[Case(f"softmax{k}", nn.softmax, (np.array(x, float),), y) for k, (x, y) in enumerate(EDGE)],
    Case("log_softmax", nn.log_softmax, ([[1e4, -1e4, 0.0]],), [[0, -2e4, -1e4]]),
    Case("softmin", lambda x: nn.softmin(x, 0), ([[1e4, -1e4], [0.0, 3.0]],),
         [[0, 1], [1, 0]]),
    Case("logsumexp", nn.logsumexp, ([1e4, 1e4],), 10000.69314718056),
    Case("logsumexp_empty", nn.logsumexp, ([-INF, -INF],), -INF),
    Case("logsumexp_rows", lambda x: nn.logsumexp(x, axis=1), (np.arange(6.0).reshape(2, 3),),
         lambda x: np.log(np.exp(x).sum(1))),
    Case("logsumexp_kept", lambda x: nn.logsumexp(x, 1, keepdims=True),
         (np.arange(6.0).reshape(2, 3),), lambda x: np.log(np.exp(x).sum(1, keepdims=True))),
    Case("glu", nn.glu, (np.linspace(-3, 3, 8).reshape(2, 4),),
         lambda x: x[:, :2] / (1 + np.exp(-x[:, 2:]))),
    Case("glu_first", lambda x: nn.glu(x, 0), (np.linspace(-3, 3, 8).reshape(2, 4),),
         lambda x: x[:1] / (1 + np.exp(-x[1:]))),
    Case("maxout", lambda x: nn.maxout(x, 2), (np.arange(6.0),), [1, 3, 5]),
    Case("xlogy", nn.xlogy, ([0.0, 0, 0, 0, 2], [0.0, 3, INF, NAN, 3]),
         [0, 0, 0, NAN, 2 * np.log(3)]),
]  # fmt: skip


@lru_cache
def along_axes(dtype):
    return run(ALONG_AXES, dtype)


@pytest.mark.parametrize("how", ["eager", "interpreted", "compiled"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ALONG_AXES, ids=lambda case: case.name)
def test_along_axes(case, dtype, how):
    with np.errstate(all="ignore"):
        eager = case.fn(*case.arguments(dtype))
    found = eager if how == "eager" else along_axes(dtype)[how][case.name][0]
    expected = case.value(dtype)
    if case.name.startswith("softmax") and np.isnan(expected).any():
        assert np.isnan(found).any()
    else:
        close(found, expected, dtype)


@pytest.mark.parametrize("how", ["interpreted", "compiled"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_far_out(dtype, how):
    found = along_axes(dtype)[how]
    close(found["logsumexp"][1][0], [0.5, 0.5], dtype)
    assert np.isfinite(found["softmax3"][1][0]).all()


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda: nn.maxout(np.zeros(5), 2)),
        (ShapeError, lambda: nn.glu(np.zeros((2, 3)))),
        (ShapeError, lambda: nn.glu(np.zeros(()))),
        (ShapeError, lambda: nn.prelu(np.zeros((2, 3)), np.zeros(2))),
        (ShapeError, lambda: nn.prelu(np.zeros(3), np.zeros(3))),
        (ValueError, lambda: nn.gelu(np.zeros(3), "sigmoid")),
    ],
)
def test_misuse(error, call):
    with pytest.raises(error):
        call()
