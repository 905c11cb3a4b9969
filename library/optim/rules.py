"""The update rules: what each optimiser keeps for a parameter, and how one step changes both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ...compiler import tree
from ...ir.errors import DTypeError, ShapeError
from ...ir.record import dataclass
from .schedules import Scalar, Schedule

Array = Any
Params = Any
"""Arrays in nested containers (see `tl.tree`)."""
State = dict[str, Any]
Betas = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """What the rules share: a rate, decay, one array per parameter and slot, a step counter.

    A rule names its `slots`, says what numbers a step needs (`scalars`, computed once) and how
    one parameter moves (`step`).
    """

    lr: Scalar | Schedule
    weight_decay: float = 0.0

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the arrays kept for each parameter."""
        return ()

    @property
    def counts(self) -> bool:
        """Whether the state holds the number of steps taken, "t"."""
        return callable(self.lr)

    def init(self, params: Params) -> State:
        """Fresh state: one tree like `params` for each slot, and the 0-d i64 counter "t" if steps
        count. DTypeError if a leaf is not a floating array."""
        _check(params)
        state = {name: tree.map(self.start, params) for name in self.slots}
        return state | ({"t": np.zeros((), np.int64)} if self.counts else {})

    def start(self, p: Array) -> Array:
        """What a slot holds at first."""
        return np.zeros_like(p)

    def update(self, params: Params, grads: Params, state: State) -> None:
        """Change `params` and `state` in place by one step along `grads`."""
        _check_same(params, grads)
        scalars = self.scalars(self._rate(state), state)
        trees = (params, grads, *(state[name] for name in self.slots))
        for p, g, *kept in zip(*map(tree.leaves, trees), strict=True):
            # Numbers are computed in f64 once; cast, they do not widen f32 parameters.
            own = (x.astype(p.dtype) if hasattr(x, "astype") else x for x in scalars)
            self.step(p, self.decayed(g, p), *kept, *own)

    def _rate(self, state: State) -> Scalar:
        if not self.counts:
            return self.lr
        taken = state["t"].astype(np.float64)
        state["t"] += 1
        return self.lr(taken) if callable(self.lr) else self.lr

    def decayed(self, g: Array, p: Array) -> Array:
        """The gradient with weight_decay / 2 * sum(p²) added to the loss."""
        return g + self.weight_decay * p if self.weight_decay else g

    def scalars(self, rate: Scalar, state: State) -> tuple[Scalar, ...]:
        """The numbers of this step; `state["t"]` counts it already."""
        return (rate,)

    @abstractmethod
    def step(self, p: Array, g: Array, *rest: Array) -> None:
        """Move one parameter; `rest` is its slots in order, then the scalars."""


@dataclass(frozen=True, kw_only=True)
class SGD(Rule):
    """Stochastic gradient descent; see `sgd`."""

    momentum: float = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def step(self, p: Array, g: Array, *rest: Array) -> None:
        """v <- momentum v + g;  p <- p - lr v  (nesterov: p <- p - lr (g + momentum v))."""
        *kept, rate = rest
        for v in kept:
            v *= self.momentum
            v += g
            g = g + self.momentum * v if self.nesterov else v
        p -= rate * g


@dataclass(frozen=True, kw_only=True)
class Adam(Rule):
    """Adaptive moment estimation; see `adam` and `amsgrad`."""

    betas: Betas
    eps: float
    amsgrad: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        return ("m", "v", "v_max") if self.amsgrad else ("m", "v")

    @property
    def counts(self) -> bool:
        return True

    def scalars(self, rate: Scalar, state: State) -> tuple[Scalar, ...]:
        """The rate and eps with the corrections of both moments' start at 0, so that the parameters
        are divided by once: r / (sqrt(v) / c + eps) = r c / (sqrt(v) + eps c) (Kingma and Ba, Adam,
        2015, end of section 2)."""
        t = state["t"].astype(np.float64)
        beta1, beta2 = self.betas
        root = np.sqrt(1 - beta2**t)
        return rate * root / (1 - beta1**t), self.eps * root

    def step(self, p: Array, g: Array, *rest: Array) -> None:
        """m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g²;  p <- p - lr m̂ / (sqrt(v̂) + eps).

        amsgrad: v_max <- max(v_max, v), which stands for v in the last."""
        m, v, *most, rate, eps = rest
        beta1, beta2 = self.betas
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * (g * g)
        for v_max in most:
            np.maximum(v_max, v, out=v_max)
            v = v_max
        p -= rate * m / (np.sqrt(v) + eps)


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay; see `adamw`."""

    def decayed(self, g: Array, p: Array) -> Array:
        return g

    def scalars(self, rate: Scalar, state: State) -> tuple[Scalar, ...]:
        return (*super().scalars(rate, state), 1 - rate * self.weight_decay)

    def step(self, p: Array, g: Array, *rest: Array) -> None:
        """p <- p - lr weight_decay p, then the step of Adam."""
        *others, shrink = rest
        p *= shrink
        super().step(p, g, *others)


@dataclass(frozen=True, kw_only=True)
class Lion(Rule):
    """The sign of an interpolated momentum; see `lion`."""

    betas: Betas

    @property
    def slots(self) -> tuple[str, ...]:
        return ("m",)

    def decayed(self, g: Array, p: Array) -> Array:
        return g

    def step(self, p: Array, g: Array, *rest: Array) -> None:
        """p <- p - lr (sign(b1 m + (1-b1) g) + weight_decay p);  m <- b2 m + (1-b2) g."""
        m, rate = rest
        beta1, beta2 = self.betas
        direction = np.sign(beta1 * m + (1 - beta1) * g)
        p -= rate * (direction + self.weight_decay * p if self.weight_decay else direction)
        m *= beta2
        m += (1 - beta2) * g


@dataclass(frozen=True, kw_only=True)
class Adagrad(Rule):
    """Step sizes from the sum of squared gradients; see `adagrad`."""

    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float

    @property
    def slots(self) -> tuple[str, ...]:
        return ("sum",)

    @property
    def counts(self) -> bool:
        return bool(self.lr_decay) or super().counts

    def start(self, p: Array) -> Array:
        return np.full_like(p, self.initial_accumulator_value)

    def scalars(self, rate: Scalar, state: State) -> tuple[Scalar, ...]:
        if not self.lr_decay:
            return (rate,)
        return (rate / (1 + (state["t"].astype(np.float64) - 1) * self.lr_decay),)

    def step(self, p: Array, g: Array, *rest: Array) -> None:
        """s <- s + g²;  p <- p - lr / (1 + (t-1) lr_decay) g / (sqrt(s) + eps)."""
        s, rate = rest
        s += g * g
        p -= rate * g / (np.sqrt(s) + self.eps)


@dataclass(frozen=True, kw_only=True)
class RMSprop(Rule):
    """Step sizes from a running mean of squared gradients; see `rmsprop`."""

    alpha: float
    eps: float
    momentum: float = 0.0
    centered: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        return ("square", *["velocity"] * bool(self.momentum), *["mean"] * self.centered)

    def step(self, p: Array, g: Array, *rest: Array) -> None:
        """s <- a s + (1-a) g²;  d = g / (sqrt(s) + eps);  p <- p - lr d.

        centered: m <- a m + (1-a) g, and s - m² under the root.
        momentum: v <- momentum v + d;  p <- p - lr v.
        """
        *arrays, rate = rest
        kept = dict(zip(self.slots, arrays, strict=True))
        spread = square = kept["square"]
        square *= self.alpha
        square += (1 - self.alpha) * (g * g)
        if self.centered:
            mean = kept["mean"]
            mean *= self.alpha
            mean += (1 - self.alpha) * g
            # A variance; rounding must not take it below 0.
            spread = np.maximum(square - mean * mean, 0)
        move = g / (np.sqrt(spread) + self.eps)
        if self.momentum:
            velocity = kept["velocity"]
            velocity *= self.momentum
            velocity += move
            move = velocity
        p -= rate * move


def sgd(
    lr: Scalar | Schedule,
    momentum: float = 0.0,
    nesterov: bool = False,
    *,
    weight_decay: float = 0.0,
) -> SGD:
    """Stochastic gradient descent, with (Nesterov) momentum as in `torch.optim.SGD`.

    Source: Sutskever et al., "On the importance of initialization and momentum", ICML 2013.
    """
    if nesterov and not momentum:
        raise ValueError("nesterov needs a momentum above 0")
    return SGD(lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


def adam(
    lr: Scalar | Schedule = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Adam:
    """Adam. Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015."""
    return Adam(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def amsgrad(
    lr: Scalar | Schedule = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Adam:
    """Adam whose step sizes never grow, as `torch.optim.Adam(amsgrad=True)`, which corrects for
    the start at 0 where the paper does not.

    Source: Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", ICLR 2018.
    """
    return Adam(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=True)


def adamw(
    lr: Scalar | Schedule = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    *,
    amsgrad: bool = False,
) -> AdamW:
    """Adam with decoupled weight decay, as in `torch.optim.AdamW`.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    return AdamW(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)


def lion(
    lr: Scalar | Schedule = 1e-4, betas: Betas = (0.9, 0.99), weight_decay: float = 0.0
) -> Lion:
    """Lion: every coordinate moves by the learning rate, decay is decoupled.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023,
    algorithm 2.
    """
    return Lion(lr=lr, betas=betas, weight_decay=weight_decay)


def adagrad(
    lr: Scalar | Schedule = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    *,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Adagrad:
    """Adagrad, as in `torch.optim.Adagrad`.

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and
    Stochastic Optimization", JMLR 12, 2011 (the diagonal form).
    """
    return Adagrad(
        lr=lr,
        lr_decay=lr_decay,
        weight_decay=weight_decay,
        initial_accumulator_value=initial_accumulator_value,
        eps=eps,
    )


def rmsprop(
    lr: Scalar | Schedule = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    momentum: float = 0.0,
    centered: bool = False,
) -> RMSprop:
    """RMSprop, as in `torch.optim.RMSprop`.

    Source: Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera, 2012; the centered form: Graves,
    "Generating Sequences With Recurrent Neural Networks", 2013.
    """
    return RMSprop(
        lr=lr,
        alpha=alpha,
        eps=eps,
        weight_decay=weight_decay,
        momentum=momentum,
        centered=centered,
    )


def _check(params: Params) -> None:
    """A leaf that is not a floating array could not be updated in place."""
    for leaf in tree.leaves(params):
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or dtype.kind != "f" or isinstance(leaf, np.generic):
            raise DTypeError(
                f"a parameter is {dtype or type(leaf).__name__}: only floating arrays can be"
                " trained; keep other values out of the parameters"
            )


def _check_same(params: Params, grads: Params) -> None:
    """ShapeError unless there is one gradient for each parameter, under the same names."""
    ours, theirs = (tree.flatten(x)[1].paths for x in (params, grads))
    if ours != theirs:
        raise ShapeError(
            f"the gradients {', '.join(theirs)} do not belong to the parameters {', '.join(ours)};"
            " pass what tl.grad returns for these parameters"
        )
