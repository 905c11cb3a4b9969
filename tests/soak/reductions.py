"""Sums, means, variances and products of very many f32 numbers, against f64.

All numbers are positive, so the exact value is a measure of the error. A plain running sum in f32
stalls at 2^24 times its terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tapeless as tl

LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "C": lambda x: x,
    "F": np.asfortranarray,
    "strided": lambda x: x[::2, ::-1],
}


@tl.compile
def totals(x: Any) -> Any:
    return np.sum(x), np.mean(x), np.var(x), x @ x, np.sum(x * x)


@tl.compile
def by_axis(x: Any) -> Any:
    return (
        np.sum(x, axis=0), np.mean(x, axis=0), np.var(x, axis=0), np.sum(x, axis=1),
        np.mean(x, axis=1), np.var(x, axis=1), np.sum(x), np.mean(x), np.var(x),
    )  # fmt: skip


@tl.compile
def contracted(x: Any, w: Any) -> Any:
    return np.ones(len(x), x.dtype) @ x, w @ x, x.T @ w


def numbers(count: int) -> Any:
    """So many positive f32 numbers."""
    return np.random.default_rng(0).random(count, np.float32) + np.float32(0.1)


def errors_of_totals(x: Any) -> Iterator[float]:
    exact = x.astype(np.float64)
    square = exact @ exact
    yield from _errors(totals(x), (exact.sum(), exact.mean(), exact.var(), square, square))


def errors_by_axis(x: Any, layout: str) -> Iterator[float]:
    """Of a table with ten columns in a layout, along both axes and all."""
    table = LAYOUTS[layout](x.reshape(-1, 10))
    exact = table.astype(np.float64)
    expected = [f(exact, axis=a) for a in (0, 1, None) for f in (np.sum, np.mean, np.var)]
    yield from _errors(by_axis(table), expected)


def errors_of_contractions(x: Any) -> Iterator[float]:
    table, w = x.reshape(-1, 10), x[: len(x) // 10]
    exact = table.astype(np.float64)
    product = w.astype(np.float64) @ exact
    yield from _errors(contracted(table, w), (exact.sum(0), product, product))


def _errors(found: Any, expected: Any) -> Iterator[float]:
    for f, e in zip(found, expected, strict=True):
        assert f.dtype == np.float32
        yield float(np.max(np.abs(f - e) / e))
