"""Least squares two ways: the closed form, and gradient descent; both compiled.

python examples/least_squares.py

    step   0  error 1025.742413  from the closed form 3.0e+00
    step  20  error    0.520568  from the closed form 3.5e-04
    step  40  error    0.520562  from the closed form 9.7e-08
    step  60  error    0.520562  from the closed form 2.6e-11
    closed form  [ 1.0147 -1.9948  0.5118 -0.0006  3.0097]
    descent      [ 1.0147 -1.9948  0.5118 -0.0006  3.0097]
"""

from typing import Any

import numpy as np
import tapeless as tl


def error(x: Any, A: Any, y: Any) -> Any:
    return np.sum((A @ x - y) ** 2)


@tl.compile
def closed_form(A: Any, y: Any) -> Any:
    """x = (A^T A)^-1 A^T y, where the gradient 2 A^T (A x - y) is 0."""
    return np.linalg.solve(A.T @ A, A.T @ y)


@tl.compile
def step(x: Any, A: Any, y: Any, rate: Any) -> Any:
    """x <- x - rate * 2 A^T (A x - y); the gradient's norm."""
    g = tl.grad(error)(x, A, y)
    x -= rate * g
    return np.linalg.norm(g)


def example_args() -> tuple[Any, ...]:
    """A start at 0, 60 equations for 5 unknowns with noise, and a rate that converges."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((60, 5))
    y = A @ np.array([1.0, -2, 0.5, 0, 3]) + 0.1 * rng.standard_normal(60)
    return np.zeros(5), A, y, 1 / np.linalg.norm(A, 2) ** 2 / 2


def main() -> None:
    x, A, y, rate = example_args()
    exact = closed_form(A, y)
    for k in range(61):
        if k % 20 == 0:
            apart = np.abs(x - exact).max()
            print(f"step {k:3}  error {error(x, A, y):11.6f}  from the closed form {apart:.1e}")
        step(x, A, y, rate)
    print("closed form ", np.array2string(exact, precision=4, suppress_small=True))
    print("descent     ", np.array2string(x, precision=4, suppress_small=True))


if __name__ == "__main__":
    main()
