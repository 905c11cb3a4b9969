"""Running totals along an axis, in order, so that floats round as NumPy's do.

    def k0(y0, x0, n0, n1, n2, a0, a1):                       # %y = cumsum %x; x is [n0,n2,n1]
        for i in range(n0):
            w0 = i * n1 * n2 + a0                             # the first row added: 0, or the last
            for j in range(n1):
                y0[w0 + j] = x0[w0 + j]
            for p in range(1, n2):
                w0 += a1                                      # one row on, or back
                for j in range(n1):
                    y0[w0 + j] = y0[w0 - a1 + j] + x0[w0 + j]

The axes inside the scanned one are the innermost loop, which vectorises; without them the total
stays in a register.
"""

from __future__ import annotations

import math

from ...ir.graph import Graph, Node
from ...ir.types import I64, dtype_name
from .kernel import Kernel, KernelWriter, indent
from .module import Module, place_of
from .splitting import split_outermost

_ELEMENT_TIME = 1.0
"""Nanoseconds, about, that an element takes."""


def emit_scan(module: Module, graph: Graph, node: Node) -> None:
    """The kernel of one `cumsum`."""
    if node.result.type.size:
        module.call(node, _kernel(node))


def _kernel(node: Node) -> Kernel:
    shape, axis, dtype = node.result.shape, node.attrs["axis"], node.result.type.dtype
    n, inner = shape[axis], math.prod(shape[axis + 1 :])
    place = place_of(node.result)
    outer = math.prod(shape[:axis])
    split = split_outermost(outer, n * inner * _ELEMENT_TIME)
    w = KernelWriter((outer, inner, n), {place}, split)
    y, x = w.buffer(place, dtype), w.buffer(place_of(node.operands[0]), dtype)
    backwards = node.attrs["reverse"]
    start, step = w.number((n - 1) * inner if backwards else 0), w.number(inner * (-1) ** backwards)
    previous = "v0" if inner == 1 else f"{y}[w0 - {step} + j]"
    total = f"{previous} + {x}[w0 + j]"
    if dtype.kind != "f" and dtype != I64:
        total = f"{dtype_name(dtype)}({total})"
    lines = [
        f"w0 = i * {w.extent(1)} * {w.extent(2)} + {start}",
        *_row(w, y, f"{x}[w0 + j]", inner),
        f"for p in range(1, {w.extent(2)}):",
        f"    w0 += {step}",
        *indent(_row(w, y, total, inner)),
    ]
    return w.finish([w.loop(0), *indent(lines)])


def _row(w: KernelWriter, y: str, value: str, inner: int) -> list[str]:
    """Store one row of totals; a row of one element is kept in `v0` as well."""
    if inner > 1:
        return [w.loop(1), f"    {y}[w0 + j] = {value}"]
    return [f"v0 = {value.replace(' + j', '')}", f"{y}[w0] = v0"]
