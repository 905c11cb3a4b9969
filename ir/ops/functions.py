"""Elementary and special functions of floats, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..builder import Builder
from ..graph import Value
from ..op import define
from ..special import erf
from .elementwise import elementwise


def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _cosine_of(b: Builder, x: Value) -> Value:
    """The cosine of arcsin(x)."""
    return b.sqrt(b.mul(b.sub(1.0, x), b.add(1.0, x)))


for _op in (
    elementwise("exp", np.exp, "exp_{t}({0})", [lambda b, x, y: y], "e ** x"),
    elementwise(
        "log", np.log, "log_{t}({0})", [lambda b, x, y: b.div(1.0, x)],
        "natural logarithm", low=0.1, high=4.0,
    ),
    elementwise(
        "exp2", np.exp2, "exp2_{t}({0})", [lambda b, x, y: b.mul(y, math.log(2))], "2 ** x",
    ),
    elementwise(
        "log2", np.log2, "log2_{t}({0})", [lambda b, x, y: b.div(1 / math.log(2), x)],
        "logarithm to the base 2", low=0.1, high=4.0,
    ),
    elementwise(
        "log10", np.log10, "log10_{t}({0})", [lambda b, x, y: b.div(1 / math.log(10), x)],
        "logarithm to the base 10", low=0.1, high=4.0,
    ),
    elementwise(
        "log1p", np.log1p, "log1p_{t}({0})", [lambda b, x, y: b.div(1.0, b.add(1.0, x))],
        "log(1 + x)", low=-0.5,
    ),
    elementwise(
        "expm1", np.expm1, "expm1_{t}({0})", [lambda b, x, y: b.add(y, 1.0)], "exp(x) - 1",
    ),
    elementwise(
        "sqrt", np.sqrt, "sqrt_{t}({0})", [lambda b, x, y: b.div(0.5, y)],
        "square root", low=0.1, high=4.0,
    ),
    elementwise(
        "tanh", np.tanh, "tanh_{t}({0})", [lambda b, x, y: b.sub(1.0, b.mul(y, y))],
        "hyperbolic tangent",
    ),
    elementwise(
        "erf", erf, "erf_{t}({0})",
        [lambda b, x, y: b.mul(2 / math.sqrt(math.pi), b.exp(b.neg(b.mul(x, x))))],
        "error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x",
    ),
    elementwise(
        "arcsinh", np.arcsinh, "arcsinh_{t}({0})",
        [lambda b, x, y: b.div(1.0, b.sqrt(b.add(b.mul(x, x), 1.0)))],
        "inverse of the hyperbolic sine",
    ),
    elementwise(
        "arccosh", np.arccosh, "arccosh_{t}({0})",
        [lambda b, x, y: b.div(1.0, b.sqrt(b.mul(b.sub(x, 1.0), b.add(x, 1.0))))],
        "inverse of the hyperbolic cosine, from 1 on", low=1.1, high=5.0,
    ),
    elementwise(
        "arctanh", np.arctanh, "arctanh_{t}({0})",
        [lambda b, x, y: b.div(1.0, b.mul(b.sub(1.0, x), b.add(1.0, x)))],
        "inverse of the hyperbolic tangent, between -1 and 1", low=-0.9, high=0.9,
    ),
    elementwise(
        "cbrt", np.cbrt, "cbrt_{t}({0})", [lambda b, x, y: b.div(1 / 3, b.mul(y, y))],
        "cube root", low=0.1, high=4.0,
    ),
    elementwise("sin", np.sin, "sin_{t}({0})", [lambda b, x, y: b.cos(x)], "sine"),
    elementwise("cos", np.cos, "cos_{t}({0})", [lambda b, x, y: b.neg(b.sin(x))], "cosine"),
    elementwise(
        "tan", np.tan, "tan_{t}({0})", [lambda b, x, y: b.add(b.mul(y, y), 1.0)],
        "tangent", low=-1.2, high=1.2,
    ),
    elementwise(
        "arcsin", np.arcsin, "arcsin_{t}({0})", [lambda b, x, y: b.div(1.0, _cosine_of(b, x))],
        "inverse of the sine, between -1 and 1", low=-0.9, high=0.9,
    ),
    elementwise(
        "arccos", np.arccos, "arccos_{t}({0})", [lambda b, x, y: b.div(-1.0, _cosine_of(b, x))],
        "inverse of the cosine, between -1 and 1", low=-0.9, high=0.9,
    ),
    elementwise(
        "sinh", np.sinh, "sinh_{t}({0})", [lambda b, x, y: b.cosh(x)], "hyperbolic sine",
    ),
    elementwise(
        "cosh", np.cosh, "cosh_{t}({0})", [lambda b, x, y: b.sinh(x)], "hyperbolic cosine",
    ),
    elementwise(
        "sigmoid", _sigmoid, "sigmoid_{t}({0})", [lambda b, x, y: b.mul(y, b.sub(1.0, y))],
        "1 / (1 + exp(-x))",
    ),
    elementwise(
        "softplus", _softplus, "softplus_{t}({0})", [lambda b, x, y: b.sigmoid(x)],
        "log(1 + exp(x)), finite for every finite x",
    ),
):  # fmt: skip
    define(_op)
