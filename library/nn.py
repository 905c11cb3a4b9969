"""Activations, losses and layers as plain functions, named as in `torch.nn.functional`.

Every function here is ordinary NumPy: called on arrays it computes, called inside a compiled step
it is traced. Arrays are floating, of any shape unless said otherwise; the dtype of the result is
the dtype NumPy gives the expression (f32 stays f32). The forms are chosen for their corner cases:
values and derivatives stay right at 0, at large arguments and at infinity.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from ..ir.errors import DTypeError, ShapeError

Array: TypeAlias = Any
"""A NumPy array or, inside a trace, what stands for one."""
Reduction: TypeAlias = Literal["mean", "sum", "none"]


# --- activations ---------------------------------------------------------------------------


def relu(x: Array) -> Array:
    """max(x, 0), NaN kept. Unlike `np.maximum(x, 0)` the derivative at 0 is 0, not one half."""
    # The second branch is 0, or NaN for NaN, and has no derivative.
    return np.where(x > 0, x, np.maximum(np.sign(x), 0))


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope * x, which is also the derivative taken at 0."""
    return np.where(x > 0, x, negative_slope * x)


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    with np.errstate(over="ignore"):
        return np.where(x > 0, x, alpha * np.expm1(x))


def silu(x: Array) -> Array:
    """x * sigmoid(x), also known as swish."""
    return x * sigmoid(x)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), exact in both tails."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def logsigmoid(x: Array) -> Array:
    """log(sigmoid(x)) without overflow: -softplus(-x)."""
    return -softplus(-x)


def softplus(x: Array, beta: float = 1.0) -> Array:
    """log(1 + exp(beta x)) / beta without overflow and without a linear threshold."""
    z = x if beta == 1 else beta * x
    y = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return y if beta == 1 else y / beta


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`, shifted by the maximum."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """log(softmax(x)) along `axis`: x - logsumexp(x), finite wherever x is."""
    return x - logsumexp(x, axis=axis, keepdims=True)


def logsumexp(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis` (all axes by default) without overflow; -inf if all are."""
    # NumPy's stubs want a literal keepdims.
    return np.logaddexp.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


def maxout(x: Array, pieces: int, axis: int = -1) -> Array:
    """The maximum over groups of `pieces` neighbours along `axis`, whose length they divide."""
    axis %= x.ndim
    if x.shape[axis] % pieces:
        raise ShapeError(f"maxout: {pieces} pieces do not divide axis {axis} of shape {x.shape}")
    groups = x.shape[axis] // pieces
    grouped = np.reshape(x, (*x.shape[:axis], groups, pieces, *x.shape[axis + 1 :]))
    return np.max(grouped, axis=axis + 1)


def xlogy(x: Array, y: Array) -> Array:
    """x * log(y), with the value 0 where x is 0 and log(y) is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        product = x * np.log(y)
    return np.where((x == 0) & ((y <= 0) | (y == np.inf)), 0, product)


# --- layers --------------------------------------------------------------------------------


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x @ weight.T + bias: x (..., n), weight (m, n), bias (m,), result (..., m)."""
    y = x @ weight.T
    return y if bias is None else y + bias


def one_hot(labels: Array, num_classes: int) -> Array:
    """i64 array of shape labels.shape + (num_classes,): 1 at the label, else 0."""
    return _is_label(labels, num_classes, -1).astype(np.int64)


# --- losses --------------------------------------------------------------------------------


def mse_loss(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """(input - target)**2, of equal shapes."""
    _same_shape("mse_loss", input, target)
    return _reduce(np.square(input - target), reduction)


def l1_loss(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """|input - target|, of equal shapes."""
    _same_shape("l1_loss", input, target)
    return _reduce(np.abs(input - target), reduction)


def nll_loss(log_probs: Array, labels: Array, *, reduction: Reduction = "mean") -> Array:
    """-log_probs at the integer labels: (classes,) with (), or (n, classes, ...) with (n, ...)."""
    return _reduce(-_at_labels("nll_loss", log_probs, labels), reduction)


def cross_entropy(
    logits: Array,
    target: Array,
    *,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Softmax cross-entropy of logits of shape (classes,) or (n, classes, ...).

    `target` holds integer labels of shape () or (n, ...), or probabilities of the shape of the
    logits. The mean is over samples, not over classes. ShapeError if the shapes do not fit,
    BoundsError (IndexError eagerly) for a label out of range.
    """
    axis = _class_axis(logits)
    if label_smoothing:
        target = _smoothed(logits, target, label_smoothing)
    log_probs = log_softmax(logits, axis=axis)
    if target.dtype.kind in "iu":
        return _reduce(-_at_labels("cross_entropy", log_probs, target), reduction)
    if np.shape(target) == log_probs.shape[:axis] + log_probs.shape[axis + 1 :]:
        raise DTypeError(
            f"cross_entropy: labels must be integers, not {target.dtype}; use labels.astype(int)"
        )
    _same_shape("cross_entropy", logits, target)
    return _reduce(-np.sum(target * log_probs, axis=axis), reduction)


def binary_cross_entropy(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """-(y log p + (1 - y) log(1 - p)) of probabilities p; inf where p contradicts y."""
    target = _targets("binary_cross_entropy", input, target)
    return _reduce(-(xlogy(target, input) + xlogy(1 - target, 1 - input)), reduction)


def binary_cross_entropy_with_logits(
    input: Array, target: Array, *, reduction: Reduction = "mean"
) -> Array:
    """`binary_cross_entropy(sigmoid(z), y)` as y softplus(-z) + (1 - y) softplus(z).

    Its gradient is (1 - y) sigmoid(z) - y sigmoid(-z), which keeps both tails, where the usual
    p - y rounds to 0.
    """
    target = _targets("binary_cross_entropy_with_logits", input, target)
    return _reduce(target * softplus(-input) + (1 - target) * softplus(input), reduction)


def hinge(scores: Array, targets: Array, *, reduction: Reduction = "mean") -> Array:
    """max(0, 1 - y s) for targets y of -1 or 1, of the shape of the scores."""
    _same_shape("hinge", scores, targets)
    return _reduce(relu(1 - targets * scores), reduction)


def multiclass_hinge(
    scores: Array, labels: Array, *, margin: float = 1.0, reduction: Reduction = "mean"
) -> Array:
    """Sum over the wrong classes of max(0, s_j - s_label + margin): scores (n, classes) or
    (classes,), integer labels (n,) or ().

    Source: Weston and Watkins, "Multi-class Support Vector Machines", 1998.
    """
    axis = _class_axis(scores)
    right = np.expand_dims(_at_labels("multiclass_hinge", scores, labels), axis)
    violation = relu(scores - right + margin)
    wrong = ~_is_label(labels, scores.shape[axis], axis)
    return _reduce(np.sum(np.where(wrong, violation, 0), axis=axis), reduction)


# --- shared --------------------------------------------------------------------------------


def _reduce(loss: Array, reduction: Reduction) -> Array:
    match reduction:
        case "mean":
            return np.mean(loss)
        case "sum":
            return np.sum(loss)
        case "none":
            return loss
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")


def _same_shape(name: str, input: Array, target: Array) -> None:
    """Losses do not broadcast: (n, 1) against (n,) is a mistake that would go unnoticed."""
    if np.shape(input) != np.shape(target):
        raise ShapeError(f"{name}: shapes {np.shape(input)} and {np.shape(target)} differ")


def _targets(name: str, input: Array, target: Array) -> Array:
    """Targets of the input's shape; integers and Booleans take its dtype, so f32 stays f32."""
    _same_shape(name, input, target)
    return target if target.dtype.kind == "f" else target.astype(input.dtype)


def _class_axis(scores: Array) -> int:
    if scores.ndim == 0:
        raise ShapeError("scores need a class axis: (classes,) or (n, classes, ...)")
    return 1 if scores.ndim > 1 else 0


def _at_labels(name: str, scores: Array, labels: Array) -> Array:
    """scores[n, labels[n, ...], ...], of the shape of the labels."""
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"{name}: labels must be integers, not {labels.dtype}")
    axis = _class_axis(scores)
    if scores.shape[:axis] + scores.shape[axis + 1 :] != labels.shape:
        raise ShapeError(f"{name}: labels {labels.shape} do not fit scores {scores.shape}")
    if scores.ndim <= 1:
        return scores[labels]
    grid = [
        np.reshape(np.arange(n), (n,) + (1,) * (labels.ndim - k - 1))
        for k, n in enumerate(labels.shape)
    ]
    return scores[(grid[0], labels, *grid[1:])]


def _is_label(labels: Array, classes: int, axis: int) -> Array:
    """Boolean: whether the label is the class counted along the new `axis`."""
    rank = labels.ndim + 1
    counted = [classes if k == axis % rank else 1 for k in range(rank)]
    return np.expand_dims(labels, axis) == np.reshape(np.arange(classes), counted)


def _smoothed(logits: Array, target: Array, smoothing: float) -> Array:
    """Probabilities mixed with the uniform distribution, in the dtype of the logits."""
    axis = _class_axis(logits)
    classes = logits.shape[axis]
    if target.dtype.kind in "iu":
        target = _is_label(target, classes, axis).astype(logits.dtype)
    return target * (1 - smoothing) + smoothing / classes
