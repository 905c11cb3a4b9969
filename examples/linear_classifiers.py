"""Two linear classifiers of the digits: softmax with cross-entropy, and the multi-class hinge.

python examples/linear_classifiers.py

    650 parameters each
    softmax  of three rows of scores: 1.54 0.04 4.68
    hinge    of three rows of scores: 2.30 0.00 9.80
    softmax  loss 0.090  right 0.997, of the hold-out 0.914
    hinge    loss 0.053  right 0.999, of the hold-out 0.908
    the first 8 of the hold-out: probability 0.73, margin 1.30
"""

from typing import Any

import numpy as np
import tapeless as tl
from digits_data import load

LOSSES: dict[str, Any] = {"softmax": tl.nn.cross_entropy, "hinge": tl.nn.multiclass_hinge}


def scores(p: Any, x: Any) -> Any:
    return x @ p["W"] + p["b"]


@tl.compile
def step(kind: Any, p: Any, state: Any, x: Any, y: Any) -> Any:
    """One step on a batch; `kind` is static, so each loss is a program of its own."""

    def loss_fn(p: Any) -> Any:
        return LOSSES[kind](scores(p, x), y) + 5e-4 * np.sum(p["W"] ** 2)

    loss, g = tl.value_and_grad(loss_fn)(p)
    tl.optim.sgd(0.05, 0.9).update(p, g, state)
    return loss


def start() -> tuple[Any, Any]:
    p = {"W": np.zeros((64, 10), np.float32), "b": np.zeros(10, np.float32)}
    return p, tl.optim.sgd(0.05, 0.9).init(p)


def example_args() -> tuple[Any, ...]:
    """Arguments of `step`, for `tapeless ir examples/linear_classifiers.py:step`."""
    x, y, _, _ = load()
    return "softmax", *start(), x[:48], y[:48]


def train(kind: str, x: Any, y: Any) -> tuple[Any, float]:
    """Parameters after 40 passes over the images, and the mean loss of the last one."""
    (p, state), rng = start(), np.random.default_rng(0)
    for _ in range(40):
        batches = rng.permutation(len(x))[len(x) % 48 :].reshape(-1, 48)
        losses = [step(kind, p, state, x[rows], y[rows]) for rows in batches]
    return p, float(np.mean(losses))


def main() -> None:
    x, y, x_test, y_test = load()
    print(f"{tl.tree.count(start()[0])} parameters each")
    given = np.array([[2.1, 3.4, -2.0], [0.2, 5.1, 1.7], [2.3, 3.1, -1.2]])
    for kind, loss_fn in LOSSES.items():
        losses = loss_fn(given, np.arange(3), reduction="none")
        print(f"{kind:7}  of three rows of scores: {losses[0]:.2f} {losses[1]:.2f} {losses[2]:.2f}")
    last = {}
    for kind in LOSSES:
        p, loss = train(kind, x, y)
        seen = np.mean(scores(p, x).argmax(axis=1) == y)
        new = np.mean(scores(p, x_test).argmax(axis=1) == y_test)
        print(f"{kind:7}  loss {loss:.3f}  right {seen:.3f}, of the hold-out {new:.3f}")
        last[kind] = scores(p, x_test[y_test == 8][0])
    chance = tl.nn.softmax(last["softmax"])[8]
    margin = last["hinge"][8] - np.delete(last["hinge"], 8).max()
    print(f"the first 8 of the hold-out: probability {chance:.2f}, margin {margin:.2f}")


if __name__ == "__main__":
    main()
