"""Steps of convolutions in small geometries, and the ways in which they may be cut."""

from __future__ import annotations

import numpy as np
import tapeless as tl

GEOMETRIES = {
    "plain": ((3, 2, 7, 6), (4, 2, 3, 2), {}),
    "stride, padding": ((3, 2, 7, 6), (4, 2, 3, 2), {"stride": (2, 1), "padding": (1, 2)}),
    "dilation": ((2, 3, 8, 9), (2, 3, 3, 2), {"stride": (1, 2), "dilation": (2, 3)}),
    "groups": ((3, 4, 5, 5), (6, 2, 2, 3), {"groups": 2}),
    "one image, one channel": ((1, 1, 6, 5), (3, 1, 2, 2), {}),
    "one image, groups": ((1, 4, 6, 5), (6, 2, 2, 3), {"groups": 2}),
    "one row of positions": ((4, 2, 3, 6), (3, 2, 3, 3), {}),
}
TILINGS = {
    "whole images": {"FEWEST": 1, "LONG": 1},
    "several images": {"FEWEST": 30, "LONG": 70},
    "strips": {"CACHE": 1, "FEWEST": 9},
    "chunks": {"FEWEST": 1, "LONG": 1, "PER_NANOSECOND": 1e-6},
    "strips, chunks of 2": {"CACHE": 1, "FEWEST": 9, "PER_NANOSECOND": 1e-6, "MOST_CHUNKS": 2},
}


def planned(shape, weight, options, dtype):
    """The step y = conv(x, k), then k -= lr gk, and what it was made of."""
    rng = np.random.default_rng(0)
    x, k = (rng.standard_normal(s).astype(dtype) for s in (shape, weight))

    def loss(k, x):
        return np.sum(np.sin(tl.nn.conv2d(x, k, **options)))

    @tl.compile
    def step(k, x, lr):
        value, (gk, gx) = tl.value_and_grad(loss, argnums=(0, 1))(k, x)
        k -= lr * gk
        return value, gx

    return step.lower(k, x, 0.1).graph("fused")
