"""Gradients of random programs, of first and second order, against differences.

    differentiated(program, rng)     the program that computes d loss / d inputs

The loss is a random combination of the floating outputs. Its derivative along a random direction is
compared with central differences of the loss in higher precision, at two step sizes: where those do
not agree with each other or the loss has a kink or a jump nearby, nothing is known and nothing is
compared; nor where `stop_gradient` makes the derivative another one by intention.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
from tapeless.compiler.pipeline import Lowered, lower
from tapeless.ir.builder import Builder, inline
from tapeless.ir.errors import RUN_TIME_ERRORS, UnsupportedError
from tapeless.ir.graph import Graph, Value

from .check import (
    Arrays,
    Reference,
    indeterminate,
    overflowing,
    precise,
    repaired,
    results,
)  # fmt: skip
from .growing import Program
from .machine import Disagreement, run_native

STEP: Final = 1e-4
MAX_JACOBIAN: Final = 2000
"""Most elements of a whole Jacobian."""
NEAR: Final = 1e-3
"""How closely the derivative and the differences must agree, relative to their size."""
LEAST: Final = 1e-3
"""Slopes below this are compared as if they were this large."""


def differentiable(program: Program, rng: random.Random) -> Program | None:
    """The program as a loss: one scalar output, no updates, arguments off the grid of ties. None
    if no input can matter to it."""
    graph = program.graph
    floats = [v for v in graph.outputs if v.type.is_float]
    wrt = [v for v in graph.inputs if v.type.is_float and v.type.size]
    if not floats or not wrt:
        return None
    draw = np.random.default_rng(rng.getrandbits(32))
    b = Builder()
    b.nodes = list(graph.nodes)
    b.producer = dict(graph.producer)
    total: Value | None = None
    for v in floats:
        weights = b.constant(draw.uniform(-1, 1, v.shape).astype(v.type.dtype))
        # A sum by itself has a cotangent that is 1 everywhere: known, which is a case of its own.
        summed = v if rng.random() < 0.25 else b.mul(b.tanh(v), weights)
        part = b.sum(summed, axes=tuple(range(v.type.rank)))
        part = b.cast(part, dtype=floats[0].type.dtype)
        total = part if total is None else b.add(total, part)
    assert total is not None

    def shifted(a: np.ndarray) -> np.ndarray:
        factor, distance = draw.uniform(-0.03, 0.03, a.shape), draw.uniform(-0.01, 0.01, a.shape)
        return np.asarray(a * (1 + factor) + distance, a.dtype)

    arguments = [shifted(a) if a.dtype.kind == "f" else a for a in program.arguments]
    return Program(Graph("loss", graph.inputs, tuple(b.nodes), (total,)), arguments)


def with_gradient(loss: Graph) -> Graph:
    """The graph of the stage `trace` whose outputs are the gradients of its scalar output with
    respect to its floating inputs."""
    b = Builder()
    inputs = tuple(Value(v.type, v.name) for v in loss.inputs)
    wrt = [k for k, v in enumerate(inputs) if v.type.is_float]
    args = [b.arg(v) if v.type.is_float else v for v in inputs]
    (value,) = inline(b, loss, args)
    node = b.emit("gradient", (value, *(args[k] for k in wrt)), {})
    return Graph("gradient", inputs, tuple(b.nodes), node.results)


def with_jacobian(program: Program, rng: random.Random) -> Program | None:
    """The program whose outputs are the Jacobian of an output with respect to an input and, for
    it has structure too, the sum of its squares. None if there is no small one."""
    graph = program.graph
    inputs = tuple(Value(v.type, v.name) for v in graph.inputs)
    floats = [k for k, v in enumerate(graph.outputs) if v.type.is_float]
    wrt = [k for k, v in enumerate(graph.inputs) if v.type.is_float]
    if not floats or not wrt:
        return None
    y, x = rng.choice(floats), rng.choice(wrt)
    if graph.outputs[y].type.size * graph.inputs[x].type.size > MAX_JACOBIAN:
        return None
    b = Builder()
    arg = b.arg(inputs[x])
    results = inline(b, graph, [arg if v is inputs[x] else v for v in inputs])
    jacobian = b.total_jacobian(results[y], arg)
    square = b.sum(b.mul(jacobian, jacobian), axes=tuple(range(jacobian.type.rank)))
    traced = Graph("jacobian", inputs, tuple(b.nodes), (jacobian, square))
    return Program(traced, program.arguments)


def check_jacobian(program: Program, rng: random.Random) -> None:
    """Disagreement if a whole Jacobian differs between the stages."""
    traced = with_jacobian(program, rng)
    if traced is None:
        return
    try:
        plain = lower(traced.graph, optimize=False, until="jacobian-free", verify=True)
        lowered = lower(traced.graph, verify=True)
    except UnsupportedError:
        return
    gradient = repaired(lowered, plain.graphs["jacobian-free"], traced.arguments)
    if gradient is None:
        return
    reference = Reference(Program(gradient, traced.arguments))
    for stage, graph in stages(lowered, plain, traced.arguments):
        with suppress(UnsupportedError):  # dense Jacobians too large to build
            reference.compare(f"jacobian, {stage}", results(graph, traced.arguments))


def stages(lowered: Lowered, plain: Lowered, arguments: Arrays) -> Iterator[tuple[str, Graph]]:
    """The stages that compute derivatives. A dense Jacobian multiplies each of its zeros, and 0
    times NaN is NaN where a structural zero is 0: with a NaN about, the dense ones say nothing."""
    finite = not overflowing(plain.graphs["jacobian-free"], arguments)
    for stage, graph in {**lowered.graphs, "dense": plain.graphs["autodiff"]}.items():
        if stage not in ("trace", "stable") and (finite or stage not in ("autodiff", "dense")):
            yield stage, graph


def contracted(gradients: Graph, rng: random.Random) -> Graph:
    """A scalar made of the gradients, to be differentiated again."""
    b = Builder()
    draw = np.random.default_rng(rng.getrandbits(32))
    inputs = tuple(Value(v.type, v.name) for v in gradients.inputs)
    found = inline(b, gradients, inputs)
    total: Value | None = None
    for v in found:
        weights = b.constant(draw.uniform(-1, 1, v.shape).astype(v.type.dtype))
        part = b.sum(b.mul(v, weights), axes=tuple(range(v.type.rank)))
        part = b.cast(part, dtype=found[0].type.dtype)
        total = part if total is None else b.add(total, part)
    assert total is not None
    return Graph("loss2", inputs, tuple(b.nodes), (total,))


def check_gradient(program: Program, rng: random.Random, *, native: bool = False) -> bool:
    """Disagreement if a gradient is wrong; whether anything could be compared with differences."""
    try:
        results(program.graph, program.arguments)
    except RUN_TIME_ERRORS:  # an index out of range: there is no value, and no slope
        return False
    if rng.random() < 0.25 and not indeterminate(program.graph, program.arguments):
        check_jacobian(program, rng)
    loss = differentiable(program, rng)
    try:
        if loss is None or indeterminate(loss.graph, loss.arguments):
            return False
        results(loss.graph, loss.arguments)
    except RUN_TIME_ERRORS:  # an index that was computed is now out of range
        return False
    try:
        if rng.random() < 0.2 and len(loss.graph.nodes) < 40:
            first = lower(with_gradient(loss.graph), optimize=False, until="jacobian-free")
            loss = Program(contracted(first.graphs["jacobian-free"], rng), loss.arguments)
        traced = with_gradient(loss.graph)
        plain = lower(traced, optimize=False, until="jacobian-free", verify=True)
        lowered = lower(traced, verify=True)
    except UnsupportedError:  # an op without a derivative rule
        return False
    gradient = repaired(lowered, plain.graphs["jacobian-free"], loss.arguments)
    if gradient is None:
        return False
    reference = Reference(Program(gradient, loss.arguments))
    for stage, graph in stages(lowered, plain, loss.arguments):
        with suppress(UnsupportedError):  # dense Jacobians too large to build
            reference.compare(f"gradient, {stage}", results(graph, loss.arguments))
    if native:
        fine = rng.random() < 0.5
        reference.compare("gradient, native", run_native(lowered, loss.arguments, fine=fine))
    return _differences(loss, gradient, rng)


def _differences(loss: Program, gradient: Graph, rng: random.Random) -> bool:
    if any(node.op.name == "stop_gradient" for node in loss.graph.nodes):
        return False
    floats, direction = _direction(loss, rng)
    found = precise(gradient, loss.arguments)[: len(floats)]
    slope = sum(float(np.sum(g * d)) for g, d in zip(found, direction, strict=True))
    size = sum(float(np.sum(np.abs(g * d))) for g, d in zip(found, direction, strict=True))
    fine = _slope(loss, floats, direction, size)
    if fine is None or not np.isfinite(slope):
        return False
    if abs(slope - fine) > NEAR * max(abs(fine), size, LEAST):
        raise Disagreement("gradient", f"along a direction {slope:.6e}, by differences {fine:.6e}")
    return True


def kinked(loss: Program, rng: random.Random) -> bool:
    """Whether differences do not tell the slope along a random direction."""
    return _slope(loss, *_direction(loss, rng), 0.0) is None


def _direction(loss: Program, rng: random.Random) -> tuple[list[int], Arrays]:
    draw = np.random.default_rng(rng.getrandbits(32))
    floats = [k for k, v in enumerate(loss.graph.inputs) if v.type.is_float]
    return floats, [np.asarray(draw.uniform(-1, 1, loss.arguments[k].shape)) for k in floats]


def _slope(
    loss: Program, floats: Sequence[int], direction: Sequence[np.ndarray], size: float
) -> float | None:
    """The slope by central differences, where it is of this size or larger; None where two step
    sizes disagree, or the loss has a kink."""
    steps = (STEP, STEP / 3, 0.0, -STEP / 3, -STEP)
    far, up, here, down, back = (_along(loss, floats, direction, h) for h in steps)
    coarse, fine = (far - back) / (2 * STEP), (up - down) / (2 * STEP / 3)
    scale = max(abs(fine), size, LEAST)
    if not np.isfinite(coarse + fine) or abs(coarse - fine) > 0.1 * NEAR * scale:
        return None
    kink = abs(up - 2 * here + down) > 10 * NEAR * scale * STEP / 3
    return None if kink else fine


def _along(
    loss: Program, floats: Sequence[int], direction: Sequence[np.ndarray], h: float
) -> float:
    """The loss so far along a direction."""
    arguments: Arrays = list(loss.arguments)
    for k, d in zip(floats, direction, strict=True):
        arguments[k] = np.asarray(arguments[k], np.longdouble) + h * d
    return precise(loss.graph, arguments)[0]  # type: ignore[return-value]


__all__ = ["check_gradient", "differentiable", "kinked", "with_gradient"]
