"""Every op, natively and as plain Python, against the interpreter."""

from __future__ import annotations

import pytest
from running import assert_same, run_interpreted, run_native, run_source
from sampling import sample_graph
from tapeless.compiler.codegen import generate
from tapeless.compiler.memory import plan_memory
from tapeless.ir.builder import Builder
from tapeless.ir.errors import UnsupportedError
from tapeless.ir.graph import Graph, Loc, Value
from tapeless.ir.op import OPS, Op, Sample
from tapeless.ir.types import F64, Type
from tapeless.passes.decompose import decompose

SYMBOLIC = {"jacobian", "contract", "gradient", "vjp", "jvp", "total_jacobian"}
CASES = [
    pytest.param(op, sample, id=f"{op.name}-{k}")
    for op in OPS.values()
    if op.name not in SYMBOLIC
    for k, sample in enumerate(op.samples)
]


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_source_and_native_code_equal_the_interpreter(op: Op, sample: Sample) -> None:
    graph, arrays = sample_graph(op, sample)
    graph = decompose(graph)
    expected, _ = run_interpreted(graph, arrays)
    for run in (run_source, run_native):
        for a, e in zip(run(graph, arrays)[0], expected, strict=True):
            assert_same(a, e)


def test_every_op_has_samples_or_is_symbolic() -> None:
    assert {name for name, op in OPS.items() if not op.samples} <= SYMBOLIC | {"fused"}


def test_an_op_without_code_names_itself_and_the_line() -> None:
    b = Builder()
    x = Value(Type(F64, (3,)), "x")
    with b.at(Loc("train.py", 12)):
        y = b.softmax(x, axis=0)
    graph = plan_memory(Graph("f", (x,), tuple(b.nodes), (y,)))
    with pytest.raises(UnsupportedError, match=r"softmax cannot be compiled at train\.py:12"):
        generate(graph)
