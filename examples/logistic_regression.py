"""Logistic regression as the textbook writes it, against a linear support vector machine.

python examples/logistic_regression.py

    cross-entropy  loss 0.0150  wrong 0  w 2.36 1.01  b 0.05
    hinge          loss 0.0223  wrong 0  w 1.19 0.38  b 0.00
    divisions, logarithms of arrays in its step: 0, 0
    at z = -50 a label of 1 pulls by -3.9e-22 and -1.0
"""

from typing import Any

import numpy as np
import tapeless as tl


def cross_entropy(w: Any, b: Any, x: Any, y: Any) -> Any:
    """With log p and log(1 - p) written out: the compiler finds the form that cannot overflow."""
    p = 1 / (1 + np.exp(-(x @ w + b)))
    return np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p))


def svm(w: Any, b: Any, x: Any, y: Any) -> Any:
    """max(0, 1 - y (w.x + b)) for labels of -1 and 1, with a little weight decay."""
    return tl.nn.hinge(x @ w + b, 2 * y - 1) + 0.01 * w @ w


LOSSES = {"cross-entropy": cross_entropy, "hinge": svm}


@tl.compile
def step(kind: Any, w: Any, b: Any, x: Any, y: Any, rate: Any) -> Any:
    loss, (gw, gb) = tl.value_and_grad(LOSSES[kind], argnums=(0, 1))(w, b, x, y)
    w -= rate * gw
    b -= rate * gb
    return loss


@tl.compile
def saturated(z: Any) -> Any:
    """How a label of 1 pulls at a sigmoid's input z: by squared error, by cross-entropy."""
    squared = tl.grad(lambda z: (1 / (1 + np.exp(-z)) - 1) ** 2)(z)
    return squared, tl.grad(lambda z: -np.log(1 / (1 + np.exp(-z))))(z)


def example_args() -> tuple[Any, ...]:
    """Two clouds of 50 points that a line can tell apart."""
    rng = np.random.default_rng(0)
    y = np.repeat([0.0, 1.0], 50)
    x = rng.standard_normal((100, 2)) + np.where(y[:, None] == 1, 2.5, -2.5) * [1, 0.5]
    return "cross-entropy", np.zeros(2), np.zeros(()), x, y, 0.1


def main() -> None:
    for kind in LOSSES:
        _, w, b, x, y, rate = example_args()
        for _ in range(500):
            loss = step(kind, w, b, x, y, rate)
        wrong = np.sum((x @ w + b > 0) != y)
        print(f"{kind:13}  loss {loss:.4f}  wrong {wrong}  w {w[0]:.2f} {w[1]:.2f}  b {b:.2f}")
    nodes = step.lower(*example_args()).graph("optimized").nodes
    ops = [node.op.name for node in nodes if node.result.shape]
    print(f"divisions, logarithms of arrays in its step: {ops.count('div')}, {ops.count('log')}")
    print("at z = -50 a label of 1 pulls by {:.1e} and {:.1f}".format(*saturated(-50.0)))


if __name__ == "__main__":
    main()
