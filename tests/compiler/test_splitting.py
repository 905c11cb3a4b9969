"""Kernels in chunks: which nests are split, and that neither order nor threads change a bit."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from hypothesis import given, settings
from running import (
    assert_order_is_free,
    assert_runs_alike,
    assert_same_on_threads,
    random_arguments,
    region_graphs,
)
from tapeless.compiler.codegen import generate, splitting
from tapeless.compiler.codegen.splitting import chunks_of
from tapeless.compiler.memory import plan_memory
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse
from tapeless.passes.fuse import fuse


@pytest.fixture(scope="module", autouse=True)
def tiny_grain():
    """Every nest that can be split is, into up to four chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "GRAIN", 1e-6)
        patch.setattr(splitting, "ALIGNED", 1)
        patch.setattr(splitting, "MOST_CHUNKS", 4)
        yield


@settings(max_examples=40)
@given(region_graphs())
def test_random_programs(graph):
    arrays = random_arguments(graph)
    for version in (graph, fuse(graph)):
        assert_order_is_free(version, arrays)
        assert_runs_alike(version, arrays, native=False)


def network(p, x, y):
    h = np.maximum(x @ p["w"] + p["b"], 0)
    h = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5)
    return tl.nn.cross_entropy(h @ p["v"], y)


def training(p, m, x, y, lr):
    loss, g = tl.value_and_grad(network)(p, x, y)
    for k in p:
        m[k][...] = 0.9 * m[k] + g[k]
        p[k] -= lr * m[k]
    norm = np.sqrt(sum(np.sum(g[k] ** 2) for k in p))
    return loss, norm, np.max(np.abs(g["w"])), np.argmax(x, axis=1)


def convolution(w, x):
    def loss(w):
        z = np.maximum(tl.nn.conv2d(x, w, padding=1), 0)
        return np.mean(tl.nn.max_pool2d(z, 3, stride=2) ** 2)

    value, g = tl.value_and_grad(loss)(w)
    w -= 0.1 * g
    return value


def reductions(x, i):
    """Totals of every kind, of one array and of several, and what is computed from them."""
    long = np.sum(x, axis=0)
    flags = x > 0.5
    return (
        long, np.mean(x) * 2, np.exp(np.min(x)), np.any(flags), np.all(flags), np.sum(i),
        np.max(i) - np.min(i), np.sum(flags), np.argmax(x), np.linalg.norm(x), np.sum(x, axis=1),
    )  # fmt: skip


def moves(x, rows, key):
    y = x[::2].T @ x[1::2]
    z = np.concatenate([x, x[::-1]], axis=1)[:, rows]
    x[1:] += x[:-1] * 2
    x[:, 1] = 3
    d = tl.nn.dropout(np.cumsum(z, axis=0), 0.5, key=key)
    found = np.searchsorted(np.sort(x[0]), x[1:])
    return y, np.tile(x, (2, 1)), d, tl.nn.softmax(x), np.cumsum(x, axis=1), found


def batched(q, k, v, w):
    """Products in a loop: one per head, and sums of products."""

    def loss(w):
        return np.sum(tl.nn.scaled_dot_product_attention(q @ w, k, v) ** 2)

    return tl.value_and_grad(loss)(w)


def floats(*shape, dtype=np.float32):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def parameters():
    return {"w": floats(5, 7), "b": floats(7), "v": floats(7, 3)}


STEPS = {
    "training": (training, (parameters(), parameters(), floats(90, 5), np.arange(90) % 3, 0.1)),
    "convolution": (convolution, (floats(3, 2, 3, 3), floats(2, 2, 9, 9))),
    "batched": (batched, (*(floats(5, 40, 20, dtype=t) for t in "fdd"), floats(20, 20))),
    "reductions": (reductions, (floats(80, 6), np.arange(12, dtype=np.int32))),
    "moves": (moves, (floats(8, 6, dtype=np.float64), np.array([2, 1, 1, 9, 5]), tl.random.key(3))),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_have_the_same_bits_in_any_order_and_on_any_threads(name):
    function, args = STEPS[name]
    program = tl.compile(function, cache=False).lower(*args)
    graph = program.graph("planned")
    assert generate(graph).source.count("split(") >= 3
    arrays = program.typed(program.described.leaves)
    assert_order_is_free(graph, arrays)
    assert_runs_alike(graph, arrays, native=False)
    assert_same_on_threads(graph, arrays, steps=3)


# --- which nests are split ---------------------------------------------------------------------


def graph_of(inputs: str, *lines: str) -> Graph:
    *body, results = lines
    return fuse(parse("\n".join([f"f({inputs}) {{", *body, f"}} -> {results}"])))


SPLIT = {
    "elementwise": (("%x:f32[40]", "%y:f32[40] = tanh %x", "%y"), 4),
    "rows": (("%x:f32[9,40]", "%y:f32[9] = sum %x [axes=(1)]", "%y"), 3),
    "columns": (("%x:f32[99,40]", "%y:f32[40] = sum %x [axes=(0)]", "%y"), 4),
    "few columns": (("%x:f32[31,40]", "%y:f32[40] = sum %x [axes=(0)]", "%y"), 3),
    "few rows": (("%x:f64[9,3,40]", "%y:f64[3,40] = max %x [axes=(0)]", "%y"), 4),
    "total": (("%x:f32[99,40]", "%y:f32[] = max %x [axes=(0,1)]", "%y"), 4),
    "scratch": (("%x:f32[3,99,20]", "%y:f32[3,20] = sum %x [axes=(1)]", "%y"), 4),  # over columns
    "outside": (
        ("%x:f32[2,99], %a:f32[2,1]", "%e:f32[2,1] = exp %a", "%y:f32[2,99] = add %x, %e",
         "%y, %e"), 2,
    ),
    "windows": (
        ("%x:f64[3,4,3]", "%y:f64[3,9] = windows_add %x [extents=(9), axes=(1), strides=(2), "
         "dilations=(1)]", "%y"), 3,
    ),
    "short": (("%x:f32[2,99]", "%y:f32[2] = sum %x [axes=(1)]", "%y"), 2),
}  # fmt: skip
"""Nests, and into how many chunks they are split."""

WHOLE = {
    "windows": (
        "%x:f64[4,3]", "%y:f64[9] = windows_add %x [extents=(9), axes=(0), strides=(2), "
        "dilations=(1)]", "%y",
    ),
    "argmax": ("%x:f32[999]", "%y:i64[] = argmax %x [axis=0]", "%y"),
    "waiting": ("%x:f32[999]", "%s:f32[] = sum %x [axes=(0)]", "%y:f32[999] = div %x, %s", "%y"),
    "single": ("%x:f32[]", "%y:f32[] = exp %x", "%y"),
    "empty": ("%x:f32[0,4]", "%y:f32[0,4] = exp %x", "%y"),
}  # fmt: skip
"""Overlapping windows, an index, a second sweep that waits for the first, too little work."""


@pytest.mark.parametrize("name", SPLIT)
def test_split(name):
    lines, chunks = SPLIT[name]
    assert f"split(k0, {chunks}," in generate(plan_memory(graph_of(*lines))).source


@pytest.mark.parametrize("name", WHOLE)
def test_whole(name):
    assert "split(" not in generate(plan_memory(graph_of(*WHOLE[name]))).source


def test_what_follows_from_several_totals_waits_for_all_chunks():
    graph = graph_of(
        "%x:f32[6,50], %y:f32[6,50]",
        "%p:f32[6,50] = mul %x, %y",
        "%s:f32[] = sum %p [axes=(0,1)]",
        "%m:f32[] = max %x [axes=(0,1)]",
        "%q:f32[] = div %s, %m",
        "%q, %p, %s",
    )
    made = generate(plan_memory(graph))
    assert [call.statement.partition("(")[0] for call in made.calls] == ["split", "k1"]
    assert_order_is_free(graph, random_arguments(graph))
    assert_runs_alike(graph, random_arguments(graph), native=False)


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32"])
@pytest.mark.parametrize("op", ["sum", "max"])
def test_column_sums_of_chunks_are_joined(op, dtype):
    """Beside the array they are of, and of several arrays at once; the kept axes in both orders."""
    graph = graph_of(
        f"%x:{dtype}[33,3,7], %y:{dtype}[33,3,7]",
        f"%p:{dtype}[33,3,7] = mul %x, %y",
        f"%s:{dtype}[3,7] = {op} %p [axes=(0)]",
        f"%t:{dtype}[3,7] = {op} %x [axes=(0)]",
        "%p, %s, %t",
    )
    made = generate(plan_memory(graph))
    assert [call.statement.partition("(")[0] for call in made.calls] == ["split", "k1"]
    assert "split(k0, 4," in made.source
    assert_order_is_free(graph, random_arguments(graph))
    assert_runs_alike(graph, random_arguments(graph))


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32"])
@pytest.mark.parametrize("op", ["sum", "max"])
def test_rows_of_arrays_that_lie_across_them_are_summed_in_parts_of_memory(op, dtype):
    """Channels of images, in chunks of 11 images of 33; what follows is computed after the join."""
    graph = graph_of(
        f"%x:{dtype}[33,3,7], %b:{dtype}[3]",
        f"%p:{dtype}[33,3,7] = mul %x, %x",
        f"%s:{dtype}[3] = {op} %p [axes=(0,2)]",
        f"%t:{dtype}[3] = {op} %x [axes=(0,2)]",
        f"%q:{dtype}[3] = sub %b, %s",
        "%p, %s, %t, %q",
    )
    made = generate(plan_memory(graph))
    assert [call.statement.partition("(")[0] for call in made.calls] == ["split", "k1"]
    assert made.calls[0].statement.startswith("split(k0, 3,")
    assert made.calls[0].statement.endswith(", 8, 8, 11)")
    assert_order_is_free(graph, random_arguments(graph))
    assert_runs_alike(graph, random_arguments(graph))


def test_rows_that_lie_one_after_the_other_or_are_swept_twice_are_not_cut():
    lines = "%x:f32[3,33,7]", "%s:f32[3] = sum %x [axes=(1,2)]", "%s"
    assert "split(k0, 3," in generate(plan_memory(graph_of(*lines))).source
    graph = graph_of(
        "%x:f32[33,3,7]",
        "%m:f32[3] = max %x [axes=(0,2)]",
        "%r:f32[1,3,1] = reshape %m [shape=(1,3,1)]",
        "%y:f32[33,3,7] = sub %x, %r",
        "%y",
    )
    (statement,) = [call.statement for call in generate(plan_memory(graph)).calls]
    assert statement.startswith("split(k0, 3,") and statement.endswith(", 3, 33, 1)")


def test_kernels_that_are_no_nests_are_split():
    """Positions, running totals along other axes, random numbers and searches; not a scatter."""
    made = generate(plan_memory(parse("""f(%x:f64[6,5], %i:i64[9], %v:f64[9], %k:i64[2]) {
  %a:f64[9,5] = gather %x, %i [axes=(0)]
  %b:f64[6,5] = cumsum %x [axis=1]
  %c:i64[9] = searchsorted %v, %v
  %d:i32[40] = random_bits %k [shape=(40), dtype=i32]
  %e:f64[9] = scatter_add %v, %v, %i [axes=(0)]
} -> %a, %b, %c, %d, %e""")))  # fmt: skip
    called = [c.statement.partition("(")[0] for c in made.calls if c.node.op.kind != "elementwise"]
    assert called == ["if k0", "split", "split", "split", "split", "if k5", "copy", "k6"]


def test_chunks_are_few_where_work_is_little(monkeypatch):
    monkeypatch.setattr(splitting, "GRAIN", 1000.0)
    monkeypatch.setattr(splitting, "MOST_CHUNKS", 64)
    counts = [chunks_of(1000.0 * us) for us in (0.4, 0.5, 1.9, 2, 3.5, 5, 8, 30, 100, 1000)]
    assert counts == [0, 2, 2, 2, 2, 4, 4, 8, 28, 64]


@pytest.mark.parametrize(("rows", "columns", "splits"), [(784, 128, False), (1024, 512, True)])
def test_a_small_matrix_stays_with_the_processor_whose_vectors_it_meets(rows, columns, splits):
    w, x = np.zeros((rows, columns), np.float32), np.zeros(rows, np.float32)

    def step(w, x):
        y = x @ w
        w -= np.outer(x, y)

    assert ("split(" in str(tl.compile(step).lower(w, x).source())) == splits


def test_loops_that_are_written_out_are_not_split():
    """A chunk would run all of the nest: in place the numbers were divided once per chunk."""
    graph = fuse(
        parse("""f(%W:i64[2,2,2,2,8,8], %d:i64[2,1,2,1,8,1]) {
  %v:i64[2,2,2,2,8,8] = floor_divide %W, %d
  %s:i64[2,2,2,2,8] = sum %v [axes=(5)]
  %W <- %v
} -> %s""")
    )
    w, d = random_arguments(graph, high=10**6)
    assert_runs_alike(graph, [w, 2 + d % 3])
