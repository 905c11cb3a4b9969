"""Running a graph in every way: interpreter, generated source as plain Python, native code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import strategies as st
from rewriting import assert_same_values
from tapeless.compiler.checker import check_plan
from tapeless.compiler.codegen import generate
from tapeless.compiler.memory import plan_memory
from tapeless.compiler.native import build
from tapeless.ir.builder import Builder
from tapeless.ir.graph import Graph, Value
from tapeless.ir.parse import parse
from tapeless.ir.types import F32, F64, Type
from tapeless.ir.verify import verify
from tapeless.passes.fuse import fuse
from tapeless.runtime import kernel
from tapeless.runtime.engine import run_plain
from tapeless.runtime.executable import aligned_bytes
from tapeless.runtime.interpreter import interpret
from tapeless.runtime.modes import RunOptions

Arrays = list[np.ndarray]


def random_arguments(graph: Graph, seed: int = 0, high: int = 3) -> Arrays:
    """One array per input: normal floats, integers below `high`, coin flips."""
    rng = np.random.default_rng(seed)
    drawn = []
    for value in graph.inputs:
        shape, dtype = value.type.shape, value.type.dtype
        if dtype.kind == "f":
            drawn.append(np.asarray(rng.standard_normal(shape)).astype(dtype))
        else:
            limit = 2 if dtype.kind == "b" else high
            drawn.append(np.asarray(rng.integers(0, limit, shape)).astype(dtype))
    return drawn


def run_source(graph: Graph, arrays: Sequence[np.ndarray]) -> tuple[Arrays, Arrays]:
    """The generated source as plain Python: (outputs, arguments after the step)."""
    planned = plan_memory(graph)
    check_plan(planned)
    generated = generate(planned)
    layout = generated.layout
    arguments = [a.copy() for a in arrays]
    outputs = [np.zeros(t.shape, t.dtype) for t in layout.outputs]
    arena = aligned_bytes(layout.arena + generated.scratch + 64)
    areas = [*arguments, *outputs, *(np.array(c) for c in layout.constants)]
    table = [a.reshape(-1) for a in areas]
    table += [arena[offset:] for offset in layout.slots] + [arena[layout.arena :]]
    with np.errstate(all="ignore"):
        assert run_plain(generated.source, table) == 0
    return outputs, arguments


def run_native(graph: Graph, arrays: Sequence[np.ndarray]) -> tuple[Arrays, Arrays]:
    """Native code: (outputs, arguments after the step)."""
    arguments = [a.copy() for a in arrays]
    outputs = build(graph).call(tuple(arguments))
    assert outputs is not None
    return list(outputs), arguments


def run_interpreted(graph: Graph, arrays: Sequence[np.ndarray]) -> tuple[Arrays, Arrays]:
    """The interpreter, its updates written: (outputs, arguments after the step)."""
    outputs, updates = interpret(graph, *arrays)
    arguments = [a.copy() for a in arrays]
    for (target, _), value in zip(graph.updates, updates, strict=True):
        arguments[graph.inputs.index(target)][...] = value
    return list(outputs), arguments


def assert_same(actual: np.ndarray, expected: np.ndarray, factor: float = 1.0) -> None:
    """Equal dtype and shape; floats within a few units of the largest element's last place."""
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    limit = {F32: 2e-6, F64: 1e-13}[expected.dtype] * factor
    scale = np.max(np.abs(expected), initial=1.0, where=np.isfinite(expected))
    np.testing.assert_allclose(actual, expected, rtol=limit, atol=limit * scale)


def assert_runs_alike(graph: Graph, arrays: Sequence[np.ndarray], *, native: bool = True) -> None:
    """Plain source and native code give what the interpreter gives, updates included."""
    expected = run_interpreted(graph, arrays)
    for run in (run_source, run_native) if native else (run_source,):
        for actual, wanted in zip(run(graph, arrays), expected, strict=True):
            for a, e in zip(actual, wanted, strict=True):
                assert_same(a, e)


def _backwards(function: Callable[..., None], chunks: int, *operands: object) -> None:
    for chunk in reversed(range(chunks)):
        function(*operands, chunk)


def assert_order_is_free(graph: Graph, arrays: Sequence[np.ndarray]) -> None:
    """Chunks in the other order, one by one: one that needs another shows here."""
    expected = run_source(graph, arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "split", _backwards)
        found = run_source(graph, arrays)
    for a, e in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
        np.testing.assert_array_equal(a, e)


def assert_same_on_threads(
    graph: Graph, arrays: Sequence[np.ndarray], *, steps: int = 1, rounds: int = 1
) -> None:
    """The same bits on one thread to four, after so many steps in a row, each time."""
    runs = []
    for threads in (1, 2, 3, 4):
        native = build(graph, RunOptions(threads), keep=False)
        for _ in range(rounds):
            mine = [a.copy() for a in arrays]
            for _ in range(steps):
                outputs = native.call(tuple(mine))
            assert outputs is not None
            runs.append([*outputs, *mine])
    for run in runs[1:]:
        for a, e in zip(run, runs[0], strict=True):
            np.testing.assert_array_equal(a, e)


def checked(run: Callable[[Graph], Graph], text: str) -> Graph:
    """What a pass makes of a fused graph: verified, with the same values, compiled as well, and
    nothing is left for it to do."""
    before = fuse(parse(text))
    after = run(before)
    verify(after, after=run.__name__)
    assert_same_values(before, after, exact=True)
    assert run(after) is after
    assert_runs_alike(plan_memory(after), random_arguments(after))
    return after


@st.composite
def region_graphs(draw: st.DrawFn) -> Graph:
    """Random graphs of elementwise ops, reductions, views and products over a few shapes."""
    b = Builder()
    inputs = tuple(
        Value(Type(F64, s), f"x{k}") for k, s in enumerate([(4, 3), (4, 1), (3,), (), (3, 4)])
    )
    values = list(inputs)

    def pick(*shapes: tuple[int, ...]) -> Value:
        fitting = [v for v in values if not shapes or v.shape in shapes]
        return draw(st.sampled_from(fitting))

    for _ in range(draw(st.integers(1, 14))):
        match draw(st.integers(0, 7)):
            case 0 | 1:
                v = pick()
                values.append(getattr(b, draw(st.sampled_from(["tanh", "neg", "sin", "abs"])))(v))
            case 2 | 3:
                x, y = pick((4, 3), (4, 1), (3,), ()), pick((4, 3), (4, 1), (3,), ())
                values.append(
                    getattr(b, draw(st.sampled_from(["add", "mul", "sub", "maximum"])))(x, y)
                )
            case 4:
                v = pick((4, 3))
                axes = draw(st.sampled_from([(0,), (1,), (0, 1)]))
                name = draw(st.sampled_from(["sum", "max"]))
                r = getattr(b, name)(v, axes=axes)
                values.append(b.reshape(r, shape=(4, 1)) if axes == (1,) else r)
            case 5:
                v = pick((4, 3), (3, 4))
                values.append(b.transpose(v, perm=(1, 0)))
            case 6:
                x, axis = pick((4, 3), (3, 4)), draw(st.integers(0, 1))
                values.append(b.cumsum(x, axis=axis, reverse=draw(st.booleans())))
            case _:
                x = b.dot(pick((4, 3)), pick((3, 4)), spec="ab,bc->ac")
                values.append(b.slice(x, spec=((0, 4, 1), (0, 3, 1))))
    updates = []
    for target in draw(st.lists(st.sampled_from(inputs), unique=True, max_size=3)):
        updates.append((target, pick(target.shape)))
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return Graph("f", inputs, tuple(b.nodes), tuple(outputs), tuple(updates))
