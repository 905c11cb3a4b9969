"""`python -m benchmarks.products`: register tiles beside the BLAS, product by product in f32.

Both are called through ctypes (a third of a microsecond each) on one thread, in turn, over four
sets of operands; the figure is the least of the rounds. `chosen` says whether a compiled step uses
the tiles for this product.
"""

import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tapeless.runtime import blas, link, tiles
from tapeless.runtime.kernel import ROUTINES

ROUNDS, BUDGET = 25, 2e-4
PRODUCTS = (
    (32, 784, 128, 0, 0), (784, 32, 128, 1, 0), (16, 256, 512, 0, 0), (128, 128, 64, 0, 0),
    (256, 32, 784, 0, 0), (32, 128, 64, 0, 0), (64, 64, 64, 0, 0), (64, 64, 64, 0, 1),
    (64, 64, 33, 0, 1), (128, 96, 32, 0, 1), (32, 128, 10, 0, 0),
)  # fmt: skip
"""m, k, n, and whether A and B are stored transposed."""

Call = Callable[[int], None]


def main() -> None:
    found = blas.find()
    if found is None:
        raise SystemExit("no BLAS to compare with")
    if found.set_threads:
        ctypes.CFUNCTYPE(None, ctypes.c_int)(found.set_threads)(1)
    image = link.assemble(tiles.tiles_text(tiles.MEASURED, "f32"), None)
    linked = link.link([image], ["tiles_gemm_f32", "tiles_chosen_f32"], {})
    choose = ctypes.CFUNCTYPE(ctypes.c_bool, *[ctypes.c_int64] * 5)(
        linked.addresses["tiles_chosen_f32"]
    )
    print("m x k x n       BLAS us  tiles us  ratio  chosen")
    for m, k, n, ta, tb in PRODUCTS:
        theirs, ours = race(m, k, n, ta, tb, found, linked.addresses["tiles_gemm_f32"])
        name = f"{m}x{k}x{n}{' A^T' if ta else ''}{' B^T' if tb else ''}"
        chosen = "yes" if choose(ta, tb, m, n, k) else "no"
        print(f"{name:15} {theirs:7.2f}  {ours:8.2f}  {theirs / ours:5.2f}  {chosen}")


def race(
    m: int, k: int, n: int, ta: int, tb: int, found: blas.Blas, address: int
) -> tuple[float, float]:
    """Microseconds of the BLAS and of the tiles for one product."""
    rng = np.random.default_rng(0)
    sets = [
        tuple(rng.random(shape, np.float32) for shape in ((m, k), (k, n), (m, n))) for _ in range(4)
    ]
    lda, ldb = m if ta else k, k if tb else n
    number = ctypes.c_int64 if found.int_bits == 64 else ctypes.c_int32
    orders = [ctypes.c_int] * 3
    kinds: list[Any] = [*orders, *[number] * 3, ctypes.c_float, *[ctypes.c_void_p, number] * 2]
    sgemm = ctypes.CFUNCTYPE(None, *kinds, ctypes.c_float, ctypes.c_void_p, number)(
        found.addresses["sgemm"]
    )
    table: dict[str, Any] = {"i": ctypes.c_int64, "f": ctypes.c_float, "p": ctypes.c_void_p}
    gemm = ctypes.CFUNCTYPE(None, *[table[letter] for letter in ROUTINES["gemm"]])(address)

    def by_blas(which: int) -> None:
        a, b, c = (x.ctypes.data for x in sets[which])
        sgemm(101, 111 + ta, 111 + tb, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, n)

    def by_tiles(which: int) -> None:
        a, b, c = (x.ctypes.data for x in sets[which])
        gemm(ta, tb, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, n)

    return timed(by_blas, by_tiles)


def timed(*calls: Call) -> tuple[float, float]:
    """The least microseconds per call of each, over rounds that take turns."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for which, call in enumerate(calls):
            repeats, start = 0, time.perf_counter()
            while (spent := time.perf_counter() - start) < BUDGET:
                for operands in range(4):
                    call(operands)
                repeats += 4
            best[which] = min(best[which], 1e6 * spent / repeats)
    return best[0], best[1]


if __name__ == "__main__":
    main()
