"""Contractions as matrix products: which are, and with which loops around them."""

from __future__ import annotations

import numpy as np
import pytest
from tapeless.ir.dotspec import parse_spec
from tapeless.ir.matmul import SMALL_BATCH, SMALL_EACH, Loop, Matmul, as_matmul

EXTENTS = {"n": 3, "g": 2, "o": 4, "c": 5, "w": 6, "u": 1}


def product(spec: str, **extents: int) -> Matmul | None:
    return as_matmul(parse_spec(spec), EXTENTS | extents)


def test_the_four_transposes_and_the_transposed_result() -> None:
    assert product("oc,cw->ow") == Matmul(4, 6, 5, False, False, False)
    assert product("co,cw->ow") == Matmul(4, 6, 5, True, False, False)
    assert product("oc,wc->ow") == Matmul(4, 6, 5, False, True, False)
    assert product("oc,cw->wo") == Matmul(4, 6, 5, False, False, True)


def test_letters_of_extent_one_do_not_matter() -> None:
    assert product("uoc,cuw->owu") == product("oc,cw->ow")


def test_loops() -> None:
    batch = product("noc,ncw->now")
    assert batch is not None and batch.loops == (Loop(3, 20, 30, 24),)
    convolution = product("ncw,oc->now")
    assert convolution is not None and convolution.loops == (Loop(3, 30, 0, 24),)
    gradient = product("now,ncw->oc")
    assert gradient is not None and gradient.loops == (Loop(3, 24, 30, 0),)
    assert gradient.length == 18 and gradient.adding == gradient.loops and not gradient.outer
    groups = product("ngcw,goc->ngow")
    assert groups is not None and groups.loops == (Loop(3, 60, 0, 48), Loop(2, 30, 20, 24))
    assert product("ngoc,ngcw->ngow") == Matmul(
        4, 6, 5, False, False, False, (Loop(6, 20, 30, 24),)
    )


@pytest.mark.parametrize(
    "spec", ["oc,wg->ocwg", "nco,cnw->ow", "cw,ncw->ncw", "ocn,cnw->wno", "cg,cgw->gw"]
)
def test_what_is_no_product(spec: str) -> None:
    assert product(spec) is None


def test_a_letter_in_the_middle_is_a_loop_over_rows_that_lie_apart() -> None:
    heads = product("ogc,wgc->gow")
    assert heads == Matmul(4, 6, 5, False, True, False, (Loop(2, 5, 5, 24),), (10, 10, 6))
    mixed = product("ngow,nwgc->nogc")
    assert mixed is not None and mixed.rows == (6, 10, 10)
    assert mixed.loops == (Loop(3, 48, 60, 40), Loop(2, 24, 5, 5))


def test_a_letter_of_one_operand_in_the_middle_is_a_loop_too() -> None:
    layers = product("nc,gcw->ngw")
    assert layers == Matmul(3, 6, 5, False, False, False, (Loop(2, 0, 30, 6),), (5, 6, 12))
    gradient = product("ngw,nc->gcw")
    assert gradient is not None and gradient.loops == (Loop(2, 6, 0, 30),)
    assert gradient.rows == (12, 5, 6)


def test_many_small_products_are_better_loops() -> None:
    assert product("noc,ncw->now", n=1000) is None
    assert product("noc,ncw->now", n=1000, c=SMALL_EACH) is not None
    assert product("now,ncw->oc", n=1000, w=20) is None  # their sum
    assert product("now,ncw->oc", n=1000, w=SMALL_BATCH) is not None


def matrix(flat: np.ndarray, start: int, shape: tuple[int, ...], rows: int) -> np.ndarray:
    """A view of flat memory, which must reach that far."""
    last = start + (shape[0] - 1) * rows + shape[1]
    assert last <= flat.size
    view = flat.reshape(-1)[start:]
    return np.lib.stride_tricks.as_strided(view, shape, (rows * flat.itemsize, flat.itemsize))


@pytest.mark.parametrize(
    "spec",
    [
        *("noc,ncw->now", "ncw,oc->now", "now,ncw->oc", "ngcw,goc->ngow", "ngow,ngcw->goc"),
        *("ogc,wgc->gow", "ngow,nwgc->nogc", "cgo,cgw->ogw", "ongc,wngc->gnwo", "ngo,wgo->ngw"),
        *("ogc,gc->go", "nc,gcw->ngw", "ngw,nc->gcw", "nc,gcw->wgn", "ngc,gnw->cgw"),
    ],
)
def test_the_steps_are_where_the_operands_lie(spec: str) -> None:
    """The products, made one by one from flat memory, are the contraction."""
    parts, rng = parse_spec(spec), np.random.default_rng(0)
    x, y = (rng.normal(size=[EXTENTS[c] for c in p]) for p in (parts.lhs, parts.rhs))
    expected = np.einsum(spec, x, y)
    p = product(spec)
    assert p is not None
    out = np.zeros(expected.size)
    sizes = [loop.count for loop in p.loops]
    for step in np.ndindex(*sizes):
        a, b, c = (
            sum(k * getattr(loop, side) for k, loop in zip(step, p.loops, strict=True))
            for side in "abc"
        )
        left = matrix(x, a, (p.k, p.m) if p.ta else (p.m, p.k), p.strides[0])
        right = matrix(y, b, (p.n, p.k) if p.tb else (p.k, p.n), p.strides[1])
        single = (left.T if p.ta else left) @ (right.T if p.tb else right)
        single = single.T if p.swap else single
        target = matrix(out, c, single.shape, p.strides[2])
        target += single
    np.testing.assert_allclose(out.reshape(expected.shape), expected)
