"""PyTensor: one function of shared parameters with updates, compiled through Numba."""

from typing import Any

import numpy as np

from ..training import BETAS, EPS, Problem
from ..workload import Array, Batches, Loop, MakeLoop, Params

Updates = list[tuple[Any, Any]]


def pytensor_peer(problem: Problem) -> MakeLoop:
    """`pytensor.function([x, y], loss, updates=...)`."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        import pytensor

        from ..functions import pytensor_nn as nn

        pytensor.config.floatX = "float32"
        p = {k: pytensor.shared(w, k, shape=w.shape) for k, w in params.items()}
        x, y = (_variable(a) for a in batches[0])
        loss = problem.loss(nn, p, x, y)
        shared = list(p.values())
        update = _sgd if problem.optimizer == "sgd" else _adam
        updates = update(shared, pytensor.grad(loss, shared), np.float32(lr))
        step = pytensor.function(
            [x, y], loss, updates=updates, mode="NUMBA", on_unused_input="ignore"
        )
        step.trust_input = True
        count = len(batches)

        def loop(steps: int) -> float:
            for i in range(steps):
                value = step(*batches[i % count])
            return float(value)

        return loop

    return make


def _variable(example: Array) -> Any:
    import pytensor.tensor as pt

    return pt.tensor(dtype=example.dtype, shape=example.shape)


def _sgd(shared: list[Any], g: list[Any], lr: Any) -> Updates:
    return [(w, w - lr * d) for w, d in zip(shared, g, strict=True)]


def _adam(shared: list[Any], g: list[Any], lr: Any) -> Updates:
    """Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015."""
    import pytensor
    import pytensor.tensor as pt

    b1, b2 = map(np.float32, BETAS)
    c1, c2 = (np.float32(1 - b) for b in BETAS)
    t = pytensor.shared(np.float64(0))
    now = t + np.float64(1)
    rest = [(1 - np.float64(b) ** now).astype("float32") for b in BETAS]
    updates: Updates = [(t, now)]
    for w, d in zip(shared, g, strict=True):
        m, v = (pytensor.shared(np.zeros_like(w.get_value()), shape=w.type.shape) for _ in "mv")
        m1, v1 = b1 * m + c1 * d, b2 * v + c2 * d * d
        scale = pt.sqrt(v1 / rest[1]) + np.float32(EPS)
        updates += [(m, m1), (v, v1), (w, w - lr / rest[0] * m1 / scale)]
    return updates
