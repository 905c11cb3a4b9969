"""`check_grads` to second order for every differentiable op, on random shapes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import tapeless as tl
from fuzz.grow import grow
from tapeless.compiler.primitive import apply
from tapeless.ir.errors import RUN_TIME_ERRORS
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Node, Value
from tapeless.ir.op import OPS, ZERO
from tapeless.ir.types import F64

OPS_WITH_A_RULE = [
    op.name for op in OPS.values() if op.jacobian not in (None, ZERO) and op.kind != "autodiff"
]
CASES = 2
LARGEST = 60
"""Most elements of an operand: the differences take two evaluations of each order."""


def is_case(node: Node, name: str) -> bool:
    values = (*node.operands, *node.results)
    floats = [v for v in node.operands if v.type.is_float]
    return (
        node.op.name == name
        and bool(floats)
        and all(0 < v.type.size <= LARGEST for v in values)
        and all(v.type.dtype == F64 for v in (*floats, *node.results))
    )


def cases(name: str) -> Iterator[tuple[Node, list[np.ndarray]]]:
    """Applications of an op in random programs, with the arrays its operands have there. Of nearly
    singular matrices differences say nothing: their errors grow with the square of the
    condition."""
    for seed in range(100_000):
        program = grow(random.Random(seed), 6)
        node = next((n for n in program.graph.nodes if is_case(n, name)), None)
        if node is None:
            continue
        env: dict[Value, np.ndarray] = dict(
            zip(program.graph.inputs, program.arguments, strict=True)
        )
        try:
            evaluate(
                program.graph,
                program.arguments,
                lambda n, results, env=env: env.update(zip(n.results, results, strict=True)),
            )
        except RUN_TIME_ERRORS:  # an index out of range: no results
            continue
        arrays = [env[v] for v in node.operands]
        tame = all(np.all(np.isfinite(a)) and np.max(np.abs(a)) < 50 for a in arrays)
        if tame and (OPS[name].kind != "linalg" or np.max(np.linalg.cond(arrays[0])) < 30):
            yield node, arrays


def off_ties(x: np.ndarray, rng: np.random.Generator, near: float) -> np.ndarray:
    """Floats off the points where functions bend sharply: what was equal is well apart, none is
    near 0."""
    places = rng.permutation(x.size).reshape(x.shape) + rng.uniform(0, 0.5, x.shape)
    spread = places / max(x.size, 1)
    moved = x * (1.01 + 0.02 * spread)
    return np.where(np.abs(moved) < near, moved + (1.5 + 1.5 * spread) * near, moved)


@pytest.mark.parametrize("name", OPS_WITH_A_RULE)
def test_op(name: str) -> None:
    checked = 0
    for node, arrays in cases(name):
        rng = np.random.default_rng(checked)
        moving = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
        near = 0.3 if OPS[name].kind == "elementwise" else 0.02
        floats = [off_ties(arrays[k], rng, near) for k in moving]

        def call(*xs, node=node, arrays=arrays, moving=moving):
            full = list(arrays)
            for k, x in zip(moving, xs, strict=True):
                full[k] = x
            return apply(name, *full, **node.attrs)

        if np.all(np.isfinite(call(*floats))):
            tl.check_grads(call, floats, order=2)
            checked += 1
        if checked == CASES:
            return
