"""Structure through ops that move elements: bands, blocks and parts of axes stay what they are."""

import numpy as np
import pytest
import tapeless as tl

RNG = np.random.default_rng(7)
X = RNG.normal(size=8)
M = RNG.normal(size=(3, 4))
P = RNG.normal(size=15)
K = RNG.normal(size=(5, 4))


def pieces(x):
    return np.concatenate([x[:3] ** 2, x[1:4] * x[2], x[5:]])


def layer(p):
    """A flat vector of parameters, cut into a matrix and a vector."""
    W, b = p[:12].reshape(4, 3), p[12:]
    return np.tanh(K @ W + b)


# name, function, argument, structure (None: not pinned), non-zero elements, stored elements
JACOBIANS = [
    ("part", lambda x: x[2:8:2], X, "[a;b] = slice(2:8:2)[b;a] v0[]", 3, 1),
    ("flip", lambda x: 2 * x[::-1], X, "[a;b] = slice(7::-1)[a;b] v0[]", 8, 1),
    ("np.flip", lambda m: np.flip(m, 1) ** 2, M, None, 12, 12),
    ("part of a part", lambda x: np.sin(x[::-1][1:5])[::2], X, None, 2, 2),
    ("roll", lambda x: np.roll(x, 3), X, None, 8, 2),
    ("concatenate", pieces, X, None, 11, 8),
    ("pad", lambda x: np.pad(x, (2, 1)), X, None, 8, 1),
    ("rows and columns", lambda m: m[1:, ::2] ** 2, M, None, 4, 4),
    ("split an axis", lambda x: x.reshape(2, 4) ** 2, X, "[a,b;c] = I[c,4a+b] v0[a,b]", 8, 8),
    ("join axes", lambda m: m.reshape(-1) ** 2, M, "[a;b,c] = I[a,4b+c] v0[b,c]", 12, 12),
    ("ravel a transpose", lambda m: m.T.ravel() ** 2, M, "[a;b,c] = I[a,3c+b] v0[b,c]", 12, 12),
    ("shuffle", lambda x: x.reshape(4, 2).T.reshape(-1) ** 2, X, None, 8, 8),
    ("stack", lambda x: np.stack([x[:4], x[4:] ** 2]), X, None, 8, 5),
    ("split", lambda x: np.split(x, 2)[1] * np.split(x, 2)[0], X, None, 8, 8),
    (
        "one element", lambda x: x[3] * x[1:3], X,
        "[a;b] = slice(1:3)[b;a] v0[] + I[b,3] v1[a]", 4, 3,
    ),
    ("differences", lambda x: np.diff(x), X, None, 14, 2),
    ("broadcast", lambda x: np.broadcast_to(x[:2], (3, 2)) * 2, X, None, 6, 1),
    ("write", lambda x: written(x), X, None, 8, 6),
    ("write every other", lambda x: written(x, slice(6, 0, -2)), X, None, 8, 6),
    ("write a block", lambda m: block_written(m), M, None, 12, 9),
    ("layer", layer, P, None, 75, None),
    ("softmax of a part", lambda x: tl.nn.softmax(x[2:5]), X, None, 9, None),
    ("max", lambda x: x.reshape(2, 4).max(1), X, "[a;b] = I[b,4a+s] v0[a,s]", None, 8),
    ("odd rows", lambda m: m.reshape(4, 3)[1:] * 2, M, None, None, None),
    ("crossing", lambda x: (pieces(x).reshape(3, 3) ** 2)[:, 1:], X, None, None, None),
]  # fmt: skip


def written(x, part=slice(2, 5)):
    y = x * x
    y[part] = x[:3]
    return y


def block_written(m):
    y = m**3
    y[1:, 1:3] = m[:2, :2]
    return y


HESSIANS = [
    ("band", lambda x: np.sum(x[1:] * x[:-1] ** 2), X, 3 * 7, 3 * 7),
    ("stretched string", lambda x: np.sum(np.diff(x) ** 2), X, 3 * 8 - 2, 4),
    ("springs", lambda x: np.sum((x[1:] - x[:-1]) ** 4), X, 3 * 8 - 2, 4 * 7),
    ("ring", lambda x: np.sum((x - np.roll(x, 1)) ** 4), X, 3 * 8, None),
    (
        "convolution", lambda x: np.sum((0.3 * x[:-2] + x[1:-1] ** 2 - x[2:]) ** 2),
        X, 5 * 8 - 6, None,
    ),
    (
        "blocks", lambda p: np.sum(np.tanh(p[:12].reshape(3, 4)) ** 2) + np.sum(p[12:] ** 3),
        P, 15, 15,
    ),
    ("layer", lambda p: np.sum(layer(p) ** 2), P, 3 * 25, None),
    ("padded", lambda m: np.sum(np.pad(m, 1) ** 3), M, 12, 12),
    (
        "grid", lambda m: np.sum((m[:, 1:] - m[:, :-1]) ** 4) + np.sum((m[1:] - m[:-1]) ** 4),
        M, 12 + 2 * 17, None,
    ),
    ("halves", lambda x: np.sum(np.stack([x[:4], x[4:]]).prod(0)), X, 8, 2),
    ("palindrome", lambda x: np.sum((x - x[::-1]) ** 3), X, 16, None),
    ("last", lambda x: x[-1] ** 2 * x[0], X, 3, 3),
]  # fmt: skip


def compare(found, dense, x, tolerance):
    rank = dense.ndim - x.ndim
    v, u = RNG.normal(size=x.shape), RNG.normal(size=dense.shape[:rank])
    v, u = v.astype(x.dtype), u.astype(x.dtype)
    assert found.dtype == found.dense().dtype == dense.dtype
    np.testing.assert_allclose(found.dense(), dense, **tolerance)
    np.testing.assert_allclose(found @ v, np.tensordot(dense, v, x.ndim), **tolerance)
    np.testing.assert_allclose(u @ found, np.tensordot(u, dense, rank), **tolerance)


def same_in_a_step(fn, found, dense, x, tolerance):
    """The step uses the products while it is traced, and returns the whole."""

    def step(x):
        J = fn(x)
        return {"J": J, "Jv": J @ x, "dense": J.dense(), "leaves": [t.values for t in J.terms]}

    compiled = tl.compile(step, check=True)
    for again in (compiled(x), compiled.interpret(x)):
        assert again["J"].structure == found.structure and again["J"].nnz == found.nnz
        compare(again["J"], dense, x, tolerance)
        np.testing.assert_allclose(again["dense"], dense, **tolerance)
        np.testing.assert_allclose(again["Jv"], np.tensordot(dense, x, x.ndim), **tolerance)
        for values, term in zip(again["leaves"], found.terms, strict=True):
            np.testing.assert_allclose(values, term.values, **tolerance)


TOLERANCES = {np.float32: {"rtol": 2e-4, "atol": 1e-3}, np.float64: {"rtol": 1e-9, "atol": 1e-12}}


@pytest.mark.parametrize(
    ("fn", "x", "structure", "nnz", "stored"),
    [c[1:] for c in JACOBIANS],
    ids=[c[0] for c in JACOBIANS],
)
def test_jacobian(fn, x, structure, nnz, stored):
    dense = tl.jacobian(fn)(x)
    found = tl.jacobian(fn, structured=True)(x)
    assert structure is None or found.structure == structure
    assert stored is None or found.nbytes == stored * 8
    if nnz is not None:
        assert found.forced == ()
        assert found.nnz == nnz == np.count_nonzero(dense)
    assert found.nnz >= np.count_nonzero(dense)
    for dtype, tolerance in TOLERANCES.items():
        given = x.astype(dtype)
        compare(tl.jacobian(fn, structured=True)(given), dense.astype(dtype), given, tolerance)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", ["roll", "layer", "shuffle", "crossing", "concatenate"])
def test_jacobian_in_a_step(name, dtype):
    fn, x = next(c[1:3] for c in JACOBIANS if c[0] == name)
    x, jacobian = x.astype(dtype), tl.jacobian(fn, structured=True)
    same_in_a_step(jacobian, jacobian(x), tl.jacobian(fn)(x), x, TOLERANCES[dtype])


@pytest.mark.parametrize(
    ("fn", "x", "nnz", "stored"), [c[1:] for c in HESSIANS], ids=[c[0] for c in HESSIANS]
)
def test_hessian(fn, x, nnz, stored):
    gradient, step = tl.grad(fn), 1e-5
    dense = np.zeros(x.shape * 2)
    for at in np.ndindex(x.shape):
        change = np.zeros(x.shape)
        change[at] = step
        dense[(..., *at)] = (gradient(x + change) - gradient(x - change)) / (2 * step)
    found = tl.hessian(fn, structured=True)(x)
    assert found.forced == ()
    assert found.nnz == nnz
    assert stored is None or found.nbytes == stored * 8
    compare(found, dense, x, {"rtol": 1e-5, "atol": 1e-6})
    for dtype, tolerance in TOLERANCES.items():
        given = x.astype(dtype)
        exact = tl.hessian(fn)(given)
        compare(tl.hessian(fn, structured=True)(given), exact, given, tolerance)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", ["band", "layer", "grid", "palindrome"])
def test_hessian_in_a_step(name, dtype):
    fn, x = next(c[1:3] for c in HESSIANS if c[0] == name)
    x, hessian = x.astype(dtype), tl.hessian(fn, structured=True)
    same_in_a_step(hessian, hessian(x), tl.hessian(fn)(x), x, TOLERANCES[dtype])


def test_a_long_band_is_never_written_out():
    n = 100_000
    x = np.linspace(0, 1, n)
    H = tl.hessian(lambda x: np.sum(np.diff(x) ** 4), structured=True)(x)
    assert H.shape == (n, n) and H.nnz == 3 * n - 2
    assert H.nbytes == 4 * (n - 1) * 8
    expected = np.zeros(n)
    slope = 12 * np.diff(x) ** 2 * np.diff(np.cos(x))
    expected[1:] += slope
    expected[:-1] -= slope
    np.testing.assert_allclose(H @ np.cos(x), expected, atol=1e-20)


def test_blocks_of_flat_parameters_are_not_written_out_in_a_step():
    def loss(p):
        return np.sum((p[:600].reshape(200, 3) @ p[600:603]) ** 2)

    p = RNG.normal(size=603)
    step = tl.compile(tl.hessian(loss, structured=True))
    largest = max(v.type.size for n in step.lower(p).graph().nodes for v in n.results)
    assert largest <= 200 * 9
    H = step(p)
    assert H.nnz == 200 * 9 + 2 * 600 * 3 + 9
    np.testing.assert_allclose(H.dense(), tl.hessian(loss)(p), atol=1e-10)


def test_it_maps_like_a_container_and_is_differentiated_again():
    H = tl.hessian(HESSIANS[0][1], structured=True)(X)
    doubled = tl.tree.map(lambda v: 2 * v, H)
    assert doubled.structure == H.structure and doubled.nnz == H.nnz
    np.testing.assert_allclose(doubled.dense(), 2 * H.dense())

    def curvature(x):
        J = tl.jacobian(lambda x: x[1:] * x[:-1] ** 2, structured=True)(x)
        return np.sum(J.dense() ** 2) + np.sum(J @ x)

    tl.check_grads(curvature, (X,))


def test_terms_that_would_hold_more_than_the_whole_become_one():
    def smoothed(x):
        for _ in range(5):
            x = x + np.concatenate([x[:1], np.diff(x, 2), x[-1:]]) * np.tanh(x)
        return np.sum(x**4)

    x = X / 4
    H = tl.hessian(smoothed, structured=True)(x)
    assert any("hold more than the whole" in f.why for f in H.forced)
    np.testing.assert_allclose(H.dense(), tl.hessian(smoothed)(x), rtol=1e-9, atol=1e-9)


def test_pairs_of_arguments_over_several_layers():
    def loss(p, s):
        h = np.tanh(K @ p[:12].reshape(4, 3) * s)
        return np.sum(np.tanh(h @ p[12:]) ** 2) + np.linalg.norm(p[3:9])

    s = RNG.normal(size=3)
    dense = tl.hessian(loss, (0, 1))(P, s)
    found = tl.compile(tl.hessian(loss, (0, 1), structured=True), check=True)(P, s)
    assert found[1][1].nnz == 9 and found[0][1].nnz == 15 * 3
    for row, wanted in zip(found, dense, strict=True):
        for block, want in zip(row, wanted, strict=True):
            assert block.forced == ()
            np.testing.assert_allclose(block.dense(), want, rtol=1e-9, atol=1e-12)
