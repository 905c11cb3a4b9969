"""Which bodies are a product and what follows from its elements."""

import pytest
from tapeless.ir.epilogue import as_epilogue
from tapeless.ir.parse import parse

BODY = """f(%x:f64[5,30], %g:f64[5,20], %W:f64[30,20], %r:f64[30,1]) {
  %d:f64[30,20] = dot %x, %g [ab,ac->bc]
  %s:f64[30,20] = mul %d, %r
  %W1:f64[30,20] = sub %W, %s
} -> %W1"""


def test_the_product_and_the_rest():
    body = parse(BODY)
    found = as_epilogue(body)
    assert (found.product.m, found.product.n, found.product.k) == (30, 20, 5)
    assert found.rest.inputs == (*body.inputs[2:], found.dot.result)
    assert found.region.extents == (30, 20)
    assert as_epilogue(body) is found


def test_arrays_of_one_shape_are_one_loop():
    assert as_epilogue(parse(BODY.replace("[30,1]", "[]"))).region.extents == (600,)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-> %W1", "-> %W1, %d"),  # its result is a result
        ("mul %d, %r", "mul %W, %r"),  # nothing reads it
        ("30", "1"),  # a vector times a matrix
        ("dot %x, %g [ab,ac->bc]", "add %W, %W"),  # no product
        ("  %s", "  %r:f64[30,20] = dot %x, %g [ab,ac->bc]\n  %s"),  # two products
        ("f64[30,20] = mul %d, %r", "f64[20] = sum %d [axes=(0)]"),  # a sum waits for all of it
    ],
)
def test_other_bodies(old, new):
    text = BODY.replace(old, new)
    if "%r:f64[30,20]" in new:
        text = text.replace(", %r:f64[30,1])", ")")
    assert as_epilogue(parse(text)) is None


def test_a_product_of_what_the_body_computes_is_another():
    text = BODY.replace("  %d:", "  %h:f64[5,20] = neg %g\n  %d:").replace("%x, %g", "%x, %h")
    assert as_epilogue(parse(text)) is None
