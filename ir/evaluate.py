"""The meaning of a graph: its nodes evaluated in order with NumPy.

This is the definition every other executor is compared with. It is pure: arguments are never
written, and nothing returned shares memory with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ShapeError, TapelessError
from .jacobian import DenseJacobian

if TYPE_CHECKING:
    from .graph import Graph, Node

Arrays = tuple[np.ndarray, ...]
Observer = Callable[["Node", Sequence[Any]], None]


def evaluate(
    graph: Graph, arrays: Sequence[Any], observe: Observer | None = None
) -> tuple[Arrays, Arrays]:
    """Run `graph` on one array per input; returns (outputs, values of the updates).

    `observe(node, results)` is called after every node. ShapeError when an argument does not have
    the type of its input; BoundsError for an index out of range, LinAlgError for a singular or
    indefinite matrix.
    """
    env: dict[Any, Any] = dict(zip(graph.inputs, _checked(graph, arrays), strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            results = run_node(node, [env[v] for v in node.operands])
            env.update(zip(node.results, results, strict=True))
            if observe is not None:
                observe(node, results)
    outputs = tuple(_fresh(env[v]) for v in graph.outputs)
    return outputs, tuple(_fresh(env[v]) for _, v in graph.updates)


def run_node(node: Node, operands: Sequence[Any]) -> list[Any]:
    """Evaluate one node; arrays come out with exactly the inferred dtype and shape."""
    raw = node.op.evaluate(*operands, **node.attrs)
    several = raw if isinstance(raw, tuple) else (raw,)
    results = []
    for value, result in zip(several, node.results, strict=True):
        if not isinstance(value, DenseJacobian):
            value = np.asarray(value)
            if (value.dtype, value.shape) != (result.type.dtype, result.type.shape):
                raise TapelessError(
                    f"{node.op.name} evaluated to {value.dtype}{list(value.shape)}, "
                    f"its type rule says {result.type}"
                )
        results.append(value)
    return results


def _checked(graph: Graph, arrays: Sequence[Any]) -> list[np.ndarray]:
    if len(arrays) != len(graph.inputs):
        raise ShapeError(f"{graph.name} takes {len(graph.inputs)} arrays, got {len(arrays)}")
    checked = []
    for value, array in zip(graph.inputs, arrays, strict=True):
        array = np.asarray(array)
        if (array.dtype, array.shape) != (value.type.dtype, value.type.shape):
            raise ShapeError(
                f"argument %{value.name} of {graph.name} must be {value.type}, "
                f"got {array.dtype}{list(array.shape)}"
            )
        checked.append(array)
    return checked


def _fresh(value: Any) -> np.ndarray:
    return np.array(value.values if isinstance(value, DenseJacobian) else value)
