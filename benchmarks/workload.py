"""What a benchmark is: one training problem, and the same training loop for every peer.

A peer gives a `Loop`: `loop(n)` runs n training steps, rotating among the batches, waits until the
last one is really finished, and returns its loss. Parameters live on from call to call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Params: TypeAlias = dict[str, Array]
Batches: TypeAlias = list[tuple[Array, Array]]
Loop: TypeAlias = Callable[[int], float]
MakeLoop: TypeAlias = Callable[[Params, Batches, float, int], Loop]

BATCHES = 8  # fresh data each step: no peer may profit from a batch that stays in the cache


@dataclass(frozen=True)
class Workload:
    """`peers` maps a peer's name to `make(params, batches, learning_rate, threads) -> Loop`."""

    name: str
    what: str
    learning_rate: float
    params: Callable[[np.random.Generator], Params]
    batch: Callable[[np.random.Generator], tuple[Array, Array]]
    peers: Mapping[str, MakeLoop]

    def loop(self, peer: str, threads: int) -> Loop:
        """The peer's training loop, from the same first parameters and data as every other's."""
        rng = np.random.default_rng(0)
        params = self.params(rng)
        batches = [self.batch(rng) for _ in range(BATCHES)]
        return self.peers[peer](params, batches, self.learning_rate, threads)


def dense_params(rng: np.random.Generator, sizes: tuple[int, ...]) -> Params:
    """He-initialised float32 `W1, b1, W2, b2, ...` for layers of the given sizes."""
    params: Params = {}
    for i, (n, m) in enumerate(pairwise(sizes), start=1):
        params[f"W{i}"] = (rng.standard_normal((n, m)) * np.sqrt(2 / n)).astype(np.float32)
        params[f"b{i}"] = np.zeros(m, np.float32)
    return params
