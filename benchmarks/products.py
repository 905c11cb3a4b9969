"""`python -m benchmarks.products [f64]`: register tiles beside the BLAS, product by product.

Both are called through ctypes (a third of a microsecond each) on one thread, in turn; the figure is
the least processor time of the rounds, so that other processes do not matter.
"""

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tapeless.runtime import blas, link, loading, products, vector_text
from tapeless.runtime.kernel import ROUTINES

ROUNDS, BUDGET = 25, 2e-4
PRODUCTS = (
    (32, 784, 128, 0, 0), (784, 32, 128, 1, 0), (128, 784, 512, 0, 0), (128, 512, 512, 0, 1),
    (512, 128, 512, 1, 0), (32, 64, 64, 0, 0), (32, 64, 64, 0, 1), (64, 32, 64, 1, 0),
    (32, 128, 10, 0, 0), (128, 512, 10, 0, 0), (128, 32, 10, 1, 0), (3072, 128, 10, 1, 0),
    (32, 10, 128, 0, 1), (128, 256, 32, 0, 0), (8, 25, 576, 0, 0), (8, 576, 25, 0, 1),
    (16, 200, 64, 0, 0), (200, 16, 64, 1, 0), (32, 64, 17, 0, 0), (64, 64, 100, 0, 0),
    (5, 64, 64, 0, 0), (2, 784, 128, 0, 0), (20, 20, 20, 0, 0), (512, 512, 512, 0, 0),
)  # fmt: skip
"""m, k, n, and whether A and B are stored transposed."""

Call = Callable[[], None]


def main() -> None:
    dtype = "f64" if "f64" in sys.argv else "f32"
    found = blas.find()
    if found is None:
        raise SystemExit("no BLAS to compare with")
    if found.set_threads:
        ctypes.CFUNCTYPE(None, ctypes.c_int)(found.set_threads)(1)
    machine = vector_text.registers(link.host_features())
    image = loading.assemble(products.products_text(machine, dtype), None)
    symbol = f"tiles_gemm_{dtype}"
    linked = loading.link([image], [symbol], {})
    print("m x k x n           BLAS us  tiles us  GFLOP/s  ratio")
    for m, k, n, ta, tb in PRODUCTS:
        operands = Operands(dtype, m, k, n, ta, tb)
        theirs, ours = timed(operands.by_blas(found), operands.by_tiles(linked.addresses[symbol]))
        name = f"{m}x{k}x{n}{' A^T' if ta else ''}{' B^T' if tb else ''}"
        speed = 2e-3 * m * k * n / ours
        print(f"{name:18} {theirs:8.2f}  {ours:8.2f}  {speed:7.1f}  {theirs / ours:5.2f}")


class Operands:
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

    def by_blas(self, found: blas.Blas) -> Call:
        i = ctypes.c_int64 if found.int_bits == 64 else ctypes.c_int32
        kinds = {"e": ctypes.c_int, "i": i, "f": self.number, "p": ctypes.c_void_p}
        layout = [kinds[letter] for letter in "eeeiiifpipifpi"]
        address = found.addresses["dgemm" if self.double else "sgemm"]
        gemm = ctypes.CFUNCTYPE(None, *layout)(address)
        arguments = (101, *(111 + flag for flag in self.flags), *self.sizes, *self.rest)
        return lambda: gemm(*arguments)

    def by_tiles(self, address: int) -> Call:
        kinds: dict[str, Any] = {"i": ctypes.c_int64, "f": self.number, "p": ctypes.c_void_p}
        layout = [kinds[letter] for letter in ROUTINES["gemm"]]
        gemm = ctypes.CFUNCTYPE(None, *layout)(address)
        arguments = (*self.flags, *self.sizes, *self.rest)
        return lambda: gemm(*arguments)


def timed(*calls: Call) -> list[float]:
    """The least microseconds per call of each, over rounds that take turns."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for which, call in enumerate(calls):
            repeats, start = 0, time.thread_time()
            while (spent := time.thread_time() - start) < BUDGET:
                for _ in range(4):
                    call()
                repeats += 4
            best[which] = min(best[which], 1e6 * spent / repeats)
    return best


if __name__ == "__main__":
    main()
