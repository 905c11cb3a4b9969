"""Philox 4x32-10: random bits as a pure function of a key and a counter.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
"""Unsigned 32-bit numbers, held in 64 bits because their products need them."""

ROUNDS: Final = 10
MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
WEYL: Final = (0x9E3779B9, 0xBB67AE85)
"""What is added to the two words of the key between rounds: golden ratio and sqrt(3) - 1."""
LOW: Final = 0xFFFFFFFF
DOMAIN_SHIFT: Final = 30
"""The two top bits of the block number say what the bits are for."""


def philox4x32(counter: Sequence[Words], key: Sequence[Words]) -> list[Words]:
    """Four random words from the four words of a counter and the two of a key; they broadcast."""
    low, half = np.uint64(LOW), np.uint64(32)
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = x0 * np.uint64(MULTIPLIERS[0]), x2 * np.uint64(MULTIPLIERS[1])
        x0, x1, x2, x3 = (p1 >> half) ^ x1 ^ k0, p1 & low, (p0 >> half) ^ x3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(WEYL[0])) & low, (k1 + np.uint64(WEYL[1])) & low
    return [x0, x1, x2, x3]


def random_bits(
    key: NDArray[np.int64], shape: tuple[int, ...], dtype: np.dtype, domain: int
) -> NDArray[np.signedinteger]:
    """Random i32 or i64 of `shape`. The first word of the key is Philox's key, the second the upper
    half of the counter; the lower half is the number of the block, below `domain`. A block gives
    four i32 or two i64."""
    size = int(np.prod(shape, dtype=np.int64))
    blocks = np.arange(-(-size * dtype.itemsize // 16), dtype=np.uint64)
    seed, stream = (_halves(word) for word in np.asarray(key).view(np.uint64))
    lower, upper = _halves(blocks)
    upper = upper | np.uint64(domain << DOMAIN_SHIFT)
    words = philox4x32([lower, upper, *stream], seed)
    little = np.stack(words, axis=-1).astype("<u4")
    flat = np.ascontiguousarray(little).reshape(-1).view(f"<i{dtype.itemsize}")[:size]
    return flat.astype(dtype).reshape(shape)


def _halves(x: Words) -> tuple[Words, Words]:
    """The lower and the upper 32 bits."""
    return x & np.uint64(LOW), x >> np.uint64(32)
