"""Common subexpression elimination: compute equal things once.

    %a:f64[3] = exp %x
    %b:f64[3] = exp %x
    %y:f64[3] = mul %a, %b
=>
    %a:f64[3] = exp %x
    %y:f64[3] = mul %a, %a

Two nodes are equal when op, attributes and operands are, a commutative op's operands in either
order. Constants are compared by their bytes, so -0.0 is not 0.0 and NaN is itself. `arg` nodes are
never merged: each stands for an input of one gradient call, and two that merged would both get
the sum of their gradients.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ..ir.builder import Builder, keep, rebuild
from ..ir.graph import Graph, Node, Value


def cse(graph: Graph) -> Graph:
    """The graph with every expression computed once, where it is first needed."""
    if "cse" in graph.known:
        return graph
    known: dict[Hashable, tuple[Value, ...]] = {}

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.op.name == "arg":
            return None
        either_way = node.op.commutative and len(operands) == 2
        key = node.op, frozenset(operands) if either_way else operands, _attrs(node)
        if key in known:
            return known[key]
        known[key] = keep(b, node, operands)
        return known[key]

    merged = rebuild(graph, visit)
    merged.known["cse"] = True
    return merged


def _attrs(node: Node) -> Hashable:
    """The attributes, arrays by their bytes."""
    if not node.attrs:
        return ()
    return tuple([_hashable(value) for value in node.attrs.values()])


def _hashable(value: Any) -> Hashable:
    key: Hashable = value
    if isinstance(value, np.ndarray):
        key = value.dtype, value.shape, value.tobytes()
    return key
