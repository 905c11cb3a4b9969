"""Functions of what rows are reduced to have loops of their own."""

from __future__ import annotations

import pytest
from running import checked
from tapeless.ir.parse import parse
from tapeless.passes.fuse import fuse
from tapeless.passes.row_functions import split_rows


def rows(then, out="%y", n=32):
    """Sums over the rows of a matrix of squares, and what is made of them."""
    return f"""f(%x:f64[{n},3], %u:f64[{n}]) {{
  %q:f64[{n},3] = mul %x, %x
  %s:f64[{n}] = sum %q [axes=(1)]
  {then}
}} -> {out}"""


KERNEL = """%n:f64[32] = neg %s
  %y:f64[32] = exp %n"""
BOTH = """%e:f64[32] = log %s
  %z:f64[32] = mul %e, %u
  %w:f64[32] = sqrt %s
  %t:f64[32] = add %z, %w
  %y:f64[] = sum %t [axes=(0)]
  %l:f64[] = div %y, 32.0"""
COLUMN = """%e:f64[32] = exp %s
  %c:f64[32,1] = reshape %e [shape=(32,1)]
  %y:f64[32,1] = mul %c, 2.0"""


def split(text):
    """The ops of each region's body."""
    after = checked(split_rows, text)
    assert {n.op.name for n in after.nodes} == {"fused"}
    names = [[n.op.name for n in node.attrs["body"].nodes] for node in after.nodes]
    return [[op for op in body if op != "constant"] for body in names]


def test_a_function_leaves_with_what_follows():
    assert split(rows(KERNEL)) == [["mul", "sum", "neg"], ["exp"]]
    assert split(rows(COLUMN)) == [["mul", "sum"], ["exp", "reshape", "mul"]]


@pytest.mark.parametrize("out", ["%l", "%l, %s", "%l, %w, %t"])
def test_what_else_is_made_of_rows_stays_and_sums_of_functions_go(out):
    first, second = split(rows(BOTH, out=out))
    assert first == ["mul", "sum", "sqrt"]
    assert second == ["log", "mul", "add", "sum", "div"]


INSIDE = """%e:f64[32] = exp %s
  %c:f64[32,1] = reshape %e [shape=(32,1)]
  %y:f64[32,3] = div %x, %c"""


@pytest.mark.parametrize(
    "text",
    [
        rows(KERNEL.replace("32", "31"), n=31),
        rows(INSIDE),
        rows("%y:f64[32] = sqrt %s"),
        rows("%t:f64[] = sum %s [axes=(0)]\n  %y:f64[] = log %t"),
        rows("%y:f64[32,3] = exp %q"),
    ],
    ids=["few rows", "a row needs it", "an instruction", "one number", "elements"],
)
def test_what_is_left_alone(text):
    graph = fuse(parse(text))
    assert split_rows(graph) is graph
