"""Activations, losses and layers as plain functions, named as in `torch.nn.functional`.

Every function here is ordinary NumPy: called on arrays it computes, called inside a compiled step
it is traced. Arrays are floating, of any shape unless said otherwise; the dtype of the result is
the dtype NumPy gives the expression (f32 stays f32). The forms are chosen for their corner cases:
values and derivatives stay right at 0, at large arguments and at infinity.
"""

from .activations import (
    elu,
    leaky_relu,
    log_softmax,
    logsigmoid,
    logsumexp,
    maxout,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
    xlogy,
)
from .convolution import (
    conv1d,
    conv2d,
)
from .dense import (
    linear,
    one_hot,
)
from .losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge,
    l1_loss,
    mse_loss,
    multiclass_hinge,
    nll_loss,
)
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "cross_entropy",
    "elu",
    "hinge",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "logsumexp",
    "max_pool1d",
    "max_pool2d",
    "maxout",
    "mse_loss",
    "multiclass_hinge",
    "nll_loss",
    "one_hot",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "xlogy",
]
