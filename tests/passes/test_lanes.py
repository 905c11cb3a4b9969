"""Reductions over a short last axis run with the long one in the lanes."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from rewriting import assert_same_values
from running import assert_runs_alike, assert_same, random_arguments
from tapeless.compiler.memory import plan_memory
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.fuse import fuse
from tapeless.passes.lanes import choose_lanes


def distances(reduce="sum", *, n=8, long=32, short=5, dtype="f64", body="", out="%y"):
    """A reduction of |a - b| over the last axis, for all pairs of rows."""
    d, m, k = dtype, long, short
    return f"""f(%a:{d}[{n},{k}], %b:{d}[{m},{k}], %w:{d}[{k}], %s:{d}[{n},{m}]) {{
  %r:{d}[{n},1,{short}] = reshape %a [shape=({n},1,{short})]
  %d:{d}[{n},{long},{short}] = sub %r, %b
  %m:{d}[{n},{long},{short}] = abs %d
  {body or f"%z:{d}[{n},{long},{short}] = mul %m, %w"}
  %y:{d}[{n},{long}] = {reduce} %z [axes=(2)]
}} -> {out}"""


def exchanged(text, rtol=1e-11):
    before = parse(text)
    after = choose_lanes(before)
    assert after is not before
    verify(after, after="choose_lanes")
    assert_same_values(before, after, rtol=rtol)
    assert choose_lanes(after) is after
    assert_runs_alike(plan_memory(fuse(after)), random_arguments(after))
    return after


def shapes(graph):
    return {n.op.name: n.result.shape for n in graph.nodes}


@pytest.mark.parametrize("reduce", ["sum", "max", "min", "prod"])
def test_every_reduction(reduce):
    after = exchanged(distances(reduce))
    assert shapes(after)["abs"] == (8, 5, 32)
    assert after.nodes[-1].attrs["axes"] == (1,)


def test_integers_and_f32():
    exchanged(distances(dtype="i64"))
    exchanged(distances("max", dtype="f32"), rtol=1e-5)


def test_leaves_of_every_shape():
    """A number, a vector along either axis, rows of results; what is small is computed once."""
    body = """%q:f64[8,32,1] = reshape %s [shape=(8,32,1)]
  %u:f64[8,32,5] = mul %m, %q
  %v:f64[8,32,5] = add %u, 2.0
  %t:f64[5] = tanh %w
  %z:f64[8,32,5] = mul %v, %t"""
    after = exchanged(distances(body=body))
    assert shapes(after)["tanh"] == (5,)


def test_a_transposed_leaf_is_read_as_it_is():
    text = """f(%a:f64[8,5], %b:f64[5,32]) {
  %r:f64[8,1,5] = reshape %a [shape=(8,1,5)]
  %t:f64[32,5] = transpose %b [perm=(1,0)]
  %d:f64[8,32,5] = sub %r, %t
  %m:f64[8,32,5] = abs %d
  %y:f64[8,32] = sum %m [axes=(2)]
} -> %y"""
    assert "transpose" not in shapes(exchanged(text))


SUM = "%y:f64[8,32] = sum %z [axes=(2)]"


@pytest.mark.parametrize(
    ("result", "short", "long"),
    [
        ("%y:f64[64,3] = sum %z [axes=(0)]", 3, 64),
        ("%y:f64[32,4] = max %z [axes=(0)]", 4, 32),
        ("%y:f64[8,3] = sum %z [axes=(1)]", 3, 64),
        ("%y:f64[8] = sum %z [axes=(1,2)]", 5, 64),
        ("%y:f64[3] = min %z [axes=(0,1)]", 3, 64),
        ("%y:f64[] = sum %z [axes=(0,1,2)]", 3, 64),
    ],
)
def test_other_axes(result, short, long):
    whole = distances(short=short, long=long)
    after = exchanged(whole.replace(whole[whole.index("%y:") : whole.index("\n}")], result))
    assert shapes(after)["abs"] == (8, short, long)


def attraction(short, n=64):
    """Sums over one of the points of differences divided by their lengths."""
    return f"""f(%x:f64[{n},{short}]) {{
  %r:f64[{n},1,{short}] = reshape %x [shape=({n},1,{short})]
  %d:f64[{n},{n},{short}] = sub %r, %x
  %q:f64[{n},{n},{short}] = mul %d, %d
  %s:f64[{n},{n}] = sum %q [axes=(2)]
  %l:f64[{n},{n}] = sqrt %s
  %e:f64[{n},{n}] = add %l, 1.0
  %c:f64[{n},{n},1] = reshape %e [shape=({n},{n},1)]
  %f:f64[{n},{n},{short}] = mul %d, %c
  %y:f64[{n},{short}] = sum %f [axes=(1)]
}} -> %y"""


EXPENSIVE = "%z:f64[8,32,5] = tanh %m"
LARGE = "%z:f64[8,32,5] = mul %m, %l"


@pytest.mark.parametrize(
    "text",
    [
        distances(long=31),
        distances(short=4),
        distances(short=17, n=8),
        distances(n=7),
        distances(body=EXPENSIVE, out="%y, %z"),
        distances(body=LARGE).replace("%w:f64[5]", "%l:f64[8,32,5]"),
        distances().replace(SUM, "%y:f64[8] = sum %z [axes=(1,2)]"),
        distances(short=2).replace(SUM, "%y:f64[32,2] = sum %z [axes=(0)]"),
        attraction(short=3),
        "f(%x:f64[8,32,5]) {\n  %y:f64[8,32] = sum %x [axes=(2)]\n} -> %y",
    ],
    ids=[
        "short beside", "few elements", "full vectors", "copies as large", "expensive and stored",
        "read once", "few lanes to add", "two elements", "with rows in one loop",
        "nothing computed",
    ],
)  # fmt: skip
def test_what_is_left_alone(text):
    graph = parse(text)
    assert choose_lanes(graph) is graph


def test_the_bounds_are_those_of_the_cases():
    """One step inside, each is exchanged: what is expensive as long as nothing else reads it."""
    for inside in (
        distances(short=16),
        distances(short=31, dtype="f32"),
        distances(body=EXPENSIVE),
        attraction(short=5),
    ):
        graph = parse(inside)
        assert choose_lanes(graph) is not graph


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_radial_basis_functions(dtype):
    """A whole step: squared and largest differences, and their derivatives."""
    rng = np.random.default_rng(0)
    x, c, w = (rng.standard_normal(s).astype(dtype) for s in ((8, 5), (32, 5), (32,)))

    def loss(c, w, x):
        near = np.exp(-((x[:, None] - c) ** 2).sum(axis=-1)) @ w
        far = np.abs(x[:, None] - c).max(axis=-1).min(axis=1)
        return np.mean(near**2) + np.mean(far)

    @tl.compile
    def step(c, w, x):
        value, (gc, gw) = tl.value_and_grad(loss, argnums=(0, 1))(c, w, x)
        c -= 0.1 * gc
        w -= 0.1 * gw
        return value

    native, plain = [c.copy(), w.copy(), x], [c.copy(), w.copy(), x]
    native.append(step(*native))
    plain.append(step.interpret(*plain))
    assert step.programs[0].ir("fused").count("choose_lanes")
    for a, e in zip(native, plain, strict=True):
        assert_same(np.asarray(a), np.asarray(e), 10)
    if dtype is np.float64:
        tl.check_grads(lambda c, w: loss(c, w, x), (c, w), order=2)
