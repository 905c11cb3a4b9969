"""Graphs and arrays for the table tests, made from the samples of the op records."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tapeless.ir.ops  # noqa: F401  (fills the registry)
from tapeless.ir.builder import Builder
from tapeless.ir.graph import Graph, Value
from tapeless.ir.op import OPS, Op, Sample
from tapeless.ir.types import Type


def draw(rng: np.random.Generator, operand: object, low: float, high: float) -> np.ndarray:
    """A random array for an operand given as a type; an array stands for itself."""
    if not isinstance(operand, Type):
        return np.asarray(operand)
    if operand.is_float:
        return np.asarray(rng.uniform(low, high, operand.shape)).astype(operand.dtype)
    if operand.is_bool:
        return np.asarray(rng.random(operand.shape) < 0.5)
    least = 0 if operand.dtype.kind == "u" else -9
    return np.asarray(rng.integers(least, 9, operand.shape)).astype(operand.dtype)


def draw_operands(rng: np.random.Generator, sample: Sample) -> list[np.ndarray]:
    """Arrays for the operands of a sample."""
    arrays = [draw(rng, x, sample.low, sample.high) for x in sample.operands]
    return [sample.adjust.get(k, np.asarray)(a) for k, a in enumerate(arrays)]


def inputs_for(arrays: list[np.ndarray]) -> tuple[Value, ...]:
    """One graph input per array, named x0, x1 ..."""
    return tuple(Value(Type(a.dtype, a.shape), f"x{k}") for k, a in enumerate(arrays))


def sample_graph(op: Op, sample: Sample, seed: int = 0) -> tuple[Graph, list[np.ndarray]]:
    """The graph that is just this op, and arrays to run it on."""
    rng = np.random.default_rng(seed)
    arrays = draw_operands(rng, sample)
    inputs = inputs_for(arrays)
    b = Builder()
    node = b.emit(op, inputs, sample.attrs)
    return Graph(op.name, inputs, tuple(b.nodes), node.results), arrays


def all_samples() -> Iterator[tuple[str, Op, Sample]]:
    """(test id, op, sample) over the whole registry."""
    for op in OPS.values():
        for k, sample in enumerate(op.samples):
            yield f"{op.name}-{k}", op, sample
