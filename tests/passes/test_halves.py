"""`halve_products`: golden texts, what must not be touched, and equal values."""

import numpy as np
import pytest
from rewriting import assert_same_values
from tapeless.ir.evaluate import evaluate
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.halves import halve_products


def step(product="matmul %x, %W", *, x="32,128", w="128,128", z="32,128", to="%W", dtype="f32"):
    """A step that multiplies by a matrix and updates it."""
    return f"""f(%x:{dtype}[{x}], %W:{dtype}[{w}], %V:{dtype}[{w}]) {{
  %z:{dtype}[{z}] = {product}
  %n:{dtype}[{w}] = add %W, 1{"" if dtype == "i64" else ".0"}
  {to} <- %n
}} -> %z"""


HALVED = """f(%x:f32[32,128], %W:f32[128,128], %V:f32[128,128]) {
  %v0:f32[32,2,64] = reshape %x [shape=(32,2,64)]             # via halve_products
  %v1:f32[2,64,128] = reshape %W [shape=(2,64,128)]           # via halve_products
  %v2:f32[2,32,128] = dot %v0, %v1 [abc,bcd->bad]             # via halve_products
  %v3:f32[1,32,128] = slice %v2 [0:1, :, :]                   # via halve_products
  %v4:f32[32,128] = reshape %v3 [shape=(32,128)]              # via halve_products
  %v5:f32[1,32,128] = slice %v2 [1:2, :, :]                   # via halve_products
  %v6:f32[32,128] = reshape %v5 [shape=(32,128)]              # via halve_products
  %z:f32[32,128] = add %v4, %v6                               # via halve_products
  %n:f32[128,128] = add %W, 1.0
  %W <- %n
} -> %z"""


def test_a_product_by_parameters_is_halved():
    after = halve_products(parse(step()))
    assert str(after) == HALVED
    verify(after, after="halve_products")
    assert halve_products(after) is after


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_values_are_equal_but_for_rounding(dtype):
    before = parse(step(dtype=dtype))
    after = halve_products(before)
    assert after is not before
    rtol = 1e-11 if dtype == "f64" else 1e-5
    assert_same_values(before, after, special=False, rtol=rtol)
    assert_same_values(before, after, special=True, rtol=10 * rtol)


@pytest.mark.parametrize(
    "text",
    [
        step(to="%V"),
        step("matmul %x, %W [tb]"),
        step("matmul %W, %x [ta, tb]", z="128,32"),
        step(dtype="i64"),
        step(w="128,120", z="32,120"),
        step(x="33,128", z="33,128"),
        step(x="32,136", w="136,128"),
        step(x="1,128", z="1,128"),
        step(x="512,2048", w="2048,264", z="512,264"),
    ],
    ids=[
        "other matrix updated", "its transpose", "on the left", "integers", "small",
        "shallow", "odd", "one row", "large result",
    ],
)  # fmt: skip
def test_what_is_left_alone(text):
    graph = parse(text)
    assert halve_products(graph) is graph


def test_the_bounds_are_those_of_the_cases():
    """One step inside each bound the product is halved."""
    for inside in (
        step(w="128,136", z="32,136"),
        step(x="32,144", w="144,128"),
        step(x="2,128", z="2,128"),
        step(x="512,2048", w="2048,256", z="512,256"),
    ):
        graph = parse(inside)
        assert halve_products(graph) is not graph


def test_every_product_by_a_parameter_counts():
    text = step().replace("} -> %z", "  %y:f32[32,128] = matmul %z, %W\n} -> %y")
    names = [node.op.name for node in halve_products(parse(text)).nodes]
    assert names.count("dot") == names.count("slice") / 2 == 2


def test_infinities_of_both_halves_meet_as_before():
    x, w = np.zeros((32, 128), np.float32), np.ones((128, 128), np.float32)
    x[0, 0], x[0, 127], x[1, 5], x[2, 100] = np.inf, -np.inf, np.inf, np.nan
    (z,), _ = evaluate(halve_products(parse(step())), [x, w, w])
    assert np.isnan(z[0]).all() and (z[1] == np.inf).all() and np.isnan(z[2]).all()
    assert (z[3:] == 0).all()
