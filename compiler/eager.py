"""Derivatives outside a trace: the function is traced, lowered and interpreted at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..runtime.commit import commit, writes
from ..runtime.interpreter import interpret
from . import arguments
from .outline import inputs_of
from .pipeline import lower
from .signature import bind, parameters
from .trace import trace

Function = Callable[..., Any]


def eagerly(fn: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Trace, differentiate and interpret; then write the arrays that `fn` writes.

    AliasError, ReadOnlyError or BoundsError before anything is written.
    """
    traced = trace(fn, args, kwargs)
    graph = lower(traced.graph, until="optimized").graphs["optimized"]
    leaves = traced.described.leaves
    if graph.updates:
        arguments.check(arguments.parameters_of(traced.described, inputs_of(graph)), leaves)
    outputs, updates = interpret(graph, *traced.typed(leaves))
    finish = traced.prepare(bind(parameters(fn), args, kwargs).arguments, outputs)
    targets = [leaves[graph.inputs.index(target)] for target, _ in graph.updates]
    commit(writes(targets, updates), finish.replay)
    return finish.result
