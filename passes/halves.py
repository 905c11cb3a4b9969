"""Multiply by the two halves of a matrix of parameters, each by itself.

    %z:f32[128,512] = matmul %x, %W                                  %W:f32[784,512] is updated
 =>
    %0:f32[128,2,392] = reshape %x [shape=(128,2,392)]
    %1:f32[2,392,512] = reshape %W [shape=(2,392,512)]
    %2:f32[2,128,512] = dot %0, %1 [abc,bcd->bad]
    %3:f32[1,128,512] = slice %2 [0:1, :, :]
    %4:f32[1,128,512] = slice %2 [1:2, :, :]
    ...
    %z:f32[128,512] = add %5, %6                                     fuses with what follows

Whoever writes a cache line that another processor has read must take it away from there first,
which takes longer than all else in an update, and so goes every line that two processors read and
one of them updates, in every step. Of two processors here each reads the rows that it updates; what
they exchange is the result, which is smaller. Results add in another order.
"""

from __future__ import annotations

from typing import Final

from ..ir.builder import Builder, rebuild
from ..ir.graph import Graph, Node, Value

LEAST: Final = 2**14
"""Numbers of a matrix from which on it is halved."""

DEEPER: Final = 4
"""The matrix has so many times the rows of the result at the least."""

LARGEST: Final = 2**17
"""Numbers of the result at the most: there are two of it."""

UNIT: Final = 8
"""A half has a multiple of so many rows."""


def halve_products(graph: Graph) -> Graph:
    """Split each product by a matrix that the step updates."""
    updated = frozenset(target for target, _ in graph.updates)

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...] | None:
        return (_halved(b, *operands),) if _is_halved(node, updated) else None

    return rebuild(graph, visit, origin="halve_products")


def _is_halved(node: Node, updated: frozenset[Value]) -> bool:
    if node.op.name != "dot" or node.attrs["spec"] != "ab,bc->ac":
        return False
    left, right = (v.type for v in node.operands)
    if node.operands[1] not in updated or not left.is_float or right.size < LEAST:
        return False
    rows, depth = left.shape
    deep = depth >= DEEPER * rows and depth % (2 * UNIT) == 0
    return deep and rows > 1 and node.result.type.size <= LARGEST


def _halved(b: Builder, x: Value, y: Value) -> Value:
    """x y = x[:, :k] y[:k] + x[:, k:] y[k:]; rounds differently."""
    (m, k), n = x.shape, y.shape[1]
    left = b.reshape(x, shape=(m, 2, k // 2))
    right = b.reshape(y, shape=(2, k // 2, n))
    both = b.dot(left, right, spec="abc,bcd->bad")
    parts = (b.slice(both, spec=((h, h + 1, 1), (0, m, 1), (0, n, 1))) for h in range(2))
    first, second = (b.reshape(part, shape=(m, n)) for part in parts)
    return b.add(first, second)
