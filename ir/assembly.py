"""Arrays assembled from parts: values written or added into zeros, each in a region that no other
meets.

    %0:f32[4] = broadcast 0.0 [shape=(4)]
    %1:f32[4] = add_at %0, %a [0:3:2]
    %y:f32[4] = add_at %1, %b [1:4:2]                 y = a0 b0 a1 b1

What computes the parts runs as one loop nest that stores each of them where it belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

from .arrange import as_region
from .builder import Builder
from .graph import Graph, Node, Value
from .ops.constant import uniform_value
from .ops.move import SliceSpec
from .region import Axes, Axis, Region

WRITES: Final = frozenset({"add_at", "update"})


def additions(producer: Mapping[Value, Node], last: Node) -> tuple[Node, ...]:
    """The `add_at` and `update` nodes that assemble the result of `last`, in order; none if that is
    no chain of them which begins with zeros and whose regions do not meet."""
    chain = [last]
    while (node := producer.get(chain[0].operands[0])) is not None and node.op.name in WRITES:
        chain.insert(0, node)
    zeros = uniform_value(producer, chain[0].operands[0])
    if zeros != 0 or last.result.type.is_bool:
        return ()
    specs = [node.attrs["spec"] for node in chain]
    return tuple(chain) if all(are_disjoint(a, b) for a, b in combinations(specs, 2)) else ()


def are_disjoint(one: SliceSpec, other: SliceSpec) -> bool:
    """Whether two regions of an array have no element in common: on some axis no index is."""
    return any(set(range(*a)).isdisjoint(range(*b)) for a, b in zip(one, other, strict=True))


def part_axes(spec: SliceSpec, shape: Sequence[int]) -> Axes:
    """How the regions's axes run through the whole array."""
    return tuple(
        Axis(k, n, start, step)
        for k, (n, (start, _, step)) in enumerate(zip(shape, spec, strict=True))
    )


def assembled_region(body: Graph) -> tuple[Region, Mapping[Value, Value]] | None:
    """The loop nest of a body in which writes assemble one or several of the outputs, and which
    array each result of the nest that is a part belongs to. None if that is not one nest."""
    b = Builder()
    added = {node for node in body.nodes if node.op.name in WRITES}
    for node in body.nodes:
        if node not in added:
            b.append(node)
    read = {node.operands[1] for node in added} & set(body.inputs)
    own = {v: b.cast(v, dtype=v.type.dtype) for v in body.inputs if v in read}  # in one loop
    targets: dict[Value, Axes] = {}
    array: dict[Value, Value] = {}
    for whole in body.outputs:
        producer = body.producer.get(whole)
        chain = additions(body.producer, producer) if producer in added else ()
        for node in sorted(chain, key=_first_index):  # neighbours are stored together
            part = b.arg(own.get(node.operands[1], node.operands[1]))
            targets[part] = part_axes(node.attrs["spec"], whole.shape)
            array[part] = whole
    others = [v for v in body.outputs if v not in array.values()]
    zeros = {node.operands[0] for node in added}
    nodes = tuple(node for node in b.nodes if zeros.isdisjoint(node.results))
    region = as_region(Graph("parts", body.inputs, nodes, (*others, *targets)), targets)
    return None if region is None else (region, array)


def _first_index(node: Node) -> tuple[int, ...]:
    return tuple(min(range(*s), default=0) for s in node.attrs["spec"])
