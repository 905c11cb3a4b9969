"""Totals of a nest that runs in chunks: the kernel that joins what the chunks found, in order.

    def k1(y0, x0, n0):                               # %m = sum(%x) / 1e6, in 64 chunks
        s0 = f64(0.0)
        for i in range(n0):
            s0 = add_reassoc_f64(s0, x0[i])
        v0 = f32(s0)
        ...

What is computed from a total alone is computed here, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...ir.graph import Node, Value
from ...ir.region import Region
from .kernel import Kernel, KernelWriter, indent, loop_name
from .nest import Fold, Level, RegionEmitter, late_values


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
        self.sources = partials
        self.outputs = dict.fromkeys(v for v in region.body.outputs if v in late)
        self.w = KernelWriter((chunks,), {places[v] for v in self.outputs})
        self.level = Level()

    def kernel(self) -> Kernel:
        body: list[str] = []
        for node, place in self.sources.items():
            fold, total = Fold(node), self._variable(node.result, "s")
            part = f"{self.w.buffer(place, fold.wide)}[{loop_name(0)}]"
            body += [f"{total} = {fold.start}", self.w.loop(0)]
            body += indent([f"{total} = {fold.join(total, part)}"])
            self._finish(node, fold.result(total), body)
        totals = {node.result for node in self.sources}
        for value in self.outputs:
            if value not in totals:
                self._store(value, self._use(value, self.region.phase[value]))
        return self.w.finish([*body, *self.level.before, *self.level.stores])

    def _level(self, value: Value, phase: int) -> Level:
        return self.level
