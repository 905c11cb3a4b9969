"""One process up to the first result of `mlp_b32`: `python benchmarks/first.py` prints seconds.

Four numbers: import of NumPy, import of tapeless and decoration of the step (both after NumPy),
the arguments, and the first call. Nothing else that counts is imported, so that each number has
all of its own imports.
"""

import time
from itertools import pairwise
from typing import Any

start = time.perf_counter()
import numpy as np  # noqa: E402

numpy_there = time.perf_counter()
import tapeless as tl  # noqa: E402

Params = dict[str, Any]


def loss_fn(p: Params, x: Any, y: Any) -> Any:
    h = np.maximum(x @ p["W1"] + p["b1"], 0)
    return tl.nn.cross_entropy(h @ p["W2"] + p["b2"], y)


@tl.compile
def step(p: Params, x: Any, y: Any, lr: float) -> Any:
    loss, g = tl.value_and_grad(loss_fn)(p, x, y)
    for k in p:
        p[k] -= lr * g[k]
    return loss


tapeless_there = time.perf_counter()
rng = np.random.default_rng(0)
sizes: dict[str, tuple[int, ...]] = {"W1": (784, 128), "b1": (128,), "W2": (128, 10), "b2": (10,)}
params = {k: 0.1 * rng.standard_normal(n).astype(np.float32) for k, n in sizes.items()}
x, y = rng.standard_normal((32, 784)).astype(np.float32), rng.integers(0, 10, 32)
arguments_there = time.perf_counter()
step(params, x, y, 0.1)
done = time.perf_counter()
moments = [start, numpy_there, tapeless_there, arguments_there, done]
print(*(b - a for a, b in pairwise(moments)))
