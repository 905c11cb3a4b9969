"""Attention."""

from __future__ import annotations

import math

import numpy as np

from ...ir.errors import DTypeError, ShapeError
from ..random import Key
from ._shared import Array
from .activations import softmax
from .stochastic import dropout


def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    dropout_key: Key | None = None,
) -> Array:
    """softmax(query @ key.T * scale + mask) @ value, with scale = 1 / sqrt(d) by default.

    query (..., l, d), key (..., s, d), value (..., s, v), result (..., l, v). `attn_mask`
    broadcasts to (..., l, s): Boolean, True where a key takes part, or floating, added to the
    scores (-inf leaves a key out). is_causal lets row i see the keys up to i; it excludes a mask
    (ValueError). A row that sees no key gives zeros, with derivative 0, as in torch. dropout_p
    above 0 drops weights, drawn from `dropout_key` (see `dropout`).

    ShapeError if the shapes do not fit, DTypeError for a mask of integers.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
    """
    _check(query, key, value)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * scale) @ np.swapaxes(key, -1, -2)
    if is_causal:
        if attn_mask is not None:
            raise ValueError("scaled_dot_product_attention: is_causal excludes attn_mask")
        rows, columns = scores.shape[-2:]
        attn_mask = np.tril(np.ones((rows, columns), bool))
    weights = softmax(scores) if attn_mask is None else _masked_softmax(scores, attn_mask)
    return dropout(weights, dropout_p, key=dropout_key) @ value


def _masked_softmax(scores: Array, mask: Array) -> Array:
    """softmax along the last axis of what the mask leaves; zeros where it leaves nothing."""
    kind = mask.dtype.kind
    if kind not in "bf":
        raise DTypeError(f"attn_mask must be Boolean or floating, not {mask.dtype}")
    scores = np.where(mask, scores, -np.inf) if kind == "b" else scores + mask
    highest = np.max(scores, axis=-1, keepdims=True)
    e = np.exp(scores - np.where(highest == -np.inf, 0, highest))
    total = np.sum(e, axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _check(query: Array, key: Array, value: Array) -> None:
    q, k, v = np.shape(query), np.shape(key), np.shape(value)
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise ShapeError(
            f"scaled_dot_product_attention: query {q}, key {k}, value {v}"
            " must be (..., l, d), (..., s, d), (..., s, v)"
        )
