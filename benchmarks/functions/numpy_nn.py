"""Layers and losses for backprop by hand: each loss gives its value and its gradient by logits."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..workload import Array

Value = np.floating[Any]


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, e) / (1 + e)
    return result


def softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def cross_entropy(z: Array, labels: Array) -> tuple[Value, Array]:
    """Writes into `z`."""
    rows = np.arange(len(labels))
    z -= z.max(axis=1, keepdims=True)
    g = np.exp(z)
    total = g.sum(axis=1, keepdims=True)
    loss: Value = np.mean(np.log(total[:, 0]) - z[rows, labels])
    g /= total
    g[rows, labels] -= 1
    g /= np.float32(len(labels))
    return loss, g


def binary_cross_entropy_with_logits(z: Array, y: Array) -> tuple[Value, Array]:
    e = np.exp(-np.abs(z))
    loss: Value = np.mean(np.maximum(z, 0) - z * y + np.log1p(e))
    g = np.where(z >= 0, 1, e) / (1 + e)
    g -= y
    g /= np.float32(z.size)
    return loss, g


def windows(x: Array, size: int) -> Array:
    """(n, c, h, w) as the matrix of its windows, (n * h' * w', c * size * size)."""
    view = sliding_window_view(x, (size, size), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    return view.reshape(-1, x.shape[1] * size * size)


def conv2d(cols: Array, w: Array, b: Array, n: int) -> Array:
    """The layer on `windows(x, size)` of n square images; channels are last in the result."""
    rows = cols @ w.reshape(len(w), -1).T
    rows += b
    side = int(np.sqrt(len(rows) // n))
    return rows.reshape(n, side, side, len(w))


def conv2d_input_gradient(g: Array, w: Array) -> Array:
    """From the gradient (n, h, w, out) of the layer to that of its input (n, in, h', w')."""
    n, side, _, out = g.shape
    _, inner, size, _ = w.shape
    cols = g.reshape(-1, out) @ w.reshape(out, -1)
    parts = cols.reshape(n, side, side, inner, size, size).transpose(0, 3, 4, 5, 1, 2)
    gx = np.zeros((n, inner, side + size - 1, side + size - 1), g.dtype)
    for i in range(size):
        for j in range(size):
            gx[:, :, i : i + side, j : j + side] += parts[:, :, i, j]
    return gx


def max_pool2d(x: Array) -> tuple[Array, Array]:
    """Cells of 2 x 2 of (n, h, w, c): their maxima, and which of the four it was."""
    n, h, w, c = x.shape
    cells = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4)
    cells = cells.reshape(n, h // 2, w // 2, c, 4)
    best = cells.argmax(axis=4)[..., None]
    return np.take_along_axis(cells, best, axis=4)[..., 0], best


def max_pool2d_gradient(g: Array, best: Array) -> Array:
    n, h, w, c = g.shape
    cells = np.zeros((n, h, w, c, 4), g.dtype)
    np.put_along_axis(cells, best, g[..., None], axis=4)
    return cells.reshape(n, h, w, c, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c)
