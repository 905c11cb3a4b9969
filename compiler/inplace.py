"""Which operand a node may overwrite with a result."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from ..ir.arrange import as_region
from ..ir.epilogue import Epilogue, as_epilogue
from ..ir.graph import Graph, Node, Value
from ..ir.region import Region, body_operands, node_body

INTO: Final = {
    "update": 0, "add_at": 0, "scatter": 0, "scatter_add": 0, "dot_acc": 0,
    "lu": 0, "solve_triangular": 1, "lu_solve": 2,
}  # fmt: skip
"""Ops that work on one operand in place: something is written or added into it, it is factored or
solved for. Its position; the (first) result takes over its memory."""

NESTS: Final = frozenset({"elementwise", "fused"})


Arranged = dict[Node, Region | None]
"""The loop nests of nodes looked at before: arranging one takes time."""


def inplace_operands(
    graph: Graph, node: Node, result: Value, among: Collection[Value], arranged: Arranged
) -> tuple[Value, ...]:
    """The operands among these whose memory `result` may take over: the node reads each of their
    elements only at the index at which it writes the result, and before it does."""
    position = works_on(node)
    if position is not None:
        target = node.operands[position]
        alone = result is node.results[0] and _is_read_once(node, position)
        return (target,) if alone and target in among else ()
    if node.op.kind == "scan":
        return node.operands if len(node.operands) == 1 and node.operands[0] in among else ()
    if node.op.kind not in NESTS:
        return ()
    body = node_body(graph, node)
    operands = body_operands(node, body)
    if not any(v.type == result.type and v in among for v in operands):
        return ()
    epilogue = as_epilogue(body) if node.op.name == "fused" else None
    if epilogue is not None:
        outer = {i: v for i, v in zip(body.inputs, operands, strict=True) if v in among}
        return _of_epilogue(epilogue, outer, node, result)
    if node not in arranged:
        arranged[node] = as_region(body)
    region = arranged[node]
    if region is None:
        return ()
    body = region.body
    inside = body.outputs[node.results.index(result)]
    if not _single_sweep(region, inside):
        return ()
    return tuple(
        operand
        for operand in dict.fromkeys(operands)
        if operand.type == result.type
        and operand in among
        and all(
            _read_at_own_index(region, source, inside)
            for source, outer in zip(body.inputs, operands, strict=True)
            if outer is operand
        )
    )


def _of_epilogue(
    epilogue: Epilogue, outer: Mapping[Value, Value], node: Node, result: Value
) -> tuple[Value, ...]:
    """What the epilogue alone reads: the rows of the product that are made later need all of its
    operands."""
    region = epilogue.region
    inside = region.body.outputs[node.results.index(result)]
    factors = {outer.get(v) for v in epilogue.dot.operands}
    if not _single_sweep(region, inside):
        return ()
    return tuple(
        outer[source]
        for source in region.body.inputs
        if source in outer
        and outer[source] not in factors
        and outer[source].type == result.type
        and _read_at_own_index(region, source, inside)
    )


def works_on(node: Node) -> int | None:
    """The operand the node works on in place: its own, or that of the last node of its body."""
    if node.op.name != "fused":
        return INTO.get(node.op.name)
    body: Graph = node.attrs["body"]
    target = body.nodes[-1].operands[:1]
    adds = body.nodes[-1].op.name == "dot_acc" and target[0] in body.inputs
    return body.inputs.index(target[0]) if adds else None


def _is_read_once(node: Node, position: int) -> bool:
    """Whether an operand is one alone, of the node and of what its body has: tiles of windows that
    follow would read what was added to others."""
    body: Graph | None = node.attrs["body"] if node.op.name == "fused" else None
    inside = () if body is None else [v for n in body.nodes for v in n.operands]
    once = body is None or inside.count(body.inputs[position]) == 1
    return once and node.operands.count(node.operands[position]) == 1


def _single_sweep(region: Region, result: Value) -> bool:
    """Whether the result is computed element by element in a nest that runs once: no elementwise
    op waits for a reduction, unless its own result is a single number."""
    node = region.body.producer.get(result)
    if node is None or node.op.kind != "elementwise":
        return False
    if result in region.epilogue or region.phase[result] > 0:
        return False
    return all(
        region.phase[n.result] == 0 or region.depth[n.result] == 0
        for n in region.body.nodes
        if n.op.kind == "elementwise"
    )


def _read_at_own_index(region: Region, source: Value, result: Value) -> bool:
    """Whether the result is computed from `source` and every load of it has the result's axes."""
    loads = [load for load in region.loads.values() if load.source is source]
    if any(load.axes != region.axes[result] for load in loads):
        return False
    derived, front = {source}, [source]
    while front:
        for node in region.body.users.get(front.pop(), ()):
            if node.op.kind == "reduce" or node.results[0] in derived:
                continue
            if node.op.kind != "elementwise" or node.result.shape != result.shape:
                return False  # it moves, or one element spreads over many
            derived.add(node.result)
            front.append(node.result)
    return result in derived
