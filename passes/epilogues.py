"""What is computed from a matrix product element by element becomes one node with it.

    %d:f32[784,512] = matmul %x, %g [ta]
    %m1:f32[784,512], %W1:f32[784,512] = fused %m, %d, %W body(..) { .. }
    %m <- %m1;  %W <- %W1
=>
    %m1:f32[784,512], %W1:f32[784,512] = fused %x, %g, %m, %W body(..) { %d = matmul ..; .. }

An optimiser with state reads a gradient once. Made some rows at a time it is read from the cache
that it was written to, and never is an array. `ir/epilogue.py` says which bodies fit. A product
whose result fits that cache anyway stays by itself, and so does one whose right operand does not:
the rows of the result would each read all of it from memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..ir.builder import Builder, rebuild
from ..ir.epilogue import Epilogue, as_epilogue
from ..ir.graph import Graph, Node, Value
from ..ir.op import OPS
from ..ir.region import body_operands, is_view, node_body
from .dce import dce

LEAST: Final = 2**18
"""Bytes of a result from which on it leaves the cache before it is read."""

MOST_RIGHT: Final = 2**19
"""Bytes of a right operand that stays in the second-level cache."""

LEAST_ROWS, LEAST_COLUMNS = 64, 32
"""Rows that are worth cutting, and columns that fill vectors."""

LONGEST: Final = 2**16
"""Summed elements that a product adds up without a pause."""


def join_epilogues(graph: Graph) -> Graph:
    """Join products with the elementwise nodes that read them."""

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.op.kind not in ("elementwise", "fused"):
            return None
        body = node_body(graph, node)
        written = {target for target, value in graph.updates if value in node.results}
        new = dict(zip(node.operands, operands, strict=True))
        for inside, outer in zip(body.inputs, body_operands(node, body), strict=True):
            dot = b.producer.get(new[outer])
            if dot is None or dot.op.name != "dot" or not _is_read_once(graph, outer, node):
                continue
            if written.isdisjoint(_arrays(b, dot)):
                given = [new[v] for v in body_operands(node, body)]
                found = _joined(b, dot, inside, body, given)
                if found is not None:
                    return found
        return None

    return dce(rebuild(graph, visit, origin="join_epilogues"))


def _arrays(b: Builder, dot: Node) -> Iterator[Value]:
    """What the product reads, directly or through views: none of it may be written as long as rows
    of the product are made, so it could not be updated in place."""
    for value in dot.operands:
        while (node := b.producer.get(value)) is not None and is_view(node):
            (value,) = node.operands
        yield value


def _is_read_once(graph: Graph, value: Value, reader: Node) -> bool:
    users = graph.users.get(value, ())
    single = list(users) == [reader] and reader.operands.count(value) == 1
    return single and value not in graph.results and value.type.nbytes >= LEAST


def _joined(
    b: Builder, dot: Node, result: Value, body: Graph, operands: Sequence[Value]
) -> Sequence[Value] | None:
    """One node for a product and the body that reads its `result`."""
    env: dict[Value, Value] = {}
    inputs: dict[Value, Value] = {}  # of the outer graph: of the new body
    for value in dot.operands:
        inputs.setdefault(value, Value(value.type, value.name))
    for inside, outer in zip(body.inputs, operands, strict=True):
        if inside is not result:
            env[inside] = inputs.setdefault(outer, Value(outer.type, inside.name))
    inner = Builder()
    env[result] = Value(result.type, dot.result.name)
    factors = tuple(inputs[v] for v in dot.operands)
    inner.append(Node(dot.op, factors, (env[result],), dot.attrs, dot.loc, dot.origin))
    for node in body.nodes:
        made = tuple(Value(v.type, v.name) for v in node.results)
        given = tuple(env[v] for v in node.operands)
        inner.append(Node(node.op, given, made, node.attrs, node.loc, node.origin))
        env.update(zip(node.results, made, strict=True))
    outputs = tuple(env[v] for v in body.outputs)
    joined = Graph("body", tuple(inputs.values()), tuple(inner.nodes), outputs)
    found = as_epilogue(joined)
    if found is None or not _is_worth_it(found):
        return None
    return b.emit(OPS["fused"], tuple(inputs), {"body": joined}).results


def _is_worth_it(found: Epilogue) -> bool:
    p, right = found.product, found.dot.operands[1]
    fits = p.m >= LEAST_ROWS and p.n >= LEAST_COLUMNS and p.k <= LONGEST and not p.tb
    return fits and right.type.nbytes <= MOST_RIGHT
