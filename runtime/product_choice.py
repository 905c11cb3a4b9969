"""Tiles or BLAS: what was measured on this machine, if it was.

    choose(dtype, store)       done by `tapeless doctor --measure`
    kept(dtype, store)         what later processes ask

Without a measurement a fixed model decides (`runtime/routines.py`), so that all processes make the
same bits; a measurement is kept for all, and part of what their routines are found by.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from math import log
from typing import Any, Final

import numpy as np

from ..ir.record import dataclass
from .blas import Blas, find
from .spec import ROUTINES
from .store import Store

ROUNDS, BUDGET = 9, 1e-3

PRODUCTS: Final = (
    (32, 64, 64, 0, 0), (32, 64, 64, 0, 1), (64, 32, 64, 1, 0), (32, 128, 10, 0, 0),
    (32, 784, 128, 0, 0), (784, 32, 128, 1, 0), (128, 200, 256, 0, 1), (64, 100, 300, 0, 0),
    (256, 256, 256, 0, 0), (128, 784, 512, 0, 0), (128, 512, 512, 0, 1), (512, 128, 512, 1, 0),
)  # fmt: skip
"""m, k, n, and whether A and B are stored transposed: classes of about equal work, in order."""

CLASSES: Final = (2**18, 2**23, 2**62)
"""The ends of the classes."""

LEAD: Final = 0.97
"""A class goes to tiles if the mean of BLAS time / tiles time is at least this: the BLAS has its
thread count to be set and restored around each call."""

Call = Callable[[], None]


@dataclass(frozen=True)
class Contest:
    """Microseconds of one product, both on one thread."""

    name: str
    work: int
    blas: float
    tiles: float


def choose(dtype: str, store: Store | None) -> None:
    """Measure it for later processes, if there is a place for it and a BLAS."""
    contests = measure(dtype) if store is not None else []
    if store is not None and contests:
        store.put(store.key("tiled work", dtype), str(best(contests)).encode())


def best(contests: Sequence[Contest]) -> int:
    """The end of the last class up to which tiles win."""
    won = 0
    for end, found in groupby(contests, lambda x: next(end for end in CLASSES if x.work < end)):
        leads = [log(x.blas / x.tiles) for x in found]
        if sum(leads) < len(leads) * log(LEAD):
            break
        won = end
    return won


def measure(dtype: str, products: Sequence[tuple[int, ...]] = PRODUCTS) -> list[Contest]:
    """Race the tiles of this processor against the BLAS; takes about a second. Nothing without a
    BLAS, or on Windows, where tiles were not run. Both are called through ctypes, in turn; the
    figure is the least processor time."""
    library = find()
    if library is None or sys.platform == "win32":
        return []
    from .ahead import host_features, made  # lazily: what was measured is read without
    from .loading import link
    from .products import products_text
    from .vector_text import registers

    symbol = f"tiles_gemm_{dtype}"
    image = made(products_text(registers(host_features()), dtype), "loops")
    linked = link([image], [symbol], {})
    return [_race(dtype, size, library, linked.addresses[symbol]) for size in products]


def _race(dtype: str, size: tuple[int, ...], library: Blas, tiles: int) -> Contest:
    m, k, n, ta, tb = size
    operands = _Operands(dtype, *size)
    calls = (operands.by_blas(library), operands.by_tiles(tiles))
    name = f"{m}x{k}x{n}{' A^T' if ta else ''}{' B^T' if tb else ''}"
    before = library.threads
    try:
        _set_threads(library, 1)
        return Contest(name, m * k * n, *_timed(calls))
    finally:
        _set_threads(library, before or 1)


def _set_threads(library: Blas, count: int) -> None:
    if library.has_threads:
        ctypes.CFUNCTYPE(None, ctypes.c_int)(library.set_threads)(count)


class _Operands:
    """One product C = op(A) op(B)."""

    def __init__(self, dtype: str, m: int, k: int, n: int, ta: int, tb: int) -> None:
        self.double = dtype == "f64"
        kind = np.float64 if self.double else np.float32
        rng = np.random.default_rng(0)
        self.arrays = [rng.random(size, kind) for size in (m * k, k * n, m * n)]
        a, b, c = (array.ctypes.data for array in self.arrays)
        self.flags, self.sizes = (ta, tb), (m, n, k)
        self.rest = (1.0, a, m if ta else k, b, k if tb else n, 0.0, c, n)
        self.number: Any = ctypes.c_double if self.double else ctypes.c_float

    def by_blas(self, library: Blas) -> Call:
        i = ctypes.c_int64 if library.int_bits == 64 else ctypes.c_int32
        kinds = {"e": ctypes.c_int, "i": i, "f": self.number, "p": ctypes.c_void_p}
        layout = [kinds[letter] for letter in "eeeiiifpipifpi"]
        address = library.addresses["dgemm" if self.double else "sgemm"]
        gemm = ctypes.CFUNCTYPE(None, *layout)(address)
        arguments = (101, *(111 + flag for flag in self.flags), *self.sizes, *self.rest)
        return lambda: gemm(*arguments)

    def by_tiles(self, address: int) -> Call:
        kinds: dict[str, Any] = {"i": ctypes.c_int64, "f": self.number, "p": ctypes.c_void_p}
        layout = [kinds[letter] for letter in ROUTINES["gemm"]]
        gemm = ctypes.CFUNCTYPE(None, *layout)(address)
        arguments = (*self.flags, *self.sizes, *self.rest)
        return lambda: gemm(*arguments)


def _timed(calls: Sequence[Call]) -> list[float]:
    """The least microseconds per call of each, over rounds that take turns. Processor time: other
    processes do not matter."""
    least = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for which, call in enumerate(calls):
            repeats, spent, start = 0, 0.0, time.thread_time()
            while spent <= BUDGET:
                for _ in range(4):
                    call()
                repeats += 4
                spent = time.thread_time() - start
            least[which] = min(least[which], 1e6 * spent / repeats)
    return least
