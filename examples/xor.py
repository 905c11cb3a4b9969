"""Learn exclusive or: the smallest network that needs its hidden layer, 2-8-1.

python examples/xor.py
"""

from typing import Any

import numpy as np
import tapeless as tl

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
Y = np.array([[0], [1], [1], [0]], np.float64)


def logits(p: Any, x: Any) -> Any:
    return np.tanh(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]


def loss_fn(p: Any, x: Any, y: Any) -> Any:
    return tl.nn.binary_cross_entropy_with_logits(logits(p, x), y)


@tl.compile
def step(p: Any, x: Any, y: Any, lr: Any) -> Any:
    loss, g = tl.value_and_grad(loss_fn)(p, x, y)
    for k in p:
        p[k] -= lr * g[k]
    return loss


def example_args() -> tuple[Any, ...]:
    """First parameters, the four cases, and a learning rate."""
    rng = np.random.default_rng(0)
    p = {"W1": rng.standard_normal((2, 8)), "b1": np.zeros(8)}
    p |= {"W2": rng.standard_normal((8, 1)), "b2": np.zeros(1)}
    return p, X, Y, 0.5


def main() -> None:
    args = example_args()
    for i in range(1001):
        loss = step(*args)
        if i % 200 == 0:
            print(f"step {i:4}  loss {float(loss):.4f}")
    p = args[0]
    for x, chance in zip(X, 1 / (1 + np.exp(-logits(p, X)[:, 0])), strict=True):
        print(f"{x[0]:.0f} xor {x[1]:.0f} = {chance:.3f}")


if __name__ == "__main__":
    main()
