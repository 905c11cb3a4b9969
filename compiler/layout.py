"""Where the values of a planned graph lie: places, views, and the pointer table.

Places: `in3` argument 3, `out0` output 0, `const0` a constant or count, `arena+4096` a slot of the
arena, 64-byte aligned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ..ir.graph import Graph, Node, Value
from ..ir.types import Type
from ..runtime.executable import Argument, Layout

ALIGNMENT: Final = 64

ARENA: Final = "arena"
"""The place of a value that needs memory of its own before the plan says where."""


def root_of(producer: Mapping[Value, Node], value: Value) -> Value:
    """The value whose memory `value` lies in: itself, or what it is a view of."""
    node = producer.get(value)
    while node is not None and is_alias(node):
        value = node.operands[0]
        node = producer.get(value)
    return value


def is_alias(node: Node) -> bool:
    """A reshape (or identity) that shares its operand's memory: no place of its own was asked."""
    return node.op.name in ("reshape", "arg") and node.result.place is None


def padded(type: Type) -> int:
    """Bytes of a slot: at least one, a multiple of the alignment."""
    return max(1, -(-type.nbytes // ALIGNMENT)) * ALIGNMENT


def arena_offset(place: str | None) -> int | None:
    """The offset of a place in the arena, None for another place."""
    if place is None or not place.startswith("arena+"):
        return None
    return int(place.removeprefix("arena+"))


def arena_bytes(graph: Graph) -> int:
    """Size of a planned graph's arena."""
    placed = ((arena_offset(v.place), padded(v.type)) for v in _values(graph))
    return max((offset + size for offset, size in placed if offset is not None), default=0)


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.inputs
    for node in graph.nodes:
        yield from node.results


def layout_of(graph: Graph) -> Layout:
    """The layout of a planned graph's pointer table."""
    updated = {target for target, _ in graph.updates}
    constants = {
        n.result.place: n.op.evaluate(**n.attrs) for n in graph.nodes if n.op.kind == "constant"
    }
    offsets = {arena_offset(v.place) for v in _values(graph)} - {None}
    slots = tuple(sorted(x for x in offsets if x is not None))
    places = [f"in{k}" for k in range(len(graph.inputs))]
    places += [f"out{k}" for k in range(len(graph.outputs))]
    places += [f"const{k}" for k in range(len(constants))]
    places += [f"arena+{offset}" for offset in slots]
    places.append("scratch")
    return Layout(
        tuple(Argument(v.name, v.type, v in updated) for v in graph.inputs),
        tuple(v.type for v in graph.outputs),
        tuple(constants[f"const{k}"] for k in range(len(constants))),
        slots,
        arena_bytes(graph),
        {place: k for k, place in enumerate(places)},
    )
