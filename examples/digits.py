"""Train a digit classifier on real images, compiled and interpreted, and look inside its step.

python examples/digits.py                64-128-10 on 1,797 images of 8 x 8 pixels
python examples/digits.py --mnist DIR    784-128-10 on the four MNIST files in DIR

    compiled: 0.961 of the hold-out right
    ...
    interpreted: 0.961 of the hold-out right
"""

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import tapeless as tl
from digits_data import load, vary

BATCH, RATE, MOMENTUM = 32, 0.05, 0.9


def logits(p: Any, x: Any) -> Any:
    return np.maximum(x @ p["W1"] + p["b1"], 0) @ p["W2"] + p["b2"]


@tl.compile
def step(p: Any, state: Any, x: Any, y: Any, lr: Any) -> Any:
    loss, g = tl.value_and_grad(lambda p: tl.nn.cross_entropy(logits(p, x), y))(p)
    tl.optim.sgd(lr, MOMENTUM).update(p, g, state)
    return loss


def start(features: int) -> tuple[Any, Any]:
    """Random float32 parameters, and the optimiser's state for them."""
    normal = np.random.default_rng(0).standard_normal
    p = {"W1": normal((features, 128)) * (2 / features) ** 0.5, "b1": np.zeros(128)}
    p |= {"W2": normal((128, 10)) * (2 / 128) ** 0.5, "b2": np.zeros(10)}
    p = {name: value.astype(np.float32) for name, value in p.items()}
    return p, tl.optim.sgd(RATE, MOMENTUM).init(p)


def example_args(mnist: Path | None = None) -> tuple[Any, ...]:
    """Arguments of `step`, for `tapeless ir examples/digits.py:step`."""
    x, y, _, _ = load(mnist)
    return *start(x.shape[1]), x[:BATCH], y[:BATCH], RATE


def train(run: Any, x: Any, y: Any, epochs: int) -> Any:
    """Train from scratch by calling `run` (the compiled step, or its interpreter)."""
    (p, state), rng, began = start(x.shape[1]), np.random.default_rng(1), perf_counter()
    for epoch in range(epochs):
        for rows in rng.permutation(len(x))[len(x) % BATCH :].reshape(-1, BATCH):
            loss = run(p, state, vary(x[rows], rng), y[rows], RATE * (1 - epoch / epochs))
        print(f"\repoch {epoch + 1}/{epochs}  loss {float(loss):.3f}", end="", flush=True)
    print(f"  {perf_counter() - began:.1f} s")
    return p


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a digit classifier.")
    parser.add_argument("--mnist", type=Path, metavar="DIR", help="where the IDX files are")
    mnist = parser.parse_args().mnist
    x, y, x_test, y_test = load(mnist)
    count = tl.tree.count(start(x.shape[1])[0])
    print(f"{len(x)} images to train on, {len(x_test)} to test, {count:,} parameters")
    for name, run in (("compiled", step), ("interpreted", step.interpret)):
        p = train(run, x, y, epochs=6 if mnist else 60)
        right = logits(p, x_test).argmax(axis=1) == y_test
        print(f"{name}: {right.mean():.3f} of the hold-out right\n")
    args = example_args(mnist)
    print(step.lower(*args).zeros(), "\n")
    print(tl.compare(step, args, samples=BATCH))


if __name__ == "__main__":
    main()
