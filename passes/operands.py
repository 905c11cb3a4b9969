"""Lay out once what a loop over more elements reads across the order of memory, again and again.

    %y:f32[300,400] = fused %a, %b body(%a:f32[300,16,1], %b:f32[400,16]) {
      %t:f32[16,400] = transpose %b [perm=(1,0)]
      %d:f32[300,16,400] = sub %a, %t
      %m:f32[300,16,400] = abs %d
      %y:f32[300,400] = max %m [axes=(1)]
    } -> %y
=>
    %0:f32[16,400] = transpose %b [perm=(1,0)]
    %y:f32[300,400] = fused %a, %0 body(%a:f32[300,16,1], %t:f32[16,400]) {
      %d:f32[300,16,400] = sub %a, %t
      %m:f32[300,16,400] = abs %d
      %y:f32[300,400] = max %m [axes=(1)]
    } -> %y

A transposed view costs a loop nothing but that neighbours in a vector lie apart. Read once, they
are read like that or copied like that; read many times, the copy is next to nothing. Results do
not change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from ..ir.builder import Builder, prune, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.region import is_view

WORTH: Final = 8
"""How often an element is read at the least for a copy to pay."""

ROW: Final = 8
"""Elements of the last axis at the least."""


def copy_transposed(graph: Graph) -> Graph:
    """Take small transposed views that large loops read out of their regions."""
    made: dict[Any, Value] = {}

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...] | None:
        return _with_copies(b, node, operands, made) if node.op.name == "fused" else None

    return rebuild(graph, visit, origin="copy_transposed")


def _with_copies(
    b: Builder, node: Node, operands: tuple[Value, ...], made: dict[Any, Value]
) -> tuple[Value, ...] | None:
    """The results of a region over copies, of which `made` has those that there are."""
    body: Graph = node.attrs["body"]
    size = max((v.type.size for inside in body.nodes for v in inside.results), default=0)
    moves = {n: c for n in body.nodes if _pays(n, size) and (c := _chain(body, n))}
    if not moves:
        return None
    outer = dict(zip(body.inputs, operands, strict=True))
    given = {n.result: _copy(b, outer[c[0].operands[0]], c, made) for n, c in moves.items()}
    kept = tuple(n for n in body.nodes if n not in moves)
    inner = prune(replace(body, inputs=(*body.inputs, *given), nodes=kept))
    read = {v for n in inner.nodes for v in n.operands} | set(inner.outputs)
    inputs = tuple(v for v in inner.inputs if v in read)
    values = [(outer | given)[v] for v in inputs]
    return b.emit(OPS["fused"], values, {"body": replace(inner, inputs=inputs)}).results


def _pays(node: Node, size: int) -> bool:
    """Whether a node is a transposed view whose rows are read often in another order."""
    if node.op.name != "transpose" or node.result.type.size * WORTH > size:
        return False
    shape, perm = node.result.shape, node.attrs["perm"]
    return shape != () and perm[-1] != len(perm) - 1 and shape[-1] >= ROW


def _chain(body: Graph, node: Node) -> list[Node]:
    """The views from an input of the body to a node, that one included; none from elsewhere."""
    chain = [node]
    while (above := body.producer.get(chain[0].operands[0])) is not None:
        if not is_view(above):
            return []
        chain.insert(0, above)
    return chain


def _copy(b: Builder, value: Value, chain: list[Node], made: dict[Any, Value]) -> Value:
    """What a chain of views makes of a value, copied once for all regions."""
    key = value, *((move.op.name, *move.attrs.values()) for move in chain)
    if key not in made:
        for move in chain:
            value = b.emit(move.op, (value,), move.attrs).result
        made[key] = value
    return made[key]
