"""Losses. The mean is taken over all elements, of classifiers over samples."""

from __future__ import annotations

import numpy as np

from ...ir.errors import DTypeError
from ._shared import (
    Array,
    Reduction,
    at_labels,
    class_axis,
    floating_targets,
    is_label,
    reduced,
    same_shape,
)
from .activations import log_softmax, relu, softplus, xlogy


def mse_loss(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """(input - target)**2, of equal shapes."""
    same_shape("mse_loss", input, target)
    return reduced(np.square(input - target), reduction)


def l1_loss(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """|input - target|, of equal shapes."""
    same_shape("l1_loss", input, target)
    return reduced(np.abs(input - target), reduction)


def nll_loss(log_probs: Array, labels: Array, *, reduction: Reduction = "mean") -> Array:
    """-log_probs at the integer labels: (classes,) with (), or (n, classes, ...) with (n, ...)."""
    return reduced(-at_labels("nll_loss", log_probs, labels), reduction)


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
    axis = class_axis(logits)
    if label_smoothing:
        target = _smoothed(logits, target, label_smoothing)
    log_probs = log_softmax(logits, axis=axis)
    if target.dtype.kind in "iu":
        return reduced(-at_labels("cross_entropy", log_probs, target), reduction)
    if np.shape(target) == log_probs.shape[:axis] + log_probs.shape[axis + 1 :]:
        raise DTypeError(
            f"cross_entropy: labels must be integers, not {target.dtype}; use labels.astype(int)"
        )
    same_shape("cross_entropy", logits, target)
    return reduced(-np.sum(target * log_probs, axis=axis), reduction)


def binary_cross_entropy(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """-(y log p + (1 - y) log(1 - p)) of probabilities p; inf where p contradicts y."""
    target = floating_targets("binary_cross_entropy", input, target)
    return reduced(-(xlogy(target, input) + xlogy(1 - target, 1 - input)), reduction)


def binary_cross_entropy_with_logits(
    input: Array, target: Array, *, reduction: Reduction = "mean"
) -> Array:
    """`binary_cross_entropy(sigmoid(z), y)` as y softplus(-z) + (1 - y) softplus(z).

    Its gradient is (1 - y) sigmoid(z) - y sigmoid(-z), which keeps both tails, where the usual
    p - y rounds to 0.
    """
    target = floating_targets("binary_cross_entropy_with_logits", input, target)
    return reduced(target * softplus(-input) + (1 - target) * softplus(input), reduction)


def hinge(scores: Array, targets: Array, *, reduction: Reduction = "mean") -> Array:
    """max(0, 1 - y s) for targets y of -1 or 1, of the shape of the scores."""
    same_shape("hinge", scores, targets)
    return reduced(relu(1 - targets * scores), reduction)


def multiclass_hinge(
    scores: Array, labels: Array, *, margin: float = 1.0, reduction: Reduction = "mean"
) -> Array:
    """Sum over the wrong classes of max(0, s_j - s_label + margin): scores (n, classes) or
    (classes,), integer labels (n,) or ().

    Source: Weston and Watkins, "Multi-class Support Vector Machines", 1998.
    """
    axis = class_axis(scores)
    right = np.expand_dims(at_labels("multiclass_hinge", scores, labels), axis)
    violation = relu(scores - right + margin)
    wrong = ~is_label(labels, scores.shape[axis], axis)
    return reduced(np.sum(np.where(wrong, violation, 0), axis=axis), reduction)


def _smoothed(logits: Array, target: Array, smoothing: float) -> Array:
    """Probabilities mixed with the uniform distribution, in the dtype of the logits."""
    axis = class_axis(logits)
    classes = logits.shape[axis]
    if target.dtype.kind in "iu":
        target = is_label(target, classes, axis).astype(logits.dtype)
    return target * (1 - smoothing) + smoothing / classes
