"""`python -m benchmarks.products [f64]`: register tiles beside the BLAS, product by product.

Both are called through ctypes (a third of a microsecond each) on one thread, in turn; the figure is
the least processor time of the rounds, so that other processes do not matter.
"""

import sys

from tapeless.runtime import product_choice

PRODUCTS = (
    (32, 784, 128, 0, 0), (784, 32, 128, 1, 0), (128, 784, 512, 0, 0), (128, 512, 512, 0, 1),
    (512, 128, 512, 1, 0), (32, 64, 64, 0, 0), (32, 64, 64, 0, 1), (64, 32, 64, 1, 0),
    (32, 128, 10, 0, 0), (128, 512, 10, 0, 0), (128, 32, 10, 1, 0), (3072, 128, 10, 1, 0),
    (32, 10, 128, 0, 1), (128, 256, 32, 0, 0), (8, 25, 576, 0, 0), (8, 576, 25, 0, 1),
    (16, 200, 64, 0, 0), (200, 16, 64, 1, 0), (32, 64, 17, 0, 0), (64, 64, 100, 0, 0),
    (5, 64, 64, 0, 0), (2, 784, 128, 0, 0), (20, 20, 20, 0, 0), (512, 512, 512, 0, 0),
)  # fmt: skip
"""m, k, n, and whether A and B are stored transposed."""


def main() -> None:
    contests = product_choice.measure("f64" if "f64" in sys.argv else "f32", PRODUCTS)
    if not contests:
        raise SystemExit("no BLAS to compare with")
    print("m x k x n           BLAS us  tiles us  GFLOP/s  ratio")
    for x in contests:
        speed = 2e-3 * x.work / x.tiles
        print(f"{x.name:18} {x.blas:8.2f}  {x.tiles:8.2f}  {speed:7.1f}  {x.blas / x.tiles:5.2f}")


if __name__ == "__main__":
    main()
