"""Structured Jacobians in a trace: the algebra is run while tracing.

How many terms a Jacobian has, and of which shapes, decides what the step sees, so it must be known
at once. The part of the trace that leads from the marked arguments to the results is taken as a
graph of its own, differentiated, and reduced to the values of the terms; their ops are appended to
the trace like any others. So every stage holds them, and they can be differentiated again. What
they compute once more of the forward pass, `cse` merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.graph import Graph, Node, Value
from ..ir.jacobian import Val
from ..ir.ops.autodiff import REQUESTS
from ..passes.algebra.products import scaled
from ..passes.algebra.reduced import Reduced
from ..passes.jacobian_free import Open, jacobian_terms
from .pipeline import lower
from .structured import StructuredFactor, StructuredJacobian, StructuredTerm
from .tracing.recorder import Recorder


def structured_blocks(
    recorder: Recorder, before: int, outputs: Sequence[Value], marked: Sequence[Value]
) -> list[list[StructuredJacobian]]:
    """For each output and each marked argument a Jacobian whose values are traced arrays.

    `before` is the number of nodes the trace had when the arguments were marked.
    """
    b = recorder.builder
    scratch = Builder()
    pairs = [(y, a) for y in outputs for a in marked]
    totals = tuple(scratch.emit("total_jacobian", pair).result for pair in pairs)
    program = _closure(b, before, (*outputs, *marked), scratch.nodes, totals)
    graph, opened = jacobian_terms(lower(program, until="autodiff").graphs["autodiff"])
    _append(b, program, graph)
    blocks = [
        _jacobian(recorder, y, total, found)
        for (y, _), total, found in zip(pairs, totals, opened, strict=True)
    ]
    width = len(marked)
    return [blocks[k : k + width] for k in range(0, len(blocks), width)]


def _closure(
    b: Builder,
    before: int,
    wanted: Sequence[Value],
    requests: Sequence[Node],
    totals: tuple[Value, ...],
) -> Graph:
    """The nodes `wanted` depends on, then `requests`. Derivatives asked for before, and arguments
    marked for an outer derivative, are inputs: they are the business of others."""
    foreign = {
        v for node in b.nodes[:before] if node.op.name in (*REQUESTS, "arg") for v in node.results
    }
    live = set(wanted)
    nodes: list[Node] = []
    for node in reversed(b.nodes):
        if not live.isdisjoint(node.results) and foreign.isdisjoint(node.results):
            nodes.append(node)
            live.update(node.operands)
    defined = {v for node in nodes for v in node.results}
    used = (v for node in b.nodes for v in (*node.operands, *node.results))
    order = dict.fromkeys(v for v in (*used, *wanted) if v in live)
    inputs = tuple(v for v in order if v not in defined)
    return Graph("structured", inputs, (*reversed(nodes), *requests), totals)


def _append(b: Builder, program: Graph, graph: Graph) -> None:
    """Add the nodes of `graph` to the trace, without those it has already."""
    known = {*program.inputs, *b.producer}
    for node in graph.nodes:
        if known.isdisjoint(node.results):
            b.append(node)


def _jacobian(recorder: Recorder, y: Value, total: Value, found: Open) -> StructuredJacobian:
    dtype = total.type.dtype
    terms = [_term(recorder, term, dtype) for term in found.terms]
    return StructuredJacobian(total.shape, y.type.rank, dtype, terms, found.forced)


def _term(recorder: Recorder, term: Reduced, dtype: np.dtype) -> StructuredTerm:
    """The term with its coefficient in the first of its values."""
    b = recorder.builder
    vals = list(term.vals) or [Val(b.constant(1.0, dtype), ())]
    vals[0] = Val(scaled(b, vals[0].v, term.coef), vals[0].ix)
    factors = sorted((_factor(recorder, v, dtype) for v in vals), key=lambda f: f.axes)
    return StructuredTerm(tuple((d.i, d.j) for d in term.deltas), tuple(factors), term.places)


def _factor(recorder: Recorder, val: Val, dtype: np.dtype) -> StructuredFactor:
    """A value with its axes in the order of the whole."""
    b, value = recorder.builder, val.v
    order = sorted(range(len(val.letters)), key=val.letters.__getitem__)
    axes = tuple(val.letters[k] for k in order)
    value = value if value.type.dtype == dtype else b.cast(value, dtype=dtype)
    value = b.transpose(value, perm=tuple(order)) if axes != val.letters else value
    value.name = value.name or "J"
    values: Any = recorder.fresh(value, scalar=False)
    return StructuredFactor(axes, values)
