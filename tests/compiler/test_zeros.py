"""The count of structural non-zeros, against Jacobians built in full."""

import numpy as np
import pytest
from tapeless import ir
from tapeless.compiler.zeros import nonzeros, zero_report
from tapeless.ir.dense import dense_jacobian
from tapeless.ir.jacobian import Delta, Form, Map, Term, Val
from tapeless.ir.types import F64


def dense_count(form, *values):
    operands = (None, None, *values)
    return int(dense_jacobian(form, operands, F64).support.sum())


def form(rank_a, rank_z, extents, *terms):
    return Form(rank_a, rank_z, extents, tuple(Term(1.0, factors) for factors in terms))


ONES = np.ones(5)
SLICE = Map("slice", (("spec", ((2, 8, 2),)),), (), (0,), (1,))
WINDOWS = Map("windows", (("strides", (2,)), ("dilations", (1,))), (), (0,), (1, 2))
CASES = {
    "identity": form(1, 1, (5, 5), (Delta(0, 1),)),
    "dense": form(1, 1, (5, 4), ()),
    "none": form(1, 1, (5, 4)),
    "matvec": form(2, 1, (3, 4, 3), (Delta(0, 2),)),
    "scalar": form(0, 0, (), ()),
    "identity twice": form(1, 1, (5, 5), (Delta(0, 1),), (Delta(0, 1), Val(2, (0,)))),
    "softmax": form(2, 2, (3, 5, 3, 5), (Delta(0, 2), Delta(1, 3)), (Delta(0, 2),)),
    "two diagonals": form(2, 2, (3, 3, 3, 3), (Delta(0, 2),), (Delta(1, 3),)),
    "crossed": form(2, 2, (3, 3, 3, 3), (Delta(0, 2), Delta(1, 3)), (Delta(0, 3), Delta(1, 2))),
    "summed letter": form(1, 1, (5, 5, 5), (Delta(0, 2), Delta(2, 1))),
    "slice": form(1, 1, (9, 3), (SLICE,)),
    "windows": form(1, 2, (9, 4, 3), (WINDOWS,)),
    "reshape": form(2, 1, (3, 4, 12), (Map("reshape", (), (), (0, 1), (2,)),)),
    "erase": form(1, 1, (9, 9), (Map("erase", (("spec", ((2, 8, 2),)),), (), (0,), (1,)),)),
    "running total": form(1, 1, (6, 6), (Map("cumsum", (), (), (0,), (1,)),)),
    "batched slice": form(2, 2, (4, 9, 4, 3), (Delta(0, 2), SLICE.rename({0: 1, 1: 3}))),
}


@pytest.mark.parametrize("name", CASES)
def test_count_is_exact(name):
    assert nonzeros(CASES[name]) == dense_count(CASES[name], ONES)


def test_many_patterns_give_an_upper_bound():
    terms = [(Delta(a, z),) for a in range(3) for z in range(3, 6)]
    crowded = form(3, 3, (2,) * 6, *terms)
    assert dense_count(crowded) <= nonzeros(crowded) <= 64


STEP = """
step(%W:f64[3,4], %x:f64[4], %y:f64[3]) {
  %W':f64[3,4] = arg %W
  %z:f64[3] = matmul %W', %x
  %r:f64[3] = sub %y, %z
  %q:f64[3] = mul %r, %r
  %loss:f64[] = sum %q [axes=(0)]
  %gW:f64[3,4] = gradient %loss wrt %W'
} -> %loss, %gW
"""


def test_the_report_names_what_replaces_each_jacobian():
    from tapeless.passes.autodiff import autodiff

    report = zero_report("step", autodiff(ir.parse(STEP)))
    last = report.rows[-1]
    assert (last.result, last.wrt, last.shape) == ("z", "W", (3, 4, 3))
    assert (last.elements, last.nonzeros, last.nbytes) == (36, 12, 288)
    assert last.form == "[a,b;i] = I[a,i] %x[b]"
    assert last.instead[0].startswith("outer ")
    assert last.zero_fraction == pytest.approx(2 / 3)
    assert report.elements == sum(row.elements for row in report)
    text = str(report)
    assert "dz/dW" in text and "3x4x3" in text and "288 B" in text
    assert len(report) == len(text.splitlines()) - 3


def test_nothing_differentiated():
    report = zero_report("step", ir.parse("step(%x:f64[2]) {\n} -> %x"))
    assert len(report) == 0
    assert "nothing is differentiated" in str(report)
