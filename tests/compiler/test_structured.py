"""Jacobians and Hessians that keep their deltas: structure, counts, products, dense values."""

import numpy as np
import pytest
import tapeless as tl

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4))
B = RNG.normal(size=3)
X = RNG.normal(size=(5, 3))
V4 = RNG.normal(size=(4, 4))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


CASES = [
    ("x + b", lambda x: x + B, B, "[a;b] = I[a,b] v0[]", 3),
    ("x * x", lambda x: x * x, B, "[a;b] = I[a,b] v0[a]", 3),
    ("A^T x", lambda x: A.T @ x, B, "[a;b] = v0[a,b]", 12),
    ("sum", lambda x: x.sum(), B, "[;a] = v0[a]", 3),
    ("x . b", lambda x: x @ B, B, "[;a] = v0[a]", 3),
    ("slice", lambda x: x[1:], B, "[a;b] = slice(1:3)[b;a] v0[]", 2),
    (
        "stack", lambda x: np.stack([x, x]), B,
        "[a,b;c] = I[b,c] I[a,0] v0[] + I[b,c] I[a,1] v1[]", 6,
    ),
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
        "[a,b;c,d] = I[a,c] I[b,d] v0[b] + I[b,d] I[c,0] v1[a,b]", 27,
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


# --- inside a compiled step --------------------------------------------------------------------


def factorised(U, V, T):
    return np.sum((T - U @ V.T) ** 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_compiled_step_uses_and_returns_a_structured_hessian(dtype):
    U, V, T = (RNG.normal(size=s).astype(dtype) for s in ((6, 2), (4, 2), (6, 4)))

    @tl.compile(check=True)
    def step(U, V, T):
        H = tl.hessian(factorised, structured=True)(U, V, T)
        assert H.structure == "[a,b;c,d] = I[a,c] v0[b,d]" and H.nnz == 24
        assert H.nbytes == 4 * np.dtype(dtype).itemsize and H.shape == (6, 2, 6, 2)
        return {"H": H, "Hv": H @ U, "vH": U @ H, "dense": H.dense(), "M": H.terms[0].values + 1}

    gram = 2 * V.T @ V
    dense = np.einsum("ac,bd->abcd", np.eye(6, dtype=dtype), gram)
    for found in (step(U, V, T), step.interpret(U, V, T)):
        assert found["H"].structure == "[a,b;c,d] = I[a,c] v0[b,d]"
        assert found["H"].terms[0].values.dtype == dtype
        np.testing.assert_allclose(found["H"].dense(), dense, rtol=1e-5)
        np.testing.assert_allclose(found["dense"], dense, rtol=1e-5)
        np.testing.assert_allclose(found["Hv"], U @ gram, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["vH"], U @ gram, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["M"], gram + 1, rtol=1e-5)
    program = step.lower(U, V, T)
    for stage in program.stages:
        np.testing.assert_allclose(program.interpret(stage, U, V, T)["Hv"], U @ gram, rtol=1e-4)


def test_returning_it_never_builds_the_dense_tensor():
    U, V, T = RNG.normal(size=(300, 10)), RNG.normal(size=(40, 10)), RNG.normal(size=(300, 40))
    step = tl.compile(tl.hessian(factorised, structured=True))
    largest = max(v.type.size for n in step.lower(U, V, T).graph().nodes for v in n.results)
    assert largest <= 400
    assert step(U, V, T).nnz == 30_000


def test_blocks_of_a_dict_of_parameters():
    x, y = RNG.normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])
    p = {"W1": RNG.normal(size=(3, 4)), "b1": RNG.normal(size=4), "W2": RNG.normal(size=(4, 2))}

    def loss(p):
        return tl.nn.cross_entropy(np.maximum(x @ p["W1"] + p["b1"], 0) @ p["W2"], y)

    found = tl.compile(tl.hessian(loss, structured=True), check=True)(p)
    dense = tl.hessian(loss)(p)
    for a in p:
        for b in p:
            np.testing.assert_allclose(found[a][b].dense(), dense[a][b], atol=1e-12)
    by_number = tl.compile(
        tl.jacobian(lambda a, b: np.tanh(a * b[0]), (0, 1), structured=True), check=True
    )(B, B + 1)
    assert [J.structure for J in by_number] == ["[a;b] = I[a,b] v0[a]", "[a;b] = I[b,0] v0[a]"]


def test_it_is_differentiated_further():
    """d/dx of sum H(x) v, H of sum x sin x: -(3 sin x + x cos x) v."""

    def curvature(x):
        H = tl.hessian(lambda x: np.sum(np.sin(x) * x), structured=True)(x)
        return np.sum(H @ (B + 3))

    expected = -(3 * np.sin(B) + B * np.cos(B)) * (B + 3)
    np.testing.assert_allclose(tl.grad(curvature)(B), expected)
    np.testing.assert_allclose(tl.compile(tl.grad(curvature), check=True)(B), expected)
    of_closure = tl.compile(lambda x: tl.grad(lambda y: np.sum(_square_hessian(x) @ y))(x))
    np.testing.assert_allclose(of_closure(B), np.full(3, 2.0))


def _square_hessian(x):
    return tl.hessian(lambda x: np.sum(x * x), structured=True)(x)


def test_it_is_an_argument_and_a_container():
    H = tl.hessian(lambda x: np.sum(x**3), structured=True)(B)
    apply = tl.compile(lambda H, v: H @ v)
    for _ in range(2):
        np.testing.assert_allclose(apply(H, X[0]), 6 * B * X[0])
    doubled = tl.tree.map(lambda v: 2 * v, {"H": H})["H"]
    assert doubled.structure == H.structure
    np.testing.assert_allclose(doubled.dense(), np.diag(12 * B))
    assert len(tl.tree.leaves(H)) == 1 and tl.tree.count(H) == 3
    assert len(apply.programs) == 1
    apply(tl.jacobian(lambda x: A.T @ x, structured=True)(B), B)
    assert len(apply.programs) == 2


def test_a_structured_jacobian_of_a_trace_has_no_values_yet():
    step = tl.compile(lambda x: np.asarray(tl.jacobian(np.tanh, structured=True)(x)))
    with pytest.raises(tl.errors.TraceError, match=r"write J\.dense\(\)"):
        step.lower(B)


def test_a_step_stores_it_in_an_argument():
    @tl.compile
    def step(state, x):
        state["H"] = tl.hessian(lambda x: np.sum(x**3), structured=True)(x)
        return state["H"] @ x

    state = {"x": B}
    for x in (B, X[0]):
        np.testing.assert_allclose(step(state, x), 6 * x * x)
        np.testing.assert_allclose(state["H"].dense(), np.diag(6 * x))


def test_it_says_which_op_made_a_block_dense_and_why():
    found = tl.jacobian(lambda x: np.cumsum(x)[1:], structured=True)(B)
    assert [f.op for f in found.forced] == ["cumsum"]
    assert "test_structured.py" in found.forced[0].line
    assert "dense because of cumsum at" in repr(found)
    assert repr(found).endswith(": every element depends on all before it>")
    np.testing.assert_allclose(found.dense(), np.tri(3)[1:])
    rows, K = np.array([2, 0]), V4 + 4 * np.eye(4)
    table = {
        "gather": lambda x: x[rows],
        "solve": lambda x: np.linalg.solve(K, np.concatenate([x, x[:1]])),
        "reshape": lambda x: np.outer(x, B[:2]).reshape(2, 3),
    }
    for op, fn in table.items():
        found = tl.jacobian(fn, structured=True)(B)
        assert [f.op for f in found.forced] == [op] and found.forced[0].why
        np.testing.assert_allclose(found.dense(), tl.jacobian(fn)(B), atol=1e-14)
    for plain in (np.tanh, lambda x: x.reshape(3, 1).T, softmax, lambda x: A.T @ x):
        assert tl.jacobian(plain, structured=True)(B).forced == ()
