"""The graph: immutable, typed, in static single assignment form.

A `Graph` has inputs, nodes in execution order, outputs, and updates (`input <- value`: the
caller's array receives the value when the step ends). A `Node` applies an `Op` to operand values
and defines result values; it remembers the user's source line and where it came from.
Values are compared by identity; passes build new graphs with `ir.builder`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from .location import Loc as Loc
from .op import Op
from .record import dataclass
from .text import format_graph
from .types import Type


class Value:
    """One SSA value. `name` is a hint the printer makes unique; `place` is where the memory
    plan puts it (only in the stage `planned`)."""

    __slots__ = ("name", "place", "type")

    def __init__(self, type: Type, name: str | None = None, place: str | None = None) -> None:
        self.type = type
        self.name = name
        self.place = place

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    def __repr__(self) -> str:
        return f"Value(%{self.name or '?'}:{self.type})"


EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """`results = op(operands) {attrs}`, with the user's line and its origin (a pass or rule)."""

    op: Op
    operands: tuple[Value, ...]
    results: tuple[Value, ...]
    attrs: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    loc: Loc | None = None
    origin: str = ""

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value


@dataclass(frozen=True, eq=False)
class Graph:
    """A program. `updates` are pairs (input, value)."""

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    updates: tuple[tuple[Value, Value], ...] = ()

    @cached_property
    def producer(self) -> Mapping[Value, Node]:
        """The node that defines each value (inputs have none)."""
        return {value: node for node in self.nodes for value in node.results}

    @cached_property
    def users(self) -> Mapping[Value, tuple[Node, ...]]:
        """The nodes that read each value, in order, without repeats."""
        table: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.operands):
                table.setdefault(value, []).append(node)
        return {value: tuple(nodes) for value, nodes in table.items()}

    @cached_property
    def known(self) -> dict[str, Any]:
        """What analyses have found out about this graph, by their names."""
        return {}

    @property
    def results(self) -> Iterator[Value]:
        """What leaves the graph: outputs, then the values of the updates."""
        yield from self.outputs
        for _, value in self.updates:
            yield value

    def __str__(self) -> str:
        return format_graph(self)
