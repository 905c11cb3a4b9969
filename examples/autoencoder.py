"""A linear autoencoder finds the plane of the two principal components.

python examples/autoencoder.py

    step   0  squared error 7.356384
    step  40  squared error 0.425408
    step  80  squared error 0.357755
    step 120  squared error 0.356415
    step 160  squared error 0.356367
    step 200  squared error 0.356361
    step 240  squared error 0.356360
    PCA, 2 of 4    squared error 0.356354
    largest angle between the two planes: 0.02 degrees
"""

from typing import Any

import numpy as np
import tapeless as tl

STEPS = 240


def restored(p: Any, x: Any) -> Any:
    return x @ p["encode"] @ p["decode"]


def loss_fn(p: Any, x: Any) -> Any:
    return np.sum((restored(p, x) - x) ** 2) / len(x)


@tl.compile
def step(p: Any, state: Any, x: Any) -> Any:
    loss, g = tl.value_and_grad(loss_fn)(p, x)
    tl.optim.adam(tl.optim.schedules.cosine(0.05, STEPS)).update(p, g, state)
    return loss


def example_args() -> tuple[Any, ...]:
    """Parameters of a 4-2-4 network, the optimiser's state, and 200 points near a plane."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    x = rng.standard_normal((200, 4)) * (2, 1.5, 0.5, 0.3) @ turn
    p = {"encode": rng.standard_normal((4, 2)) / 2, "decode": rng.standard_normal((2, 4)) / 2}
    return p, tl.optim.adam(tl.optim.schedules.constant(0.05)).init(p), x - x.mean(axis=0)


def main() -> None:
    p, state, x = example_args()
    for k in range(STEPS + 1):
        loss = step(p, state, x)
        if k % 40 == 0:
            print(f"step {k:3}  squared error {float(loss):.6f}")
    _, spread, components = np.linalg.svd(x)
    print(f"PCA, 2 of 4    squared error {np.sum(spread[2:] ** 2) / len(x):.6f}")
    plane = np.linalg.svd(p["decode"])[2][:2]
    angles = np.arccos(np.clip(np.linalg.svd(plane @ components[:2].T)[1], -1, 1))
    print(f"largest angle between the two planes: {np.degrees(angles.max()):.2f} degrees")


if __name__ == "__main__":
    main()
