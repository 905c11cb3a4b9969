"""Layers over integers."""

from __future__ import annotations

import numpy as np

from ...compiler.primitive import stop_gradient
from ...ir.errors import DTypeError, ShapeError
from ._shared import Array, is_label


def one_hot(labels: Array, num_classes: int) -> Array:
    """i64 array of shape labels.shape + (num_classes,): 1 at the label, else 0."""
    return is_label(labels, num_classes, -1).astype(np.int64)


def embedding(input: Array, weight: Array, padding_idx: int | None = None) -> Array:
    """weight[input]: integers of any shape, weight (words, width), result input.shape + (width,).

    The derivative adds up per row; the row `padding_idx` (negative: from the end) gets none.
    DTypeError for an input that is no integer, ShapeError for a weight that is no matrix,
    ValueError for a padding_idx out of range, BoundsError (IndexError eagerly) for an input out of
    range.
    """
    if input.dtype.kind not in "iu":
        raise DTypeError(f"embedding: the input must be integers, not {input.dtype}")
    if np.ndim(weight) != 2:
        raise ShapeError(f"embedding: weight must be (words, width), not {np.shape(weight)}")
    rows = weight[input]
    if padding_idx is None:
        return rows
    if not -len(weight) <= padding_idx < len(weight):
        raise ValueError(f"embedding: padding_idx {padding_idx} is out of range for {len(weight)}")
    padding = stop_gradient(weight[padding_idx])
    at_padding = np.expand_dims(input == padding_idx % len(weight), -1)
    return np.where(at_padding, padding, rows)
