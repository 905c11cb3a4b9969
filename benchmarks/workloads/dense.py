"""Fully connected networks: ten of the training steps, from 2-8-1 to 1024-4096-1024."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..functions import numpy_nn
from ..training import Loss, Problem
from ..workload import Array, Params, dense_params

Batch = tuple[Array, Array]
CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)


@dataclass(frozen=True)
class Network:
    """Layers of the given sizes on batches of `rows`; the last one has no activation.

    `data(rng, rows, sizes)` is one batch.
    """

    name: str
    what: str
    sizes: tuple[int, ...]
    rows: int
    data: Callable[[np.random.Generator, int, tuple[int, ...]], Batch]
    loss: Literal["cross_entropy", "binary_cross_entropy_with_logits"] = "cross_entropy"
    activation: Literal["relu", "tanh"] = "relu"
    learning_rate: float = 0.01
    optimizer: Literal["sgd", "adam"] = "sgd"

    def problem(self) -> Problem:
        return Problem(
            name=self.name,
            what=self.what,
            params=lambda rng: dense_params(rng, self.sizes),
            batch=lambda rng: self.data(rng, self.rows, self.sizes),
            loss=loss_of(len(self.sizes) - 1, self.activation, self.loss),
            backprop=self.backprop,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
        )

    def backprop(self, p: Params, x: Array, y: Array) -> tuple[Any, Params]:
        """The loss and its gradients by hand."""
        last = len(self.sizes) - 1
        inputs = [x]
        for i in range(1, last):
            z = inputs[-1] @ p[f"W{i}"]
            z += p[f"b{i}"]
            inputs.append(self._activate(z))
        z = inputs[-1] @ p[f"W{last}"]
        z += p[f"b{last}"]
        loss, g = getattr(numpy_nn, self.loss)(z, y)
        gradients: Params = {}
        for i in range(last, 0, -1):
            gradients[f"W{i}"] = inputs[i - 1].T @ g
            gradients[f"b{i}"] = g.sum(axis=0)
            if i > 1:
                g = g @ p[f"W{i}"].T
                g *= self._slope(inputs[i - 1])
        return loss, gradients

    def _activate(self, z: Array) -> Array:
        function: np.ufunc = np.tanh if self.activation == "tanh" else np.maximum
        result: Array = function(z, out=z) if function is np.tanh else function(z, 0, out=z)
        return result

    def _slope(self, h: Array) -> Array:
        return 1 - h * h if self.activation == "tanh" else h > 0


def loss_of(layers: int, activation: str, loss: str) -> Loss:
    """The loss of such a network, which reaches nothing but its functions."""

    def forward(nn: Any, p: Any, x: Any, y: Any) -> Any:
        for i in range(1, layers):
            x = getattr(nn, activation)(x @ p[f"W{i}"] + p[f"b{i}"])
        return getattr(nn, loss)(x @ p[f"W{layers}"] + p[f"b{layers}"], y)

    return forward


def sides(rng: np.random.Generator, rows: int, sizes: tuple[int, ...]) -> Batch:
    """Points, and on which side of a plane they lie."""
    x = rng.standard_normal((rows, sizes[0])).astype(np.float32)
    return x, (x.sum(axis=1, keepdims=True) > 0).astype(np.float32)


def exclusive_or(rng: np.random.Generator, rows: int, sizes: tuple[int, ...]) -> Batch:
    x = CORNERS[rng.permutation(4)]
    return x, (x[:, :1] != x[:, 1:]).astype(np.float32)


def images(rng: np.random.Generator, rows: int, sizes: tuple[int, ...]) -> Batch:
    """Random pixels and labels."""
    x = rng.random((rows, sizes[0]), dtype=np.float32)
    return x, rng.integers(0, sizes[-1], rows)


def targets(rng: np.random.Generator, rows: int, sizes: tuple[int, ...]) -> Batch:
    """Random pixels, and the same again to be restored."""
    x = rng.random((rows, sizes[0]), dtype=np.float32)
    return x, x.copy()


BCE: Literal["binary_cross_entropy_with_logits"] = "binary_cross_entropy_with_logits"
MLP, DIGITS = (784, 512, 512, 10), (784, 128, 10)
NETWORKS = (
    Network("logreg", "20 -> 1, batch 32, BCE", (20, 1), 32, sides, BCE, learning_rate=0.1),
    Network(
        "xor",
        "2-8-1 tanh, batch 4, BCE",
        (2, 8, 1),
        4,
        exclusive_or,
        BCE,
        "tanh",
        learning_rate=0.1,
    ),
    Network("softmax", "3072 -> 10, batch 128", (3072, 10), 128, images, learning_rate=0.001),
    Network("mlp_b1", "784-128-10 ReLU, batch 1", DIGITS, 1, images),
    Network("mlp_b32", "784-128-10 ReLU, batch 32", DIGITS, 32, images),
    Network("mlp_b128", "784-512-512-10 ReLU, batch 128", MLP, 128, images),
    Network(
        *("mlp_adam", "784-512-512-10 ReLU, batch 128, Adam", MLP, 128, images),
        learning_rate=0.001,
        optimizer="adam",
    ),
    Network("deep", "64 x 20 layers -> 10 ReLU, batch 32", (64,) * 21 + (10,), 32, images),
    Network("wide", "1024-4096-1024 ReLU, batch 256", (1024, 4096, 1024), 256, images),
)
AUTOENCODER = Network(
    "autoenc",
    "784-256-32-256-784 ReLU, batch 128, BCE",
    (784, 256, 32, 256, 784),
    128,
    targets,
    BCE,
)
