"""A small convolutional network on images of 28 x 28, in the manner of LeNet."""

from typing import Any

import numpy as np

from ..functions import numpy_nn
from ..training import Problem
from ..workload import Array, Params, dense_params


def loss(nn: Any, p: Any, x: Any, y: Any) -> Any:
    h = nn.max_pool2d(nn.relu(nn.conv2d(x, p["K1"], p["c1"])), 2)
    h = nn.max_pool2d(nn.relu(nn.conv2d(h, p["K2"], p["c2"])), 2)
    h = nn.relu(h.reshape((x.shape[0], p["W1"].shape[0])) @ p["W1"] + p["b1"])
    return nn.cross_entropy(h @ p["W2"] + p["b2"], y)


def backprop(p: Params, x: Array, y: Array) -> tuple[Any, Params]:
    n = len(x)
    cols1 = numpy_nn.windows(x, 5)
    h1, best1 = numpy_nn.max_pool2d(np.maximum(numpy_nn.conv2d(cols1, p["K1"], p["c1"], n), 0))
    cols2 = numpy_nn.windows(h1.transpose(0, 3, 1, 2), 5)
    h2, best2 = numpy_nn.max_pool2d(np.maximum(numpy_nn.conv2d(cols2, p["K2"], p["c2"], n), 0))
    flat = h2.transpose(0, 3, 1, 2).reshape(n, -1)
    h3 = np.maximum(flat @ p["W1"] + p["b1"], 0)
    value, g = numpy_nn.cross_entropy(h3 @ p["W2"] + p["b2"], y)
    gradients = {"W2": h3.T @ g, "b2": g.sum(axis=0)}
    g = (g @ p["W2"].T) * (h3 > 0)
    gradients |= {"W1": flat.T @ g, "b1": g.sum(axis=0)}
    channels, side = h2.shape[3], h2.shape[1]
    g = (g @ p["W1"].T).reshape(n, channels, side, side).transpose(0, 2, 3, 1) * (h2 > 0)
    g = numpy_nn.max_pool2d_gradient(g, best2)
    gradients |= _kernel_gradients("K2", "c2", g, cols2, p)
    g = numpy_nn.conv2d_input_gradient(g, p["K2"]).transpose(0, 2, 3, 1) * (h1 > 0)
    g = numpy_nn.max_pool2d_gradient(g, best1)
    return value, gradients | _kernel_gradients("K1", "c1", g, cols1, p)


def _kernel_gradients(k: str, c: str, g: Array, cols: Array, p: Params) -> Params:
    rows = g.reshape(-1, g.shape[3])
    return {k: (rows.T @ cols).reshape(p[k].shape), c: rows.sum(axis=0)}


def problem(rows: int = 64, side: int = 28, channels: tuple[int, int] = (8, 16)) -> Problem:
    """Square images with a side of 16, 20, 24, 28, ... (two windows of 5, two halvings)."""
    c1, c2 = channels
    flat = c2 * (((side - 4) // 2 - 4) // 2) ** 2

    def params(rng: np.random.Generator) -> Params:
        def kernel(out: int, inner: int) -> Array:
            scale = np.sqrt(2 / (inner * 25))
            drawn = scale * rng.standard_normal((out, inner, 5, 5))
            return np.asarray(drawn, np.float32)

        kernels = {"K1": kernel(c1, 1), "K2": kernel(c2, c1)}
        biases = {"c1": np.zeros(c1, np.float32), "c2": np.zeros(c2, np.float32)}
        return kernels | biases | dense_params(rng, (flat, 64, 10))

    def batch(rng: np.random.Generator) -> tuple[Array, Array]:
        x = rng.random((rows, 1, side, side), dtype=np.float32)
        return x, rng.integers(0, 10, rows)

    return Problem(
        name="lenet",
        what=f"conv5x5x{c1}, pool, conv5x5x{c2}, pool, {flat}-64-10, batch {rows} of {side}x{side}",
        params=params,
        batch=batch,
        loss=loss,
        backprop=backprop,
    )
