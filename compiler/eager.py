"""Derivatives outside a trace: the function is traced, lowered and interpreted at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ir.evaluate import Arrays
from ..ir.graph import Graph
from ..passes.jacobian_free import jacobian_terms
from ..runtime.interpreter import interpret
from . import arguments
from .pipeline import lower
from .signature import bind, parameters
from .structured import structured_jacobian
from .trace import Traced, trace

Function = Callable[..., Any]


def eagerly(fn: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Trace, differentiate and interpret; then write the arrays that `fn` writes.

    AliasError, ReadOnlyError or BoundsError before anything is written.
    """
    traced = trace(fn, args, kwargs)
    graph = lower(traced.graph, until="optimized").graphs["optimized"]
    outputs = _run(traced, graph)
    return traced.finish(bind(parameters(fn), args, kwargs).arguments, outputs)


def structured_eagerly(fn: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The same, with every total Jacobian among the outputs left as its terms."""
    traced = trace(fn, args, kwargs)
    graph, terms = jacobian_terms(lower(traced.graph, until="autodiff").graphs["autodiff"])
    values = iter(_run(traced, graph))
    outputs: list[Any] = []
    for value, of_output in zip(traced.graph.outputs, terms, strict=True):
        node = traced.graph.producer.get(value)
        if node is not None and node.op.name == "total_jacobian":
            rank = node.operands[0].type.rank
            outputs.append(structured_jacobian(value.type, rank, of_output, values))
        else:
            outputs.append(next(values))
    return traced.finish(bind(parameters(fn), args, kwargs).arguments, outputs)


def _run(traced: Traced, graph: Graph) -> Arrays:
    """The outputs of `graph`, a later stage of the trace, its updates written to the arguments."""
    leaves = traced.described.leaves
    if graph.updates:
        arguments.check(arguments.parameters_of(traced.described, graph), leaves)
    outputs, updates = interpret(graph, *traced.typed(leaves))
    targets = [graph.inputs.index(target) for target, _ in graph.updates]
    arguments.write_all([leaves[k] for k in targets], updates)
    return outputs
