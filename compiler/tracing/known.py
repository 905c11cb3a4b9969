"""Traced arrays whose values are known after all: those that depend on no argument.

`np.arange(3)`, `np.zeros(2)` and what is computed from them may be arrays of the trace; a Python
number can still be made of their elements.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ...ir.builder import Builder
from ...ir.errors import BoundsError
from ...ir.evaluate import run_node
from ...ir.graph import Node, Value
from .handle import Handle

LIMIT: Final = 65536
"""The most elements of a value that is computed while tracing."""

_LATER: Final = np.zeros(0)


def known(handle: Handle) -> np.ndarray | None:
    """The current value of an array that depends on no argument; None for any other. Nothing is
    added to the graph."""
    recorder, scratch = handle.recorder, Builder()
    value = handle.buffer.value
    for lens in handle.lenses:
        value = lens.get(scratch, value)
    return _evaluated(value, ChainMap(recorder.builder.producer, scratch.producer), recorder.known)


def _evaluated(
    value: Value, producer: Mapping[Value, Node], memo: dict[Value, np.ndarray | None]
) -> np.ndarray | None:
    """The value of a node over constants; `memo` keeps what was found before."""
    stack = [value]
    while stack:
        found = stack[-1]
        node = producer.get(found)
        if found in memo or node is None or not _computable(node, memo):
            memo.setdefault(found, None)
            stack.pop()
        elif waiting := [v for v in node.operands if v not in memo]:
            stack.append(waiting[0])
        else:
            memo.update(_results(node, [memo[v] for v in node.operands]))
    return memo[value]


def _computable(node: Node, memo: Mapping[Value, np.ndarray | None]) -> bool:
    small = all(v.type.size <= LIMIT for v in node.results)
    return (
        small
        and node.op.kind != "autodiff"
        and not any(memo.get(v, _LATER) is None for v in node.operands)
    )


def _results(node: Node, operands: Sequence[Any]) -> dict[Value, np.ndarray | None]:
    try:
        with np.errstate(all="ignore"):
            return dict(zip(node.results, run_node(node, operands), strict=True))
    except BoundsError:
        return dict.fromkeys(node.results)
