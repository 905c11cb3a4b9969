"""Derivatives of the lectures as the compiler sees them: sums of deltas times small tensors.

python examples/derivatives.py

    A x, by A               3x3x4       12 of  36  [a;b,c] = I[a,b] v0[c]
    ...
    softmax(x)              4x4         16 of  16  [a;b] = I[a,b] v0[a] + v1[a] v2[b]
    ...
    |T - U V^T|^2, by U     5x2x5x2     20 of 100  [a,b;c,d] = I[a,c] v0[b,d]
"""

import math
from typing import Any

import numpy as np
import tapeless as tl

rng = np.random.default_rng(0)
A, B, M, K = map(rng.standard_normal, ((3, 4), (4, 4), (4, 2), (4, 2, 3)))
T, U, V = map(rng.standard_normal, ((5, 3), (5, 2), (3, 2)))
b, s, t, x, y = (rng.standard_normal(n) for n in (3, 4, 4, 4, 4))
FIRST: dict[str, tuple[Any, Any]] = {
    "x * y": (lambda x: x * y, x),
    "x * x": (lambda x: x * x, x),
    "sum(x)": (np.sum, x),
    "x . y": (lambda x: x @ y, x),
    "x . x": (lambda x: x @ x, x),
    "A x, by x": (lambda x: A @ x, x),
    "A x, by A": (lambda A: A @ x, A),
    "x^T B x": (lambda x: x @ B @ x, x),
    "A M, by A": (lambda A: A @ M, A),
    "A M, by M": (lambda M: A @ M, M),
    "A^T": (np.transpose, A),
    "A K, K of rank 3": (lambda A: np.einsum("il,ljk", A, K), A),
    "x joined to x": (lambda x: np.concatenate([x, x]), x),
    "tanh(A x + b), by b": (lambda b: np.tanh(A @ x + b), b),
    "tanh(A x + b), by A": (lambda A: np.tanh(A @ x + b), A),
    "tanh(x^3)": (lambda x: np.tanh(x**3), x),
    "relu(x)": (tl.nn.relu, x),
    "softplus(x)": (tl.nn.softplus, x),
    "softmax(x)": (tl.nn.softmax, x),
    "cross-entropy, class 2": (lambda x: tl.nn.cross_entropy(x, np.int64(2)), x),
    "max(x)": (np.max, x),
    "|x - y|^2": (lambda x: np.sum((x - y) ** 2), x),
    "(x + y) * t": (lambda x: (x + y) * t, x),
    "x1^2 x2 + x1 x2^3": (lambda x: x[0] ** 2 * x[1] + x[0] * x[1] ** 3, x[:2]),
}

SECOND: dict[str, tuple[Any, Any]] = {
    "x^T B x": (lambda x: x @ B @ x, x),
    "sum(exp(x))": (lambda x: np.sum(np.exp(x)), x),
    "|T - U V^T|^2, by U": (lambda U: np.sum((T - U @ V.T) ** 2), U),
}


@tl.compile
def step(x: Any) -> Any:
    """d/dt (4 u^2 + 3 v^2) with u = sin t, v = cos t."""
    return tl.grad(lambda t: 4 * np.sin(t) ** 2 + 3 * np.cos(t) ** 2)(x)


def example_args() -> tuple[Any, ...]:
    return (0.7,)


def main() -> None:
    for derivative, rows in ((tl.jacobian, FIRST), (tl.hessian, SECOND)):
        print(f"{derivative.__name__:22}  {'shape':9}  non-zero")
        for name, (function, at) in rows.items():
            J = derivative(function, structured=True)(at)
            tl.check_grads(function, (at,))
            shape, size = "x".join(map(str, J.shape)), math.prod(J.shape)
            print(f"{name:22}  {shape:9}  {J.nnz:3} of {size:3}  {J.structure}")
    (t,) = example_args()
    print(f"by the chain rule {step(t):.6f}, by hand {np.sin(2 * t):.6f}")


if __name__ == "__main__":
    main()
