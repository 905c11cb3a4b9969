"""Activations, losses and layers as plain functions, named as in `torch.nn.functional`.

Every function here is ordinary NumPy: called on arrays it computes, called inside a compiled step
it is traced. Arrays are floating, of any shape unless said otherwise; the dtype of the result is
the dtype NumPy gives the expression (f32 stays f32). The forms are chosen for their corner cases:
values and derivatives stay right at 0, at large arguments and at infinity.

Where torch has `dim`, the parameter is `axis`, as in NumPy. Layers hold nothing: parameters and
running statistics are arguments, what draws random numbers takes a key (`tl.random`), and
`tl.nn.init` makes initial weights.
"""

from . import init
from .activations import (
    gelu,
    glu,
    log_softmax,
    logsigmoid,
    logsumexp,
    mish,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softsign,
    tanh,
    tanhshrink,
    xlogy,
)
from .attention import scaled_dot_product_attention
from .classification import cross_entropy, multiclass_hinge, nll_loss
from .convolution import conv1d, conv2d
from .dense import bilinear, linear
from .distances import cosine_similarity, normalize, pairwise_distance
from .lookup import embedding, one_hot
from .losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    gaussian_nll_loss,
    hinge,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from .normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from .piecewise import (
    celu,
    elu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    maxout,
    prelu,
    relu,
    relu6,
    selu,
    softshrink,
    threshold,
)
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from .recurrent import gru_cell, lstm_cell, rnn_cell
from .stochastic import dropout
from .transposed import conv_transpose1d, conv_transpose2d

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "gru_cell",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge",
    "huber_loss",
    "init",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "logsumexp",
    "lstm_cell",
    "max_pool1d",
    "max_pool2d",
    "maxout",
    "mish",
    "mse_loss",
    "multiclass_hinge",
    "nll_loss",
    "normalize",
    "one_hot",
    "pairwise_distance",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "rnn_cell",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "xlogy",
]
