"""Nodes that are loop nests: elementwise ops, reductions, views, fused regions, and writes into
regular parts of an array. Each becomes one region and one kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...ir.arrange import as_region
from ...ir.assembly import WRITES, assembled_region, part_axes
from ...ir.builder import Builder
from ...ir.graph import Graph, Node, Value
from ...ir.ops.move import SliceSpec
from ...ir.pieces import pieces
from ...ir.region import Axis, Region, body_operands, node_body, view_axes
from .kernel import Split
from .module import Module, place_of
from .nest import emit_region, needs_scratch
from .partials import emit_join, partials_size
from .splitting import choose_split, totals_over


def node_region(graph: Graph, node: Node) -> Region | None:
    """The loop nest of a node, None when it is not one."""
    return as_region(node_body(graph, node))


def node_places(graph: Graph, node: Node) -> dict[Value, str]:
    """Where the values of the node's body lie."""
    body = node_body(graph, node)
    places = dict(zip(body.inputs, map(place_of, body_operands(node, body)), strict=True))
    places.update(zip(body.outputs, map(place_of, node.results), strict=True))
    return places


def emit_nest(module: Module, graph: Graph, node: Node) -> None:
    """The code of a node that is a region."""
    region = node_region(graph, node)
    assert region is not None, f"{node.op.name} is not a region"
    emit(module, node, region, node_places(graph, node))


def emit(
    module: Module, node: Node, region: Region, places: Mapping[Value, str], *, whole: bool = False
) -> None:
    """Emit a region's kernel and its call, and what joins the totals of its chunks, unless it is to
    run as a whole; its scratch memory lies in the module's."""
    split = None if whole else choose_split(region, places)
    totals = () if split is None else totals_over(region, split.loop)
    sizes = [
        math.prod(region.extents[k] for k in reduction.kept)
        for reduced, reduction in region.reductions.items()
        if needs_scratch(region, reduced, reduction) and reduced not in totals
    ]
    sizes += [partials_size(region, node, split.chunks) for node in totals] if split else []
    starts = [8 * sum(sizes[:k]) for k in range(len(sizes) + 1)]
    module.scratch = max(module.scratch, starts.pop())
    scratch = [f"scratch+{start}" for start in starts]
    first = len(scratch) - len(totals)
    partials = dict(zip(totals, scratch[first:], strict=True))
    module.call(node, emit_region(region, places, scratch[:first], split, partials))
    if split is not None and partials:
        module.call(node, emit_join(region, places, partials, split.chunks))


def emit_rows(
    module: Module, node: Node, region: Region, places: Mapping[Value, str], split: Split, used: int
) -> dict[Node, str]:
    """A nest in the chunks of a chain, which has taken `used` bytes of scratch memory before: where
    the totals of its chunks lie."""
    partials: dict[Node, str] = {}
    for total in totals_over(region, split.loop):
        partials[total] = f"scratch+{used}"
        used += 8 * partials_size(region, total, split.chunks)
    module.scratch = max(module.scratch, used)
    module.call(node, emit_region(region, places, (), split, partials))
    return partials


def emit_reshape(module: Module, graph: Graph, node: Node) -> None:
    """A view when the plan gave both the same place, else a copy."""
    copy_all(module, node, node.operands[0])


def copy_all(module: Module, node: Node, source: Value) -> None:
    """Copy an operand into the buffer of the (first) result, unless it lies there already."""
    target = node.results[0]
    if place_of(source) != place_of(target):
        size = target.type.size
        module.routine(node, "copy", module.value(target), module.value(source), size)


def emit_concatenate(module: Module, graph: Graph, node: Node) -> None:
    """Each operand into its part of the result."""
    start, axis = 0, node.attrs["axis"]
    for value in node.operands:
        low = tuple(start if k == axis else 0 for k in range(value.type.rank))
        start += value.shape[axis]
        spec = tuple((a, a + n, 1) for a, n in zip(low, value.shape, strict=True))
        _write_part(module, node, value, spec)


def emit_pad(module: Module, graph: Graph, node: Node) -> None:
    """Zeros everywhere, then the operand in the middle."""
    (value,) = node.operands
    module.routine(node, "zero", module.value(node.result), node.result.type.size)
    low = node.attrs["low"]
    spec = tuple((a, a + n, 1) for a, n in zip(low, value.shape, strict=True))
    _write_part(module, node, value, spec)


def emit_update(module: Module, graph: Graph, node: Node) -> None:
    """`update` and `add_at`: the array, copied unless in place, then its part."""
    x, value = node.operands
    copy_all(module, node, x)
    _write_part(module, node, value, node.attrs["spec"], add=node.op.name == "add_at")


def _write_part(
    module: Module, node: Node, value: Value, spec: SliceSpec, *, add: bool = False
) -> None:
    """Store (or add) a value into a regular part of the node's result."""
    if value.type.size == 0:
        return
    b = Builder()
    whole, part = Value(node.result.type), Value(value.type)
    out = b.arg(part)
    if add:
        old = b.slice(whole, spec=spec)
        out = b.emit("or" if part.type.is_bool else "add", (old, part)).result
    body = Graph("part", (whole, part), tuple(b.nodes if add else b.nodes[:1]), (out,))
    region = as_region(body, {out: part_axes(spec, node.result.shape)})
    assert region is not None, "a copy is a region"
    target = place_of(node.result)
    emit(module, node, region, {whole: target, part: place_of(value), out: target})


def emit_fused(module: Module, graph: Graph, node: Node) -> None:
    """A region, pieces that are joined, moves of what `windows_add` adds up, or parts that make up
    an array."""
    names = {inside.op.name for inside in node.attrs["body"].nodes}
    if "concatenate" in names:
        _emit_pieces(module, node)
    elif "windows_add" in names:
        emit_windows_add(module, graph, node)
    elif not names.isdisjoint(WRITES):
        _emit_assembled(module, node)
    else:
        emit_nest(module, graph, node)


def _emit_pieces(module: Module, node: Node) -> None:
    """A nest for each piece, which stores its part of the results where it belongs."""
    body: Graph = node.attrs["body"]
    found = pieces(body)
    assert found is not None, "only nests are joined"
    places = dict(zip(body.inputs, map(place_of, node.operands), strict=True))
    places.update(zip(body.outputs, map(place_of, node.results), strict=True))
    for piece in found:
        parts = {part: places[whole] for part, whole in piece.whole.items()}
        emit(module, node, piece.region, places | parts)


def _emit_assembled(module: Module, node: Node) -> None:
    """Each part of the arrays stored where it lies as soon as it is computed; zeros before, if
    that is not everywhere."""
    body: Graph = node.attrs["body"]
    found = assembled_region(body)
    assert found is not None, "only parts of one nest are assembled"
    region, array = found
    places = dict(zip(body.inputs, map(place_of, node.operands), strict=True))
    places.update(zip(body.outputs, map(place_of, node.results), strict=True))
    for inside, result in zip(body.outputs, node.results, strict=True):
        covered = [part.type.size for part, whole in array.items() if whole is inside]
        if covered and sum(covered) < result.type.size:
            module.routine(node, "zero", module.value(result), result.type.size)
    places.update((part, places[whole]) for part, whole in array.items())
    emit(module, node, region, places)


def emit_windows_add(module: Module, graph: Graph, node: Node) -> None:
    """Zeros, then the windows added, window axes around positions: rows are added to rows."""
    body, result = node_body(graph, node), node.result
    (source,) = body_operands(node, body)
    module.routine(node, "zero", module.value(result), result.type.size)
    if source.type.size == 0:
        return
    b = Builder()
    whole = Value(result.type)
    *moves, add = body.nodes
    for move in moves:
        b.append(move)
    (part,) = add.operands
    first, rank, axes = len(moves), result.type.rank, add.attrs["axes"]
    steps = {"strides": add.attrs["strides"], "dilations": add.attrs["dilations"]}
    place = b.windows(whole, axes=axes, sizes=part.shape[rank:], **steps)
    perm = (*range(min(axes)), *range(rank, part.type.rank), *range(min(axes), rank))
    b.transpose(place, perm=perm)
    total = b.add(b.nodes[-1].result, b.transpose(part, perm=perm))
    target = tuple(Axis(k, n) for k, n in enumerate(whole.shape))
    for view in b.nodes[first : first + 2]:
        target = view_axes(view, target)
    inputs = (whole, *body.inputs)
    region = as_region(Graph("fold", inputs, tuple(b.nodes), (total,)), {total: target})
    assert region is not None, "an addition is a region"
    where = place_of(result)
    emit(module, node, region, {whole: where, body.inputs[0]: place_of(source), total: where})
