"""Whole steps: source, native code and interpreter agree, updates included; accuracy; reports."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from running import assert_runs_alike, assert_same, random_arguments, run_interpreted, run_native
from tapeless.compiler.memory import plan_memory
from tapeless.compiler.native import build, is_planned
from tapeless.ir.parse import parse
from tapeless.passes.fuse import fuse
from tapeless.passes.update_fusion import fuse_updates

MLP = (
    "step(%W1:f32[20,16], %b1:f32[16], %W2:f32[16,3], %b2:f32[3],"
    " %x:f32[8,20], %y:i64[8], %lr:f64[]) {"
    """
  %z:f32[8,16] = matmul %x, %W1
  %zb:f32[8,16] = add %z, %b1
  %h:f32[8,16] = maximum %zb, 0.0
  %u:f32[8,3] = matmul %h, %W2
  %ub:f32[8,3] = add %u, %b2
  %m:f32[8] = max %ub [axes=(1)]
  %m1:f32[8,1] = reshape %m [shape=(8,1)]
  %d:f32[8,3] = sub %ub, %m1
  %e:f32[8,3] = exp %d
  %s:f32[8] = sum %e [axes=(1)]
  %ls:f32[8] = log %s
  %ls1:f32[8,1] = reshape %ls [shape=(8,1)]
  %lp:f32[8,3] = sub %d, %ls1
  %i:i64[8] = iota [n=8]
  %pick:f32[8] = gather %lp, %i, %y [axes=(0,1)]
  %tot:f32[] = sum %pick [axes=(0)]
  %loss:f32[] = mul %tot, -0.125
  %p:f32[8,3] = exp %lp
  %y1:i64[8,1] = reshape %y [shape=(8,1)]
  %c:i64[3] = iota [n=3]
  %oh:bool[8,3] = eq %y1, %c
  %ohf:f32[8,3] = cast %oh [dtype=f32]
  %g:f32[8,3] = sub %p, %ohf
  %gu:f32[8,3] = mul %g, 0.125
  %gW2:f32[16,3] = matmul %h, %gu [ta]
  %gb2:f32[3] = sum %gu [axes=(0)]
  %gh:f32[8,16] = matmul %gu, %W2 [tb]
  %mask:bool[8,16] = gt %zb, 0.0
  %gz:f32[8,16] = select %mask, %gh, 0.0
  %gW1:f32[20,16] = matmul %x, %gz [ta]
  %gb1:f32[16] = sum %gz [axes=(0)]
  %l:f32[] = cast %lr [dtype=f32]
  %s1:f32[20,16] = mul %l, %gW1
  %n1:f32[20,16] = sub %W1, %s1
  %s2:f32[16,3] = mul %l, %gW2
  %n2:f32[16,3] = sub %W2, %s2
  %t1:f32[16] = mul %l, %gb1
  %n3:f32[16] = sub %b1, %t1
  %t2:f32[3] = mul %l, %gb2
  %n4:f32[3] = sub %b2, %t2
  %W1 <- %n1
  %b1 <- %n3
  %W2 <- %n2
  %b2 <- %n4
} -> %loss"""
)


def test_a_training_step_in_every_form() -> None:
    graph = parse(MLP)
    arrays = random_arguments(graph)
    fused = fuse(fuse_updates(graph))
    assert_runs_alike(graph, arrays)
    assert_runs_alike(fused, arrays)
    for a, e in zip(run_native(fused, arrays)[1], run_interpreted(graph, arrays)[1], strict=True):
        assert_same(a, e, 2)


def test_the_fused_step_has_no_gradient_array_and_no_copies() -> None:
    program = build(fuse(fuse_updates(parse(MLP))))
    assert [n.op.name for n in program.graph.nodes].count("dot_acc") == 2
    assert {v.place for _, v in program.graph.updates} == {"in0", "in1", "in2", "in3"}
    assert "copy(" not in program.source


PRODUCTS = [
    ("ab,bc->ac", (40, 50), (50, 30)),
    ("ba,bc->ac", (50, 40), (50, 30)),
    ("ab,cb->ac", (40, 50), (30, 50)),
    ("ba,cb->ac", (50, 40), (30, 50)),
    ("ab,bc->ca", (40, 50), (50, 30)),
    ("ba,cb->ca", (50, 40), (30, 50)),
    ("abc,cd->abd", (4, 20, 50), (50, 30)),
    ("abc,acd->abd", (3, 20, 50), (3, 50, 30)),
    ("abc,abd->acd", (3, 50, 20), (3, 50, 30)),
    ("abc,adc->adb", (3, 20, 50), (3, 30, 50)),
    ("bac,acd->abd", (20, 3, 50), (3, 50, 30)),
    ("ab,b->a", (100, 90), (90,)),
    ("ba,b->a", (100, 90), (100,)),
    ("b,ba->a", (100,), (100, 90)),
    ("b,ab->a", (90,), (100, 90)),
    ("a,b->ab", (100,), (90,)),
    ("ab,ab->", (100, 90), (100, 90)),
    ("ab,ab->b", (100, 90), (100, 90)),
    ("abcd,bd->ac", (5, 6, 7, 40), (6, 40)),
    ("ab,bc->ac", (1, 784), (784, 128)),
    ("ab,bc->ac", (784, 1), (1, 128)),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "x", "y"), PRODUCTS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_contractions(spec: str, x: tuple[int, ...], y: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)
    numpy_dtype = {"f32": np.float32, "f64": np.float64}[dtype]
    a, b = (rng.standard_normal(s).astype(numpy_dtype) for s in (x, y))
    exact = np.einsum(spec, a.astype(np.float64), b.astype(np.float64))

    def typed(shape: tuple[int, ...]) -> str:
        return f"{dtype}[{','.join(map(str, shape))}]"

    text = f"""f(%C:{typed(exact.shape)}, %x:{typed(x)}, %y:{typed(y)}, %s:{dtype}[]) {{
  %z:{typed(exact.shape)} = dot %x, %y [{spec}]
  %v:{typed(exact.shape)} = dot_acc %C, %x, %y, %s [{spec}]
  %C <- %v
}} -> %z"""
    C = rng.standard_normal(exact.shape).astype(numpy_dtype)
    (z,), (v, *_) = run_native(parse(text), [C, a, b, np.array(0.5, numpy_dtype)])
    factor = 20 if dtype == "f32" else 100
    assert_same(z, exact.astype(numpy_dtype), factor)
    assert_same(v, (C + 0.5 * exact).astype(numpy_dtype), factor)


def test_long_sums_are_accurate() -> None:
    graph = parse("""f(%x:f32[300000,2]) {
  %c:f32[2] = sum %x [axes=(0)]
  %t:f32[] = sum %x [axes=(0,1)]
  %y:f32[2,300000] = transpose %x [perm=(1,0)]
  %r:f32[2] = sum %y [axes=(1)]
} -> %c, %t, %r""")
    x = np.random.default_rng(0).uniform(0.5, 1.5, (300000, 2)).astype(np.float32)
    (c, t, r), _ = run_native(fuse(graph), [x])
    exact = x.astype(np.float64).sum(0)
    np.testing.assert_allclose(c, exact, rtol=1e-7)
    np.testing.assert_allclose(r, exact, rtol=1e-7)
    np.testing.assert_allclose(t, exact.sum(), rtol=1e-7)


def test_statements_keep_their_order_under_updates() -> None:
    """a[1:] += a[:-1], a swap, and a value read after its array was updated."""
    graph = parse("""f(%a:f64[5], %b:f64[5]) {
  %l:f64[4] = slice %a [0:4]
  %r:f64[4] = slice %a [1:5]
  %s:f64[4] = add %r, %l
  %n:f64[5] = update %a, %s [1:5]
  %t:f64[5] = mul %n, %b
  %a <- %b
  %b <- %n
} -> %t, %a""")
    arrays = random_arguments(graph)
    assert_runs_alike(graph, arrays)
    assert_runs_alike(fuse(graph), arrays)


def test_the_same_bits_every_time() -> None:
    graph = fuse(fuse_updates(parse(MLP)))
    arrays = random_arguments(graph)
    first, again = run_native(graph, arrays), run_native(graph, arrays)
    for one, other in zip(first, again, strict=True):
        assert [x.tobytes() for x in one] == [x.tobytes() for x in other]


def test_a_planned_graph_is_taken_as_it_is() -> None:
    planned = plan_memory(parse(MLP))
    assert is_planned(planned) and build(planned).graph is planned


def test_what_a_program_tells() -> None:
    program = build(parse("f(%x:f64[4]) {\n  %y:f64[4] = tanh %x\n} -> %y"))
    assert program.source.startswith('"""Generated by tapeless')
    with open(program.path) as file:
        assert file.read() == program.source
    assert "define" in program.llvm() and program.asm()
    plan, codegen, *_, link, bind = (name for name, _ in program.timings)
    assert (plan, codegen, link, bind) == ("plan", "codegen", "link", "bind")


def test_timings_split_what_compiling_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By both engines; the constant makes a kernel that no other test has."""
    text = "f(%x:f64[4]) {{\n  %y:f64[4] = tanh %x\n  %z:f64[4] = mul %y, {}\n}} -> %z"
    for engine, phase in (("direct", "lower"), ("numba", "numba")):
        monkeypatch.setenv("TAPELESS_ENGINE", engine)
        program = build(parse(text.format(0.123456)), keep=False)
        assert [name for name, _ in program.timings] == [
            "plan", "codegen", "store", "find", phase, "llvm", "link", "bind",
        ]  # fmt: skip


def test_the_native_call_path_begins_before_the_trace(python, tmp_path, monkeypatch):
    """Where nothing was compiled before, and only for a step that is to run."""
    code = """
import sys, numpy as np, tapeless as tl
from tapeless.runtime.ahead import crew
def step(x):
    seen.append(bool(crew().workers))
    return x + int(sys.argv[1])
for how in ("lower", "__call__"):
    seen = []
    getattr(tl.compile(step), how)(np.ones(3))
    print(how, seen[0])
"""
    monkeypatch.setenv("TAPELESS_PROCESSES", "1")
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    assert python("-c", code, "1").split() == ["lower", "False", "__call__", "True"]
    assert python("-c", code, "2").split() == ["lower", "False", "__call__", "False"]


@pytest.mark.parametrize("shape", [(1, 3), (4, 8), (16, 64)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_is_computed_again_is_the_same_number(shape, dtype):
    """The elements are computed once for the maxima and once to be compared with them, there beside
    another reader of the products: an FMA would round them in one place only."""

    def masked(x, a, b):
        p = x * a
        q = p + b
        return q == q.max(axis=1, keepdims=True), np.sum(p * p)

    def loss(x, a, b):
        p = x * a
        return np.sum(np.max(p + b, axis=1)) + np.sum(p * p)

    find, differentiate = tl.compile(masked), tl.compile(tl.grad(loss))
    rng = np.random.default_rng(0)
    for _ in range(8):
        x, a, b = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
        mask, _ = find(x, a, b)
        np.testing.assert_array_equal(mask, masked(x, a, b)[0])
        expected = (mask + 2 * x * a) * a
        np.testing.assert_allclose(differentiate(x, a, b), expected, rtol=1e-4)
