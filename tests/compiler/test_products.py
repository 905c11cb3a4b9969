"""Matrix products of the sizes that are made by tiles, by a BLAS and by loops: one meaning."""

import itertools

import numpy as np
import pytest
import tapeless as tl
from running import run_interpreted

SHAPES = [
    (1, 128, 784),
    (3, 5, 7),
    (17, 31, 33),
    (32, 128, 300),  # more than a million multiplications
    (67, 257, 61),
    (64, 64, 65),
]
FORMS = list(itertools.product([False, True], repeat=2))


def operands(m, n, k, ta, tb, dtype):
    random = np.random.default_rng(0)
    shapes = ((k, m) if ta else (m, k), (n, k) if tb else (k, n), (m, n))
    return [random.normal(size=shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("ta", "tb"), FORMS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_a_product_and_an_update_by_one(m, n, k, ta, tb, dtype):
    a, b, w = operands(m, n, k, ta, tb, dtype)

    def step(w, a, b):
        product = (a.T if ta else a) @ (b.T if tb else b)
        w -= 0.25 * product

    program = tl.compile(step).lower(w, a, b)
    assert m == 1 or "dot_acc" in {node.op.name for node in program.graph("planned").nodes}
    _, (interpreted, *_) = run_interpreted(program.graph("fused"), [w, a, b])
    x, y = (np.float64(v.T if t else v) for v, t in ((a, ta), (b, tb)))
    bound = 2 * (k + 3) * np.finfo(dtype).eps * (abs(x) @ abs(y) + abs(w))
    expected = w - 0.25 * (x @ y)
    program.run(w, a, b)
    assert (abs(w - expected) <= bound).all()
    assert (abs(interpreted - expected) <= bound).all()


@pytest.mark.parametrize(("rows", "columns", "calls"), [(32, 20, 1), (20, 20, 0)])
def test_a_product_is_a_call_from_five_hundred_multiplications_on(rows, columns, calls):
    program = tl.compile(lambda x, w: x @ w).lower(np.ones((rows, columns)), np.ones(columns))
    assert str(program.source()).count("gemv_f64(") == calls
    batch = tl.compile(lambda x, w: np.einsum("nij,njk->nik", x, w))
    source = str(batch.lower(np.ones((7, 8, 8)), np.ones((7, 8, 8))).source())
    assert "gemm_f64(" not in source  # seven calls take longer than the loops


@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_update_scaled_by_a_constant_that_is_no_finite_number(dtype, scale):
    def step(w, a, b):
        w += scale * (a.T @ b)

    w, a, b = (np.ones(shape, dtype) for shape in ((24, 16), (32, 24), (32, 16)))
    program = tl.compile(step).lower(w, a, b)
    assert "dot_acc" in {node.op.name for node in program.graph("planned").nodes}
    program.run(w, a, b)
    np.testing.assert_array_equal(w, np.full((24, 16), scale, dtype))


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_a_contraction_in_more_loops_than_have_a_letter(dtype):
    """And no way to make it of products is looked at twice."""
    a = (np.arange(2**12).reshape((2,) * 12) % 7).astype(dtype)
    b = (np.arange(2**12).reshape((2,) * 12) % 5).astype(dtype)
    spec = "asbtcudvewfx,xgwhviujtksl->agbhcidjekfl"
    found = tl.compile(lambda a, b: np.einsum(spec, a, b))(a, b)
    np.testing.assert_array_equal(found, np.einsum(spec, a, b))
