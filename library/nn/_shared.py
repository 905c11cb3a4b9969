"""What the functions of `tl.nn` share: types, reductions, checks of shapes and labels."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from ...ir.errors import ShapeError

Array: TypeAlias = Any
"""A NumPy array or, inside a trace, what stands for one."""
Reduction: TypeAlias = Literal["mean", "sum", "none"]


def reduced(loss: Array, reduction: Reduction) -> Array:
    match reduction:
        case "mean":
            return np.mean(loss)
        case "sum":
            return np.sum(loss)
        case "none":
            return loss
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")


def same_shape(name: str, input: Array, target: Array) -> None:
    """Losses do not broadcast: (n, 1) against (n,) is a mistake that would go unnoticed."""
    if np.shape(input) != np.shape(target):
        raise ShapeError(f"{name}: shapes {np.shape(input)} and {np.shape(target)} differ")


def class_axis(scores: Array) -> int:
    if scores.ndim == 0:
        raise ShapeError("scores need a class axis: (classes,) or (n, classes, ...)")
    return 1 if scores.ndim > 1 else 0


def is_label(labels: Array, classes: int, axis: int) -> Array:
    """Boolean: whether the label is the class counted along the new `axis`."""
    rank = labels.ndim + 1
    counted = [classes if k == axis % rank else 1 for k in range(rank)]
    return np.expand_dims(labels, axis) == np.reshape(np.arange(classes), counted)
