"""For HIPS autograd; convolution and pooling as in its own example of a convolutional network."""

from typing import Any

import autograd.numpy as np
from autograd.scipy.signal import convolve


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def tanh(x: Any) -> Any:
    return np.tanh(x)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def elu(x: Any) -> Any:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def cross_entropy(z: Any, labels: Any) -> Any:
    z = z - np.max(z, axis=1, keepdims=True)
    picked = z[np.arange(len(labels)), labels]
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - picked)


def binary_cross_entropy_with_logits(z: Any, y: Any) -> Any:
    return np.mean(softplus(z) - z * y)


def softmax(x: Any, axis: int) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def layer_norm(x: Any, shape: Any, w: Any, b: Any) -> Any:
    """Over the last axis, of that shape."""
    c = x - np.mean(x, axis=-1, keepdims=True)
    return c / np.sqrt(np.mean(c * c, axis=-1, keepdims=True) + 1e-5) * w + b


def mse_loss(z: Any, y: Any) -> Any:
    return np.mean((z - y) ** 2)


def conv2d(x: Any, w: Any, b: Any) -> Any:
    """`convolve` turns the window around; a layer does not."""
    flipped = w[:, :, ::-1, ::-1]
    z = convolve(x, flipped, axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")
    return z + b[:, None, None]


def max_pool2d(x: Any, size: int) -> Any:
    n, c, h, w = x.shape
    cells = np.reshape(x, (n, c, h // size, size, w // size, size))
    return np.max(np.max(cells, axis=3), axis=4)
