"""Logistic regression: 20 -> 1, batch 32, binary cross-entropy, plain gradient descent."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..peers import jax_peer, numpy_peer, tapeless_peer
from ..workload import Array, Params, Workload, dense_params

FEATURES, BATCH = 20, 32


def batch(rng: np.random.Generator) -> tuple[Array, Array]:
    x = rng.standard_normal((BATCH, FEATURES)).astype(np.float32)
    return x, (x.sum(axis=1, keepdims=True) > 0).astype(np.float32)


def numpy_step(p: Params, x: Array, y: Array, lr: float) -> np.floating[Any]:
    z = x @ p["W1"] + p["b1"]
    loss: np.floating[Any] = np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))
    gz = (1 / (1 + np.exp(-z)) - y) / np.float32(z.size)
    p["W1"] -= lr * (x.T @ gz)
    p["b1"] -= lr * gz.sum(axis=0)
    return loss


def tapeless_loss(p: Any, x: Any, y: Any) -> Any:
    import tapeless as tl

    return tl.nn.binary_cross_entropy_with_logits(x @ p["W1"] + p["b1"], y)


def jax_loss() -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def loss(p: Any, x: Any, y: Any) -> Any:
        z = x @ p["W1"] + p["b1"]
        return jnp.mean(jax.nn.softplus(z) - z * y)

    return loss


WORKLOAD = Workload(
    name="logreg",
    what="20 -> 1, batch 32, SGD, BCE",
    learning_rate=0.1,
    params=lambda rng: dense_params(rng, (FEATURES, 1)),
    batch=batch,
    peers={
        "tapeless": tapeless_peer(tapeless_loss),
        "numpy": numpy_peer(numpy_step),
        "jax": jax_peer(jax_loss),
    },
)
