"""The multi-layer family: ReLU layers, softmax cross-entropy on integer labels, SGD."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..peers import jax_peer, numpy_peer, tapeless_peer
from ..workload import Array, Params, Workload, dense_params


def numpy_step(p: Params, x: Array, y: Array, lr: float) -> np.floating[Any]:
    """Backprop by hand for any number of layers `W1, b1, ...`; updates `p` in place."""
    layers, rows = len(p) // 2, np.arange(len(y))
    inputs = [x]
    for i in range(1, layers):
        inputs.append(np.maximum(inputs[-1] @ p[f"W{i}"] + p[f"b{i}"], 0))
    z = inputs[-1] @ p[f"W{layers}"] + p[f"b{layers}"]
    z -= z.max(axis=1, keepdims=True)
    g = np.exp(z)
    total = g.sum(axis=1, keepdims=True)
    loss: np.floating[Any] = np.mean(np.log(total[:, 0]) - z[rows, y])
    g /= total
    g[rows, y] -= 1
    g /= np.float32(len(y))
    for i in range(layers, 0, -1):
        below = (g @ p[f"W{i}"].T) * (inputs[i - 1] > 0) if i > 1 else g
        p[f"W{i}"] -= lr * (inputs[i - 1].T @ g)
        p[f"b{i}"] -= lr * g.sum(axis=0)
        g = below
    return loss


def tapeless_loss(p: Any, x: Any, y: Any) -> Any:
    import tapeless as tl

    layers = len(p) // 2
    for i in range(1, layers):
        x = tl.nn.relu(x @ p[f"W{i}"] + p[f"b{i}"])
    return tl.nn.cross_entropy(x @ p[f"W{layers}"] + p[f"b{layers}"], y)


def jax_loss() -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def loss(p: Any, x: Any, y: Any) -> Any:
        layers = len(p) // 2
        for i in range(1, layers):
            x = jax.nn.relu(x @ p[f"W{i}"] + p[f"b{i}"])
        logits = jax.nn.log_softmax(x @ p[f"W{layers}"] + p[f"b{layers}"])
        return -jnp.mean(jnp.take_along_axis(logits, y[:, None], axis=1))

    return loss


def mlp(name: str, sizes: tuple[int, ...], rows: int) -> Workload:
    """The workload `sizes[0]-...-sizes[-1]` on batches of `rows` random images."""

    def batch(rng: np.random.Generator) -> tuple[Array, Array]:
        x = rng.random((rows, sizes[0]), dtype=np.float32)
        return x, rng.integers(0, sizes[-1], rows)

    return Workload(
        name=name,
        what=f"{'-'.join(map(str, sizes))} ReLU, batch {rows}, SGD, softmax cross-entropy",
        learning_rate=0.01,
        params=lambda rng: dense_params(rng, sizes),
        batch=batch,
        peers={
            "tapeless": tapeless_peer(tapeless_loss),
            "numpy": numpy_peer(numpy_step),
            "jax": jax_peer(jax_loss),
        },
    )
