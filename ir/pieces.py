"""Arrays made of pieces: joined along any axes, each piece a loop nest of its own.

    %0:f64[1] = slice %u [3:4]
    %1:f64[3] = slice %u [0:3]
    %2:f64[1] = mul 2.0, %0
    %3:f64[3] = mul 2.0, %1
    %y:f64[4] = concatenate %2, %3 [axis=0]           y = 2 * roll(u, 1)

Each nest stores its part of every result where it belongs; nothing else is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .arrange import as_region
from .builder import Builder
from .graph import Graph, Node, Value
from .ops.move import SliceSpec
from .region import Axes, Axis, Region


class Piece(NamedTuple):
    """A loop nest, and which whole array each of its results is a part of."""

    region: Region
    whole: Mapping[Value, Value]


def pieces(body: Graph) -> list[Piece] | None:
    """The nests of a body whose results are joined; None where a part is no nest. The parts of
    several results that have one place run together."""
    parts: dict[SliceSpec, list[tuple[Value, Value]]] = {}
    for whole in body.outputs:
        start = tuple(0 for _ in whole.shape)
        for spec, value in _parts(body, whole, start):
            parts.setdefault(spec, []).append((value, whole))
    found = [_piece(body, spec, pairs) for spec, pairs in parts.items()]
    known = [piece for piece in found if piece is not None]
    return known if len(known) == len(found) else None


def _parts(body: Graph, value: Value, start: tuple[int, ...]) -> Iterator[tuple[SliceSpec, Value]]:
    """What is joined, each with where it lies."""
    node = body.producer.get(value)
    if node is None or node.op.name != "concatenate":
        if value.type.size:
            yield tuple((a, a + n, 1) for a, n in zip(start, value.shape, strict=True)), value
        return
    axis = node.attrs["axis"]
    for operand in node.operands:
        yield from _parts(body, operand, start)
        moved = start[axis] + operand.shape[axis]
        start = (*start[:axis], moved, *start[axis + 1 :])


def _piece(body: Graph, spec: SliceSpec, pairs: list[tuple[Value, Value]]) -> Piece | None:
    nodes = _above(body, [value for value, _ in pairs])
    b = Builder()
    for node in nodes:
        b.append(node)
    targets: dict[Value, Axes] = {}
    wholes: dict[Value, Value] = {}
    for value, whole in pairs:
        part = b.arg(value)
        axes = zip(spec, whole.shape, strict=True)
        targets[part] = tuple(Axis(k, n, a) for k, ((a, _, _), n) in enumerate(axes))
        wholes[part] = whole
    read = {v for node in b.nodes for v in node.operands}
    inputs = tuple(v for v in body.inputs if v in read)
    region = as_region(Graph("piece", inputs, tuple(b.nodes), tuple(targets)), targets)
    return None if region is None else Piece(region, wholes)


def _above(body: Graph, values: list[Value]) -> list[Node]:
    """The nodes that lead to values, in order."""
    wanted, found = set(values), []
    for node in reversed(body.nodes):
        if not wanted.isdisjoint(node.results):
            wanted.update(node.operands)
            found.append(node)
    return found[::-1]
