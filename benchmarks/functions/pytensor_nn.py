"""For PyTensor, which has no convolution of images in batches: windows of slices, one product."""

from functools import reduce
from itertools import product
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor import sigmoid as sigmoid
from pytensor.tensor import softplus as softplus
from pytensor.tensor import tanh as tanh
from pytensor.tensor.special import log_softmax
from pytensor.tensor.special import softmax as softmax


def relu(x: Any) -> Any:
    return pt.maximum(x, 0)


def elu(x: Any) -> Any:
    return pt.switch(x > 0, x, pt.expm1(pt.minimum(x, 0)))


def cross_entropy(z: Any, labels: Any) -> Any:
    return -pt.mean(log_softmax(z, axis=1)[pt.arange(labels.shape[0]), labels])


def binary_cross_entropy_with_logits(z: Any, y: Any) -> Any:
    return pt.mean(softplus(z) - z * y)


def layer_norm(x: Any, shape: Any, w: Any, b: Any) -> Any:
    """Over the last axis, of that shape."""
    c = x - pt.mean(x, axis=-1, keepdims=True)
    return c / pt.sqrt(pt.mean(c * c, axis=-1, keepdims=True) + np.float32(1e-5)) * w + b


def mse_loss(z: Any, y: Any) -> Any:
    return pt.mean((z - y) ** 2)


def conv2d(x: Any, w: Any, b: Any) -> Any:
    out, inner, kh, kw = w.type.shape
    h, width = x.type.shape[2] - kh + 1, x.type.shape[3] - kw + 1
    shifted = [x[:, :, i : i + h, j : j + width] for i, j in product(range(kh), range(kw))]
    windows = pt.stack(shifted, axis=2).transpose(0, 3, 4, 1, 2)
    rows = windows.reshape((-1, inner * kh * kw)) @ w.reshape((out, -1)).T + b
    return rows.reshape((x.type.shape[0], h, width, out)).transpose(0, 3, 1, 2)


def max_pool2d(x: Any, size: int) -> Any:
    corners = product(range(size), range(size))
    return reduce(pt.maximum, [x[:, :, i::size, j::size] for i, j in corners])
