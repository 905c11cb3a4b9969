"""Every op, natively and as plain Python, against the interpreter."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

import tapeless.ir.ops  # noqa: F401  fills the registry
from tapeless.compiler.checker import check_plan
from tapeless.compiler.codegen import generate
from tapeless.compiler.memory import plan_memory
from tapeless.compiler.native import build
from tapeless.ir.builder import Builder
from tapeless.ir.errors import UnsupportedError
from tapeless.ir.graph import Graph, Loc, Value
from tapeless.ir.op import OPS, Op, Sample
from tapeless.ir.types import F32, F64, Type
from tapeless.passes.decompose import decompose
from tapeless.runtime.engine import run_plain
from tapeless.runtime.executable import aligned_bytes
from tapeless.runtime.interpreter import interpret

SYMBOLIC = {"jacobian", "contract", "gradient", "vjp", "jvp", "total_jacobian"}
CASES = [
    pytest.param(op, sample, id=f"{op.name}-{k}")
    for op in OPS.values()
    if op.name not in SYMBOLIC
    for k, sample in enumerate(op.samples)
]


def random_operand(rng: np.random.Generator, operand: Any, sample: Sample) -> np.ndarray:
    if not isinstance(operand, Type):
        return np.asarray(operand)
    if operand.is_bool:
        return rng.random(operand.shape) < 0.5
    if operand.is_integer:
        return rng.integers(1, 9, operand.shape).astype(operand.dtype)
    return rng.uniform(sample.low, sample.high, operand.shape).astype(operand.dtype)


def single(op: Op, sample: Sample) -> tuple[Graph, list[np.ndarray]]:
    """A graph of one node and random arguments for it."""
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    arrays = [random_operand(rng, x, sample) for x in sample.operands]
    inputs = tuple(Value(Type(a.dtype, a.shape), f"x{k}") for k, a in enumerate(arrays))
    b = Builder()
    node = b.emit(op, inputs, sample.attrs)
    return decompose(Graph("single", inputs, tuple(b.nodes), node.results)), arrays


def run_source(graph: Graph, arrays: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The generated source as plain Python: (outputs, arguments after the step)."""
    planned = plan_memory(graph)
    check_plan(planned)
    generated = generate(planned)
    layout = generated.layout
    arguments = [a.copy() for a in arrays]
    outputs = [np.zeros(t.shape, t.dtype) for t in layout.outputs]
    arena = aligned_bytes(layout.arena + generated.scratch + 64)
    areas = [*arguments, *outputs, *(np.array(c) for c in layout.constants)]
    table = [np.atleast_1d(a).reshape(-1).view(a.dtype) for a in areas]
    table += [arena[offset:] for offset in layout.slots] + [arena[layout.arena :]]
    with np.errstate(all="ignore"):
        assert run_plain(generated.source, table) == 0
    return outputs, arguments


def tolerance(dtype: np.dtype) -> float:
    return {F32: 2e-6, F64: 1e-13}.get(dtype, 0.0)


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if expected.dtype.kind == "f":
        scale = np.max(np.abs(expected), initial=1.0, where=np.isfinite(expected))
        limit = tolerance(expected.dtype)
        np.testing.assert_allclose(actual, expected, rtol=limit, atol=limit * scale)
    else:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_native_equals_interpreter(op: Op, sample: Sample) -> None:
    graph, arrays = single(op, sample)
    expected, _ = interpret(graph, arrays)
    actual = build(graph).call(tuple(arrays))
    assert actual is not None
    for a, e in zip(actual, expected, strict=True):
        assert_same(a, e)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_source_runs_as_plain_python(op: Op, sample: Sample) -> None:
    graph, arrays = single(op, sample)
    expected, _ = interpret(graph, arrays)
    for a, e in zip(run_source(graph, arrays)[0], expected, strict=True):
        assert_same(a, e)


def test_every_op_has_samples_or_is_symbolic() -> None:
    tested = {case.values[0].name for case in CASES}  # type: ignore[attr-defined]
    assert OPS.keys() - tested - SYMBOLIC == {"fused"}


def test_an_op_without_code_names_itself_and_the_line() -> None:
    b = Builder()
    x = Value(Type(F64, (3,)), "x")
    with b.at(Loc("train.py", 12)):
        y = b.softmax(x, axis=0)
    graph = plan_memory(Graph("f", (x,), tuple(b.nodes), (y,)))
    with pytest.raises(UnsupportedError, match=r"softmax cannot be compiled at train\.py:12"):
        generate(graph)
