"""Move elements once: a chain of moves that fusion left in memory becomes one copy.

    %w:f32[64,8,24,24,5,5] = windows %x [axes=(2,3), ..]
    %t:f32[64,8,5,5,24,24] = transpose %w [perm=(0,1,4,5,2,3)]
=>
    %t:f32[64,8,5,5,24,24] = fused %x body(..) {
      %w = windows %x [axes=(2,3), ..]
      %t = transpose %w [perm=(0,1,4,5,2,3)]
    } -> %t

So are the moves of what `windows_add` adds up. Results do not change.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.builder import Builder, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.region import is_view
from .dce import dce


def copy_once(graph: Graph) -> Graph:
    """Join every move with the moves it reads."""
    return dce(rebuild(graph, _join, origin="copy_once"))


def _join(b: Builder, node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...] | None:
    if node.op.name != "windows_add" and not _copies(node):
        return None
    chain = _moves(b.producer, operands[0])
    if not chain:
        return None
    source = Value(chain[0].operands[0].type)
    inside = Builder()
    value = source
    for move in (*chain, node):
        inside.loc, inside.origin = move.loc, move.origin
        value = inside.emit(move.op, (value,), move.attrs).result
    body = Graph("body", (source,), tuple(inside.nodes), (value,))
    return (b.emit(OPS["fused"], (chain[0].operands[0],), {"body": body}).result,)


def _moves(producer: Mapping[Value, Node], value: Value) -> list[Node]:
    """The moves that lead to a value, first to last, from the first that copies."""
    chain: list[Node] = []
    while (node := producer.get(value)) is not None and is_view(node):
        chain.insert(0, node)
        value = node.operands[0]
    while chain and not _copies(chain[0]):
        del chain[0]
    return chain


def _copies(node: Node) -> bool:
    """Whether a move of elements takes place: a reshape is another name for the same memory."""
    return is_view(node) and node.op.name not in ("reshape", "arg")
