"""JAX: the whole step under `jax.jit`, the old parameters donated; waits only at the end."""

import math
from typing import Any

from ..training import BETAS, EPS, Problem
from ..workload import Batches, Loop, MakeLoop, Params


def jax_peer(problem: Problem, *, x64: bool) -> MakeLoop:
    """With `jax_enable_x64` or without: the parameters are float32 in both, labels are not."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        import jax

        jax.config.update("jax_enable_x64", x64)
        from ..functions import jax_nn as nn

        update = _sgd if problem.optimizer == "sgd" else _adam
        state = jax.device_put((params, _initial(problem.optimizer, params)))

        def training_step(state: Any, x: Any, y: Any, lr: Any) -> Any:
            p, moments = state
            value, g = jax.value_and_grad(lambda p: problem.loss(nn, p, x, y))(p)
            return update(p, g, moments, lr), value

        step = jax.jit(training_step, donate_argnums=0)
        data = [jax.device_put(batch) for batch in batches]
        count = len(data)

        def loop(steps: int) -> float:
            nonlocal state
            for i in range(steps):
                x, y = data[i % count]
                state, value = step(state, x, y, lr)
            jax.block_until_ready(state)
            return float(value)

        return loop

    return make


def _initial(optimizer: str, params: Params) -> Any:
    import jax.numpy as jnp

    if optimizer == "sgd":
        return ()
    zeros = [{k: jnp.zeros_like(w) for k, w in params.items()} for _ in range(2)]
    return *zeros, jnp.zeros((), jnp.float32)


def _sgd(p: Any, g: Any, moments: Any, lr: Any) -> Any:
    import jax

    return jax.tree.map(lambda w, d: w - lr * d, p, g), moments


def _adam(p: Any, g: Any, moments: Any, lr: Any) -> Any:
    """Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015."""
    import jax
    import jax.numpy as jnp

    (b1, b2), (m, v, t) = BETAS, moments
    t = t + 1
    m = jax.tree.map(lambda m, d: b1 * m + (1 - b1) * d, m, g)
    v = jax.tree.map(lambda v, d: b2 * v + (1 - b2) * d * d, v, g)
    rest = [-jnp.expm1(t * math.log(b)) for b in (b1, b2)]  # 1 - b**t cancels in float32
    step, correction = lr / rest[0], rest[1]
    p = jax.tree.map(lambda w, m, v: w - step * m / (jnp.sqrt(v / correction) + EPS), p, m, v)
    return p, (m, v, t)
