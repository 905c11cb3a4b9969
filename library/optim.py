"""Optimisers as plain functions in the traced language; parameters and state change in place.

    opt = tl.optim.adam(1e-3)
    state = opt.init(params)

    @tl.compile
    def step(params, state, x, y):
        loss, grads = tl.value_and_grad(loss_fn)(params, x, y)
        opt.update(params, grads, state)
        return loss

The state lives in containers of arrays (counters are 0-d arrays), so it is passed to the step
like the parameters and updated in the same native call. Hyper-parameters may be Python numbers
or traced scalars: build the optimiser inside the step to pass a learning rate that changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..compiler import tree
from ..ir.errors import DTypeError

Params = Any
"""Arrays in nested containers (see `tl.tree`)."""
State = dict[str, Any]
Scalar = Any
"""A Python number, a NumPy scalar, or a traced scalar."""


class Optimizer(Protocol):
    """What every optimiser offers."""

    def init(self, params: Params) -> State:
        """Fresh state for `params`; DTypeError if a leaf is not a floating array."""

    def update(self, params: Params, grads: Params, state: State) -> None:
        """Change `params` and `state` in place by one step along `grads`."""


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent; see `sgd`."""

    lr: Scalar
    momentum: float = 0.0
    nesterov: bool = False

    def init(self, params: Params) -> State:
        """{} without momentum, else {"velocity": zeros like params}."""
        _check(params)
        return {"velocity": tree.map(np.zeros_like, params)} if self.momentum else {}

    def update(self, params: Params, grads: Params, state: State) -> None:
        """v <- momentum v + g;  p <- p - lr v  (nesterov: p <- p - lr (g + momentum v))."""
        pairs = zip(tree.leaves(params), tree.leaves(grads), strict=True)
        if not self.momentum:
            for p, g in pairs:
                p -= self.lr * g
            return
        for (p, g), v in zip(pairs, tree.leaves(state["velocity"]), strict=True):
            v *= self.momentum
            v += g
            p -= self.lr * (g + self.momentum * v if self.nesterov else v)


@dataclass(frozen=True)
class Adam:
    """Adaptive moment estimation; see `adam`."""

    lr: Scalar = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def init(self, params: Params) -> State:
        """{"m": zeros like params, "v": zeros like params, "t": 0-d i64 step counter}."""
        _check(params)
        return {
            "m": tree.map(np.zeros_like, params),
            "v": tree.map(np.zeros_like, params),
            "t": np.zeros((), np.int64),
        }

    def update(self, params: Params, grads: Params, state: State) -> None:
        """m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g²;  p <- p - lr m̂ / (sqrt(v̂) + eps)."""
        state["t"] += 1
        t = state["t"].astype(np.float64)
        beta1, beta2 = self.betas
        rate = self.lr / (1 - beta1**t)
        spread = np.sqrt(1 - beta2**t)
        leaves = (tree.leaves(x) for x in (params, grads, state["m"], state["v"]))
        for p, g, m, v in zip(*leaves, strict=True):
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * (g * g)
            # The corrections are computed in f64 once; cast, they do not widen f32 parameters.
            p -= rate.astype(p.dtype) * m / (np.sqrt(v) / spread.astype(p.dtype) + self.eps)


def sgd(lr: Scalar, momentum: float = 0.0, nesterov: bool = False) -> SGD:
    """Stochastic gradient descent, with (Nesterov) momentum as in `torch.optim.SGD`.

    Source: Sutskever et al., "On the importance of initialization and momentum", ICML 2013.
    """
    if nesterov and not momentum:
        raise ValueError("nesterov needs a momentum above 0")
    return SGD(lr, momentum, nesterov)


def adam(lr: Scalar = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> Adam:
    """Adam. Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015."""
    return Adam(lr, betas, eps)


def _check(params: Params) -> None:
    """A leaf that is not a floating array could not be updated in place."""
    for leaf in tree.leaves(params):
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or dtype.kind != "f" or isinstance(leaf, np.generic):
            raise DTypeError(
                f"a parameter is {dtype or type(leaf).__name__}: only floating arrays can be"
                " trained; keep other values out of the parameters"
            )
