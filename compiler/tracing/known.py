"""Traced arrays whose values are known after all: those that depend on no argument, and numbers
of objects that the step's Python code asks for.

`np.arange(3)`, `np.zeros(2)` and what is computed from them may be arrays of the trace; a Python
number can still be made of their elements.

A number that an object holds is an input of the graph like any other. But where Python needs its
value, to count, to size an array, to decide, the value of this call is given, and the number is
*pinned*: the program is for that value, and another one makes another program. So `self.depth` may
be the length of a loop while `self.t += 1` stays a counter.
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
from . import source
from .handle import Handle

LIMIT: Final = 65536
"""The most elements of a value that is computed while tracing."""

_LATER: Final = np.zeros(0)


def known(handle: Handle) -> np.ndarray | None:
    """The current value of an array that depends on no argument; None for any other. Nothing is
    added to the graph."""
    value, producer = _viewed(handle)
    return _evaluated(value, producer, handle.recorder.known)


def asked(handle: Handle) -> np.ndarray | None:
    """`known`, or the value computed from numbers of objects, which are pinned by that."""
    recorder = handle.recorder
    if not recorder.alive:
        return None
    found = known(handle)
    if found is not None or not recorder.numbers:
        return found
    value, producer = _viewed(handle)
    found = _evaluated(value, producer, recorder.assumed)
    if found is not None:
        line = source.location(source.user_frame())
        for number in sources(value, producer) & recorder.numbers:
            recorder.pinned.setdefault(number, line)
    return found


def settled(x: Any) -> Any:
    """`x`, or the number it is `asked` for, where only a concrete one will do."""
    found = asked(x) if isinstance(x, Handle) and x.type.shape == () else None
    return x if found is None else found.item()


def _viewed(handle: Handle) -> tuple[Value, Mapping[Value, Node]]:
    """The current value of a view, and the nodes that compute it; none is added to the graph."""
    scratch = Builder()
    value = handle.buffer.value
    for lens in handle.lenses:
        value = lens.get(scratch, value)
    return value, ChainMap(handle.recorder.builder.producer, scratch.producer)


def sources(value: Value, producer: Mapping[Value, Node]) -> set[Value]:
    """Everything a value is computed from."""
    found, pending = {value}, [value]
    while pending:
        node = producer.get(pending.pop())
        fresh = [v for v in node.operands if v not in found] if node is not None else []
        found.update(fresh)
        pending += fresh
    return found


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
