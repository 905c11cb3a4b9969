"""Exclusive or: 2-8-1 with tanh, batch 4, binary cross-entropy, plain gradient descent."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..peers import jax_peer, numpy_peer, tapeless_peer
from ..workload import Array, Params, Workload, dense_params

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)


def batch(rng: np.random.Generator) -> tuple[Array, Array]:
    x = CORNERS[rng.permutation(4)]
    return x, (x[:, :1] != x[:, 1:]).astype(np.float32)


def numpy_step(p: Params, x: Array, y: Array, lr: float) -> np.floating[Any]:
    h = np.tanh(x @ p["W1"] + p["b1"])
    z = h @ p["W2"] + p["b2"]
    loss: np.floating[Any] = np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))
    gz = (1 / (1 + np.exp(-z)) - y) / np.float32(z.size)
    gh = (gz @ p["W2"].T) * (1 - h * h)
    p["W2"] -= lr * (h.T @ gz)
    p["b2"] -= lr * gz.sum(axis=0)
    p["W1"] -= lr * (x.T @ gh)
    p["b1"] -= lr * gh.sum(axis=0)
    return loss


def tapeless_loss(p: Any, x: Any, y: Any) -> Any:
    import tapeless as tl

    h = np.tanh(x @ p["W1"] + p["b1"])
    return tl.nn.binary_cross_entropy_with_logits(h @ p["W2"] + p["b2"], y)


def jax_loss() -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def loss(p: Any, x: Any, y: Any) -> Any:
        h = jnp.tanh(x @ p["W1"] + p["b1"])
        z = h @ p["W2"] + p["b2"]
        return jnp.mean(jax.nn.softplus(z) - z * y)

    return loss


WORKLOAD = Workload(
    name="xor",
    what="2-8-1 tanh, batch 4, SGD, BCE",
    learning_rate=0.1,
    params=lambda rng: dense_params(rng, (2, 8, 1)),
    batch=batch,
    peers={
        "tapeless": tapeless_peer(tapeless_loss),
        "numpy": numpy_peer(numpy_step),
        "jax": jax_peer(jax_loss),
    },
)
