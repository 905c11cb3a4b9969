"""Move elements once: a chain of moves that fusion left in memory becomes one copy.

    %w:f32[64,8,24,24,5,5] = windows %x [axes=(2,3), ..]
    %t:f32[64,8,5,5,24,24] = transpose %w [perm=(0,1,4,5,2,3)]
=>
    %t:f32[64,8,5,5,24,24] = fused %x body(..) {
      %w = windows %x [axes=(2,3), ..]
      %t = transpose %w [perm=(0,1,4,5,2,3)]
    } -> %t

So are the moves of what `windows_add` adds up, and of what is joined. Results do not change.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.builder import Builder, inline, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.pieces import pieces
from ..ir.region import is_view
from .dce import dce


def copy_once(graph: Graph) -> Graph:
    """Join every move with the moves it reads."""
    return dce(rebuild(graph, _join, origin="copy_once"))


def _join(b: Builder, node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...] | None:
    joined = _joins(node)
    if node.op.name != "windows_add" and not _copies(node) and not joined:
        return None
    chains = [_moves(b.producer, v) for v in operands]
    if not any(chains):
        return None
    first = [c[0].operands[0] if c else v for c, v in zip(chains, operands, strict=True)]
    own = {v: Value(v.type) for v in first}
    inside = Builder()
    moved = [_replay(inside, own[v], c) for v, c in zip(first, chains, strict=True)]
    with inside.at(node.loc, node.origin):
        if node.op.name == "fused":
            outputs = inline(inside, node.attrs["body"], moved)
        else:
            outputs = inside.emit(node.op, moved, node.attrs).results
    body = Graph("body", tuple(own.values()), tuple(inside.nodes), outputs)
    if joined and pieces(body) is None:
        return None
    return b.emit(OPS["fused"], tuple(own), {"body": body}).results


def _replay(b: Builder, value: Value, moves: list[Node]) -> Value:
    for move in moves:
        with b.at(move.loc, move.origin):
            value = b.emit(move.op, (value,), move.attrs).result
    return value


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


def _joins(node: Node) -> bool:
    """Whether values are joined, by the node or in its body."""
    nodes = node.attrs["body"].nodes if node.op.name == "fused" else (node,)
    return any(inside.op.name == "concatenate" for inside in nodes)
