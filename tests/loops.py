"""Convolution and pooling as explicit loops: the references of their tests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

Pair = tuple[int, int]
Ints = tuple[int, ...]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def count(n: int, size: int, stride: int, padding: int, dilation: int) -> int:
    return (n + 2 * padding - (size - 1) * dilation - 1) // stride + 1


def taps(
    x: Ints, w: Ints, stride: Pair, padding: Pair, dilation: Pair, groups: int = 1
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Every product of a convolution, as places in the result, the input and the weight."""
    rows, columns = (count(x[2 + k], w[2 + k], stride[k], padding[k], dilation[k]) for k in (0, 1))
    for n, o, h, v in product(range(x[0]), range(w[0]), range(rows), range(columns)):
        for c, i, j in product(*map(range, w[1:])):
            r = h * stride[0] - padding[0] + i * dilation[0]
            s = v * stride[1] - padding[1] + j * dilation[1]
            if 0 <= r < x[2] and 0 <= s < x[3]:
                channel = o // (w[0] // groups) * w[1] + c
                yield (n, o, h, v), (n, channel, r, s), (o, c, i, j)


def convolved(
    x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int = 1
) -> np.ndarray:
    """conv2d without a bias."""
    spots = (
        count(x.shape[2 + k], w.shape[2 + k], stride[k], padding[k], dilation[k]) for k in (0, 1)
    )
    y = np.zeros((len(x), len(w), *spots))
    for out, at, tap in taps(x.shape, w.shape, stride, padding, dilation, groups):
        y[out] += x[at] * w[tap]
    return y


def convolution_gradients(
    g: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """What a cotangent `g` of conv2d is for the input and for the weight."""
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for out, at, tap in taps(x.shape, w.shape, stride, padding, dilation, groups):
        gx[at] += g[out] * w[tap]
        gw[tap] += g[out] * x[at]
    return gx, gw


def pooling_windows(
    x: Ints, size: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
) -> Iterator[tuple[Ints, list[Ints]]]:
    """For each place in the result the places in the input, without padding, row by row."""
    spots = [count(x[2 + k], size[k], stride[k], padding[k], dilation[k]) for k in (0, 1)]
    for n, c, h, v in product(*map(range, (*x[:2], *spots))):
        rows = [h * stride[0] - padding[0] + i * dilation[0] for i in range(size[0])]
        columns = [v * stride[1] - padding[1] + j * dilation[1] for j in range(size[1])]
        inside = product(
            *(
                [r for r in line if 0 <= r < m]
                for line, m in zip((rows, columns), x[2:], strict=True)
            )
        )
        yield (n, c, h, v), [(n, c, r, s) for r, s in inside]


def pooled(
    kind: str,
    x: np.ndarray,
    g: np.ndarray | None,
    size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = (1, 1),
) -> tuple[np.ndarray, np.ndarray]:
    """max_pool2d or avg_pool2d, and the gradient of sum(g * result) (g None: of its sum)."""
    spots = [count(x.shape[2 + k], size[k], stride[k], padding[k], dilation[k]) for k in (0, 1)]
    y, gx = np.zeros((*x.shape[:2], *spots)), np.zeros(x.shape)
    for out, places in pooling_windows(x.shape, size, stride, padding, dilation):
        up = 1.0 if g is None else g[out]
        if kind == "max":
            best = places[int(np.argmax([x[p] for p in places]))]
            y[out] = x[best]
            gx[best] += up
            continue
        for place in places:
            y[out] += x[place] / (size[0] * size[1])
            gx[place] += up / (size[0] * size[1])
    return y, gx
