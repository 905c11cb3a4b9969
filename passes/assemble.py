"""Compute the parts of an array where they belong: no part is an array of its own.

    %a:f32[2], %b:f32[2] = fused %c, %g body(..) {..} -> %a, %b
    %1:f32[4] = add_at %0, %a [0:3:2]                             %0 is all zeros
    %y:f32[4] = add_at %1, %b [1:4:2]
=>
    %y:f32[4] = fused %c, %g body(..) {
      ..
      %1 = add_at %0, %a [0:3:2]
      %y = add_at %1, %b [1:4:2]
    } -> %y

The parts come from one region, or are one value that is added in one or several places, and their
regions do not meet. Derivatives of pooling are like this. Results do not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..ir.assembly import WRITES, additions, assembled_region
from ..ir.builder import Builder, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.record import dataclass
from .dce import dce

Chain = tuple[Node, ...]


@dataclass(frozen=True)
class _Plan:
    """The `chain` of additions and the new body. `source` is the region whose results are the
    parts; without one all parts are one value, the body's input."""

    chain: Chain
    body: Graph
    source: Node | None


def assemble(graph: Graph) -> Graph:
    """Join arrays made of parts with what computes the parts."""
    plans = list(_plans(graph))
    if not plans:
        return graph
    sources = {plan.source: plan for plan in plans if plan.source is not None}
    lasts = {plan.chain[-1]: plan for plan in plans if plan.source is None}
    done = {node for plan in sources.values() for node in plan.chain}

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if node in done:  # its part stands for the whole array by now
            return operands[1:]
        if node in lasts:
            return b.emit(OPS["fused"], operands[1:], {"body": lasts[node].body}).results
        if node in sources:
            body = sources[node].body
            fused = b.emit(OPS["fused"], operands, {"body": body}, names=_names(node, body))
            *others, array = fused.results
            known = dict(zip(body.outputs, others, strict=False))
            return [known.get(v, array) for v in node.attrs["body"].outputs]
        return None

    return dce(rebuild(graph, visit, origin="assemble"))


def _plans(graph: Graph) -> Iterator[_Plan]:
    for node in graph.nodes:
        if node.op.name not in WRITES or _is_read_by_one(graph, node.result, *WRITES):
            continue
        chain = additions(graph.producer, node)
        if chain and all(_is_read_by_one(graph, n.result) for n in chain[:-1]):
            plan = _plan(graph, chain)
            if plan is not None and assembled_region(plan.body) is not None:
                yield plan


def _is_read_by_one(graph: Graph, value: Value, *names: str) -> bool:
    """Whether one node alone reads the value, and is of one of these names and works on it."""
    users = graph.users.get(value, ())
    if len(users) != 1 or value in graph.results:
        return False
    return not names or (users[0].op.name in names and users[0].operands[0] is value)


def _plan(graph: Graph, chain: Chain) -> _Plan | None:
    parts = [node.operands[1] for node in chain]
    if len(set(parts)) == 1:
        source = Value(parts[0].type)
        return _Plan(chain, _body(chain, (source,), (), {parts[0]: source}, ()), None)
    producers = {graph.producer.get(part) for part in parts}
    fused = producers.pop()
    if producers or fused is None or fused.op.name != "fused":
        return None
    if len(set(parts)) < len(parts) or not all(_is_read_by_one(graph, v) for v in parts):
        return None
    old: Graph = fused.attrs["body"]
    inside = dict(zip(fused.results, old.outputs, strict=True))
    others = tuple(v for outer, v in inside.items() if outer not in parts)
    return _Plan(chain, _body(chain, old.inputs, old.nodes, inside, others), fused)


def _body(
    chain: Chain,
    inputs: tuple[Value, ...],
    nodes: Sequence[Node],
    inside: Mapping[Value, Value],
    others: tuple[Value, ...],
) -> Graph:
    """The nodes that compute the parts, and then the additions."""
    b = Builder()
    for node in nodes:
        b.append(node)
    whole = chain[0].result.type
    array = b.full(whole.shape, 0, whole.dtype)
    for node in chain:
        with b.at(node.loc, node.origin):
            array = b.emit(node.op, (array, inside[node.operands[1]]), node.attrs).result
    return Graph("body", inputs, tuple(b.nodes), (*others, array))


def _names(node: Node, body: Graph) -> list[str | None]:
    old: Graph = node.attrs["body"]
    names = dict(zip(old.outputs, (v.name for v in node.results), strict=True))
    return [names.get(v) for v in body.outputs]
