"""A training step of linear regression, for tests of calls: compiled, in NumPy, its arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import tapeless as tl


def make_step(**options: Any) -> Any:
    def step(p: Any, x: Any, lr: float) -> Any:
        loss = np.mean((x @ p["w"] - 1) ** 2)
        p["w"] -= lr * tl.grad(lambda w: np.mean((x @ w - 1) ** 2))(p["w"])
        return loss

    return tl.compile(step, **options)


def arguments(dtype: Any = np.float64, n: int = 6) -> tuple[dict[str, Any], Any, float]:
    random = np.random.default_rng(0)
    return {"w": random.normal(size=4).astype(dtype)}, random.normal(size=(n, 4)).astype(dtype), 0.1


def numpy_step(p: Any, x: Any, lr: float) -> Any:
    error = x @ p["w"] - 1
    p["w"] -= lr * (2 / len(x)) * (x.T @ error)
    return np.mean(error**2)
