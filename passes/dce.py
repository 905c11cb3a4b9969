"""Dead code elimination: drop the nodes that nothing leaving the graph depends on.

    %h:f64[3] = tanh %x
    %u:f64[3] = exp %x
} -> %h
=>
    %h:f64[3] = tanh %x
} -> %h

Every op is pure, so nothing else is lost; a gather that is dropped takes its bounds check along.
"""

from __future__ import annotations

from ..ir.builder import with_nodes
from ..ir.graph import Graph, Node, Value


def dce(graph: Graph) -> Graph:
    """The graph without its dead nodes."""
    live: set[Value] = set(graph.results)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not live.isdisjoint(node.results):
            live.update(node.operands)
            kept.append(node)
    return graph if len(kept) == len(graph.nodes) else with_nodes(graph, reversed(kept), {})
