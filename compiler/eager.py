"""Derivatives outside a trace: the function is traced, lowered and interpreted at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ir.evaluate import Arrays
from ..ir.graph import Graph
from ..runtime.interpreter import interpret
from . import arguments
from .pipeline import lower
from .signature import bind, parameters
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


def _run(traced: Traced, graph: Graph) -> Arrays:
    """The outputs of `graph`, a later stage of the trace, its updates written to the arguments."""
    leaves = traced.described.leaves
    if graph.updates:
        arguments.check(arguments.parameters_of(traced.described, graph), leaves)
    outputs, updates = interpret(graph, *traced.typed(leaves))
    targets = [graph.inputs.index(target) for target, _ in graph.updates]
    arguments.write_all([leaves[k] for k in targets], updates)
    return outputs
