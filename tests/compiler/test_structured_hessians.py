"""Structured Hessians of whole functions: equal to the derivative of the gradient by differences,
eager, interpreted and compiled; the classical structures by name."""

import numpy as np
import pytest
import tapeless as tl

RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 3))
V = RNG.normal(size=(3, 3))
Y = RNG.choice([-1.0, 1.0], size=4)
LABELS = np.array([0, 2, 1, 0])


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mlp(w):
    return tl.nn.cross_entropy(np.tanh(X @ w) @ V, LABELS)


W = RNG.normal(size=3)
M = RNG.normal(size=(4, 3))
TABLE = [
    ("chain", lambda w: np.sum(np.exp(np.sin(w)) / (1 + w * w)), W, "[a;b] = I[a,b] v0[a]", 3),
    ("squares", lambda w: np.sum(w**2), W, "[a;b] = I[a,b] v0[]", 3),
    ("quadratic", lambda w: w @ V @ w, W, "[a;b] = v0[a,b]", 9),
    ("rank one", lambda w: np.sum(w) ** 2, W, "[a;b] = v0[]", 9),
    ("linear", lambda w: np.sum(X @ w), W, "[a;b] = 0", 0),
    ("rows", lambda w: np.sum(np.sum(w * w, 1) ** 2), M, None, None),
    ("factors", lambda w: np.sum((X - w @ V.T) ** 2), M, "[a,b;c,d] = I[a,c] v0[b,d]", 36),
    ("columns", lambda w: np.sum(np.einsum("ni,nj->ij", w, w) ** 2), M, None, None),
    ("logistic", lambda w: np.sum(np.log1p(np.exp(-Y * (X @ w)))), W, "[a;b] = v0[a,b]", 9),
    ("softmax", lambda w: np.sum(softmax(w) ** 2), M, None, 36),
    ("entropy", lambda w: tl.nn.cross_entropy(w, LABELS), M, None, 36),
    ("mask", lambda w: np.sum(np.where(w > 0, w**3, 0)), M, None, 12),
    ("largest", lambda w: np.max(w) ** 2, M, None, None),
    ("broadcast", lambda w: np.sum((X + w) ** 3), W, "[a;b] = I[a,b] v0[a]", 3),
    ("keepdims", lambda w: np.sum((w - w.mean(1, keepdims=True)) ** 2), M, None, 36),
    ("pieces", lambda w: np.sum(np.concatenate([w[:2] ** 2, w[1:] ** 3])), W, None, None),
    ("network", mlp, V + 1, None, None),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("fn", "x", "structure", "nnz"), [c[1:] for c in TABLE], ids=[c[0] for c in TABLE]
)
def test_hessian(fn, x, structure, nnz, dtype):
    hessian, gradient, step = tl.hessian(fn, structured=True), tl.grad(fn), 1e-5
    expected = np.zeros(x.shape * 2)
    for at in np.ndindex(x.shape):
        change = np.zeros(x.shape)
        change[at] = step
        expected[(..., *at)] = (gradient(x + change) - gradient(x - change)) / (2 * step)
    given = x.astype(dtype)
    tolerance = {"rtol": 1e-4, "atol": 1e-3} if dtype == np.float32 else {"atol": 1e-6}
    found = hessian(given)
    assert found.shape == x.shape * 2
    assert structure is None or found.structure == structure
    assert nnz is None or found.nnz == nnz
    np.testing.assert_allclose(found.dense(), expected, **tolerance)
    np.testing.assert_allclose(found.dense(), tl.hessian(fn)(given), **tolerance)
    compiled = tl.compile(hessian)
    for again in (compiled(given), compiled.interpret(given)):
        assert again.structure == found.structure
        np.testing.assert_allclose(again.dense(), found.dense(), **tolerance)
        np.testing.assert_allclose(again @ given, np.tensordot(expected, x, x.ndim), **tolerance)
