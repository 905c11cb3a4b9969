"""Exclusive or: no line fits it, two ReLUs solve it, and training finds a solution.

python examples/xor.py

    best line     0 xor 0 = 0.500  0 xor 1 = 0.500  1 xor 0 = 0.500  1 xor 1 = 0.500
    two ReLUs     0 xor 0 = 0.000  0 xor 1 = 1.000  1 xor 0 = 1.000  1 xor 1 = 0.000
    step   0  loss 4.3e-01
    step  50  loss 9.7e-04
    step 100  loss 6.2e-06
    step 150  loss 3.9e-08
    trained 2-8-1 0 xor 0 = 0.000  0 xor 1 = 1.000  1 xor 0 = 1.000  1 xor 1 = 0.000
"""

from typing import Any

import numpy as np
import tapeless as tl

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
Y = np.array([0, 1, 1, 0], np.float64)

SOLVED = {"W": np.ones((2, 2)), "c": np.array([0.0, -1]), "w": np.array([1.0, -2]), "b": 0.0}
"""The solution by hand: relu(x1 + x2) - 2 relu(x1 + x2 - 1)."""


def network(p: Any, x: Any) -> Any:
    return tl.nn.relu(x @ p["W"] + p["c"]) @ p["w"] + p["b"]


def loss_fn(p: Any, x: Any, y: Any) -> Any:
    return tl.nn.mse_loss(network(p, x), y)


@tl.compile
def step(p: Any, state: Any, x: Any, y: Any) -> Any:
    loss, g = tl.value_and_grad(loss_fn)(p, x, y)
    tl.optim.adam(0.05).update(p, g, state)
    return loss


def example_args() -> tuple[Any, ...]:
    """Random parameters of a 2-8-1 network, the optimiser's state, and the four cases."""
    rng = np.random.default_rng(1)
    p = {"W": rng.standard_normal((2, 8)), "c": np.zeros(8)}
    p |= {"w": rng.standard_normal(8), "b": np.zeros(())}
    return p, tl.optim.adam(0.05).init(p), X, Y


def show(name: str, outputs: Any) -> None:
    cases = (f"{a:.0f} xor {b:.0f} = {abs(y):.3f}" for (a, b), y in zip(X, outputs, strict=True))
    print(f"{name:13}", "  ".join(cases))


def main() -> None:
    columns = np.column_stack([X, np.ones(4)])
    show("best line", columns @ np.linalg.lstsq(columns, Y)[0])
    show("two ReLUs", network(SOLVED, X))
    args = example_args()
    for k in range(151):
        loss = step(*args)
        if k % 50 == 0:
            print(f"step {k:3}  loss {float(loss):.1e}")
    show("trained 2-8-1", network(args[0], X))


if __name__ == "__main__":
    main()
