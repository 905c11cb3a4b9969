"""Building graphs: one `Builder` per graph under construction, one `rebuild` for passes.

`b.tanh(x)`, `b.sum(x, axes=(0,))`, `b.sub(1.0, y)` emit a node each, infer the result types and
return the result. Python numbers become scalar constants of the dtype the other operands have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from . import op as records
from .errors import TapelessError
from .graph import EMPTY, Graph, Loc, Node, Value
from .op import REQUIRED, Op
from .types import F64

Operand = Value | float | int | bool


class Builder:
    """Collects nodes. `loc` and `origin` are stamped on every node emitted; `producer` maps each
    value defined so far to its node."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.producer: dict[Value, Node] = {}
        self.loc: Loc | None = None
        self.origin = ""

    @contextmanager
    def at(self, loc: Loc | None, origin: str = "") -> Any:
        """Stamp nodes emitted inside the block with another location and origin."""
        before = self.loc, self.origin
        self.loc, self.origin = loc, origin
        try:
            yield self
        finally:
            self.loc, self.origin = before

    def emit(
        self,
        op: Op | str,
        operands: Sequence[Operand],
        attrs: Mapping[str, Any] | None = None,
        *,
        names: Sequence[str | None] = (),
    ) -> Node:
        """Append `op(operands)`; ShapeError or DTypeError from the type rule."""
        record = records.OPS[op] if isinstance(op, str) else op
        values = self._values(operands)
        full = complete_attrs(record, attrs or {})
        types = record.infer(tuple([v.type for v in values]), full)
        hints = [*names, *([None] * (len(types) - len(names)))]
        results = tuple([Value(t, name) for t, name in zip(types, hints, strict=True)])
        node = Node(record, values, results, full, self.loc, self.origin)
        return self.append(node)

    def append(self, node: Node) -> Node:
        """Append a finished node as it is."""
        self.nodes.append(node)
        for value in node.results:
            self.producer[value] = node
        return node

    def __getattr__(self, name: str) -> Callable[..., Value]:
        if name not in records.OPS:
            raise AttributeError(f"no op {name!r}")

        def call(*operands: Operand, name_hint: str | None = None, **attrs: Any) -> Value:
            return self.emit(records.OPS[name], operands, attrs, names=[name_hint]).results[0]

        return call

    def constant(self, value: Any, dtype: np.dtype | None = None) -> Value:
        """A constant tensor (copied, read-only) of the given or its own dtype."""
        array = np.array(value, dtype=dtype)
        array.flags.writeable = False
        return self.emit("constant", (), {"value": array}).results[0]

    def full(self, shape: tuple[int, ...], value: Any, dtype: np.dtype) -> Value:
        """A tensor all of whose elements are `value`: a broadcast scalar constant."""
        scalar = self.constant(value, dtype)
        return scalar if shape == () else self.broadcast(scalar, shape=shape)

    def _values(self, operands: Sequence[Operand]) -> tuple[Value, ...]:
        typed = [x for x in operands if isinstance(x, Value)]
        if len(typed) == len(operands):
            return tuple(typed)
        default = next((v.type.dtype for v in typed if not v.type.is_bool), None)
        return tuple(
            x if isinstance(x, Value) else self.constant(x, _dtype_for(x, default))
            for x in operands
        )


def _dtype_for(number: object, default: np.dtype | None) -> np.dtype:
    if isinstance(number, bool):
        return np.dtype(bool)
    return default or F64


def complete_attrs(op: Op, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes with defaults filled in, in the record's order; unknown ones raise."""
    if not op.attrs and not given:
        return EMPTY
    unknown = given.keys() - op.attrs.keys()
    missing = [k for k, d in op.attrs.items() if d is REQUIRED and k not in given]
    if unknown or missing:
        raise TapelessError(f"{op.name}: unknown attributes {sorted(unknown)}, missing {missing}")
    return MappingProxyType({k: given.get(k, default) for k, default in op.attrs.items()})


Visit = Callable[[Builder, Node, tuple[Value, ...]], "Sequence[Value] | None"]


def rebuild(graph: Graph, visit: Visit, *, origin: str = "") -> Graph:
    """Copy a graph node by node: the skeleton of every rewriting pass.

    `visit(b, node, operands)` gets the node and its already rewritten operands and returns the
    values that stand for the node's results (the results themselves: unchanged), or None to keep
    the node. Nodes emitted in `visit` carry the node's location and `origin`, and its names if
    they have none. Returns `graph` itself when nothing changed.
    """
    b = Builder()
    env: dict[Value, Value] = {}  # of what changed
    changed = env.keys()
    for node in graph.nodes:
        operands = node.operands
        if not changed.isdisjoint(operands):
            operands = tuple([env.get(v, v) for v in operands])
        mark = len(b.nodes)
        b.loc, b.origin = node.loc, origin or node.origin
        new = visit(b, node, operands)
        if new is None:
            new = keep(b, node, operands)
        if new is not node.results:
            for value, fresh in zip(node.results, new, strict=True):
                env[value] = fresh
                if fresh.name is None and value.name is not None:
                    _hand_on_name(value, fresh, b.nodes[mark:])
    return with_nodes(graph, b.nodes, env) if env else graph


def _hand_on_name(old: Value, new: Value, emitted: Sequence[Node]) -> None:
    """Name a new value after the one it replaces, unless it belongs to the old graph as well."""
    if any(new in node.results for node in emitted):
        new.name = old.name


def keep(b: Builder, node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...]:
    """Append the node itself, or a copy over new operands; the results that stand for it."""
    if operands == node.operands:
        b.append(node)
        return node.results
    results = tuple([Value(v.type, v.name, v.place) for v in node.results])
    b.append(Node(node.op, operands, results, node.attrs, node.loc, node.origin))
    return results


def with_nodes(graph: Graph, nodes: Iterable[Node], env: Mapping[Value, Value]) -> Graph:
    """The graph with other nodes; outputs and updates are looked up in `env` (missing = same)."""
    return Graph(
        graph.name,
        graph.inputs,
        tuple(nodes),
        tuple(env.get(v, v) for v in graph.outputs),
        tuple((target, env.get(v, v)) for target, v in graph.updates),
    )


def inline(b: Builder, graph: Graph, operands: Sequence[Value]) -> tuple[Value, ...]:
    """Emit a graph's nodes into `b` with `operands` for its inputs; returns its outputs."""
    env = dict(zip(graph.inputs, operands, strict=True))
    for node in graph.nodes:
        results = keep(b, node, tuple(env[v] for v in node.operands))
        env.update(zip(node.results, results, strict=True))
    return tuple(env[v] for v in graph.outputs)


def prune(graph: Graph) -> Graph:
    """The graph without the nodes no output or update depends on; itself when there are none."""
    live = set(graph.results)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not live.isdisjoint(node.results):
            kept.append(node)
            live.update(node.operands)
    return graph if len(kept) == len(graph.nodes) else with_nodes(graph, reversed(kept), {})
