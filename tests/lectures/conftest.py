"""What every lecture test uses: run a function every way, and look for ops in a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler.program import Program

LIMIT = {np.float32: 1e-5, np.float64: 1e-12}
"""How far a result may be off, against its largest element."""


def cast(args: Any, dtype: Any) -> Any:
    """Copies of all arrays, the floating ones in `dtype`; everything else as it is."""

    def one(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        return leaf.astype(dtype if leaf.dtype.kind == "f" else leaf.dtype)

    return tl.tree.map(one, args)


def compare(found: Any, expected: Any, dtype: Any, slack: float) -> None:
    """Equal structure and shapes, floats of `dtype` and close."""
    pairs = zip(tl.tree.leaves(found), tl.tree.leaves(expected), strict=True)
    for a, e in pairs:
        wanted = np.asarray(e)
        assert np.shape(a) == wanted.shape
        assert a.dtype == dtype or a.dtype.kind != "f"
        limit = LIMIT[dtype] * slack * max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
        np.testing.assert_allclose(a, wanted, rtol=0, atol=limit)


@pytest.fixture
def normal() -> Callable[..., Any]:
    """`normal(*shape)`: standard normal numbers, the same in every run of the test."""
    rng = np.random.default_rng(0)
    return lambda *shape: rng.standard_normal(shape)


@pytest.fixture
def agrees() -> Callable[..., Program]:
    """`agrees(fn, args, expected)`: `fn(*args)` gives `expected`, compiled and interpreted, in f32
    and f64.

    `expected` is the result, or a function that returns it from the arguments in f64. `slack`
    multiplies the error allowed. Returns the f64 program.
    """

    def check(
        fn: Callable[..., Any], args: Sequence[Any], expected: Any, slack: float = 1.0
    ) -> Program:
        step = tl.compile(fn)
        for dtype in (np.float32, np.float64):
            given = cast(tuple(args), dtype)
            wanted = expected(*cast(given, np.float64)) if callable(expected) else expected
            for run in (step, step.interpret):
                compare(run(*cast(given, dtype)), wanted, dtype, slack)
        return step.lower(*cast(tuple(args), np.float64))

    return check


@pytest.fixture
def every_way() -> Callable[[Callable[..., Any]], Iterator[tuple[Any, Any]]]:
    """`every_way(step)`: pairs of a way to run the step and a dtype to run it in."""

    def every(step: Callable[..., Any]) -> Iterator[tuple[Any, Any]]:
        compiled = tl.compile(step)
        for dtype in (np.float32, np.float64):
            yield compiled, dtype
            yield compiled.interpret, dtype

    return every


@pytest.fixture
def ops() -> Callable[[Program, str], set[str]]:
    """`ops(program, stage)`: the names of the ops in a stage, fused bodies included."""

    def names(program: Program, stage: str) -> set[str]:
        return set(_ops(program.graph(stage)))

    return names


def _ops(graph: Any) -> Iterator[str]:
    for node in graph.nodes:
        yield node.op.name
        if "body" in node.attrs:
            yield from _ops(node.attrs["body"])
