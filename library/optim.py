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


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay; see `adamw`."""

    weight_decay: float = 1e-2

    def update(self, params: Params, grads: Params, state: State) -> None:
        """p <- p - lr weight_decay p, then the step of Adam."""
        for p in tree.leaves(params):
            p *= 1 - self.lr * self.weight_decay
        super().update(params, grads, state)


@dataclass(frozen=True)
class Adagrad:
    """Step sizes from the sum of squared gradients; see `adagrad`."""

    lr: Scalar = 1e-2
    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def init(self, params: Params) -> State:
        """{"sum": initial_accumulator_value like params}, with lr_decay also
        {"t": 0-d i64 step counter}."""
        _check(params)
        state = {"sum": tree.map(self._start, params)}
        return state | ({"t": np.zeros((), np.int64)} if self.lr_decay else {})

    def _start(self, p: Any) -> Any:
        return np.full_like(p, self.initial_accumulator_value)

    def update(self, params: Params, grads: Params, state: State) -> None:
        """s <- s + g²;  p <- p - lr / (1 + (t-1) lr_decay) g / (sqrt(s) + eps)."""
        slowing = None
        if self.lr_decay:
            state["t"] += 1
            slowing = 1 + (state["t"].astype(np.float64) - 1) * self.lr_decay
        leaves = (tree.leaves(x) for x in (params, grads, state["sum"]))
        for p, g, s in zip(*leaves, strict=True):
            s += g * g
            rate = self.lr if slowing is None else (self.lr / slowing).astype(p.dtype)
            p -= rate * g / (np.sqrt(s) + self.eps)


@dataclass(frozen=True)
class RMSprop:
    """Step sizes from a running mean of squared gradients; see `rmsprop`."""

    lr: Scalar = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    def init(self, params: Params) -> State:
        """{"square": zeros like params}, with momentum also {"velocity": zeros like params},
        centered also {"mean": zeros like params}."""
        _check(params)
        names = ["square", *["velocity"] * bool(self.momentum), *["mean"] * self.centered]
        return {name: tree.map(np.zeros_like, params) for name in names}

    def update(self, params: Params, grads: Params, state: State) -> None:
        """s <- a s + (1-a) g²;  d = g / (sqrt(s) + eps);  p <- p - lr d.

        centered: m <- a m + (1-a) g, and s - m² under the root.
        momentum: v <- momentum v + d;  p <- p - lr v.
        """
        kept = {name: tree.leaves(value) for name, value in state.items()}
        pairs = zip(tree.leaves(params), tree.leaves(grads), strict=True)
        for k, (p, g) in enumerate(pairs):
            spread = square = kept["square"][k]
            square *= self.alpha
            square += (1 - self.alpha) * (g * g)
            if self.centered:
                mean = kept["mean"][k]
                mean *= self.alpha
                mean += (1 - self.alpha) * g
                # A variance; rounding must not take it below 0.
                spread = np.maximum(square - mean * mean, 0)
            step = g / (np.sqrt(spread) + self.eps)
            if self.momentum:
                velocity = kept["velocity"][k]
                velocity *= self.momentum
                velocity += step
                step = velocity
            p -= self.lr * step


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


def adamw(
    lr: Scalar = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> AdamW:
    """Adam with decoupled weight decay, as in `torch.optim.AdamW`.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    return AdamW(lr, betas, eps, weight_decay)


def adagrad(
    lr: Scalar = 1e-2,
    lr_decay: float = 0.0,
    *,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Adagrad:
    """Adagrad, as in `torch.optim.Adagrad`.

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and
    Stochastic Optimization", JMLR 12, 2011 (the diagonal form).
    """
    return Adagrad(lr, lr_decay, initial_accumulator_value, eps)


def rmsprop(
    lr: Scalar = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    *,
    momentum: float = 0.0,
    centered: bool = False,
) -> RMSprop:
    """RMSprop, as in `torch.optim.RMSprop`.

    Source: Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera, 2012; the centered form: Graves,
    "Generating Sequences With Recurrent Neural Networks", 2013.
    """
    return RMSprop(lr, alpha, eps, momentum, centered)


def _check(params: Params) -> None:
    """A leaf that is not a floating array could not be updated in place."""
    for leaf in tree.leaves(params):
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or dtype.kind != "f" or isinstance(leaf, np.generic):
            raise DTypeError(
                f"a parameter is {dtype or type(leaf).__name__}: only floating arrays can be"
                " trained; keep other values out of the parameters"
            )
