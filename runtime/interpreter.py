"""The interpreter: any graph at any stage, with NumPy. The oracle of everything else."""

from __future__ import annotations

from typing import Any

from ..ir.evaluate import Arrays, evaluate
from ..ir.graph import Graph


def interpret(graph: Graph, *arrays: Any) -> tuple[Arrays, Arrays]:
    """Run `graph` on one array per input: (outputs, the new values of the updated inputs).

    Pure: no argument is written. ShapeError when an argument does not have the type of its
    input; BoundsError for an index out of range, LinAlgError for a singular or
    indefinite matrix.
    """
    return evaluate(graph, arrays)
