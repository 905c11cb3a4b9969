"""A region as one kernel: loops, scalar statements, reductions.

    def k0(y0, x0, x1, n0, n1):                       # %h = maximum(%z + %b, 0)
        for i in range(n0):
            for j in range(n1):
                v0 = x0[i * n1 + j]
                v1 = x1[j]
                v2 = v0 + v1
                v3 = maximum_f32(v2, f32(0.0))
                y0[i * n1 + j] = v3

A value is computed at the smallest depth at which all its loops run. Stores come last at their
depth, so a result may lie in the buffer of an operand that is read at the same index. Sums of f32
are accumulated in f64; a column sum of many rows in an f64 scratch buffer.

A large kernel is for one chunk of one loop (`splitting.py`). Where that loop is summed, a chunk's
total goes into scratch memory; `partials.py` has the kernel that joins them. Rows of few numbers
are written out (`unrolling.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Final

import numpy as np

from ...ir.graph import Node, Value
from ...ir.record import dataclass
from ...ir.region import Axis, Reduction, Region, is_view
from ...ir.types import F32, F64, I64, dtype_name
from .fold import Fold
from .kernel import CHUNK, Kernel, KernelWriter, Split, literal, loop_name
from .search import LONG, Search, block_size, blocked
from .unrolling import in_variables, short_nest, unrolled_loops

DIRECT_ROWS: Final = 64
"""A column sum of f32 over more rows than this is accumulated in f64."""

SCRATCH: Final = "scratch"


@dataclass
class Level:
    """The statements at one depth: before the loops inside it, and after them."""

    before: list[str] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


class _Loops:
    """Nested loops `first .. last - 1` and the statements at each depth."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.levels = [Level() for _ in range(last - first + 1)]

    def render(self, w: KernelWriter, center: Sequence[str] = ()) -> list[str]:
        """The loops around `center`."""
        lines = list(center)
        for k in range(self.last, self.first - 1, -1):
            level = self.levels[k - self.first]
            lines = [*level.before, *level.stores, *lines, *level.after]
            if k > self.first:
                lines = w.around(k - 1, lines)
        return lines


def needs_scratch(region: Region, node: Node, reduction: Reduction) -> bool:
    """Whether a reduction is a column sum that must not be accumulated in f32."""
    rows = int(np.prod([region.extents[k] for k in reduction.reduced], dtype=np.int64))
    return (
        reduction.kind == "column"
        and node.op.name == "sum"
        and node.result.type.dtype == F32
        and rows > DIRECT_ROWS
        and not in_variables(region, reduction)
    )


def partial_length(region: Region, node: Node) -> int:
    """How many numbers a chunk's total is; of columns and rows, made up to whole cache lines."""
    kept = partial_loops(region, node)
    length = math.prod(region.extents[k] for k in kept)
    return -(-length // 8) * 8 if kept else 1


def partial_loops(region: Region, node: Node) -> tuple[int, ...]:
    """The loops for each of whose iterations a chunk's total has a number."""
    reduction = region.reductions[node]
    return tuple(range(region.rows)) if reduction.kind == "row" else reduction.kept


def emit_region(
    region: Region,
    places: Mapping[Value, str],
    scratch: Sequence[str] = (),
    split: Split | None = None,
    partials: Mapping[Node, str] = MappingProxyType({}),
) -> Kernel:
    """The kernel of a region. `places` says where its inputs and outputs lie, `scratch` where the
    accumulators of its column sums do, in order, `partials` where the totals of its chunks go."""
    return RegionEmitter(region, places, scratch, split, partials).kernel()


class RegionEmitter:
    """Writes the kernel of one region; see `emit_region`."""

    def __init__(
        self,
        region: Region,
        places: Mapping[Value, str],
        scratch: Sequence[str],
        split: Split | None,
        partials: Mapping[Node, str],
    ) -> None:
        self.region = region
        self.places = places
        self.partials = partials
        late = late_values(region, partials)
        self.outputs = dict.fromkeys(v for v in region.body.outputs if v not in late)
        written = {places[v] for v in self.outputs} | {*scratch, *partials.values()}
        self.w = KernelWriter(region.extents, written, split, unrolled_loops(region))
        self.scratch = list(scratch)
        self.rows = _Loops(0, region.rows)
        self.between: list[Level] = [Level() for _ in range(region.phases + 1)]
        self.sweeps = [_Loops(region.rows, len(region.extents)) for _ in range(region.phases)]
        self.searches: list[list[Search]] = [[] for _ in range(region.phases)]
        self.names: dict[tuple[Value, int], str] = {}
        self.final: set[Value] = set()
        self.numbers: dict[Value, int] = {}

    def kernel(self) -> Kernel:
        kernel = self.w.finish(self.lines())
        known = short_nest(self.region)
        return kernel if known is None else kernel.with_literals(known)

    def lines(self) -> list[str]:
        """The loops and what is in them."""
        region = self.region
        for node, reduction in region.reductions.items():
            self._reduce(node, reduction)
        reduced = {node.result for node in region.reductions}
        for value in self.outputs:
            if value not in reduced:
                self._store(value, self._use(value, region.phase[value]))
        center = [*self.rows.levels[-1].before, *self.rows.levels[-1].stores]
        self.rows.levels[-1].before = self.rows.levels[-1].stores = []
        for phase, level in enumerate(self.between):
            center += [*level.before, *level.stores]
            center += self._sweep(phase) if phase < region.phases else []
        return self.rows.render(self.w, center)

    # Where a statement goes

    def _level(self, value: Value, phase: int) -> Level:
        depth, rows = self.region.depth[value], self.region.rows
        if value in self.region.epilogue:
            return Level(self.rows.levels[0].after, self.rows.levels[0].after)
        if depth > rows:
            return self.sweeps[phase].levels[depth - rows]
        return self.between[phase] if depth == rows else self.rows.levels[depth]

    def _variable(self, value: Value, letter: str = "v") -> str:
        return f"{letter}{self.numbers.setdefault(value, len(self.numbers))}"

    # Values

    def _use(self, value: Value, phase: int) -> str:
        """The name or literal of a value as read in `phase`, after emitting what computes it."""
        region = self.region
        node = region.body.producer.get(value)
        if node is not None and node.op.name == "constant":
            return literal(node.attrs["value"][()], value.type.dtype)
        if value in self.final:
            return self._variable(value)
        if node is not None and is_view(node) and value not in region.loads:
            return self._use(node.operands[0], phase)
        own = min(phase, region.phase[value])
        if not region.is_inner(value):
            phase = own
        key = (value, phase)
        if key not in self.names:
            if value in self.outputs and own < phase and value not in region.loads:
                expression = self._load(self.places[value], value, region.axes[value])
            elif value in region.loads:
                load = region.loads[value]
                expression = self._load(self.places[load.source], value, load.axes)
            else:
                assert node is not None
                expression = self._compute(node, phase)
            self.names[key] = self._variable(value)
            self._level(value, phase).before.append(f"{self.names[key]} = {expression}")
        return self.names[key]

    def _load(self, place: str, value: Value, axes: Sequence[Axis]) -> str:
        return self.w.element(place, value.type.dtype, axes)

    def _compute(self, node: Node, phase: int) -> str:
        if node.op.name == "iota":
            axis = self.region.axes[node.result]
            position = "0" if axis[0].loop is None else loop_name(axis[0].loop)
            return _converted(position, I64, node.result.type.dtype)
        operands = [self._use(v, phase) for v in node.operands]
        if node.op.kind == "elementwise":
            return scalar_expression(node, operands)
        if node.op.kind == "argreduce":
            return "0"  # over an axis of extent 1
        return operands[0]

    def _store(self, value: Value, name: str) -> None:
        axes = self.region.axes[value]
        target = self.w.element(self.places[value], value.type.dtype, axes)
        self._level(value, self.region.phase[value]).stores.append(f"{target} = {name}")

    # Reductions

    def _reduce(self, node: Node, reduction: Reduction) -> None:
        if node.op.kind == "argreduce":
            self._arg_reduction(node)
        elif reduction.kind == "row":
            self._row_reduction(node)
        elif reduction.kind == "total":
            self._total_reduction(node, reduction)
        elif in_variables(self.region, reduction):
            self._columns_in_variables(node, reduction)
        else:
            self._column_reduction(node, reduction)

    def _finish(self, node: Node, expression: str, lines: list[str]) -> None:
        """Name a reduction's result, and store it when it leaves the region."""
        value = node.result
        self.final.add(value)
        lines.append(f"{self._variable(value)} = {expression}")
        if value in self.outputs:
            axes = self.region.axes[value]
            target = self.w.element(self.places[value], value.type.dtype, axes)
            lines.append(f"{target} = {self._variable(value)}")

    def _row_reduction(self, node: Node) -> None:
        phase = self.region.reading_phase(node)
        fold = Fold(node)
        operand = self._use(node.operands[0], phase)
        accumulator = self._variable(node.result, "s")
        self.between[phase].before.append(f"{accumulator} = {fold.start}")
        level = self._level(node.operands[0], phase)
        level.stores.append(f"{accumulator} = {fold.step(accumulator, operand)}")
        self._end(node, fold, accumulator, self.between[phase + 1].before)

    def _end(self, node: Node, fold: Fold, accumulator: str, lines: list[str]) -> None:
        """The accumulator is complete, or it is for a chunk."""
        if node in self.partials:
            place = self.w.buffer(self.partials[node], fold.wide)
            lines.append(f"{place}[{self._in_partial(node)}] = {accumulator}")
        else:
            self._finish(node, fold.result(accumulator), lines)

    def _in_partial(self, node: Node, chunk: str = CHUNK) -> str:
        """Where the number of the present iteration is in the totals of all chunks."""
        kept = partial_loops(self.region, node)
        if not kept:
            return chunk
        length = self.w.number(partial_length(self.region, node))
        axes = [Axis(k, self.region.extents[k]) for k in kept]
        return f"{chunk} * {length} + {self.w.index(axes)}"

    def _total_reduction(self, node: Node, reduction: Reduction) -> None:
        region, source = self.region, node.operands[0]
        phase, fold = region.phase[source], Fold(node)
        operand = self._use(source, phase)
        total = self._variable(node.result, "t")
        outer = self.rows.levels[reduction.depth]
        outer.before.append(f"{total} = {fold.start}")
        level = self._level(source, phase)
        if region.is_inner(source):
            partial = self._variable(node.result, "s")
            self.between[phase].before.append(f"{partial} = {fold.start}")
            level.stores.append(f"{partial} = {fold.step(partial, operand)}")
            self.between[phase + 1].before.append(f"{total} = {fold.join(total, partial)}")
        else:
            level.stores.append(f"{total} = {fold.step(total, operand)}")
        self._end(node, fold, total, outer.after)

    def _columns_in_variables(self, node: Node, reduction: Reduction) -> None:
        """A variable for each kept number: the counters of their loops become part of its name."""
        region, source, value, w = self.region, node.operands[0], node.result, self.w
        phase, fold = region.phase[source], Fold(node)
        counters = "_".join(loop_name(k) for k in reduction.kept)
        total = f"{self._variable(value, 't')}_{counters}"
        if node in self.partials:
            place = w.buffer(self.partials[node], fold.wide)
            target, result = f"{place}[{self._in_partial(node)}]", total
        else:
            target = w.element(self.places[value], value.type.dtype, region.axes[value])
            result = fold.result(total)
        outer = self.rows.levels[reduction.depth]
        outer.before += self._loop(reduction.kept, f"{total} = {fold.start}")
        outer.after += self._loop(reduction.kept, f"{target} = {result}")
        operand = self._use(source, phase)
        self._level(source, phase).stores.append(f"{total} = {fold.step(total, operand)}")

    def _column_reduction(self, node: Node, reduction: Reduction) -> None:
        region, source, value = self.region, node.operands[0], node.result
        phase, fold, w = region.phase[source], Fold(node), self.w
        step, start = fold.step_narrow, fold.start_narrow
        outer = self.rows.levels[reduction.depth]
        axes = [Axis(k, region.extents[k]) for k in reduction.kept]
        if node in self.partials:
            fold = partial_fold(region, node)
            place = w.buffer(self.partials[node], fold.wide)
            accumulator = f"{place}[{self._in_partial(node)}]"
            step, start = fold.step, fold.start
        elif needs_scratch(region, node, reduction):
            accumulator = w.element(self.scratch.pop(0), F64, axes)
            step, start = fold.step, fold.start
            target = w.element(self.places[value], value.type.dtype, region.axes[value])
            outer.after += self._loop(reduction.kept, f"{target} = {fold.result(accumulator)}")
        else:
            accumulator = w.element(self.places[value], value.type.dtype, region.axes[value])
        outer.before += self._loop(reduction.kept, f"{accumulator} = {start}")
        operand = self._use(source, phase)
        self._level(source, phase).stores.append(f"{accumulator} = {step(accumulator, operand)}")

    def _loop(self, loops: Sequence[int], statement: str) -> list[str]:
        lines = [statement]
        for k in reversed(loops):
            lines = self.w.around(k, lines)
        return lines

    def _arg_reduction(self, node: Node) -> None:
        phase = self.region.reading_phase(node)
        operand = self._use(node.operands[0], phase)
        (loop,) = self.region.reductions[node].reduced
        extent = self.region.extents[loop]
        number = self._variable(node.result, "")
        search = Search(node, operand, loop, block_size(extent), number)
        self.between[phase].before += search.start()
        if search.boolean or extent < LONG:
            self._level(node.operands[0], phase).stores += search.compare()
        else:
            self.searches[phase].append(search)
        self._finish(node, search.result(), self.between[phase + 1].before)

    def _sweep(self, phase: int) -> list[str]:
        """The inner loops of a phase; those with long searches are a single loop."""
        sweep, searches = self.sweeps[phase], self.searches[phase]
        if not searches:
            return sweep.render(self.w)
        return blocked(self.w, searches, sweep.levels[-1].before, sweep.levels[-1].stores)


def late_values(region: Region, totals: Collection[Node]) -> set[Value]:
    """The results of these reductions, and all that is computed from them."""
    late = {node.result for node in totals}
    for node in region.body.nodes:
        if not late.isdisjoint(node.operands):
            late.update(node.results)
    return late


def scalar_expression(node: Node, operands: Sequence[str]) -> str:
    """The op's scalar form on these operands, in exactly the result's dtype."""
    template = node.op.scalar
    assert template is not None
    source = dtype_name(node.operands[-1].type.dtype)
    dtype = node.result.type.dtype
    text = template.format(*operands, t=source, to=dtype_name(dtype))
    return text if dtype.kind in "fb" or dtype == I64 else f"{dtype_name(dtype)}({text})"


def _converted(text: str, source: np.dtype, target: np.dtype) -> str:
    if source == target:
        return text
    return f"{dtype_name(target)}_from_{dtype_name(source)}({text})"


def partial_fold(region: Region, node: Node) -> Fold:
    """How the total of a chunk accumulates, and those of all chunks."""
    reduction = region.reductions[node]
    direct = reduction.kind == "column" and not needs_scratch(region, node, reduction)
    return Fold(node, short=direct and not in_variables(region, reduction))
