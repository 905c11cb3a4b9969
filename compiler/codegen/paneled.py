"""A few large products in one region: panels of the first, then those of the next.

    def k0(x0, x1, y0, n0, g, c):                         # y[h] = x[:, h] W[h], in 2 x 4 chunks
        for i in range(c * g, minimum_i64(c * g + g, n0)):
            w0 = floor_divide_i64(i, 4)
            w1 = (i - w0 * 4) * 128
            whole_gemm_f32(False, False, 128, 128, 392, 1.0,
                           at(x0, w0 * 392), 784, at(x1, w0 * 200704 + w1), 512, ..)

Where there are two products, each is the work of one thread of two, whose cache then holds one half
of the operands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ...ir.graph import Node, Value
from ...ir.matmul import Matmul
from ...ir.record import dataclass
from ...ir.types import dtype_name
from .blocked import FEWEST_LARGE, LARGE, product_call
from .kernel import KernelWriter, Split, indent, loop_name
from .module import Module, place_of

PANELS: Final = 4
"""Panels of a product at the most."""

LEAST_ROWS: Final = 32
LEAST_COLUMNS: Final = 32
UNIT: Final = 16
"""Rows, or columns, of a panel at the least; columns are a multiple of the unit."""


@dataclass(frozen=True, slots=True)
class Panels:
    """Which side of the result is cut, every how many elements, and the elements from one to the
    next in A, B and C."""

    by_rows: bool
    extent: int
    size: int
    steps: tuple[int, int, int]

    @property
    def count(self) -> int:
        """Panels of one product."""
        return -(-self.extent // self.size)


def choose_panels(p: Matmul) -> Panels | None:
    """How each of a few large products is cut; None if they are many, small, or not of two matrices
    as they lie."""
    few = len(p.loops) == 1 and p.loops[0].c and p.loops[0].count < FEWEST_LARGE
    if not few or p.work < LARGE or p.swap or p.ta or p.tb or 1 in (p.m, p.n):
        return None
    lda, _, ldc = p.strides
    if p.n >= PANELS * LEAST_COLUMNS:
        return Panels(False, p.n, -(-p.n // (PANELS * UNIT)) * UNIT, (0, 1, 1))
    rows = max(-(-p.m // PANELS), LEAST_ROWS)
    return Panels(True, p.m, rows, (lda, 0, ldc)) if rows < p.m else None


def emit_panels(
    module: Module, node: Node, p: Matmul, operands: tuple[Value, Value], panels: Panels
) -> None:
    """One kernel, a chunk for each panel of each product."""
    (loop,), dtype = p.loops, node.result.type.dtype
    chunks = loop.count * panels.count
    w = KernelWriter((chunks,), {place_of(node.result)}, Split(0, chunks, 1))
    buffers = [w.buffer(place_of(v), dtype) for v in (*operands, node.result)]
    a, b, c = _starts(buffers, (loop.a, loop.b, loop.c), panels.steps)
    part = replace(p, rows=p.strides)
    routine, (ta, tb, m, n, *rest) = product_call(part, p.k, "1.0", a, b, "0.0", c)

    def call(size: int) -> str:
        """Extents are spelled out, which says what parts of the routine are needed."""
        extents = (size, n) if panels.by_rows else (m, size)
        given = ", ".join(map(str, (ta, tb, *extents, *rest)))
        return f"whole_{routine}_{dtype_name(dtype)}({given})"

    full, last = divmod(panels.extent, panels.size)
    calls = [call(panels.size)]
    if last:
        cases = f"if w1 < {full * panels.size}:", "else:"
        calls = [cases[0], *indent(calls), cases[1], *indent([call(last)])]
    lines = [
        f"w0 = floor_divide_i64({loop_name(0)}, {panels.count})",
        f"w1 = ({loop_name(0)} - w0 * {panels.count}) * {panels.size}",
        *calls,
    ]
    module.call(node, w.finish([w.loop(0), *indent(lines)]))


def _starts(
    buffers: list[str], loops: tuple[int, int, int], steps: tuple[int, int, int]
) -> Iterator[str]:
    """Where the operands and the result of panel w1 of product w0 start."""
    for buffer, loop, step in zip(buffers, loops, steps, strict=True):
        along = f" + w1 * {step}" if step > 1 else " + w1" if step else ""
        yield f"at({buffer}, w0 * {loop}{along})"
