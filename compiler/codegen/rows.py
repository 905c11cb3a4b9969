"""Which nodes can run a few rows at a time, each chunk of rows by itself, and what a chunk touches.

    %z:f32[32,64] = matmul %x, %W           rows of %x and %z, all of %W
    %h:f32[32,64] = maximum %z, 0.0         rows of %z and %h
    %W1 = dot_acc %W, %x, %g, %s            rows of %W, which are 64; all of %x and %g

Where there are two chunks, the first takes the first half of all that is cut: of 32 rows here, of
64 there, or of all elements in order. `chains.py` makes chains of such nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...ir.arrange import as_region
from ...ir.assembly import WRITES
from ...ir.convolution import as_convolution
from ...ir.graph import Graph, Node, Value
from ...ir.matmul import Matmul
from ...ir.record import dataclass
from ...ir.region import Axes, Region, body_operands, node_body
from .blocked import MULTIPLICATION
from .contract import loops_of_product, routine_product
from .nest import late_values, needs_scratch
from .splitting import joinable, nanoseconds, totals_over

COUNTS: Final = (2, 4, 6, 8, 12, 16, 24, 32)
"""Chunks that there may be."""

LEAST_ELEMENTS: Final = 256
"""Elements that a node writes at the least: smaller ones take less time than a look at them."""

LEAST_ROWS: Final = 8
"""Rows of a chunk."""

TURNING_ROWS: Final = 16
"""The same where every chunk turns a matrix or has few columns."""

LINE: Final = 16
"""Iterations of an innermost loop that a chunk is a multiple of."""

MOST: Final = COUNTS[-1]

LARGEST: Final = 50_000.0
"""Nanoseconds of a node that has enough of a region by itself: it is cut as suits it best."""

TURNED: Final = 6
"""To turn a matrix takes as long as so many rows of the product."""

LOW: Final = 4
"""A result that many times as wide as high is better cut into columns: each chunk of rows reads the
whole matrix, which takes as long as so many rows of the product where it is large."""

REPEATED: Final = 500.0
"""Nanoseconds that a chunk may take for what other chunks do, too: a region costs as much."""

SEVERAL: Final = 8
"""Chunks of a product are enough: each reads the whole matrix on the right."""

NESTS: Final = frozenset({"elementwise", "reduce", "argreduce"})
MOVES: Final = frozenset({"transpose", "broadcast", "slice", "windows"})


@dataclass(frozen=True, slots=True)
class Access:
    """What a chunk touches of a value: its own part, one of as many as there are chunks, if that is
    `cut`, else all of it."""

    value: Value
    cut: bool
    written: bool


@dataclass(frozen=True)
class Nest:
    """The loops of a node, and the values of the graph that those of the nest stand for."""

    region: Region
    values: Mapping[Value, Value]


@dataclass(frozen=True)
class ByRows:
    """How a node runs by rows: over how many, in how many chunks (one of `counts`), what each
    touches, and how long all take."""

    rows: int
    counts: frozenset[int]
    accesses: tuple[Access, ...]
    nanoseconds: float
    way: Nest | Matmul


def by_rows(graph: Graph, node: Node) -> ByRows | None:
    """How a node runs by rows, None if it does not."""
    if max((v.type.size for v in node.results), default=0) < LEAST_ELEMENTS:
        return None
    if node.op.name in ("dot", "dot_acc"):
        product = routine_product(node)
        if product is not None:
            return _product_by_rows(node, product)
    nest = nest_of(graph, node)
    return None if nest is None else _nest_by_rows(nest)


def nest_of(graph: Graph, node: Node) -> Nest | None:
    """The loops of a node that is a single nest."""
    body: Graph | None
    if node.op.name in ("dot", "dot_acc"):
        body, operands = loops_of_product(node), node.operands
    elif _is_nest(node):
        body = node_body(graph, node)
        operands = body_operands(node, body)
    else:
        return None
    region = None if body is None else as_region(body)
    if body is None or region is None:
        return None
    values = dict(zip(body.inputs, operands, strict=True))
    values.update(zip(body.outputs, node.results, strict=True))
    return Nest(region, values)


def _is_nest(node: Node) -> bool:
    if node.op.name != "fused":
        return node.op.kind in NESTS or node.op.name in MOVES
    body: Graph = node.attrs["body"]
    names = {inside.op.name for inside in body.nodes}
    single = names.isdisjoint({"windows_add", "concatenate", *WRITES})
    return single and as_convolution(body) is None


def _nest_by_rows(nest: Nest) -> ByRows | None:
    region = nest.region
    if not region.extents or 0 in region.extents:
        return None
    rows, totals = region.extents[0], totals_over(region, 0)
    if totals and not joinable(region, totals):
        return None
    if any(needs_scratch(region, n, r) for n, r in region.reductions.items() if n not in totals):
        return None
    late = late_values(region, totals)
    early = [v for v in region.body.outputs if v not in late]
    if not all(_is_cut(region.axes[v], rows) for v in early):
        return None
    accesses = [
        Access(nest.values[load.source], _is_cut(load.axes, rows), False)
        for load in region.loads.values()
    ]
    accesses += [Access(nest.values[v], v not in late, True) for v in region.body.outputs]
    return _limited(rows, LEAST_ROWS, MOST, accesses, nanoseconds(region), nest)


def _is_cut(axes: Axes, rows: int) -> bool:
    """Whether the outermost loop walks along the outermost axis, and along no other one."""
    long = [axis for axis in axes if axis.extent != 1]
    if not long or not long[0].plain or long[0].loop != 0 or long[0].extent != rows:
        return False
    return all(loop != 0 for axis in long[1:] for loop, _ in axis.strides)


def _product_by_rows(node: Node, p: Matmul) -> ByRows | None:
    """The rows of the result as it is stored."""
    accumulates = node.op.name == "dot_acc"
    x, y = node.operands[1:3] if accumulates else node.operands
    if p.loops or p.rows is not None:
        return None
    rows, (left, turned, right) = p.m, (x, p.ta, y)
    if p.swap:
        rows, (left, turned, right) = p.n, (y, not p.tb, x)
    flips = p.ta if p.swap else p.tb
    columns = p.work // (rows * p.k)
    if rows == 1 or (1 in (p.m, p.n) and turned):
        return None
    repeats = TURNED if flips else LOW if columns > LOW * rows else 0
    size = node.result.type.dtype.itemsize
    if repeats * p.k * columns * size * MULTIPLICATION > REPEATED:
        return None
    accesses = [Access(left, not turned, False), Access(right, False, False)]
    accesses.append(Access(node.result, True, True))
    if accumulates:
        start, scale = node.operands[0], node.operands[3]
        accesses += [Access(start, True, False), Access(scale, False, False)]
    shares = p.work >> (17 - size // 4)
    least = TURNING_ROWS if flips or columns < TURNING_ROWS else LEAST_ROWS
    most = min(shares, SEVERAL) if shares > 1 else MOST
    return _limited(rows, least, most, accesses, p.work * size * MULTIPLICATION, p)


def _limited(
    rows: int, least: int, most: int, accesses: list[Access], cost: float, way: Nest | Matmul
) -> ByRows | None:
    """So many rows in a chunk at the least, so many chunks at the most; chunks are equal, those of
    an innermost loop whole vectors."""
    single = isinstance(way, Nest) and len(way.region.extents) == 1
    limit, unit = min(most, rows // least), LINE if single else 1
    counts = frozenset(n for n in COUNTS if n <= limit and rows % (n * unit) == 0)
    if not counts or cost > LARGEST:
        return None
    return ByRows(rows, counts, tuple(accesses), cost, way)
