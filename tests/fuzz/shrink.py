"""Making a find minimal: the smallest program that still shows the same defect.

    shrink(program, fails)      fails(program) says whether the defect is still there

Each round tries to keep one result only, to end at an earlier value, to cut a value off from what
computed it (it becomes an input with the array it had), and to drop nodes that nothing needs; what
still fails stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from tapeless.ir.builder import prune
from tapeless.ir.errors import TapelessError
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Node, Value
from tapeless.ir.parse import parse

from .growing import Program

Fails = Callable[[Program], bool]


def shrink(program: Program, fails: Fails) -> Program:
    """A program no smaller candidate of which fails. Candidates that cannot run do not count."""
    improved = True
    while improved:
        improved = False
        for candidate in _candidates(program):
            if _size(candidate) < _size(program) and fails(candidate):
                program, improved = candidate, True
                break
    return program


def _size(program: Program) -> tuple[int, int, int]:
    graph = program.graph
    return len(graph.nodes), len(list(graph.results)), len(graph.inputs)


def _candidates(program: Program) -> Iterator[Program]:
    graph = program.graph
    if len(graph.outputs) + len(graph.updates) > 1:
        for k in range(len(graph.outputs)):
            yield _tidied(program, outputs=(graph.outputs[k],), updates=())
        for update in graph.updates:
            yield _tidied(program, outputs=(), updates=(update,))
        yield _tidied(program, updates=())
    for node in graph.nodes:
        for value in node.results:
            yield _tidied(program, outputs=(value,), updates=())
    for node in reversed(graph.nodes):
        if len(node.results) == 1:
            with suppress(TapelessError):  # a derivative cannot be evaluated as it stands
                yield _cut(program, node)
    yield _tidied(program)


def _tidied(
    program: Program,
    outputs: tuple[Value, ...] | None = None,
    updates: tuple[tuple[Value, Value], ...] | None = None,
) -> Program:
    """With these results, without nodes and inputs that nothing needs."""
    g = program.graph
    outputs = g.outputs if outputs is None else outputs
    updates = g.updates if updates is None else updates
    pruned = prune(Graph(g.name, g.inputs, g.nodes, outputs, updates))
    used = {v for node in pruned.nodes for v in node.operands} | set(pruned.results)
    used |= {target for target, _ in updates}
    kept = [k for k, v in enumerate(g.inputs) if v in used]
    inputs = tuple(g.inputs[k] for k in kept)
    tidy = Graph(g.name, inputs, pruned.nodes, outputs, updates)
    return Program(parse(str(tidy)), [program.arguments[k] for k in kept])


def _cut(program: Program, node: Node) -> Program:
    """The node's result as an input with the array it has."""
    g = program.graph
    found: list[Any] = []

    def observe(seen: Node, results: Any) -> None:
        if seen is node:
            found.append(results[0])

    evaluate(g, program.arguments, observe)
    array = np.array(found[0], node.result.type.dtype)
    cut = Value(node.result.type, f"x{len(g.inputs)}")
    swap = {node.result: cut}
    nodes = tuple(
        Node(n.op, tuple(swap.get(v, v) for v in n.operands), n.results, n.attrs, n.loc, n.origin)
        for n in g.nodes
        if n is not node
    )
    outputs = tuple(swap.get(v, v) for v in g.outputs)
    updates = tuple((t, swap.get(v, v)) for t, v in g.updates)
    whole = Graph(g.name, (*g.inputs, cut), nodes, outputs, updates)
    return _tidied(Program(whole, [*program.arguments, array]))
