"""Losses over classes. The class axis is 1, or 0 for a single sample; the mean is over samples."""

from __future__ import annotations

import numpy as np

from ...ir.errors import DTypeError, ShapeError
from ._shared import Array, Reduction, class_axis, is_label, reduced, same_shape
from .activations import log_softmax
from .piecewise import relu


def nll_loss(
    log_probs: Array,
    labels: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
) -> Array:
    """-log_probs at the integer labels: (classes,) with (), or (n, classes, ...) with (n, ...).

    `weight` (classes,) multiplies the samples of each class, and "mean" divides by the sum of
    these weights. Samples labelled `ignore_index` count as 0, in that sum too; no label is ignored
    by default (torch's default, -100, must be asked for). ShapeError if the shapes do not fit,
    DTypeError for labels that are no integers, BoundsError (IndexError eagerly) for a label out of
    range.
    """
    return _by_label("nll_loss", log_probs, labels, weight, ignore_index, 0.0, reduction)


def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Softmax cross-entropy of logits of shape (classes,) or (n, classes, ...).

    `target` holds integer labels of shape () or (n, ...), or probabilities of the shape of the
    logits. `label_smoothing` mixes them with the uniform distribution. With labels, `weight` and
    `ignore_index` are those of `nll_loss`; with probabilities the weights multiply the terms of
    the classes, "mean" divides by the number of samples, and there is nothing to ignore
    (ValueError). ShapeError if the shapes do not fit, BoundsError (IndexError eagerly) for a label
    out of range.
    """
    axis = class_axis(logits)
    log_probs = log_softmax(logits, axis=axis)
    if target.dtype.kind in "iu":
        return _by_label(
            "cross_entropy", log_probs, target, weight, ignore_index, label_smoothing, reduction
        )
    _check_probabilities(logits, target, ignore_index)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / logits.shape[axis]
    terms = _weighted(target * log_probs, weight, axis)
    return reduced(-np.sum(terms, axis=axis), reduction)


def multiclass_hinge(
    scores: Array, labels: Array, *, margin: float = 1.0, reduction: Reduction = "mean"
) -> Array:
    """Sum over the wrong classes of max(0, s_j - s_label + margin): scores (n, classes) or
    (classes,), integer labels (n,) or ().

    Source: Weston and Watkins, "Multi-class Support Vector Machines", 1998.
    """
    axis = class_axis(scores)
    right = np.expand_dims(_at_labels("multiclass_hinge", scores, labels), axis)
    violation = relu(scores - right + margin)
    wrong = ~is_label(labels, scores.shape[axis], axis)
    return reduced(np.sum(np.where(wrong, violation, 0), axis=axis), reduction)


def _by_label(
    name: str,
    log_probs: Array,
    labels: Array,
    weight: Array | None,
    ignore_index: int | None,
    smoothing: float,
    reduction: Reduction,
) -> Array:
    """-w[y] log p[y], mixed with the mean of -w log p over the classes; see `nll_loss`."""
    kept = None if ignore_index is None else labels != ignore_index
    labels = labels if kept is None else np.where(kept, labels, 0)
    losses = -_at_labels(name, log_probs, labels)
    axis = class_axis(log_probs)
    terms = _weighted(log_probs, weight, axis)
    weights = None if weight is None else weight[labels]
    losses = losses if weights is None else losses * weights
    if smoothing:
        losses = (1 - smoothing) * losses - smoothing * np.mean(terms, axis=axis)
    if kept is not None:
        losses = np.where(kept, losses, 0)
        weights = np.where(kept, np.ones_like(losses) if weights is None else weights, 0)
    if reduction == "mean" and weights is not None:
        return np.sum(losses) / np.sum(weights)
    return reduced(losses, reduction)


def _weighted(terms: Array, weight: Array | None, axis: int) -> Array:
    """The terms of each class times its weight."""
    if weight is None:
        return terms
    if np.shape(weight) != (terms.shape[axis],):
        raise ShapeError(
            f"weight {np.shape(weight)} must hold one number per class: ({terms.shape[axis]},)"
        )
    return terms * np.reshape(weight, (-1,) + (1,) * (terms.ndim - axis - 1))


def _check_probabilities(logits: Array, target: Array, ignore_index: int | None) -> None:
    axis = class_axis(logits)
    if np.shape(target) == logits.shape[:axis] + logits.shape[axis + 1 :]:
        raise DTypeError(
            f"cross_entropy: labels must be integers, not {target.dtype}; use labels.astype(int)"
        )
    same_shape("cross_entropy", logits, target)
    if ignore_index is not None:
        raise ValueError("cross_entropy: ignore_index needs integer labels, not probabilities")


def _at_labels(name: str, scores: Array, labels: Array) -> Array:
    """scores[n, labels[n, ...], ...], of the shape of the labels."""
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"{name}: labels must be integers, not {labels.dtype}")
    axis = class_axis(scores)
    if scores.shape[:axis] + scores.shape[axis + 1 :] != labels.shape:
        raise ShapeError(f"{name}: labels {labels.shape} do not fit scores {scores.shape}")
    if scores.ndim <= 1:
        return scores[labels]
    grid = [
        np.reshape(np.arange(n), (n,) + (1,) * (labels.ndim - k - 1))
        for k, n in enumerate(labels.shape)
    ]
    return scores[(grid[0], labels, *grid[1:])]
