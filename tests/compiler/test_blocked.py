"""Long f32 products: summed in blocks, right in every orientation, as accurate as promised."""

import itertools

import numpy as np
import pytest
import tapeless as tl
from running import assert_runs_alike
from tapeless.compiler.codegen.blocked import LONGEST, LONGEST_VECTOR, SHORT, blocks, longest_sum
from tapeless.ir.matmul import Loop, Matmul
from tapeless.ir.types import F32, F64

ORIENTATIONS = list(itertools.product([False, True], repeat=3))


def operands(ta, tb, m, n, k):
    random = np.random.default_rng(0)
    shapes = ((k, m) if ta else (m, k), (n, k) if tb else (k, n))
    return [random.random(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 7), (9, 1), (3, 7)])
@pytest.mark.parametrize(("ta", "tb", "swap"), ORIENTATIONS)
def test_every_orientation_is_accurate_and_adds_to_what_is_there(ta, tb, swap, m, n):
    a, b = operands(ta, tb, m, n, 1500)
    c = np.ones((n, m) if swap else (m, n), np.float32)

    @tl.compile
    def step(c, a, b, scale):
        product = (a.T if ta else a) @ (b.T if tb else b)
        product = product.T if swap else product
        c += scale * product
        return product

    exact = np.float64(a.T if ta else a) @ (b.T if tb else b)
    exact = exact.T if swap else exact
    np.testing.assert_allclose(step(c, a, b, 0.5), exact, rtol=1e-6)
    np.testing.assert_allclose(c, 1 + 0.5 * exact, rtol=1e-6)


@pytest.mark.parametrize("tb", [True, False])
@pytest.mark.parametrize("ta", [True, False])
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(1, 9, LONGEST_VECTOR), (1, 60, LONGEST_VECTOR), (3, 7, LONGEST), (9, 49, LONGEST)],
)
def test_the_longest_sums_that_are_not_cut_are_as_accurate(ta, tb, m, n, k):
    a, b = (x + 0.5 for x in operands(ta, tb, m, n, k))  # no small sums
    program = tl.compile(lambda a, b: (a.T if ta else a) @ (b.T if tb else b)).lower(a, b)
    assert "f64" not in str(program.source())
    exact = np.float64(a.T if ta else a) @ np.float64(b.T if tb else b)
    np.testing.assert_allclose(program.run(a, b), exact, rtol=1e-6)


@pytest.mark.parametrize("count", [SHORT, SHORT + 1])
def test_many_products_that_add_up_do_so_in_f64(count):
    """However short they are."""
    loop = Loop(count, 12, 12, 0)
    p = Matmul(3, 4, 5, True, False, False, (loop,))
    assert (p.length > longest_sum(p, F32)) == (count > SHORT)


@pytest.mark.parametrize("scale", [True, False])
def test_an_update_by_a_long_product_needs_no_gradient_array(scale):
    def step(w, x, g, lr):
        w -= (lr if scale else 0.25) * (x.T @ g)

    x, g = operands(True, False, 4, 3, 1300)
    w = np.zeros((4, 3), np.float32)
    program = tl.compile(step).lower(w, x, g, 0.25)
    assert "dot_acc" in {node.op.name for node in program.graph("planned").nodes}
    program.run(w, x, g, 0.25)
    np.testing.assert_allclose(w, -0.25 * (x.T.astype(np.float64) @ g), rtol=1e-6)
    arrays = [w, x, g, *([np.array(0.25)] if scale else [np.array(0.0)])]
    assert_runs_alike(program.graph("fused"), arrays)


def test_batches():
    random = np.random.default_rng(0)
    a = random.random((3, 2, 700), np.float32)
    b = random.random((3, 700, 4), np.float32)
    np.testing.assert_allclose(tl.compile(np.matmul)(a, b), a.astype(np.float64) @ b, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("long", [40, 1300])
@pytest.mark.parametrize("spec", ["qhd,khd->hqk", "hqk,khd->qhd", "hqk,qhd->khd", "hqd,qhk->dhk"])
def test_batches_between_rows_and_columns(spec, long, dtype):
    """Heads of attention, where they lie; the long sums of f32 too."""
    summed = (set(spec[:3]) & set(spec[4:7]) - set(spec[9:])).pop()
    extents = {"q": 11, "h": 3, "d": 8, "k": 10} | {summed: long}
    random = np.random.default_rng(0)
    x, y = (
        random.random([extents[c] for c in letters]).astype(dtype)
        for letters in (spec[:3], spec[4:7])
    )
    exact = np.einsum(spec, x.astype(np.float64), y.astype(np.float64))
    program = tl.compile(lambda x, y: np.einsum(spec, x, y)).lower(x, y)
    np.testing.assert_allclose(
        program.run(x, y), exact, rtol=1e-6 if dtype == np.float32 else 1e-13
    )
    assert_runs_alike(program.graph("fused"), [x, y])
    if long == 40:
        assert "gemm_" in str(program.source())


@pytest.mark.parametrize(
    ("m", "n", "k", "dtype", "count"),
    [
        (10, 10, LONGEST, F32, 1),
        (10, 10, LONGEST + 1, F32, 2),
        (10, 10, 10**6, F64, 1),
        (1, 10**6, LONGEST_VECTOR, F32, 1),
        (1, 10**6, LONGEST_VECTOR + 1, F32, 2),
        (10**6, 1, LONGEST_VECTOR + 1, F32, 2),
    ],
)
def test_only_long_sums_are_cut(m, n, k, dtype, count):
    assert blocks(Matmul(m, n, k, False, False, False), dtype) == count
