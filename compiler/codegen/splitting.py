"""Which loop nests run in chunks, on several threads, and in which chunks.

The choice is a function of the region's ops and extents alone. Chunks are the same on every machine
and for any count of threads, so results have the same bits.

A loop can be split if chunks then write to different places, and no reduction adds up over it; or
if it is the outermost one and those that do end in single numbers or in column sums, which are
joined afterwards (`partials.py`); or if it is the outermost of the inner ones, over which rows are
summed. The last comes first where arrays lie in memory with this loop outermost, such as images
whose channels are summed: chunks are then parts of memory, as those of the kernels before and after
are, and stay in the cache of one thread. A small nest stays whole: a region of the pool costs a
tenth of a microsecond.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from ...ir.graph import Node, Value
from ...ir.region import EXPENSIVE, Axes, Region, is_free
from ...runtime.vectors import DIVISIONS
from .kernel import Split
from .nest import late_values, needs_scratch, partial_length
from .unrolling import unrolled_loops

GRAIN: Final = 1000.0
"""Nanoseconds of work, at the least, in a chunk; a quarter of that where there are two chunks."""

MOST_CHUNKS: Final = 64

LEAST_ROWS: Final = 8
"""Rows of a chunk that makes column sums of its own."""

LEAST_SUMMED: Final = 64
"""Elements of a row in a chunk that makes sums of its own."""

MOST_PARTIAL: Final = 2**17
"""Numbers in all partial sums of a column reduction, at the most."""

ALIGNED: Final = 64
"""Iterations of the innermost loop in a chunk are a multiple of this: whole vectors and, nearly,
whole cache lines."""


def choose_split(region: Region, places: Mapping[Value, str]) -> Split | None:
    """The loop to split and its chunks, or None for a nest that runs whole."""
    if 0 in region.extents:
        return None
    wanted = chunks_of(nanoseconds(region))
    found: Split | None = None
    for loop in _candidates(region) if wanted > 1 else ():
        chunks = min(wanted, _most_chunks(region, loop))
        if chunks > 1 and _can_split(region, loop, places):
            split = _cut(region, loop, chunks)
            if found is None or split.chunks > found.chunks:
                found = split
            if found.chunks * 2 > wanted:
                break
    return found if found is not None and found.chunks > 1 else None


def _candidates(region: Region) -> tuple[int, ...]:
    """The loops in the order in which they are tried."""
    loops, inner = tuple(range(len(region.extents))), region.rows
    if 0 < inner < len(loops) - 1 and _lies_outermost(region, inner):
        return (inner, *loops)
    return loops


def _lies_outermost(region: Region, loop: int) -> bool:
    """Whether the buffers that a loop and rows pass over have its axis before all others."""
    axes = [load.axes for load in region.loads.values()]
    axes += [region.axes[v] for v in region.body.outputs]
    orders = [[axis.loop for axis in each if axis.loop is not None] for each in axes]
    large = [order for order in orders if loop in order and min(order) < region.rows]
    return bool(large) and all(order[0] == loop for order in large)


def chunks_of(cost: float) -> int:
    """How many chunks work of so many nanoseconds makes: few when it is little, an even number."""
    if GRAIN / 2 <= cost < 2 * GRAIN:
        return 2
    count = int(min(cost / GRAIN, 4 + cost / (4 * GRAIN), MOST_CHUNKS))
    return count - count % (4 if count > 4 else 2)


def _most_chunks(region: Region, loop: int) -> int:
    """Chunks that do not make more of partial column sums than of the nest itself."""
    lengths = [partial_length(region, node) for node in totals_over(region, loop)]
    if lengths and loop > 0:
        summed = math.prod(region.extents[loop:])
        return min(summed // LEAST_SUMMED, MOST_PARTIAL // max(lengths))
    if max(lengths, default=1) == 1:
        return MOST_CHUNKS
    return min(region.extents[loop] // LEAST_ROWS, MOST_PARTIAL // max(lengths))


def _cut(region: Region, loop: int, chunks: int) -> Split:
    """At most so many chunks of a loop."""
    return _cut_extent(loop, region.extents[loop], chunks, loop == len(region.extents) - 1)


def _cut_extent(loop: int, extent: int, chunks: int, innermost: bool) -> Split:
    unit = ALIGNED if innermost else 1
    size = -(-extent // (min(chunks, extent) * unit)) * unit
    return Split(loop, -(-extent // size), size)


def split_outermost(
    extent: int, nanoseconds: float, *, loop: int = 0, innermost: bool = False
) -> Split | None:
    """The chunks of a kernel's outermost loop (or that which is the outermost of more than one
    step), whose steps do not depend on each other; each takes so long."""
    chunks = chunks_of(extent * nanoseconds)
    if chunks < 2 or extent < 2:
        return None
    split = _cut_extent(loop, extent, chunks, innermost)
    return split if split.chunks > 1 else None


def totals_over(region: Region, loop: int) -> tuple[Node, ...]:
    """The reductions whose results wait for the end of a loop."""
    return tuple(node for node, r in region.reductions.items() if loop in r.reduced)


def _can_split(region: Region, loop: int, places: Mapping[Value, str]) -> bool:
    if loop in unrolled_loops(region):
        return False
    totals = totals_over(region, loop)
    late = late_values(region, totals)
    if totals and not (joinable(region, totals) if loop == 0 else _are_rows(region, loop, totals)):
        return False
    if any(
        needs_scratch(region, node, r) and loop not in r.kept
        for node, r in region.reductions.items()
        if node not in totals
    ):
        return False
    outputs = [v for v in region.body.outputs if v not in late]
    apart = all(_moves_alone(region.axes[v], loop) for v in outputs)
    return apart and _reads_own(region, outputs, places) and _repeats_little(region, loop)


def joinable(region: Region, totals: tuple[Node, ...]) -> bool:
    """Whether the results of reductions are columns, which nothing follows from, or single numbers,
    and all that follows from them."""
    if any(node.op.kind != "reduce" for node in totals):
        return False
    singles = [node for node in totals if region.reductions[node].kind != "column"]
    columns = [node for node in totals if region.reductions[node].kind == "column"]
    single = all(region.depth.get(v, 0) == 0 for v in late_values(region, singles))
    alone = not singles or region.phases == 1
    return single and alone and all(_lies_in_order(region, node) for node in columns)


def _are_rows(region: Region, loop: int, totals: tuple[Node, ...]) -> bool:
    """Whether all reductions sum rows, over this loop and those in it, and what follows from them
    has one value a row."""
    rows = loop == region.rows and region.phases == 1 and set(totals) == set(region.reductions)
    kinds = {(node.op.kind, region.reductions[node].kind) for node in totals}
    late = late_values(region, totals)
    return rows and kinds == {("reduce", "row")} and all(region.depth[v] == loop for v in late)


def _lies_in_order(region: Region, node: Node) -> bool:
    """Whether the result of a column reduction has the loops it keeps for axes, in order."""
    reduction = region.reductions[node]
    axes = [axis for axis in region.axes[node.result] if axis.loop is not None]
    whole = all(axis.plain and axis.extent == region.extents[axis.loop or 0] for axis in axes)
    return reduction.depth == 0 and whole and tuple(axis.loop for axis in axes) == reduction.kept


def _moves_alone(axes: Axes, loop: int) -> bool:
    """Whether different iterations of the loop are at different places, whatever others do."""
    own = [axis for axis in axes if any(k == loop for k, _ in axis.strides)]
    return len(own) == 1 and own[0].loop == loop and not own[0].more


def _reads_own(region: Region, outputs: list[Value], places: Mapping[Value, str]) -> bool:
    """Whether a buffer that is read and written is read only at the index that is written."""
    written: dict[str, set[Axes]] = {}
    for value in outputs:
        written.setdefault(places[value], set()).add(region.axes[value])
    return all(
        written.get(places[load.source], {load.axes}) == {load.axes}
        for load in region.loads.values()
    )


def _repeats_little(region: Region, loop: int) -> bool:
    """Whether it does no harm that every chunk computes what does not change in the loop."""
    outside = nanoseconds(region, loop)
    return outside * MOST_CHUNKS <= nanoseconds(region)


def nanoseconds(region: Region, depth: int | None = None) -> float:
    """A rough estimate of a nest's time on one thread, or of its part that lies in `depth` loops at
    the most."""
    limit = len(region.extents) if depth is None else depth
    values = [(v, d) for v, d in region.depth.items() if d <= limit]
    return sum(_value_time(region, v) * math.prod(region.extents[:d]) for v, d in values)


def _value_time(region: Region, value: Value) -> float:
    """Nanoseconds for one element: to read or compute it, and to write it."""
    size = value.type.dtype.itemsize
    time = size * _BYTE if value in region.body.outputs else 0.0
    node = region.body.producer.get(value)
    if value in region.loads:
        return time + size * _BYTE
    if node is None or is_free(node):
        return time
    if node.op.name in DIVISIONS and not value.type.is_float:  # these do not vectorise
        return time + 200 * size * _OP
    return time + (8 if node.op.name in EXPENSIVE else 1) * size * _OP


_BYTE: Final = 0.008
_OP: Final = 0.006
"""Nanoseconds to move one byte, and for a cheap op per byte: measured on 65,536 and 1,000,000
elements, where sums, updates, exp and tanh of both floats come out within a factor of two."""
