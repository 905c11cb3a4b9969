"""The passes take time that goes with the length of a program: another turn of an unrolled loop
executes as many of their lines as the turns before."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler import pipeline
from tapeless.ir.graph import Graph

ROOT = str(Path(tl.__file__).parent)
FEW = 1000
"""Lines of a file in which a few more say nothing."""


def recurrent(turns: int, *shape: int) -> Graph:
    """The gradient of a recurrence on states of this shape."""

    def loss(w: Any, x: Any) -> Any:
        h = c = np.zeros(shape)
        for k in range(turns):
            z = w @ h + x[k]
            c = c * tl.nn.sigmoid(z) + np.tanh(z)
            h = np.tanh(c)
        return np.sum(h * h)

    arguments = np.eye(shape[0]), np.ones((turns, *shape))
    return tl.compile(tl.value_and_grad(loss)).lower(*arguments).graph("trace")


def lines_of(graph: Graph) -> Counter[str]:
    """How many lines of each file of the package lowering executes."""
    counts: Counter[str] = Counter()

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            counts[frame.f_code.co_filename] += 1
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(ROOT) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        pipeline.lower(Graph("again", graph.inputs, graph.nodes, graph.outputs, graph.updates))
    finally:
        sys.settrace(before)
    return counts


@pytest.mark.parametrize("shape", [(3,), (32, 16)], ids=["loops", "chains of rows"])
def test_every_turn_of_a_loop_takes_as_many_lines(shape: tuple[int, ...]) -> None:
    graphs = [recurrent(n, *shape) for n in (5, 10, 15)]  # lowered once: what is alike is known
    first, second, third = map(lines_of, graphs)
    assert first.total() > 10_000
    growing = {
        Path(name).name: (second[name] - first[name], count - second[name])
        for name, count in third.items()
        if count - second[name] > 1.04 * (second[name] - first[name]) + FEW
    }
    assert not growing
