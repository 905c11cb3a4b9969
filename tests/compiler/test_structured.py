"""Jacobians and Hessians that keep their deltas: structure, counts, products, dense values."""

import numpy as np
import pytest
import tapeless as tl

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4))
B = RNG.normal(size=3)
X = RNG.normal(size=(5, 3))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


CASES = [
    ("x + b", lambda x: x + B, B, "[a;b] = I[a,b] v0[]", 3),
    ("x * x", lambda x: x * x, B, "[a;b] = I[a,b] v0[a]", 3),
    ("A^T x", lambda x: A.T @ x, B, "[a;b] = v0[a,b]", 12),
    ("sum", lambda x: x.sum(), B, "[;a] = v0[a]", 3),
    ("x . b", lambda x: x @ B, B, "[;a] = v0[a]", 3),
    ("slice", lambda x: x[1:], B, "[a;b] = v0[a,b]", 6),
    ("stack", lambda x: np.stack([x, x]), B, "[a,b;c] = I[b,c] v0[a]", 6),
    ("where", lambda x: np.where(x > 0, x, 0), B, "[a;b] = I[a,b] v0[a]", 3),
    ("reshape", lambda x: x.reshape(3, 1), B, "[a,b;c] = I[a,c] v0[]", 3),
    ("softmax", softmax, B, "[a;b] = I[a,b] v0[a] + v1[a] v2[b]", 9),
    ("constant", lambda x: np.ones(3), B, "[a;b] = 0", 0),
    ("outer", lambda x: np.outer(x, x), B, "[a,b;c] = I[a,c] v0[b] + I[b,c] v1[a]", 15),
    ("X A", lambda X: X @ A, X, "[a,b;c,d] = I[a,c] v0[b,d]", 60),
    ("transpose", lambda X: X.T, X, "[a,b;c,d] = I[a,d] I[b,c] v0[]", 15),
    ("rows", lambda X: np.maximum(X, 0).sum(1), X, "[a;b,c] = I[a,b] v0[a,c]", 15),
    (
        "two paths", lambda X: X * X[:1], X,
        "[a,b;c,d] = I[a,c] I[b,d] v0[b] + I[b,d] v1[a,b] v2[c]", 75,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fn", "x", "structure", "nnz"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_structure(fn, x, structure, nnz):
    dense = tl.jacobian(fn)(x)
    found = tl.jacobian(fn, structured=True)(x)
    assert found.structure == structure
    assert found.nnz == nnz
    assert found.shape == dense.shape
    np.testing.assert_allclose(found.dense(), dense, atol=1e-15)
    np.testing.assert_allclose(np.asarray(found), dense, atol=1e-15)
    rank = dense.ndim - x.ndim
    tangent, cotangent = RNG.normal(size=x.shape), RNG.normal(size=dense.shape[:rank])
    np.testing.assert_allclose(found @ tangent, np.tensordot(dense, tangent, x.ndim), atol=1e-13)
    np.testing.assert_allclose(cotangent @ found, np.tensordot(cotangent, dense, rank), atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_layer_with_respect_to_its_parameters(dtype):
    """f = tanh(A x + b): df/db is diagonal, df/dA of shape M x (M x N) a delta times a matrix."""
    a, b, x = A.astype(dtype), B.astype(dtype), np.arange(4, dtype=dtype)
    by_a, by_b = tl.jacobian(lambda a, b: np.tanh(a @ x + b), (0, 1), structured=True)(a, b)
    slope = 1 - np.tanh(a @ x + b) ** 2
    assert by_b.structure == "[a;b] = I[a,b] v0[a]"
    assert by_a.structure == "[a;b,c] = I[a,b] v0[a] v1[c]"
    assert by_a.dtype == by_b.terms[0].values.dtype == dtype
    np.testing.assert_allclose(by_b.dense(), np.diag(slope), rtol=1e-5)
    np.testing.assert_allclose(by_b.terms[0].values, slope, rtol=1e-5)
    want = np.eye(3)[:, :, None] * np.outer(slope, x)[:, None, :]
    np.testing.assert_allclose(by_a.dense(), want, rtol=1e-5)


def test_the_factorisation_hessian_stores_a_small_matrix():
    """||T - U V^T||^2 by U: I[a,c] * 2 (V^T V)[b,d]."""
    U, V, T = RNG.normal(size=(300, 10)), RNG.normal(size=(40, 10)), RNG.normal(size=(300, 40))
    H = tl.hessian(lambda U: np.sum((T - U @ V.T) ** 2), structured=True)(U)
    assert H.structure == "[a,b;c,d] = I[a,c] v0[b,d]"
    assert H.shape == (300, 10, 300, 10)
    assert H.nnz == 300 * 10 * 10
    assert H.nbytes == 100 * 8
    (term,) = H.terms
    assert term.deltas == ((0, 2),) and term.axes == (1, 3)
    np.testing.assert_allclose(term.values, 2 * V.T @ V)
    D = RNG.normal(size=U.shape)
    np.testing.assert_allclose(H @ D, 2 * D @ V.T @ V)
    assert repr(H) == "<300x10x300x10 float64, 30,000 non-zero, [a,b;c,d] = I[a,c] v0[b,d]>"


def test_containers_and_aux():
    def fn(p):
        y = p["w"] * p["c"]
        return y, {"plain": y + 1}

    p = {"w": B, "c": 2 * B}
    found, aux = tl.jacobian(fn, has_aux=True, structured=True)(p)
    assert found["w"].structure == found["c"].structure == "[a;b] = I[a,b] v0[a]"
    np.testing.assert_allclose(found["w"].dense(), np.diag(2 * B))
    np.testing.assert_allclose(aux["plain"], 2 * B * B + 1)


def test_misuse():
    J = tl.jacobian(lambda x: A.T @ x, structured=True)(B)
    with pytest.raises(tl.errors.ShapeError, match=r"J @ v: v must have shape \(3,\)"):
        J @ np.ones(4)
    with pytest.raises(tl.errors.ShapeError, match=r"v @ J: v must have shape \(4,\)"):
        np.ones(3) @ J
