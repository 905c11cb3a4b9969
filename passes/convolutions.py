"""Windows and the contraction that reads them, or makes them, become one node: they are made and
used up a few at a time.

    %w:f32[64,8,24,24,5,5] = windows %x [axes=(2,3), ..]
    %t:f32[64,8,5,5,24,24] = transpose %w [perm=(0,1,4,5,2,3)]
    %y:f32[64,16,24,24] = dot %t, %k [abcdef,gbcd->agef]
=>
    %y:f32[64,16,24,24] = fused %x, %k body(..) {
      %w = windows %x [axes=(2,3), ..]
      %t = transpose %w [perm=(0,1,4,5,2,3)]
      %y = dot %t, %k [abcdef,gbcd->agef]
    } -> %y

The array of all windows is as many times larger than the image as a window has elements. The
gradients of a convolution are of the same kind: contractions of windows, or windows that a
contraction makes and `windows_add` adds up. `ir/convolution.py` says which ones fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..ir.builder import Builder, rebuild
from ..ir.convolution import as_convolution
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.region import is_view
from .dce import dce


def join_convolutions(graph: Graph) -> Graph:
    """Join contractions with the windows they read or make."""

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.op.kind == "dot":
            first = int(node.op.name == "dot_acc")
            for k in (first, first + 1):
                chain = _views(b.producer, operands[k])
                if any(move.op.name == "windows" for move in chain):
                    found = _joined(b, [*chain, node], operands)
                    if found is not None:
                        return found
        if node.op.name == "windows_add":
            chain = _views(b.producer, operands[0])
            source = chain[0].operands[0] if chain else operands[0]
            dot = b.producer.get(source)
            if dot is not None and dot.op.name == "dot" and _is_read_once(graph, node):
                return _joined(b, [dot, *chain, node], operands)
        return None

    return dce(rebuild(graph, visit, origin="join_convolutions"))


def _views(producer: Mapping[Value, Node], value: Value) -> list[Node]:
    """The views that lead to a value, first to last."""
    chain: list[Node] = []
    while (node := producer.get(value)) is not None and is_view(node):
        chain.insert(0, node)
        value = node.operands[0]
    return chain


def _is_read_once(graph: Graph, add: Node) -> bool:
    """Whether what `windows_add` reads, down to the contraction, has no other reader."""
    node: Node | None = add
    while node is not None and node.op.name != "dot":
        (value,) = node.operands
        if len(graph.users.get(value, ())) > 1 or value in graph.results:
            return False
        node = graph.producer.get(value)
    return node is not None


def _joined(b: Builder, nodes: Iterable[Node], last: tuple[Value, ...]) -> Sequence[Value] | None:
    """One node for all, the last over these operands; None if they are no convolution."""
    nodes = list(nodes)
    inside = Builder()
    env: dict[Value, Value] = {}
    outer: list[Value] = []
    for node in nodes:
        operands = last if node is nodes[-1] else node.operands
        for value in operands:
            if value not in env:
                env[value] = Value(value.type, value.name)
                outer.append(value)
        inside.loc, inside.origin = node.loc, node.origin
        made = inside.emit(node.op, [env[v] for v in operands], node.attrs)
        env.update(zip(node.results, made.results, strict=True))
    body = Graph(
        "body", tuple(env[v] for v in outer), tuple(inside.nodes), inside.nodes[-1].results
    )
    if as_convolution(body) is None:
        return None
    return b.emit(OPS["fused"], outer, {"body": body}).results
