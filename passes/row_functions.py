"""Compute functions of what rows were reduced to in a loop of their own, by vectors.

    %k:f32[100,400] = fused %a, %b body(..) {
      %s:f32[100,400] = sum %d [axes=(2)]
      %n:f32[100,400] = neg %s
      %k:f32[100,400] = exp %n
    } -> %k
=>
    %n:f32[100,400] = fused %a, %b body(..) {
      %s:f32[100,400] = sum %d [axes=(2)]
      %n:f32[100,400] = neg %s
    } -> %n
    %k:f32[100,400] = exp %n                               in a region, with what reads it

After each row there is one number of it, and its exponential takes as long as those of a whole
vector. Only what no later loop over the row reads: that would be another sweep over memory.
Results do not change.
"""

from __future__ import annotations

import math
from typing import Final

from ..ir.arrange import as_region
from ..ir.builder import Builder, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.region import EXPENSIVE, Region, is_free
from .fuse import fresh_body, is_kernel

QUICK: Final = frozenset({"div", "sqrt", "floor_divide", "remainder", "fmod"})
"""Those that processors have instructions for."""

ROWS: Final = 32
"""Rows from which on a loop of their own is worth while."""


def split_rows(graph: Graph) -> Graph:
    """Take functions of row reductions, and all that follows from them, out of their regions."""
    return rebuild(graph, _visit, origin="split_rows")


def _visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...] | None:
    if node.op.name != "fused":
        return None
    body: Graph = node.attrs["body"]
    if not any(n.op.name in EXPENSIVE - QUICK for n in body.nodes):
        return None
    region = as_region(body)
    after = set() if region is None else _after_rows(region)
    parts = _parts(body, after) if after else None
    if parts is None:
        return None
    env = dict(zip(body.inputs, operands, strict=True))
    for part in parts:
        fresh = fresh_body(part, part.outputs)
        made = b.emit(OPS["fused"], [env[v] for v in part.inputs], {"body": fresh})
        env.update(zip(part.outputs, made.results, strict=True))
    return tuple(env[v] for v in body.outputs)


def _after_rows(region: Region) -> set[Node]:
    """The functions of rows that no loop over a row follows from, with all that does."""
    inner = {v for v in region.depth if region.is_inner(v)}
    if not inner or math.prod(region.extents[: region.rows]) < ROWS:
        return set()
    found: set[Node] = set()
    for node in region.body.nodes:
        if node.op.name in EXPENSIVE - QUICK and region.depth.get(node.result) == region.rows:
            following = _following(region.body, node)
            if inner.isdisjoint(v for n in following for v in (*n.operands, *n.results)):
                found |= following
    return found


def _following(body: Graph, first: Node) -> set[Node]:
    """A node and all that is computed from its result."""
    reached, values = {first}, set(first.results)
    for node in body.nodes:
        if not values.isdisjoint(node.operands):
            reached.add(node)
            values.update(node.results)
    return reached


def _parts(body: Graph, after: set[Node]) -> tuple[Graph, Graph] | None:
    """The body as two, the second of which has `after`; None unless each is a kernel."""
    late = [v for v in body.outputs if v in {v for n in after for v in n.results}]
    second = _part(body, after, late)
    early = [v for v in (*body.outputs, *second.inputs) if v in body.producer and v not in late]
    first = _part(body, {*body.nodes} - after, list(dict.fromkeys(early)))
    return (first, second) if early and is_kernel(first) and is_kernel(second) else None


def _part(body: Graph, own: set[Node], outputs: list[Value]) -> Graph:
    """The nodes of `own` that lead to outputs, over what others compute, with the free nodes they
    read."""
    wanted, nodes = set(outputs), []
    for node in reversed(body.nodes):
        if not wanted.isdisjoint(node.results) and (node in own or is_free(node)):
            nodes.append(node)
            wanted.update(node.operands)
    made = {v for n in nodes for v in n.results}
    known = (*body.inputs, *body.producer)
    inputs = tuple(v for v in known if v in wanted and v not in made)
    return Graph("body", inputs, tuple(reversed(nodes)), tuple(outputs))
