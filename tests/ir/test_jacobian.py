"""Forms, their normal form, dense evaluation and the linear maps they name."""

import numpy as np
import pytest
from tapeless.ir.builder import Builder
from tapeless.ir.dense import contract_dense, dense_jacobian, spread
from tapeless.ir.errors import UnsupportedError
from tapeless.ir.evaluate import run_node
from tapeless.ir.graph import Value
from tapeless.ir.jacobian import Axes, Delta, DenseJacobian, Form, Map, Mask, Term, Val, canonical
from tapeless.ir.maps import MAPS, dense_map
from tapeless.ir.types import F64, Type


def tensor(*shape):
    return Value(Type(F64, shape))


def test_canonical_numbers_letters_and_values():
    W, z, x = tensor(3, 4), tensor(3), tensor(4)
    axes = Axes(W.type, z.type)
    terms = [Term(1.0, (Delta(axes.a[0], axes.z[0]), axes.val(x, axes.a[1:])))]
    form, values = canonical(axes, terms)
    assert form == Form(2, 1, (3, 4, 3), (Term(1.0, (Delta(0, 2), Val(2, (1,)))),))
    assert values == (x,)
    assert form.names() == ("a", "b", "i")
    assert form.shape == (3, 4, 3)


def test_equal_terms_add_up():
    x = tensor(3)
    axes = Axes(x.type, x.type)
    term = Term(1.0, (Delta(axes.a[0], axes.z[0]), axes.val(x, axes.z)))
    form, _ = canonical(axes, [term, term])
    assert [t.coef for t in form.terms] == [2.0]


def test_no_delta_keeps_a_summed_letter():
    x = tensor(3)
    axes = Axes(x.type, x.type)
    s = axes.fresh(3)
    term = Term(1.0, (Delta(axes.a[0], s), Delta(axes.z[0], s), axes.val(x, (s,))))
    form, _ = canonical(axes, [term])
    assert form.extents == (3, 3)
    assert form.terms == (Term(1.0, (Delta(0, 1), Val(2, (1,)))),)


def test_axes_of_extent_one_carry_no_letter():
    x, z = tensor(1, 4), tensor(3, 4)
    axes = Axes(x.type, z.type)
    assert axes.deltas([(axes.a[0], axes.a[0])]) == ()
    assert axes.val(x, axes.a).ix == (None, axes.a[1])
    with pytest.raises(ValueError, match="rank 2, got 1"):
        axes.val(x, axes.a[:1])


def test_letters_beyond_the_alphabet_get_numbers():
    assert Form(9, 1, (1,) * 10, ()).names()[-2:] == ("a1", "i")


def test_a_structural_zero_beats_infinity():
    form = Form(1, 1, (2, 2), (Term(1.0, (Delta(0, 1), Val(2, (1,)))),))
    d = np.array([np.inf, 2.0])
    dense = dense_jacobian(form, (d, d, d), F64)
    np.testing.assert_array_equal(dense.values, [[np.inf, 0], [0, 2]])
    np.testing.assert_array_equal(dense.support, np.eye(2, dtype=bool))
    assert dense.shape == (2, 2)
    g = np.array([0.0, 3.0])
    assert np.isnan(contract_dense(dense, g, None, "vjp", 0)[0])
    where = np.array([False, True])
    np.testing.assert_array_equal(contract_dense(dense, g, where, "vjp", 0), [0, 6])


def test_masks_select_and_summed_letters_sum():
    c, v = np.array([True, False]), np.array([[1.0, 2.0], [3.0, np.nan]])
    form = Form(1, 0, (2, 2), (Term(2.0, (Val(2, (0, 1)), Mask(3, (1,)))),))
    dense = dense_jacobian(form, (None, None, v, c), F64)
    np.testing.assert_array_equal(dense.values, [2, 6])


def test_repeated_letters_take_the_diagonal():
    x = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(spread(x, (0, 0), (3,)), [0, 4, 8])


def test_both_sides_and_batches():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 3, 4))
    dense = DenseJacobian(values, np.ones(values.shape, bool))
    t, g, batch = rng.normal(size=(2, 3)), rng.normal(size=4), rng.normal(size=(5, 4))
    np.testing.assert_allclose(
        contract_dense(dense, t, None, "jvp", 0), np.einsum("abi,ab->i", values, t)
    )
    np.testing.assert_allclose(
        contract_dense(dense, g, None, "vjp", 0), np.einsum("abi,i->ab", values, g)
    )
    np.testing.assert_allclose(
        contract_dense(dense, batch, None, "vjp", 1), np.einsum("abi,ni->nab", values, batch)
    )


def test_what_does_not_fit_is_refused_with_the_size():
    form = Form(2, 2, (100, 100, 100, 100), ())
    with pytest.raises(UnsupportedError, match=r"100,000,000 elements"):
        dense_jacobian(form, (), F64)
    big = DenseJacobian(np.ones((2000, 2000)), np.ones((2000, 2000), bool))
    with pytest.raises(UnsupportedError, match="multiplies more"):
        contract_dense(big, np.ones((10, 2000)), None, "vjp", 1)


MAP_CASES = {
    "slice": (
        Map("slice", (("spec", ((1, 5, 2), (0, 3, 1))),), (), (0, 1), (2, 3)), (6, 3, 2, 3), (),
    ),
    "reverse": (Map("slice", (("spec", ((3, -1, -1),)),), (), (0,), (1,)), (4, 4), ()),
    "reshape": (Map("reshape", (), (), (0, 1), (2,)), (2, 3, 6), ()),
    "gather": (
        Map("gather", (("axes", (0, 1)),), (0, 1), (0, 1), (2,)), (3, 4, 5),
        (np.array([0, 2, 2, 1, -1]), np.array([1, 1, 1, 3, 0])),
    ),
    "windows": (
        Map("windows", (("strides", (2, 1)), ("dilations", (1, 3))), (), (0, 1), (2, 3, 4, 5)),
        (7, 5, 3, 2, 2, 2), (),
    ),
    "erase": (Map("erase", (("spec", ((1, 3, 1),)),), (), (0,), (1,)), (4, 4), ()),
    "erase_at": (Map("erase_at", (("axes", (0,)),), (0,), (0,), (1,)), (4, 4), (np.array([1, 3]),)),
    "roll": (Map("roll", (("shift", 3),), (), (0,), (1,)), (5, 5), ()),
    "cumsum": (Map("cumsum", (), (), (0,), (1,)), (4, 4), ()),
    "cumsum from the end": (Map("cumsum", (("reverse", True),), (), (0,), (1,)), (4, 4), ()),
    **{
        f"recurrence {turned} {cut}": (
            Map(
                "recurrence", (("axis", 1), ("exclusive", cut), ("reverse", turned)),
                (0,), (0, 1), (2, 3),
            ),
            (2, 4, 2, 4), (np.random.default_rng(5).normal(size=(2, 4)),),
        )
        for turned in (False, True) for cut in (False, True)
    },
    "solve": (
        Map("solve", (("transposed", True),), (0,), (0, 1), (2, 3)), (2, 3, 2, 3),
        (np.random.default_rng(5).normal(size=(2, 3, 3)),),
    ),
    "solve_triangular": (
        Map("solve_triangular", (("lower", False), ("transposed", False)), (0,), (0,), (1,)),
        (3, 3), (np.random.default_rng(5).normal(size=(3, 3)),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MAP_CASES)
def test_forward_and_adjoint_are_transposes(case):
    """<M x, y> = <x, M^T y>, batched, and the dense matrix is the forward."""
    factor, extents, indices = MAP_CASES[case]
    src = tuple(extents[x] for x in factor.src)
    dst = tuple(extents[x] for x in factor.dst)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, *src)), rng.normal(size=(2, *dst))

    def run(emit, array):
        b = Builder()
        operands = [b.constant(i) for i in indices]
        out = emit(b, b.constant(array), dict(factor.attrs), operands, src, dst)
        env = {}
        for node in b.nodes:
            results = run_node(node, [env[v] for v in node.operands])
            env.update(zip(node.results, results, strict=True))
        return env[out]

    forward, adjoint = run(MAPS[factor.op].forward, x), run(MAPS[factor.op].adjoint, y)
    assert forward.shape == y.shape and adjoint.shape == x.shape
    np.testing.assert_allclose(np.vdot(forward, y), np.vdot(x, adjoint))
    matrix = dense_map(factor, indices, extents)
    np.testing.assert_allclose(forward, np.tensordot(x, matrix, len(src)))
    shapes = [i.shape for i in indices]
    assert MAPS[factor.op].fits(dict(factor.attrs), shapes, src, dst)
