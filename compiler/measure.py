"""Measure what this machine can do at best, for `Program.profile` to compare with.

Products are NumPy's, so their peak is that of its BLAS; the bandwidth is that of a compiled triad
a = b + 3 c, at a size for each level of the memory hierarchy.
"""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np

from .api import compile as compile_step
from .peaks import Peaks

PRODUCT: Final = 1536
"""Rows and columns of the product: large enough that packing and thread starts do not count."""
LEVELS: Final = tuple(2**k for k in range(14, 29, 2))
"""Bytes that a triad touches: 16 KiB (first-level cache) to 256 MiB (memory)."""
LEAST_SECONDS: Final = 0.3
LEAST_ROUNDS: Final = 3


def measure() -> Peaks:
    """The peaks of this machine; takes a few seconds."""
    flops = {"f32": _product(np.float32), "f64": _product(np.float64)}
    return Peaks(flops, tuple((size, _triad(size)) for size in LEVELS))


def _product(dtype: type[np.floating[Any]]) -> float:
    """Floating-point operations per second, of the best of the rounds."""
    a = np.ones((PRODUCT, PRODUCT), dtype)
    out = a @ a
    times: list[float] = []
    while len(times) < LEAST_ROUNDS or sum(times) < LEAST_SECONDS:
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        times.append(time.perf_counter() - start)
    return 2 * PRODUCT**3 / min(times)


def _triad(size: int) -> float:
    """Bytes per second, timed inside the native step."""
    arrays = [np.ones(size // 12, np.float32) for _ in range(3)]
    report = compile_step(_step).lower(*arrays).profile(*arrays, seconds=0.1)
    return sum(row.nbytes for row in report.rows) / report.seconds


def _step(a: Any, b: Any, c: Any) -> None:
    a[...] = b + np.float32(3) * c
