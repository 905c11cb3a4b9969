"""np.linalg in a step: NumPy's values in every executor, derivatives, errors before any write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, run_traced
from running import assert_same, run_interpreted, run_native, run_source
from sampling import sample_graph
from tapeless import errors
from tapeless.ir.op import OPS, Sample
from tapeless.ir.types import Type

ROUNDS = {np.float32: 2e-4, np.float64: 1e-11}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def normal(*shape: int, dtype: Any = np.float64) -> Any:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


def square(*shape: int, dtype: Any = np.float64) -> Any:
    """Well-conditioned matrices whose elimination exchanges rows."""
    n = shape[-1]
    return np.roll(normal(*shape) + 2 * n * np.eye(n), 1, axis=-2).astype(dtype)


def definite(*shape: int, dtype: Any = np.float64) -> Any:
    a = normal(*shape)
    return (a @ a.mT / shape[-1] + np.eye(shape[-1])).astype(dtype)


def everywhere(fn: Callable[..., Any], *args: Any) -> None:
    """Compiled, interpreted and traced `fn` give what NumPy gives: dtypes, shapes, values."""
    step, expected = tl.compile(fn), fn(*args)
    for run in (step, step.interpret, lambda *a: run_traced(fn, *a)):
        found = run(*args)
        pairs = zip(tl.tree.leaves(found), tl.tree.leaves(expected), strict=True)
        for a, e in pairs:
            a, e = np.asarray(a), np.asarray(e)
            assert (a.dtype, a.shape) == (e.dtype, e.shape)
            limit = ROUNDS[e.dtype.type]
            scale = np.max(np.abs(e), initial=1.0, where=np.isfinite(e))
            np.testing.assert_allclose(a, e, rtol=limit, atol=limit * scale)


def factorised(a: Any, s: Any, v: Any, w: Any) -> Any:
    """Everything at once, so that one compilation serves many tests."""
    return {
        "vector": np.linalg.solve(a, v),
        "matrix": np.linalg.solve(a, w),
        "inverse": np.linalg.inv(a),
        "det": np.linalg.slogdet(a),
        "factor": np.linalg.cholesky(s),
    }


@DTYPES
@pytest.mark.parametrize("n", [0, 1, 2, 5, 33, 100])
def test_sizes(n, dtype):
    """Below, at and above a block of the native loops."""
    a, s = square(n, n, dtype=dtype), definite(n, n, dtype=dtype) if n else np.zeros((0, 0), dtype)
    everywhere(factorised, a, s, normal(n, dtype=dtype), normal(n, 3, dtype=dtype))


@DTYPES
@pytest.mark.parametrize("name", ["lu", "lu_solve", "solve_triangular", "cholesky"])
def test_ops_over_several_blocks(name, dtype):
    """Two batches of 70 rows: source, native code and interpreter agree on every variant."""
    op, dtype = OPS[name], np.dtype(dtype)
    matrix, right = Type(dtype, (2, 70, 70)), Type(dtype, (2, 70, 3))
    for attrs in {repr(s.attrs): s.attrs for s in op.samples}.values():
        operands: tuple[Any, ...] = (matrix,) if name in ("lu", "cholesky") else (matrix, right)
        if name == "lu_solve":
            factors = OPS["lu"].evaluate(square(2, 70, 70, dtype=dtype))
            operands = (*factors, right)
        graph, arrays = sample_graph(op, Sample(operands, attrs, adjust=op.samples[0].adjust))
        expected, _ = run_interpreted(graph, arrays)
        for run in (run_source, run_native):
            for a, e in zip(run(graph, arrays)[0], expected, strict=True):
                assert_same(a, e, factor=10)


@DTYPES
def test_batches(dtype):
    a, s = square(2, 3, 4, 4, dtype=dtype), definite(2, 3, 4, 4, dtype=dtype)

    def step(a, s, v, w, one):
        found = factorised(a, s, v, w)
        found["det alone"] = np.linalg.det(a)
        found["broadcast"] = np.linalg.solve(one, w), np.linalg.solve(a, w[0])
        found["upper"] = np.linalg.cholesky(s.mT, upper=True)
        found["powers"] = [np.linalg.matrix_power(a / 8, n) for n in (-2, -1, 0, 1, 2, 3, 5)]
        return found

    v, w, one = normal(4, dtype=dtype), normal(3, 4, 2, dtype=dtype), square(4, 4, dtype=dtype)
    everywhere(step, a, s, v, w, one)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: np.linalg.trace(x, offset=1),
        lambda x: np.linalg.trace(x, dtype=np.float64),
        lambda x: np.linalg.diagonal(x, offset=-1),
        lambda x: np.linalg.matrix_transpose(x),
        lambda x: np.linalg.matmul(x, x),
        lambda x: np.linalg.vecdot(x, x, axis=1),
        lambda x: np.linalg.tensordot(x, x, axes=2),
        lambda x: np.linalg.outer(x[0, 0], x[1, 0]),
        lambda x: np.linalg.matrix_norm(x),
        lambda x: np.linalg.matrix_norm(x, ord=np.inf, keepdims=True),
        lambda x: np.linalg.vector_norm(x),
        lambda x: np.linalg.vector_norm(x, axis=(0, 2), keepdims=True),
        lambda x: np.linalg.vector_norm(x, axis=1, ord=np.inf),
        lambda x: np.linalg.vector_norm(x, axis=(2, 0), ord=0),
    ],
)
def test_functions_of_numpy_2(fn):
    conforms(fn, normal(3, 3, 3, dtype=np.float32), exact=False)


def test_integers_are_computed_in_float64():
    """And float32 with anything wider is float64; powers of integers stay integers."""
    whole = np.array([[2, 1], [1, 3]])

    def step(whole, half, y):
        power = np.linalg.matrix_power(whole, 3), np.linalg.matrix_power(whole, 0)
        mixed = np.linalg.solve(half, y), np.linalg.solve(half, half[0])
        return power, mixed, np.linalg.inv(whole), np.linalg.det(whole), np.linalg.cholesky(whole)

    conforms(step, whole, whole.astype(np.float32), np.array([1, 2]), exact=False)


def test_only_one_triangle_is_read():
    a = definite(3, 3)
    lower, upper = np.tril(a) + np.triu(np.full((3, 3), np.nan), 1), np.triu(a)
    conforms(np.linalg.cholesky, lower, exact=False)
    conforms(lambda a: np.linalg.cholesky(a, upper=True), upper, exact=False)
    g = tl.grad(lambda a: np.sum(np.linalg.cholesky(a)))(lower)
    assert np.all(g[np.triu_indices(3, 1)] == 0) and np.isfinite(g).all()


def test_nan_goes_through_as_in_numpy():
    a = np.array([[1.0, 0.0], [0.0, np.nan]])
    step = tl.compile(lambda a: (np.linalg.inv(a), np.linalg.cholesky(a)))
    for run in (step, step.interpret):
        inverse, factor = run(a)
        assert np.isnan(inverse).all()
        np.testing.assert_array_equal(factor, np.linalg.cholesky(a))


@pytest.mark.parametrize("place", [(0, 0), (1, 0), (2, 2), (0, 2)])
def test_nan_spreads_to_the_whole_inverse(place):
    """NumPy's LAPACK leaves some of these elements finite, which is wrong."""
    a = square(3, 3)
    a[place] = np.nan
    step = tl.compile(lambda a: (np.linalg.slogdet(a), np.linalg.inv(a)))
    interpreted = step.lower(a).interpret("planned", a)
    for determinant, inverse in (step(a), interpreted):
        assert np.isnan(determinant.logabsdet) and np.isnan(inverse).all()
        assert determinant.sign == interpreted[0].sign


def test_the_cost_of_a_factorisation():
    """2/3 n^3 operations for the factors, n^2 for each triangle, column and matrix."""
    cost = tl.compile(np.linalg.solve).lower(square(2, 9, 9), normal(2, 9, 4)).cost()
    counts = {row.op: row.flops for row in cost.rows}
    assert counts == {"lu": 2 * 2 * 9**3 // 3, "lu_solve": 2 * 2 * 9 * 9 * 4}


# --- errors ---------------------------------------------------------------------------------


SINGULAR, INDEFINITE = np.ones((3, 3)), np.diag([1.0, 1.0, -1.0])


@pytest.mark.parametrize("how", ["native", "interpreted"])
@pytest.mark.parametrize(
    ("fn", "bad", "message"),
    [
        (lambda a: np.linalg.solve(a, a[0]), SINGULAR, "solve: the matrix is singular"),
        (lambda a: np.linalg.inv(np.stack([np.eye(3), a])), SINGULAR, "the matrix is singular"),
        (np.linalg.cholesky, INDEFINITE, "cholesky: the matrix is not positive definite"),
        (np.linalg.cholesky, SINGULAR, "cholesky: the matrix is not positive definite"),
        (tl.grad(np.linalg.det), SINGULAR, "solve: the matrix is singular"),
    ],
)
def test_an_error_leaves_everything_as_it_was(fn, bad, message, how):
    def step(a, count, x):
        count += 1
        found = fn(a)
        x[...] = np.sum(found)
        a[...] = np.reshape(found, (-1, 3))[-3:]

    compiled = tl.compile(step)
    run = compiled if how == "native" else compiled.interpret
    a, count, x = definite(3, 3), np.zeros(()), np.zeros(2)
    run(a, count, x)
    before, bad = x.copy(), bad.copy()
    kept = bad.copy()
    with pytest.raises(np.linalg.LinAlgError, match=message) as caught:
        run(bad, count, x)
    assert isinstance(caught.value, errors.LinAlgError)
    assert count == 1
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(bad, kept)
    if how == "native":
        assert "test_linalg.py:" in str(caught.value) and "nothing was written" in str(caught.value)


def test_determinants_of_a_singular_matrix():
    a = np.stack([np.ones((3, 3)), np.eye(3)[[1, 0, 2]], np.zeros((3, 3)), -np.eye(3)])
    everywhere(lambda a: (np.linalg.slogdet(a), np.linalg.det(a)), a)


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (lambda a: np.linalg.inv(a[0]), ValueError, "square"),
        (lambda a: np.linalg.det(a[:1]), ValueError, "square"),
        (lambda a: np.linalg.matrix_power(a[:1], 2), ValueError, "square"),
        (lambda a: np.linalg.solve(a, a[:2]), ValueError, "do not match"),
        (lambda a: np.linalg.solve(a, a[:, :2].T), ValueError, r"b\[\.\.\., None\]"),
        (lambda a: np.linalg.solve(a, 1.0), ValueError, "do not match"),
        (
            lambda a: np.linalg.solve(np.stack([a] * 2), np.stack([a] * 3)),
            ValueError, "do not broadcast",
        ),
        (lambda a: np.linalg.outer(a, a), ValueError, "vectors"),
        (lambda a: np.linalg.lstsq(a, a), TypeError, r"np\.linalg\.solve\(A\.T @ A, A\.T @ y\)"),
        (lambda a: np.linalg.pinv(a), TypeError, r"np\.linalg\.solve\(A\.T @ A, A\.T\)"),
        (lambda a: np.linalg.qr(a), TypeError, "cholesky"),
        (lambda a: np.linalg.svd(a), TypeError, "outside the step"),
        (lambda a: np.linalg.eigh(a), TypeError, "outside the step"),
        (lambda a: np.linalg.cond(a), TypeError, r"np\.linalg\.inv"),
        (lambda a: np.linalg.norm(a, 2), TypeError, "singular values"),
        (lambda a: np.linalg.norm(a, "nuc"), TypeError, "singular values"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why(fn, error, words):
    with pytest.raises(error, match=words) as caught:
        tl.compile(fn).lower(square(3, 3))
    assert isinstance(caught.value, errors.TapelessError)
    assert "test_linalg.py:" in str(caught.value)


# --- derivatives ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "args"),
    [
        (np.linalg.solve, (square(3, 3), normal(3))),
        (np.linalg.solve, (square(2, 3, 3), normal(2, 3, 2))),
        (np.linalg.solve, (square(3, 3), normal(2, 3, 2))),
        (lambda a: np.linalg.solve(a, a.T @ a), (square(3, 3),)),
        (np.linalg.inv, (square(2, 2, 2),)),
        (np.linalg.cholesky, (definite(3, 3),)),
        (np.linalg.cholesky, (definite(2, 2, 2),)),
        (lambda a: np.linalg.cholesky(a, upper=True), (definite(3, 3),)),
        (np.linalg.slogdet, (square(3, 3),)),
        (np.linalg.det, (square(2, 2, 2) / 4,)),
        (lambda a: np.linalg.matrix_power(a, -2), (square(3, 3) / 4,)),
        (lambda a: np.linalg.matrix_power(a, 3), (normal(3, 3),)),
        (lambda a: np.linalg.norm(a, 3), (normal(4),)),
        (np.linalg.trace, (normal(2, 3, 3),)),
    ],
)
def test_check_grads(fn, args):
    tl.check_grads(fn, args, order=2)


@DTYPES
def test_gradients_natively(dtype):
    """Against closed forms (Giles 2008): with X = A^-1 B and a cotangent G, B's is A^-T G and A's
    is -A^-T G X^T; that of log|det A| is A^-T."""

    def step(a, b, g):
        x, back = tl.vjp(np.linalg.solve, a, b)
        return *back(g), tl.grad(lambda a: np.linalg.slogdet(a)[1])(a), x

    a, b, g = square(40, 40, dtype=dtype), normal(40, 3, dtype=dtype), normal(40, 3, dtype=dtype)
    compiled = tl.compile(step)
    wide, right, seed = (x.astype(np.float64) for x in (a, b, g))
    inverse = np.linalg.inv(wide)
    expected = (-inverse.T @ seed @ (inverse @ right).T, inverse.T @ seed, inverse.T)
    for found, wanted in zip(compiled(a, b, g), expected, strict=False):
        limit = ROUNDS[dtype] * np.max(np.abs(wanted))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)
    program = compiled.lower(a, b, g)
    assert str(program.ir("optimized")).count("= lu %") == 1  # one factorisation serves all
    program.verify(a, b, g)


def test_a_jacobian_is_the_kronecker_product():
    """d vec(A^-1) / d vec(A) = -(A^-T x A^-1), to any order inside the step."""
    a = square(3, 3)
    inverse = np.linalg.inv(a)
    expected = -np.einsum("ia,bj->ijab", inverse, inverse)
    step = tl.compile(lambda a: tl.jacobian(np.linalg.inv)(a))
    for run in (step, step.interpret, tl.jacobian(np.linalg.inv)):
        np.testing.assert_allclose(run(a), expected, rtol=1e-10, atol=1e-14)
    hessian = tl.compile(lambda a: tl.hessian(lambda a: np.linalg.slogdet(a)[1])(a))(a)
    np.testing.assert_allclose(
        hessian, -np.einsum("da,bc->abcd", inverse, inverse), rtol=1e-10, atol=1e-14
    )


@DTYPES
def test_gaussian_log_likelihood(dtype):
    """The slope of -(n log|S| + tr(S^-1 D)) / 2 in S is -(n S^-1 - S^-1 D S^-1) / 2, whether by the
    determinant or by Cholesky's factor; in the mean it is S^-1 (sum of differences)."""
    x, mean, s = normal(20, 4, dtype=dtype), normal(4, dtype=dtype), definite(4, 4, dtype=dtype)

    def by_determinant(mean, s, x):
        d = x - mean
        return -0.5 * (len(x) * np.linalg.slogdet(s)[1] + np.sum(d.T * np.linalg.solve(s, d.T)))

    def by_factor(mean, s, x):
        factor = np.linalg.cholesky((s + s.T) / 2)
        white = np.linalg.solve(factor, (x - mean).T)
        return -len(x) * np.sum(np.log(np.diagonal(factor))) - 0.5 * np.sum(white * white)

    d = (x - mean).astype(np.float64)
    inverse = np.linalg.inv(s.astype(np.float64))
    slope = -0.5 * (len(x) * inverse - inverse @ d.T @ d @ inverse)
    value = -0.5 * (len(x) * np.linalg.slogdet(s)[1] + np.trace(d @ inverse @ d.T))
    for fn in (by_determinant, by_factor):
        step = tl.compile(tl.value_and_grad(fn, (0, 1)))
        for run in (step, step.interpret):
            found, (of_mean, of_s) = run(mean, s, x)
            limit = 20 * ROUNDS[dtype]
            np.testing.assert_allclose(found, value, rtol=limit)
            np.testing.assert_allclose(of_mean, inverse @ d.sum(0), rtol=limit, atol=limit)
            np.testing.assert_allclose(of_s, slope, rtol=limit, atol=limit)


# --- steps ----------------------------------------------------------------------------------


@DTYPES
def test_newtons_method(dtype):
    """x <- x - H^-1 g in place: quadratic convergence to where the gradient vanishes."""

    def loss(x, a):
        return np.sum(np.log(np.cosh(a @ x - 1))) + 0.5 * np.sum(x * x)

    @tl.compile
    def step(x, a):
        g = tl.grad(loss)(x, a)
        x -= np.linalg.solve(tl.hessian(loss)(x, a), g)
        return np.linalg.norm(g)

    a = normal(6, 4, dtype=dtype) / 2
    for run in (step, step.interpret):
        x = np.zeros(4, dtype)
        sizes = [float(run(x, a)) for _ in range(8)]
        assert sizes[-1] < ROUNDS[dtype] < sizes[2]
        np.testing.assert_allclose(tl.grad(loss)(x, a), 0, atol=ROUNDS[dtype])


def test_a_cholesky_factor_is_solved_with_as_a_triangle():
    """NumPy has no triangular solver: solve(L, b) with L = cholesky(s) is one here."""

    def step(s, b):
        factor = np.linalg.cholesky(s)
        return np.linalg.solve(factor.T, np.linalg.solve(factor, b))

    s, b = definite(40, 40), normal(40, 2)
    everywhere(step, s, b)
    text = tl.compile(step).lower(s, b).ir("optimized")
    assert text.count("= solve_triangular ") == 2 and "lu" not in text


def test_a_solution_takes_the_place_of_the_right_hand_side():
    """In the caller's array, after the check."""

    @tl.compile
    def step(a, b):
        b[...] = np.linalg.solve(a, b)

    a, b = square(3, 3), normal(3, 2)
    assert "f64[3,2]@in1 = lu_solve" in step.lower(a, b).ir("planned")
    expected = np.linalg.solve(a, b)
    step(a, b)
    np.testing.assert_allclose(b, expected, rtol=1e-12)
    with pytest.raises(np.linalg.LinAlgError):
        step(SINGULAR.copy(), b)
    np.testing.assert_allclose(b, expected, rtol=1e-12)


def test_in_place_steps():
    """A factorisation, a solution and an inverse replace what they were made from."""

    @tl.compile
    def step(a, b, s, p):
        b[:] = np.linalg.solve(a, b)
        s[...] = np.linalg.cholesky(s)
        p["a"] = np.linalg.inv(p["a"])
        a[...] = np.linalg.inv(a)

    for run in (step, step.interpret):
        a, b, s, p = square(5, 5), normal(5), definite(5, 5), {"a": square(4, 4)}
        expected = np.linalg.solve(a, b), np.linalg.cholesky(s), np.linalg.inv(p["a"])
        inverse = np.linalg.inv(a)
        run(a, b, s, p)
        for found, wanted in zip((b, s, p["a"], a), (*expected, inverse), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)
