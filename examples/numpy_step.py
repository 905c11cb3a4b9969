"""Backpropagation written out by hand in NumPy, compiled unchanged: no autodiff anywhere.

python examples/numpy_step.py

    step    0  loss 0.749204  NumPy 0.749204
    step  500  loss 0.098008  NumPy 0.098008
    step 1000  loss 0.038532  NumPy 0.038532
    step 1500  loss 0.016206  NumPy 0.016206
    step 2000  loss 0.007782  NumPy 0.007782
    largest difference between the parameters: 2.2e-15
"""

from typing import Any

import numpy as np
import tapeless as tl


def numpy_step(W1: Any, b1: Any, W2: Any, b2: Any, x: Any, y: Any, lr: float) -> Any:
    """One step of gradient descent on the mean squared error of a 1-32-1 network."""
    h = np.tanh(x @ W1 + b1)
    error = h @ W2 + b2 - y
    loss = np.mean(error**2)
    dz2 = 2 * error / error.size
    dz1 = (dz2 @ W2.T) * (1 - h**2)
    W2 -= lr * (h.T @ dz2)
    b2 -= lr * dz2.sum(axis=0)
    W1 -= lr * (x.T @ dz1)
    b1 -= lr * dz1.sum(axis=0)
    return loss


step = tl.compile(numpy_step)


def example_args() -> tuple[Any, ...]:
    """Parameters, then 64 points of a sine, and a learning rate."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 5, 64)[:, None]
    W1, W2 = rng.standard_normal((1, 32)), rng.standard_normal((32, 1)) / 6
    return W1, np.zeros(32), W2, np.zeros(1), x, np.sin(x), 0.05


def main() -> None:
    by_numpy, by_tapeless = example_args(), example_args()
    for i in range(2001):
        expected, loss = numpy_step(*by_numpy), step(*by_tapeless)
        if i % 500 == 0:
            print(f"step {i:4}  loss {float(loss):.6f}  NumPy {float(expected):.6f}")
    worst = max(
        float(np.max(np.abs(a - b))) for a, b in zip(by_numpy[:4], by_tapeless[:4], strict=True)
    )
    print(f"largest difference between the parameters: {worst:.1e}")


if __name__ == "__main__":
    main()
