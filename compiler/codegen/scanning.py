"""Running totals along an axis, in order, so that floats round as NumPy's do.

    def k0(y0, x0, n0, n1, n2, a0, a1):                       # %y = cumsum %x; x is [n0,n2,n1]
        for i in range(n0):
            w0 = i * n1 * n2 + a0                             # the first row added: 0, or the last
            for j in range(n1):
                y0[w0 + j] = x0[w0 + j]
            for p in range(1, n2):
                w1 = w0
                w0 += a1                                      # one row on, or back
                for j in range(n1):
                    y0[w0 + j] = y0[w1 + j] + x0[w0 + j]

The axes inside the scanned one are the innermost loop, which vectorises; without them the total
stays in a register. Products, extrema and linear recurrences run alike.
"""

from __future__ import annotations

import math

from ...ir.graph import Graph, Node
from ...ir.types import I64, dtype_name
from .kernel import Kernel, KernelWriter, indent, literal
from .module import Module, place_of
from .splitting import split_outermost

_ELEMENT_TIME = 1.0
"""Nanoseconds, about, that an element takes."""


def emit_scan(module: Module, graph: Graph, node: Node) -> None:
    """The kernel of one scan."""
    if node.result.type.size:
        module.call(node, _Scan(node).kernel())


class _Scan:
    """Writes the kernel: a first row, perhaps a second one that is not like the rest, and a loop
    over the others. `here` is the index of the row that is written, `last` that of the one before
    it, in the order of the scan."""

    def __init__(self, node: Node) -> None:
        self.node, self.name = node, node.op.name
        shape, axis = node.result.shape, node.attrs["axis"]
        self.dtype = node.result.type.dtype
        self.n, self.inner = shape[axis], math.prod(shape[axis + 1 :])
        self.backwards = node.attrs.get("reverse", False)
        self.exclusive = node.attrs.get("exclusive", False)
        outer = math.prod(shape[:axis])
        split = split_outermost(outer, self.n * self.inner * _ELEMENT_TIME)
        place = place_of(node.result)
        self.w = KernelWriter((outer, self.inner, self.n), {place}, split)
        self.y = self.w.buffer(place, self.dtype)
        self.x = [self.w.buffer(place_of(v), self.dtype) for v in node.operands]

    def kernel(self) -> Kernel:
        w, inner = self.w, self.inner
        start = w.number((self.n - 1) * inner if self.backwards else 0)
        self.step = w.number(inner * (-1) ** self.backwards)
        self.here, self.last = (row if inner == 1 else f"{row} + j" for row in ("w0", "w1"))
        zero = literal(0, self.dtype)
        lines = [
            f"w0 = i * {w.extent(1)} * {w.extent(2)} + {start}",
            *self._row(zero if self.exclusive else f"{self.x[-1]}[{self.here}]"),
        ]
        done = 1
        if self.exclusive and self.n > 1:
            lines += [*self._on(), *self._row(f"{self.x[-1]}[{self.last}]")]
            done = 2
        if self.n > done:
            rest = [*self._on(), *self._row(self._total())]
            lines += [f"for p in range({done}, {w.extent(2)}):", *indent(rest)]
        return w.finish([w.loop(0), *indent(lines)])

    def _on(self) -> list[str]:
        """One row on, or back."""
        return ["w1 = w0", f"w0 += {self.step}"]

    def _total(self) -> str:
        previous, name = "v0" if self.inner == 1 else f"{self.y}[{self.last}]", self.name
        new, kind = f"{self.x[-1]}[{self.here}]", dtype_name(self.dtype)
        if name in ("cummax", "cummin"):
            return f"{'max' if name == 'cummax' else 'min'}imum_{kind}({previous}, {new})"
        if name == "recurrence":
            link = self.last if self.exclusive or self.backwards else self.here
            term = f"{self.x[-1]}[{self.last}]" if self.exclusive else new
            return f"{term} + {self.x[0]}[{link}] * {previous}"
        total = f"{previous} {'+' if name == 'cumsum' else '*'} {new}"
        return total if self.dtype.kind == "f" or self.dtype == I64 else f"{kind}({total})"

    def _row(self, value: str) -> list[str]:
        """Store one row of totals; a row of one element is kept in `v0` as well."""
        if self.inner > 1:
            return [self.w.loop(1), f"    {self.y}[{self.here}] = {value}"]
        return [f"v0 = {value}", f"{self.y}[{self.here}] = v0"]
