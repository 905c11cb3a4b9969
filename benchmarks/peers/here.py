"""The peers whose step is NumPy and updates the parameters in place: tapeless, NumPy, autograd."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..training import BETAS, EPS, Backprop, Problem
from ..workload import Batches, Loop, MakeLoop, Params

Update = Callable[[Params], None]


def _in_place(step: Callable[..., Any], batches: Batches) -> Loop:
    count = len(batches)

    def loop(steps: int) -> float:
        for i in range(steps):
            x, y = batches[i % count]
            loss = step(x, y)
        return float(loss)

    return loop


def _trained(backprop: Backprop, params: Params, update: Update, batches: Batches) -> Loop:
    """A step is the gradients, then the update."""

    def step(x: Any, y: Any) -> Any:
        loss, g = backprop(params, x, y)
        update(g)
        return loss

    return _in_place(step, batches)


def tapeless_peer(problem: Problem) -> MakeLoop:
    """`tl.compile` of a whole step."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        import tapeless as tl

        written = problem.loss  # a step that reached the gradients by hand would depend on them

        def loss(p: Params, x: Any, y: Any) -> Any:
            return written(tl.nn, p, x, y)

        @tl.compile(threads=threads)
        def sgd(p: Params, x: Any, y: Any, lr: Any) -> Any:
            value, g = tl.value_and_grad(loss)(p, x, y)
            for k in p:
                p[k] -= lr * g[k]
            return value

        if problem.optimizer == "sgd":
            return _in_place(lambda x, y: sgd(params, x, y, lr), batches)
        opt = tl.optim.adam(lr, BETAS, EPS)
        state = opt.init(params)

        @tl.compile(threads=threads)
        def adam(p: Params, state: Any, x: Any, y: Any) -> Any:
            value, g = tl.value_and_grad(loss)(p, x, y)
            opt.update(p, g, state)
            return value

        return _in_place(lambda x, y: adam(params, state, x, y), batches)

    return make


def numpy_peer(problem: Problem) -> MakeLoop:
    """Hand-written backprop; the thread count comes from the environment."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        update, backprop = _update(problem.optimizer, params, lr), problem.backprop
        assert backprop is not None, f"{problem.name} has no backprop by hand"

        return _trained(backprop, params, update, batches)

    return make


def autograd_peer(problem: Problem) -> MakeLoop:
    """`autograd.value_and_grad` of the loss, the update in NumPy."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        from autograd import value_and_grad

        from ..functions import autograd_nn as nn

        update = _update(problem.optimizer, params, lr)
        backprop = value_and_grad(lambda p, x, y: problem.loss(nn, p, x, y))

        return _trained(backprop, params, update, batches)

    return make


def _update(optimizer: str, params: Params, lr: float) -> Update:
    return _sgd(params, lr) if optimizer == "sgd" else _adam(params, lr)


def _sgd(params: Params, lr: float) -> Update:
    def update(g: Params) -> None:
        for k, w in params.items():
            w -= lr * g[k]

    return update


def _adam(params: Params, lr: float) -> Update:
    """Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015."""
    b1, b2 = BETAS
    m = {k: np.zeros_like(w) for k, w in params.items()}
    v = {k: np.zeros_like(w) for k, w in params.items()}
    t = 0

    def update(g: Params) -> None:
        nonlocal t
        t += 1
        for k, w in params.items():
            m[k] *= b1
            m[k] += (1 - b1) * g[k]
            v[k] *= b2
            v[k] += (1 - b2) * (g[k] * g[k])
            scale = np.sqrt(v[k] / (1 - b2**t))
            scale += EPS
            w -= (lr / (1 - b1**t)) * m[k] / scale

    return update
