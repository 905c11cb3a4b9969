"""`interpret`: any graph, of any stage, run with NumPy.

A derivative request (`gradient %loss wrt %W'`) has no value of its own; it means its expansion. So
a graph with requests, as the stages `trace` and `stable` are, is expanded first.
"""

from __future__ import annotations

from typing import Any

from ..ir.evaluate import Arrays
from ..ir.graph import Graph
from ..ir.ops.autodiff import REQUESTS
from ..passes.autodiff import autodiff
from ..passes.jacobian_free import jacobian_free
from ..runtime import interpreter


def interpret(graph: Graph, *arrays: Any) -> tuple[Arrays, Arrays]:
    """Run `graph` on one array per input: (outputs, the new values of the updated inputs).

    Pure: no argument is written. ShapeError when an argument does not have the type of its
    input; BoundsError for an index out of range, LinAlgError for a singular or indefinite
    matrix; UnsupportedError for a Jacobian too large to build (only the stage `autodiff` builds
    any).
    """
    return interpreter.interpret(expanded(graph), *arrays)


def expanded(graph: Graph) -> Graph:
    """The graph with its derivative requests expanded and their Jacobians eliminated; itself if
    there are none."""
    if not any(node.op.name in REQUESTS for node in graph.nodes):
        return graph
    return jacobian_free(autodiff(graph))
