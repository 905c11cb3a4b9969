"""A convolution network in the style of LeNet on the digits: two convolutions, two poolings.

python examples/lenet.py

    13,706 parameters
    epoch  6  loss 0.44  0.90 of the hold-out
    epoch 12  loss 0.22  0.96 of the hold-out
    epoch 18  loss 0.21  0.96 of the hold-out
    epoch 24  loss 0.19  0.97 of the hold-out
    epoch 30  loss 0.13  0.97 of the hold-out
    ...
"""

from time import perf_counter
from typing import Any

import numpy as np
import tapeless as tl
from digits_data import load, vary

BATCH, EPOCHS = 32, 30
SHAPES = {"C1": (16, 1, 3, 3), "C2": (32, 16, 3, 3), "W3": (64, 128), "W4": (10, 64)}
OPTIMISER = tl.optim.adam(tl.optim.schedules.cosine(3e-3, EPOCHS * (1437 // BATCH)))


def logits(p: Any, x: Any) -> Any:
    """Images of 8 x 8 -> 16 planes -> 16 of 4 x 4 -> 32 planes -> 32 of 2 x 2 -> 64 -> 10."""
    h = x.reshape(-1, 1, 8, 8)
    for name in ("1", "2"):
        h = tl.nn.relu(tl.nn.conv2d(h, p["C" + name], p["b" + name], padding=1))
        h = tl.nn.max_pool2d(h, 2)
    h = tl.nn.relu(tl.nn.linear(h.reshape(len(h), -1), p["W3"], p["b3"]))
    return tl.nn.linear(h, p["W4"], p["b4"])


@tl.compile
def step(p: Any, state: Any, x: Any, y: Any) -> Any:
    loss, g = tl.value_and_grad(lambda p: tl.nn.cross_entropy(logits(p, x), y))(p)
    OPTIMISER.update(p, g, state)
    return loss


predict = tl.compile(logits)


def start() -> tuple[Any, Any]:
    keys = tl.random.split(tl.random.key(0), len(SHAPES))
    p = {}
    for key, (name, shape) in zip(keys, SHAPES.items(), strict=True):
        p[name] = tl.nn.init.he_normal(key, shape, dtype=np.float32)
        p["b" + name[1]] = np.zeros(shape[0], np.float32)
    return p, OPTIMISER.init(p)


def example_args() -> tuple[Any, ...]:
    x, y, _, _ = load()
    return *start(), x[:BATCH], y[:BATCH]


def main() -> None:
    x, y, x_test, y_test = load()
    (p, state), rng, began = start(), np.random.default_rng(0), perf_counter()
    print(f"{tl.tree.count(p):,} parameters")
    for epoch in range(EPOCHS):
        batches = rng.permutation(len(x))[len(x) % BATCH :].reshape(-1, BATCH)
        losses = [step(p, state, vary(x[rows], rng), y[rows]) for rows in batches]
        if epoch % 6 == 5:
            right = np.mean(predict(p, x_test).argmax(axis=1) == y_test)
            print(f"epoch {epoch + 1:2}  loss {np.mean(losses):.2f}  {right:.2f} of the hold-out")
    print(f"trained in {perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
