"""One training loop per peer, as its own documentation would write it.

Each peer's library is imported inside its function: a peer runs in a process of its own, and what
another one imports must not be there.
"""

from collections.abc import Callable
from typing import Any

from .workload import Batches, Loop, MakeLoop, Params

InPlaceStep = Callable[..., Any]


def _in_place(step: InPlaceStep, params: Params, batches: Batches, lr: float) -> Loop:
    """The loop of the peers whose step `step(params, x, y, lr)` updates the parameters in place."""
    count = len(batches)

    def loop(steps: int) -> float:
        for i in range(steps):
            x, y = batches[i % count]
            loss = step(params, x, y, lr)
        return float(loss)

    return loop


def numpy_peer(step: InPlaceStep) -> MakeLoop:
    """Hand-written backprop; the thread count comes from the environment."""
    return lambda params, batches, lr, threads: _in_place(step, params, batches, lr)


def tapeless_peer(loss: Callable[..., Any]) -> MakeLoop:
    """Plain gradient descent on `loss(p, x, y)`, compiled by tapeless."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        import tapeless as tl

        @tl.compile(threads=threads)
        def step(p: Params, x: Any, y: Any, lr: Any) -> Any:
            value, g = tl.value_and_grad(loss)(p, x, y)
            for k in p:
                p[k] -= lr * g[k]
            return value

        return _in_place(step, params, batches, lr)

    return make


def jax_peer(make_loss: Callable[[], Callable[..., Any]]) -> MakeLoop:
    """Plain gradient descent under `jax.jit`, the old parameters donated; waits only at the end."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        import jax

        loss = make_loss()

        def sgd(p: Any, x: Any, y: Any, lr: Any) -> Any:
            value, g = jax.value_and_grad(loss)(p, x, y)
            return jax.tree.map(lambda w, d: w - lr * d, p, g), value

        step = jax.jit(sgd, donate_argnums=0)
        state = jax.device_put(params)
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
