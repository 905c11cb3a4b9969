"""Common subexpressions are computed once; what differs in the last bit is not common."""

from __future__ import annotations

from rewriting import assert_same_values
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.cse import cse
from tapeless.passes.dce import dce


def test_merges_equal_nodes_in_either_order_of_operands() -> None:
    before = parse(
        """f(%x:f64[3], %y:f64[3]) {
          %a:f64[3] = add %x, %y
          %b:f64[3] = add %y, %x
          %c:f64[3] = sub %x, %y
          %d:f64[3] = sub %y, %x
          %e:f64[3] = mul %a, %b
        } -> %e, %c, %d"""
    )
    after = dce(cse(before))
    verify(after)
    assert str(after) == (
        "f(%x:f64[3], %y:f64[3]) {\n"
        "  %a:f64[3] = add %x, %y\n"
        "  %c:f64[3] = sub %x, %y\n"
        "  %d:f64[3] = sub %y, %x\n"
        "  %e:f64[3] = mul %a, %a\n"
        "} -> %e, %c, %d"
    )
    assert_same_values(before, after, exact=True)
    assert cse(after) is after


def test_attributes_count() -> None:
    graph = parse(
        """f(%x:f64[3,3]) {
          %a:f64[3] = sum %x [axes=(0)]
          %b:f64[3] = sum %x [axes=(1)]
        } -> %a, %b"""
    )
    assert cse(graph) is graph


def test_constants_are_compared_by_bytes() -> None:
    before = parse(
        """f() {
          %a:f64[2] = constant [0.0, nan]
          %b:f64[2] = constant [-0.0, nan]
          %c:f64[2] = constant [0.0, nan]
          %d:f32[2] = constant [0.0, nan]
          %e:i64[1,2] = constant [[1, 2]]
          %f:i64[2] = constant [1, 2]
        } -> %a, %b, %c, %d, %e, %f"""
    )
    after = cse(before)
    a, b, c, d, e, f = after.outputs
    assert a is c
    assert len({a, b, d, e, f}) == 5


def test_args_of_two_gradients_stay_apart() -> None:
    graph = parse(
        """f(%x:f64[3]) {
          %a:f64[3] = arg %x
          %b:f64[3] = arg %x
          %p:f64[3] = mul %a, %b
          %l:f64[] = sum %p [axes=(0)]
          %ga:f64[3], %gb:f64[3] = gradient %l wrt %a, %b
        } -> %ga, %gb"""
    )
    assert cse(graph) is graph


def test_equal_gradients_are_one() -> None:
    before = parse(
        """f(%x:f64[3]) {
          %a:f64[3] = arg %x
          %l:f64[] = sum %a [axes=(0)]
          %m:f64[] = sum %a [axes=(0)]
          %g:f64[3] = gradient %l wrt %a
          %h:f64[3] = gradient %m wrt %a
        } -> %g, %h"""
    )
    g, h = cse(before).outputs
    assert g is h
