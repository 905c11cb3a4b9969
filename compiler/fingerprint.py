"""A graph as one digest: equal for two graphs only if every later stage is equal, too.

It covers what the text of the graph shows, and what it does not: the bits of every constant and the
user's line of every node, since errors at run time name it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.graph import Graph, Node, Value
from ..ir.types import Type
from ..runtime.identity import digest
from ..runtime.kernels import engine
from . import pipeline

if TYPE_CHECKING:
    from .call import Options

Part = str | bytes


def program_key(graph: Graph, options: Options) -> str | None:
    """What decides the native code of a traced graph, as one digest; None for a program that must
    not come from the cache: one that is to be checked or dumped on its way, or says so."""
    if not options.cache or options.check or os.environ.get("TAPELESS_DUMP"):
        return None
    found = fingerprint(graph)
    skipped = pipeline.settings() if os.environ.get("TAPELESS_SKIP") else ()
    flags = f"optimize={options.optimize}", f"flush={options.run.flush}"
    return found and digest(found, *flags, engine(), *skipped)


def fingerprint(graph: Graph) -> str | None:
    """The digest of a traced graph; None for one with an attribute that has no canonical form."""
    try:
        return digest(*_graph(graph, _Numbers()))
    except _UnknownError:
        return None


class _UnknownError(Exception):
    pass


class _Numbers(dict[Value, str]):
    """Values numbered in order of appearance."""

    def __init__(self) -> None:
        super().__init__()
        self._next = count()

    def __missing__(self, value: Value) -> str:
        self[value] = number = str(next(self._next))
        return number


def _graph(graph: Graph, numbers: _Numbers) -> Iterator[Part]:
    yield from ("graph", graph.name, str(len(graph.inputs)), str(len(graph.nodes)))
    for value in graph.inputs:
        yield from _definition(value, numbers)
    for node in graph.nodes:
        yield from _node(node, numbers)
    yield from ("outputs", *(numbers[v] for v in graph.outputs))
    yield from ("updates", *(numbers[v] for pair in graph.updates for v in pair))


def _definition(value: Value, numbers: _Numbers) -> Iterator[Part]:
    yield from (numbers[value], repr(value.name), str(value.type))


def _node(node: Node, numbers: _Numbers) -> Iterator[Part]:
    line = "" if node.loc is None else f"{node.loc.file}:{node.loc.line}"
    yield from ("node", node.op.name, line, node.origin)
    yield from (str(len(node.operands)), *(numbers[v] for v in node.operands))
    for value in node.results:
        yield from _definition(value, numbers)
    for key in sorted(node.attrs):
        yield from ("attribute", key)
        yield from _attribute(node.attrs[key], numbers)


def _attribute(value: Any, numbers: _Numbers) -> Iterator[Part]:
    match value:
        case Graph():
            yield from _graph(value, numbers)
        case np.ndarray() | np.generic():
            yield from ("array", value.dtype.str, str(value.shape), value.tobytes())
        case None | bool() | int() | str():
            yield from (type(value).__name__, str(value))
        case float():
            yield from ("float", struct.pack("<d", value))
        case np.dtype() | Type():
            yield from ("type", str(value))
        case tuple():
            yield from ("tuple", str(len(value)))
            for item in value:
                yield from _attribute(item, numbers)
        case _:
            raise _UnknownError(type(value))
