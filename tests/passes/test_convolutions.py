"""Windows become one node with the contraction that reads or makes them."""

from __future__ import annotations

import pytest
from rewriting import assert_same_values
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.convolutions import join_convolutions

WINDOWS = "windows %x [axes=(2), sizes=(3), strides=(1), dilations=(1)]"


def joined(text):
    before = parse(text)
    after = join_convolutions(before)
    verify(after, after="join_convolutions")
    assert_same_values(before, after, exact=True)
    assert join_convolutions(after) is after
    return [node.op.name for node in after.nodes]


def test_a_contraction_of_windows_and_of_moved_windows():
    for order, spec in (("(0,1,2,3)", "abcd,ebd->aec"), ("(0,1,3,2)", "abcd,ebc->aed")):
        text = f"""f(%x:f64[2,3,6], %k:f64[5,3,3]) {{
  %w:f64[2,3,4,3] = {WINDOWS}
  %t:{"f64[2,3,4,3]" if order == "(0,1,2,3)" else "f64[2,3,3,4]"} = transpose %w [perm={order}]
  %y:f64[2,5,4] = dot %t, %k [{spec}]
}} -> %y"""
        assert joined(text) == ["fused"]


def test_each_reader_has_its_own():
    assert joined(f"""f(%x:f64[2,3,6], %k:f64[5,3,3], %g:f64[2,5,4], %s:f64[]) {{
  %w:f64[2,3,4,3] = {WINDOWS}
  %y:f64[2,5,4] = dot %w, %k [abcd,ebd->aec]
  %v:f64[5,3,3] = dot_acc %k, %g, %w, %s [abc,adce->bde]
}} -> %y, %v""") == ["fused", "fused"]


def test_windows_that_a_contraction_makes():
    text = """f(%g:f64[2,5,4], %k:f64[5,3,3]) {
  %w:f64[2,3,4,3] = dot %g, %k [abc,bde->adce]
  %x:f64[2,3,6] = windows_add %w [axes=(2), extents=(6), strides=(1), dilations=(1)]
} -> %x"""
    assert joined(text) == ["fused"]
    assert joined(text.replace("-> %x", "-> %x, %w")) == ["dot", "windows_add"]


@pytest.mark.parametrize(
    "node",
    [
        "%y:f64[2,3,4] = dot %w, %a [abcd,d->abc]",  # one kernel for every channel
        "%y:f64[2,4,3] = dot %w, %b [abcd,bd->acb]",  # no axis of the kernels alone
        "%y:f64[2,3,4,3] = mul %w, %w",
        "%y:f64[2,3,3,3] = dot %w, %w [abcd,abce->abde]",
        "%y:f64[4,2,5] = dot %w, %k [abcd,ebd->cae]",  # images inside positions
    ],
)
def test_what_is_no_convolution_stays(node):
    text = f"""f(%x:f64[2,3,6], %k:f64[5,3,3], %a:f64[3], %b:f64[3,3]) {{
  %w:f64[2,3,4,3] = {WINDOWS}
  {node}
}} -> %y"""
    graph = parse(text)
    assert join_convolutions(graph) is graph
