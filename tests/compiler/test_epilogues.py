"""Products whose result is used up by an optimiser some rows at a time: values, places, threads."""

import numpy as np
import pytest
import tapeless as tl
from running import (
    assert_order_is_free,
    assert_runs_alike,
    assert_same_on_threads,
    random_arguments,
)
from tapeless.compiler.checker import check_plan
from tapeless.compiler.codegen import generate
from tapeless.compiler.codegen.epilogue import PANEL, choose_panels
from tapeless.compiler.memory import plan_memory
from tapeless.ir.parse import parse
from tapeless.passes.epilogues import join_epilogues
from tapeless.passes.fuse import fuse

MOMENTUM = """
  %m0:T = mul %m, 0.9
  %m1:T = add %m0, %d
  %s:T = mul %m1, 0.01
  %W1:T = sub %W, %s"""
NESTEROV = """
  %m0:T = mul %m, 0.9
  %m1:T = add %m0, %d
  %a:T = mul %m1, 0.9
  %b:T = add %a, %d
  %s:T = mul %lr, %b
  %W1:T = sub %W, %s"""
ADAM = """
  %m0:T = mul %m, 0.9
  %d0:T = mul %d, 0.1
  %m1:T = add %m0, %d0
  %v0:T = mul %v, 0.99
  %dd:T = mul %d, %d
  %v1:T = add %v0, %dd
  %r:T = sqrt %v1
  %q:T = add %r, 0.5
  %a:T = mul %lr, %m1
  %s:T = div %a, %q
  %W1:T = sub %W, %s"""
LION = """
  %m0:T = mul %m, 0.9
  %d0:T = mul %d, 0.1
  %a:T = add %m0, %d0
  %b:T = sign %a
  %W0:T = mul %W, 0.99
  %W1:T = sub %W0, %b
  %m1:T = add %m, %d"""
CLIPPED = """
  %a:T = minimum %d, 0.5
  %b:T = maximum %a, -0.5
  %m1:T = add %m, %b
  %r:T = mul %b, %row
  %c:T = mul %r, %column
  %W1:T = sub %W, %c"""


def program(body, m, n, k, dtype="f32", turned=True):
    """A step that updates W, m and perhaps v by what follows from x^T g, or x g."""
    shape = f"{dtype}[{m},{n}]"
    x = f"%x:{dtype}[{k},{m}]" if turned else f"%x:{dtype}[{m},{k}]"
    names = [name for name in ("W", "m", "v") if f"%{name}1:" in body]
    rest = (f"%lr:{dtype}[]", f"%row:{dtype}[{n}]", f"%column:{dtype}[{m},1]")
    inputs = [x, f"%g:{dtype}[{k},{n}]", *(f"%{name}:{shape}" for name in names), *rest]
    updates = "".join(f"\n  %{name} <- %{name}1" for name in names)
    spec = "ab,ac->bc" if turned else "ab,bc->ac"
    lines = f"\n  %d:{shape} = dot %x, %g [{spec}]{body.replace(':T', ':' + shape)}{updates}"
    return parse(f"f({', '.join(inputs)}) {{{lines}\n}} -> %lr")


def arguments(graph):
    """No negative second moments."""
    arrays = random_arguments(graph)
    names = [value.name for value in graph.inputs]
    return [abs(a) if name == "v" else a for name, a in zip(names, arrays, strict=True)]


@pytest.mark.parametrize(
    ("body", "m", "n", "k", "dtype", "turned"),
    [
        (MOMENTUM, 257, 257, 5, "f32", True),
        (MOMENTUM, 64, 1031, 2, "f64", False),
        (NESTEROV, 1031, 67, 600, "f32", False),  # longer than a block of the summed axis
        (ADAM, 181, 191, 7, "f64", True),
        (ADAM, 2049, 32, 3, "f32", True),
        (LION, 130, 512, 16, "f32", True),
        (CLIPPED, 263, 251, 9, "f32", True),  # two loops: a row and a column are read as well
        (CLIPPED, 100, 331, 9, "f64", False),
    ],
)
def test_every_optimiser_in_place(body, m, n, k, dtype, turned):
    graph = join_epilogues(fuse(program(body, m, n, k, dtype, turned)))
    assert [node.op.name for node in graph.nodes if node.op.kind != "constant"] == ["fused"]
    arrays = arguments(graph)
    planned = plan_memory(graph)
    check_plan(planned)
    (node,) = (node for node in planned.nodes if node.op.name == "fused")
    targets = {target.place for target, _ in planned.updates}
    assert {value.place for value in node.results} == targets
    assert_runs_alike(graph, arrays)


@pytest.mark.parametrize("body", [MOMENTUM, CLIPPED])
def test_chunks_need_no_order(body):
    graph = join_epilogues(fuse(program(body, 140, 241, 2, "f64")))
    assert_order_is_free(graph, arguments(graph))
    assert_same_on_threads(graph, arguments(graph), steps=2)


def test_the_gradient_is_nowhere_as_a_whole():
    """Room for the rows at hand takes half of it at the most."""
    step = tl.compile(descend, cache=False)
    program = step.lower(*state(512, 300, 40))
    assert program.memory().intermediate_bytes < 1000
    assert generate(program.graph("planned")).scratch == 512 * 300 * 4 // 2
    assert "whole_gemm_f32(True, False, 64, 300, 40, " in program.source()


def descend(w, m, x, g):
    m *= 0.9
    m += x.T @ g
    w -= 0.1 * m


def state(rows, columns, depth):
    rng = np.random.default_rng(rows)
    shapes = (rows, columns), (rows, columns), (depth, rows), (depth, columns)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_an_array_that_the_product_reads_is_not_written_meanwhile():
    """Such a product stays by itself."""
    shape = "f64[200,200]"
    text = f"""f(%W:{shape}, %m:{shape}) {{
  %d:{shape} = dot %W, %m [ab,bc->ac]
  %a:{shape} = mul %d, 0.001
  %W1:{shape} = sub %W, %a
  %W <- %W1
}} -> %m"""
    graph = join_epilogues(fuse(parse(text)))
    assert [node.op.name for node in graph.nodes if node.op.kind != "constant"] == ["dot", "fused"]
    assert_runs_alike(graph, random_arguments(graph))


def test_a_factor_that_ends_here_is_not_overwritten():
    shape = "f64[200,200]"
    graph = join_epilogues(
        parse(f"""f(%V:{shape}, %m:{shape}) {{
  %i:i64[200] = iota [n=200]
  %W:{shape} = gather %V, %i [axes=(0)]
  %d:{shape} = dot %W, %m [ab,bc->ac]
  %W1:{shape} = sub %W, %d
  %s:{shape} = cumsum %W1 [axis=0]
}} -> %s""")
    )
    planned = plan_memory(graph)
    check_plan(planned)
    (node,) = (node for node in planned.nodes if node.op.name == "fused")
    assert node.result.place not in {value.place for value in node.operands}
    assert_runs_alike(graph, random_arguments(graph))


@pytest.mark.parametrize("rows", [64, 101, 784, 4096, 100_003])
@pytest.mark.parametrize("row_bytes", [128, 2048, 40_000])
def test_panels_are_even_and_small(rows, row_bytes):
    panels = choose_panels(rows, row_bytes)
    assert (panels.chunks - 1) * panels.each * panels.rows < rows
    assert panels.chunks * panels.each * panels.rows >= rows
    assert panels.rows == 1 or (panels.rows - 1) * row_bytes < PANEL
    assert panels.rows * panels.chunks <= rows / 2 + panels.chunks


@pytest.mark.parametrize("name", ["adamw", "rmsprop", "lion", "sgd"])
def test_a_training_step_with_an_optimiser(name):
    """Compiled as interpreted, twice, every state included."""
    given = {
        "adamw": {"lr": 1e-2, "weight_decay": 0.1},
        "rmsprop": {"lr": 1e-2, "momentum": 0.9, "centered": True},
        "lion": {"lr": 1e-3},
        "sgd": {"lr": 1e-2, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    }[name]
    opt = getattr(tl.optim, name)(**given)

    def step(p, state, x, y):
        loss, g = tl.value_and_grad(lambda p: np.mean((np.tanh(x @ p["W"]) - y) ** 2))(p)
        opt.update(p, g, state)
        return loss

    rng = np.random.default_rng(5)
    p = {"W": rng.standard_normal((211, 170)) / 15}
    x, y = rng.standard_normal((9, 211)), rng.standard_normal((9, 170))
    q = {"W": p["W"].copy()}
    compiled = tl.compile(step, cache=False)
    mine, other = opt.init(p), opt.init(q)
    assert "whole_gemm_f64" in compiled.lower(p, mine, x, y).source()
    for _ in range(2):
        loss = compiled(p, mine, x, y)
        assert np.isclose(loss, compiled.interpret(q, other, x, y), rtol=1e-12)
    for a, b in zip(tl.tree.leaves((p, mine)), tl.tree.leaves((q, other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
