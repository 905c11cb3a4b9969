"""Totals of a nest that runs in chunks: the kernel that joins what the chunks found, in order.

    def k1(y0, x0, n0):                               # %m = sum(%x) / 1e6, in 64 chunks
        s0 = f64(0.0)
        for i in range(n0):
            s0 = add_reassoc_f64(s0, x0[i])
        v0 = f32(s0)
        ...

What is computed from a total alone is computed here, too. Partial column sums follow one another,
and are added up in the place after the last:

    for j in range(n1):                               # %m = sum %x [axes=(0)], in 4 chunks
        y1[j] = 0.0
    for i in range(n0):
        for j in range(n1):
            y1[j] = add_reassoc_f64(y1[j], x0[i * a0 + j])
    for j in range(n1):
        y0[j] = f32(y1[j])

Of rows, each number is added up by itself, and what follows from it is computed:

    for i in range(n0):                               # %v = sub %b, %m; %m = sum %x [axes=(0,2)]
        s0 = f64(0.0)
        for j in range(n1):
            s0 = add_reassoc_f64(s0, x0[j * a0 + i])
        v0 = f32(s0)
        ...
"""

from __future__ import annotations

from collections.abc import Mapping

from ...ir.graph import Node, Value
from ...ir.region import Region
from .kernel import Kernel, KernelWriter, indent, loop_name
from .nest import (
    Level,
    RegionEmitter,
    late_values,
    partial_fold,
    partial_length,
    partial_loops,
)


def partials_size(region: Region, node: Node, chunks: int) -> int:
    """Numbers in scratch memory: of each chunk, and of the sum of those that are columns."""
    columns = region.reductions[node].kind == "column"
    return (chunks + columns) * partial_length(region, node)


def emit_join(
    region: Region, places: Mapping[Value, str], partials: Mapping[Node, str], chunks: int
) -> Kernel:
    """The kernel that runs after the chunks; `partials` says where they left their totals."""
    return _JoinEmitter(region, places, partials, chunks).kernel()


class _JoinEmitter(RegionEmitter):
    """Only totals and late values are made; they change in no loop of the nest."""

    def __init__(
        self,
        region: Region,
        places: Mapping[Value, str],
        partials: Mapping[Node, str],
        chunks: int,
    ) -> None:
        super().__init__(region, places, (), None, {})
        late = late_values(region, partials)
        columns = [node for node in partials if region.reductions[node].kind == "column"]
        self.columns = {node: k for k, node in enumerate(columns, 1)}
        self.sources = partials
        self.outputs = dict.fromkeys(v for v in region.body.outputs if v in late)
        sums = {_after(partials[node], chunks * partial_length(region, node)) for node in columns}
        self.kept = () if columns else partial_loops(region, next(iter(partials)))
        rows = (region.extents[k] for k in self.kept)
        extents = (*rows, chunks, *(node.result.type.size for node in columns))
        self.w = KernelWriter(extents, {places[v] for v in self.outputs} | sums)
        self.level = Level()

    def kernel(self) -> Kernel:
        body = [line for node in self.columns for line in self._column(node)]
        for node, place in self.sources.items():
            if node in self.columns:
                continue
            fold, total = partial_fold(self.region, node), self._variable(node.result, "s")
            chunk = len(self.kept)
            index = self._in_partial(node, loop_name(chunk))
            part = f"{self.w.buffer(place, fold.wide)}[{index}]"
            body += [f"{total} = {fold.start}", self.w.loop(chunk)]
            body += indent([f"{total} = {fold.join(total, part)}"])
            self._finish(node, fold.result(total), body)
        totals = {node.result for node in self.sources}
        for value in self.outputs:
            if value not in totals:
                self._store(value, self._use(value, self.region.phase[value]))
        lines = [*body, *self.level.before, *self.level.stores]
        for k in reversed(self.kept):
            lines = self.w.around(k, lines)
        return self.w.finish(lines)

    def _column(self, node: Node) -> list[str]:
        """Partial sums of columns added up."""
        w, fold, place = self.w, partial_fold(self.region, node), self.sources[node]
        length = partial_length(self.region, node)
        across, j = w.loop(self.columns[node]), loop_name(self.columns[node])
        target = f"{w.buffer(self.places[node.result], node.result.type.dtype)}[{j}]"
        total = f"{w.buffer(_after(place, w.extents[0] * length), fold.wide)}[{j}]"
        part = f"{w.buffer(place, fold.wide)}[{loop_name(0)} * {w.number(length)} + {j}]"
        inner = [across, *indent([f"{total} = {fold.join(total, part)}"])]
        return [
            *(across, f"    {total} = {fold.start}"),
            *(w.loop(0), *indent(inner)),
            *(across, f"    {target} = {fold.result(total)}"),
        ]

    def _level(self, value: Value, phase: int) -> Level:
        return self.level


def _after(place: str, count: int) -> str:
    """The place in scratch memory so many numbers further on."""
    start = int(place.removeprefix("scratch+"))
    return f"scratch+{start + 8 * count}"
