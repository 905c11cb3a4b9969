"""What loops read transposed, many times, is copied once."""

from __future__ import annotations

import pytest
from running import checked
from tapeless.ir.parse import parse
from tapeless.passes.fuse import fuse
from tapeless.passes.operands import copy_transposed


def outer(n=8, *, read="transpose %b [perm=(1,0)]", b="9,3", t="3,9", more="", out="%y"):
    """Sums over the middle axis of differences between two matrices, one of them transposed."""
    k, m = t.split(",")
    return f"""f(%a:f64[{n},{k}], %b:f64[{b}]) {{
  %r:f64[{n},{k},1] = reshape %a [shape=({n},{k},1)]
  %t:f64[{t}] = {read}
  %d:f64[{n},{k},{m}] = sub %r, %t
  %e:f64[{n},{k},{m}] = abs %d
  %y:f64[{n},{m}] = sum %e [axes=(1)]
  {more}
}} -> {out}"""


def ops(graph):
    return [node.op.name for node in graph.nodes]


def test_a_transposed_operand():
    after = checked(copy_transposed, outer())
    assert ops(after) == ["transpose", "fused"]
    assert "transpose" not in str(after.nodes[1].attrs["body"])


def test_one_copy_for_two_regions():
    more = """%f:f64[8,3,9] = mul %r, %t
  %g:f64[8,3,9] = tanh %f
  %z:f64[3,9] = sum %g [axes=(0)]"""
    after = checked(copy_transposed, outer(more=more, out="%y, %z"))
    assert ops(after) == ["transpose", "fused", "fused"]


def test_a_chain_of_views_is_one_copy_and_its_operand_may_be_read_as_well():
    text = outer(b="1,9,3", read="transpose %q [perm=(1,0)]").replace(
        "  %t:", "  %q:f64[9,3] = reshape %b [shape=(9,3)]\n  %t:"
    )
    assert ops(checked(copy_transposed, text)) == ["reshape", "transpose", "fused"]
    square = outer(t="9,9", b="9,9").replace("abs %d", "mul %d, %b")
    assert ops(checked(copy_transposed, square)) == ["transpose", "fused"]


@pytest.mark.parametrize(
    "text",
    [
        outer(n=7),
        outer(t="9,3", b="3,9"),
        outer(b="3,9", read="mul %b, 2.0"),
        "f(%a:f64[9,8], %b:f64[8,9]) {\n  %t:f64[9,8] = transpose %b [perm=(1,0)]\n"
        "  %y:f64[9,8] = sub %a, %t\n} -> %y",
    ],
    ids=["read seldom", "short rows", "as it lies", "read once"],
)
def test_what_is_left_alone(text):
    graph = fuse(parse(text))
    assert copy_transposed(graph) is graph
