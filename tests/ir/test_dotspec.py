"""Contraction specs: canonical letters, and the spellings `matmul` and `outer`."""

import itertools

import numpy as np
import pytest
from tapeless.ir.dotspec import (
    DotSpec,
    canonical_spec,
    matmul_spec,
    outer_spec,
    parse_spec,
    sugar,
)
from tapeless.ir.errors import ShapeError


def test_letters_by_role():
    spec = parse_spec("bnax,banj->bnj")
    assert spec == ("bnax", "banj", "bnj")
    assert (spec.batch, spec.summed, spec.left, spec.right) == ("bn", "a", "", "j")
    assert str(spec) == "bnax,banj->bnj"
    assert str(DotSpec("", "", "")) == ",->"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ab,bc", "not a contraction"),
        ("ab->ab", "not a contraction"),
        ("a1,b->ab", "not a contraction"),
        ("a,b,c->abc", "not a contraction"),
        ("aa,b->b", "a letter twice in one place"),
        ("a,b->aa", "a letter twice in one place"),
        ("a,b->c", "a letter in the result that no operand has"),
    ],
)
def test_what_is_not_a_contraction(spec, message):
    with pytest.raises(ShapeError, match=message):
        parse_spec(spec)


@pytest.mark.parametrize(
    ("spec", "canonical"),
    [("na,aj->nj", "ab,bc->ac"), ("zy,zx->yx", "ab,ac->bc"), (",q->q", ",a->a"), (",->", ",->")],
)
def test_canonical_letters(spec, canonical):
    assert canonical_spec(spec) == canonical
    assert canonical_spec(canonical) == canonical


def swap_last(x, swap):
    return np.swapaxes(x, -1, -2) if swap else x


RANKS = list(itertools.product(range(1, 5), range(1, 5)))


@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize(("rank_a", "rank_b"), RANKS)
def test_matmul_is_numpys_and_prints_as_itself(rank_a, rank_b, ta, tb):
    if (ta and rank_a < 2) or (tb and rank_b < 2):
        with pytest.raises(ShapeError, match="no matmul of ranks"):
            matmul_spec(rank_a, rank_b, ta, tb)
        return
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2, 3, 4, 5)[-rank_a:] if rank_a > 1 else (5,))
    b = rng.normal(size=(2, 3, 5, 6)[-rank_b:] if rank_b > 1 else (5,))
    spec = matmul_spec(rank_a, rank_b, ta, tb)
    assert spec == canonical_spec(spec)
    given = swap_last(a, ta), swap_last(b, tb)
    np.testing.assert_allclose(np.einsum(spec, *given), np.matmul(a, b), rtol=1e-12, atol=1e-12)
    assert sugar(spec) == ("matmul", ("ta",) * ta + ("tb",) * tb)


@pytest.mark.parametrize(("rank_a", "rank_b"), [(1, 1), (2, 1), (2, 3)])
def test_outer_is_numpys_and_prints_as_itself(rank_a, rank_b):
    a, b = np.arange(6.0)[:rank_a].reshape((1,) * (rank_a - 1) + (-1,)), np.ones((2,) * rank_b)
    spec = outer_spec(rank_a, rank_b)
    np.testing.assert_array_equal(np.einsum(spec, a, b), np.multiply.outer(a, b))
    assert sugar(spec) == ("outer", ())


@pytest.mark.parametrize("spec", [",->", ",a->a", "a,->a", "ab,ab->", "ab,bc->ca", "ab,ab->ab"])
def test_others_have_no_name(spec):
    assert sugar(spec) is None


@pytest.mark.parametrize("ranks", [(0, 2), (2, 0)])
def test_scalars_have_no_matmul(ranks):
    with pytest.raises(ShapeError, match="no matmul"):
        matmul_spec(*ranks)
