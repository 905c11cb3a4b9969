"""One dense layer through every stage: L = 0.5 * sum((y - W @ x)**2).

python examples/ir_tour.py

The derivative of z = W @ x with respect to W has m * n * m elements; all but m * n are zero. The
stage `autodiff` names it, and the stage `jacobian-free` has an outer product in its place. From
`autodiff` on the interpreter runs every stage, and each gives the same W.

    --- autodiff
    ...
      %J4:f64[3,4,3] = jacobian %z wrt %W [a,b;i] = I[a,i] %x[b]  # ir_tour.py:25 via autodiff
    ...
    --- jacobian-free
    ...
      %gW:f64[3,4] = outer %gz, %x                                # ir_tour.py:25 via jacobian-free
"""

from typing import Any

import numpy as np
import tapeless as tl


def loss_fn(W: Any, x: Any, y: Any) -> Any:
    z = W @ x
    return 0.5 * np.sum((y - z) ** 2)


@tl.compile
def step(W: Any, x: Any, y: Any, lr: Any) -> Any:
    loss, gW = tl.value_and_grad(loss_fn)(W, x, y)
    W -= lr * gW
    return loss


def example_args() -> tuple[Any, ...]:
    """m = 3, n = 4."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 4)), rng.standard_normal(4), rng.standard_normal(3), 0.1


def main() -> None:
    W, x, y, lr = example_args()
    program = step.lower(W, x, y, lr)
    by_hand = W - lr * np.outer(W @ x - y, x)
    for stage in program.stages:
        print(f"--- {stage}\n{program.ir(stage)}\n")
    print(f"{program.zeros()}\n\n{program.memory()}\n")
    for stage in program.stages[2:]:
        _, (updated,) = tl.interpret(program.graph(stage), W, x, y, lr)
        print(f"{stage}: W differs from the one by hand by {np.max(np.abs(updated - by_hand)):.0e}")
    step(W, x, y, lr)
    print(f"native: W differs from the one by hand by {np.max(np.abs(W - by_hand)):.0e}")


if __name__ == "__main__":
    main()
