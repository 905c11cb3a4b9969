"""Second derivatives of every op: valid and equal at each stage, and the same from their text."""

import numpy as np
import pytest
from sampling import all_samples, sample_graph
from tapeless.ir.builder import Builder
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Value
from tapeless.ir.parse import parse
from tapeless.ir.types import F64
from tapeless.ir.verify import verify
from tapeless.passes.autodiff import autodiff
from tapeless.passes.jacobian_free import jacobian_free

CASES = [
    pytest.param(op, sample, position, id=f"{name}-{position}")
    for name, op, sample in all_samples()
    if op.jacobian is not None
    for position, value in enumerate(sample_graph(op, sample)[0].inputs)
    if value.type.dtype == F64
]


def sum_of_squares(b: Builder, y: Value) -> Value:
    return b.sum(b.mul(y, y), axes=tuple(range(y.type.rank)))


def second_derivative(op, sample, position):
    """The gradient of the sum of squares of the gradient of the sum of squares of an op."""
    graph, arrays = sample_graph(op, sample)
    b = Builder()
    operands = list(graph.inputs)
    arg = operands[position] = b.arg(operands[position])
    y = b.emit(op, operands, sample.attrs).result
    if y.type.dtype != F64:
        y = b.cast(y, dtype=F64)
    for _ in range(2):
        y = b.emit("gradient", (sum_of_squares(b, y), arg)).result
    return Graph("g", graph.inputs, tuple(b.nodes), (y,)), arrays


@pytest.mark.parametrize(("op", "sample", "position"), CASES)
def test_every_stage_and_its_text(op, sample, position):
    graph, arrays = second_derivative(op, sample, position)
    expanded = autodiff(graph)
    values = []
    for stage in (graph, expanded, jacobian_free(expanded)):
        verify(stage)
        again = parse(str(stage))
        assert str(again) == str(stage)
        if stage is not graph:
            (expected,), (got,) = evaluate(stage, arrays)[0], evaluate(again, arrays)[0]
            np.testing.assert_array_equal(got, expected, strict=True)
            values.append(got)
    np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-9)
