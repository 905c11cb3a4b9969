"""Products are joined with the elementwise nodes that read them."""

from __future__ import annotations

import pytest
from rewriting import assert_same_values
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.epilogues import join_epilogues
from tapeless.passes.fuse import fuse

STEP = """f(%x:f32[8,300], %g:f32[8,256], %W:f32[300,256], %b:f32[256]) {
  %d:f32[300,256] = dot %x, %g [ab,ac->bc]
  %s:f32[300,256] = mul %d, %b
  %W1:f32[300,256] = sub %W, %s
  %W <- %W1
} -> %b"""


def joined(text):
    before = fuse(parse(text))
    after = join_epilogues(before)
    verify(after, after="join_epilogues")
    assert_same_values(before, after, exact=True)
    assert join_epilogues(after) is after
    assert str(parse(str(after))) == str(after)
    return [node.op.name for node in after.nodes if node.op.kind != "constant"]


def test_an_update_that_is_no_multiple_of_the_gradient():
    assert joined(STEP) == ["fused"]


def test_a_single_op():
    text = STEP.replace("  %s:f32[300,256] = mul %d, %b\n", "").replace("sub %W, %s", "sub %W, %d")
    assert joined(text) == ["fused"]


def test_a_square_of_one_matrix():
    text = STEP.replace("dot %x, %g", "dot %x, %x").replace("256", "300")
    text = text.replace("%g:f32[8,300], ", "")
    assert joined(text) == ["fused"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-> %b", "-> %d"),  # the gradient is a result
        ("sub %W, %s", "sub %d, %s"),  # which is read once, by one node
        ("300", "200"),  # stays in the cache
        ("[8,", "[600,"),  # a right operand that does not
        ("-> %b", "-> %n"),  # a sum that waits for all of it
    ],
)
def test_what_stays(old, new):
    text = STEP.replace(old, new)
    if new == "-> %n":
        text = text.replace("  %W <-", "  %n:f32[256] = sum %s [axes=(0)]\n  %W <-")
    names = joined(text)
    assert names[:1] == ["dot"] or (new == "sub %d, %s" and names == ["fused"])


@pytest.mark.parametrize("spec", ["ab,cb->ac", "ab,ac->cb"], ids=["right turned", "result turned"])
def test_products_of_other_forms_stay(spec):
    text = STEP.replace("ab,ac->bc", spec)
    if spec == "ab,cb->ac":
        text = text.replace("%x:f32[8,300], %g:f32[8,256]", "%x:f32[300,8], %g:f32[256,8]")
    else:
        text = text.replace("%x:f32[8,300], %g:f32[8,256]", "%x:f32[8,256], %g:f32[8,300]")
    assert joined(text) == ["dot", "fused"]


def test_a_gradient_read_across_stays():
    text = STEP.replace("300", "256").replace(
        "  %s:f32[256,256] = mul %d, %b",
        "  %t:f32[256,256] = transpose %d [perm=(1,0)]\n  %s:f32[256,256] = mul %t, %b",
    )
    assert "dot" in joined(text)
