"""Full Hessians, after the three problems of Laue, Mitterreiter and Giesen (NeurIPS 2018).

Each in double and in single precision: logistic regression with respect to its weights, the
factorisation ||T - U V^T||^2 with respect to U, and a ten-layer ReLU network with softmax
cross-entropy with respect to the weights of its first layer. `tapeless` and `jax` return the dense
tensor, `structured` what `tl.hessian(structured=True)` returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..workload import Array, Batches, Loop, MakeLoop, Params, Workload

Rng = np.random.Generator
Loss = Callable[..., Any]


@dataclass(frozen=True)
class Problem:
    """A scalar loss(w, x, y) of one array `w`; `loss` takes the array module it computes with."""

    name: str
    what: str
    weights: Callable[[Rng], Array]
    data: Callable[[Rng], tuple[Array, Array]]
    loss: Callable[[Any, Any], Loss]


def _first_row(h: Any) -> float:
    """The norm of a Hessian's first row, which all peers must agree on."""
    return float(np.linalg.norm(np.asarray(h, np.float64).reshape(-1)))


def _looped(hessian: Callable[..., Any], row: Callable[[Any], Any], w: Any, data: Any) -> Loop:
    count = len(data)

    def loop(steps: int) -> float:
        for i in range(steps):
            h = hessian(w, *data[i % count])
        return _first_row(row(h))

    return loop


def tapeless_peer(problem: Problem, *, structured: bool) -> MakeLoop:
    """The compiled Hessian, dense or with its structure."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        import tapeless as tl

        w = params["w"]
        loss = problem.loss(np, tl.nn)
        hessian = tl.compile(tl.hessian(loss, structured=structured), threads=threads)
        unit = np.zeros(w.shape, w.dtype)
        unit.flat[0] = 1
        return _looped(hessian, lambda h: unit @ h if structured else _row(h, w), w, batches)

    return make


def jax_peer(problem: Problem) -> MakeLoop:
    """`jax.jit(jax.hessian(loss))`, waiting for every result."""

    def make(params: Params, batches: Batches, lr: float, threads: int) -> Loop:
        import jax

        jax.config.update("jax_enable_x64", params["w"].dtype == np.float64)
        import jax.numpy as jnp

        from ..functions import jax_nn

        compiled = jax.jit(jax.hessian(problem.loss(jnp, jax_nn)))
        w = jax.device_put(params["w"])
        data = [jax.device_put(batch) for batch in batches]

        def hessian(*args: Any) -> Any:
            return jax.block_until_ready(compiled(*args))

        return _looped(hessian, lambda h: _row(h, params["w"]), w, data)

    return make


def _row(h: Any, w: Array) -> Any:
    return h[(0,) * w.ndim]


def logistic(n: int) -> Problem:
    """sum log(1 + exp(-y * X w)) for X of 2n x n."""

    def data(rng: Rng) -> tuple[Array, Array]:
        return rng.normal(size=(2 * n, n)), rng.choice([-1.0, 1.0], size=2 * n)

    return Problem(
        "logreg",
        f"logistic regression, {2 * n} x {n}",
        lambda rng: rng.normal(size=n) / np.sqrt(n),
        data,
        lambda np_, nn: lambda w, x, y: np_.sum(nn.softplus(-y * (x @ w))),
    )


def factorisation(n: int, k: int) -> Problem:
    """||T - U V^T||^2 by U of n x k, for T of n x n."""
    return Problem(
        "factor",
        f"matrix factorisation, U {n} x {k}",
        lambda rng: rng.normal(size=(n, k)),
        lambda rng: (rng.normal(size=(n, n)), rng.normal(size=(n, k))),
        lambda np_, nn: lambda u, t, v: np_.sum((t - u @ v.T) ** 2),
    )


def network(n: int, layers: int, batch: int) -> Problem:
    """Softmax cross-entropy of a ReLU network of n x n layers, by the weights of the first."""
    depth = np.random.default_rng(1).normal(size=(layers - 1, n, n)) * np.sqrt(2 / n)

    def loss(np_: Any, nn: Any) -> Loss:
        def of(w: Any, x: Any, labels: Any) -> Any:
            h = np_.maximum(x @ w, 0)
            for k, u in enumerate(depth.astype(w.dtype)):
                z = h @ u
                h = np_.maximum(z, 0) if k < layers - 2 else z
            return nn.cross_entropy(h, labels)

        return of

    def data(rng: Rng) -> tuple[Array, Array]:
        return rng.normal(size=(batch, n)), rng.integers(n, size=batch)

    return Problem(
        "relu",
        f"{layers}-layer ReLU net, {n} x {n}, batch {batch}",
        lambda rng: rng.normal(size=(n, n)) * np.sqrt(2 / n),
        data,
        loss,
    )


def workload(problem: Problem, dtype: type[np.floating[Any]]) -> Workload:
    """The problem in one precision, raced like a training step."""

    def cast(x: Array) -> Array:
        return x.astype(dtype) if x.dtype.kind == "f" else x

    def batch(rng: Rng) -> tuple[Array, Array]:
        x, y = problem.data(rng)
        return cast(x), cast(y)

    bits = np.dtype(dtype).itemsize * 8
    return Workload(
        name=f"hessian_{problem.name}_f{bits}",
        what=f"{problem.what}, float{bits}",
        learning_rate=0.0,
        params=lambda rng: {"w": cast(problem.weights(rng))},
        batch=batch,
        peers={
            "tapeless": tapeless_peer(problem, structured=False),
            "structured": tapeless_peer(problem, structured=True),
            "jax": jax_peer(problem),
        },
    )


PROBLEMS = (logistic(200), factorisation(300, 10), network(20, 10, 16))
HESSIANS = {
    w.name: w for p in PROBLEMS for dtype in (np.float64, np.float32) for w in [workload(p, dtype)]
}
