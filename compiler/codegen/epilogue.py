"""A matrix product whose result is used up element by element, some rows at a time.

    def k0(x0, x1, y0, y1, y2, .., n0, n1, a0, a1, a2, g, c):     # W -= m, m = 0.9 m + A^T B
        for j in range(c * g, minimum_i64(c * g + g, n1)):        # 98 rows of 784 at a time
            w0 = j * a0
            w1 = c * a1 - w0
            whole_gemm_f32(True, False, 98, 512, 128, 1.0, at(x0, j * 98), 784, x1, 512, 0.0,
                           at(y0, c * a1), 512)
            for i in range(w0, minimum_i64(w0 + a0, n0)):
                v0 = y1[i]
                v1 = v0 * f32(0.9)
                v2 = y0[i + w1]
                ..

The rows lie in scratch memory, which each chunk has a part of: they are read from the second-level
cache. Chunks depend on extents alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from ...ir.epilogue import Epilogue
from ...ir.graph import Node, Value
from ...ir.record import dataclass
from ...ir.region import Axis
from ...ir.types import dtype_name
from .blocked import product_call
from .kernel import CHUNK, Kernel, KernelWriter, Split, indent, loop_name
from .module import Module, place_of
from .nest import RegionEmitter

PANEL: Final = 2**18
"""Bytes of the rows that are made at once, at the most: with what is computed from them, and the
right operand, they stay in the second-level cache. Fewer rows would each read that from there."""

FEWEST_CHUNKS, MOST_CHUNKS = 4, 16

EACH: Final = 2
"""Panels of a chunk at the least: all chunks have room for half of the result."""

LINE: Final = 16
"""Numbers that the rows of a chunk are a multiple of: they begin at cache lines."""

FIRST, HERE = "w0", "w1"


@dataclass(frozen=True, slots=True)
class Panels:
    """Rows of a panel, panels of a chunk, and chunks."""

    rows: int
    each: int
    chunks: int


def choose_panels(rows: int, row_bytes: int) -> Panels:
    """An even number of chunks of about equal panels."""
    count = -(-rows * row_bytes // PANEL)
    chunks = min(max(count // (2 * EACH) * 2, FEWEST_CHUNKS), MOST_CHUNKS)
    each = max(-(-count // chunks), EACH)
    height = -(-rows // (chunks * each))
    return Panels(height, each, -(-rows // (height * each)))


def emit_epilogue(module: Module, node: Node, found: Epilogue) -> None:
    """One kernel for the product and its epilogue."""
    body, scratch = node.attrs["body"], "scratch+0"
    places = dict(zip(body.inputs, map(place_of, node.operands), strict=True))
    places.update(zip(body.outputs, map(place_of, node.results), strict=True))
    places[found.dot.result] = scratch
    result = found.dot.result.type
    panels = choose_panels(found.product.m, found.product.n * result.dtype.itemsize)
    emitter = _Emitter(found, places, panels)
    module.scratch = max(module.scratch, panels.chunks * emitter.slot * result.dtype.itemsize)
    module.call(node, emitter.kernel())


class _Writer(KernelWriter):
    """The outermost loop of the epilogue goes over a panel of `size` steps."""

    size = ""

    def loop(self, k: int) -> str:
        """The header of loop `k`."""
        if k > 0:
            return super().loop(k)
        end = f"minimum_i64({FIRST} + {self.size}, {self.extent(0)})"
        return f"for {loop_name(0)} in range({FIRST}, {end}):"


class _Emitter(RegionEmitter):
    """The loops of the epilogue over one panel, in those over the panels of a chunk."""

    w: _Writer

    def __init__(self, found: Epilogue, places: Mapping[Value, str], panels: Panels) -> None:
        region, p = found.region, found.product
        super().__init__(region, places, (), None, {})
        self.found, self.panels = found, panels
        self.along = len(region.extents)
        written = {places[v] for v in (*region.body.outputs, found.dot.result)}
        extents = (*region.extents, -(-p.m // panels.rows))
        self.w = _Writer(extents, written, Split(self.along, panels.chunks, panels.each))
        self.slot = -(-panels.rows * p.n // LINE) * LINE

    def kernel(self) -> Kernel:
        """The kernel for a chunk; the buffers of the product are named first."""
        w, rows = self.w, self.panels.rows
        flat = self.along == 1
        w.size, slot = w.number(rows * self.found.product.n if flat else rows), w.number(self.slot)
        product = self._product(f"{CHUNK} * {slot}")
        before = FIRST if flat else f"{FIRST} * {w.extent(1)}"
        lines = [f"{FIRST} = {loop_name(self.along)} * {w.size}"]
        lines += [f"{HERE} = {CHUNK} * {slot} - {before}", *product, *self.lines()]
        return w.finish([w.loop(self.along), *indent(lines)])

    def _product(self, slot: str) -> list[str]:
        """The rows of one panel, the last of which may have fewer. Extents are spelled out, which
        says what parts of the routine are needed."""
        w, p, rows = self.w, self.found.product, self.panels.rows
        dtype, j = self.found.dot.result.type.dtype, loop_name(self.along)
        x, y, out = (
            w.buffer(self.places[v], dtype)
            for v in (*self.found.dot.operands, self.found.dot.result)
        )
        start = rows * (1 if p.ta else p.strides[0])
        a, c = f"at({x}, {j} * {start})", f"at({out}, {slot})"
        part = replace(p, rows=p.strides)
        name, (ta, tb, _, *rest) = product_call(part, p.k, "1.0", a, y, "0.0", c)

        def call(count: int) -> str:
            return (
                f"whole_{name}_{dtype_name(dtype)}({', '.join(map(str, (ta, tb, count, *rest)))})"
            )

        full, last = divmod(p.m, rows)
        if not last:
            return [call(rows)]
        return [f"if {j} < {full}:", *indent([call(rows)]), "else:", *indent([call(last)])]

    def _load(self, place: str, value: Value, axes: Sequence[Axis]) -> str:
        if place != self.places[self.found.dot.result]:
            return super()._load(place, value, axes)
        name = self.w.buffer(place, value.type.dtype)
        return f"{name}[{self.w.index(axes, name)} + {HERE}]"
