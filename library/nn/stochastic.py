"""Layers that draw random numbers, from a key the caller gives (see `tl.random`)."""

from __future__ import annotations

import numpy as np

from .. import random
from ._shared import Array


def dropout(
    input: Array, p: float = 0.5, training: bool = True, *, key: random.Key | None = None
) -> Array:
    """In training, each element 0 with probability p, else divided by 1 - p; else the input.

    `key` is used for this draw only: split it, or fold in a number, for every layer and step. No
    key is needed where nothing is drawn (p = 0, p = 1). ValueError for a p outside [0, 1], or
    without a key.

    Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
    JMLR 15, 2014; scaled in training, so that nothing is left to do afterwards.
    """
    number = isinstance(p, (int, float))
    if number and not 0 <= p <= 1:
        raise ValueError(f"dropout: p must lie between 0 and 1, it is {p}")
    if not training or (number and p == 0):
        return input
    if number and p == 1:
        return np.zeros_like(input)
    if key is None:
        raise ValueError("dropout in training needs a key: nn.dropout(x, p, key=tl.random.key(0))")
    keep = random.bernoulli(key, 1 - p, np.shape(input))
    return np.where(keep, input / (1 - p), 0)
