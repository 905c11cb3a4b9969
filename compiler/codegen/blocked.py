"""Matrix products, whole or in blocks along the summed axis.

A BLAS adds f32 products in f32, one after another where the matrices are small or one side is a
vector: over a million rows that loses four digits. A long f32 product is therefore a sum of short
ones, added in f64 by a kernel:

    def k0(y0, y1, x0, x1, y2, n0, n1):         # C, total, A, B, part; 63 elements, 10 blocks
        for i in range(n0):
            y1[i] = 0.0
        for j in range(n1):
            w0 = j * 500
            gemm_f32(True, False, 9, 7, minimum_i64(500, 5000 - w0), 1.0, at(x0, w0 * 9), 9, ..)
            for i in range(n0):
                y1[i] = y1[i] + f64(y2[i])
        for i in range(n0):
            y0[i] = f32(y1[i])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ...ir.graph import Node, Value
from ...ir.types import F32, F64
from .kernel import KernelWriter, indent
from .module import Module, place_of

SHORT: Final = 512
"""So many positive f32 products added in a row keep the relative error of the sum below 1e-6."""

LONGEST: Final = 65536
"""The longest block of the largest product."""


@dataclass(frozen=True, slots=True)
class Matmul:
    """C[batch, m, n] = op(A) op(B) in row-major storage. `swap` exchanges the operands, for a
    result stored transposed."""

    batch: int
    m: int
    n: int
    k: int
    ta: bool
    tb: bool
    swap: bool

    def call(
        self, k: object, alpha: str, a: str, b: str, beta: str, c: str
    ) -> tuple[str, tuple[object, ...]]:
        """The routine and its arguments for C = alpha op(A) op(B) + beta C over `k` summed
        elements, the first of the whole product's."""
        if 1 in (self.m, self.n):
            return "gemv", self._gemv(k, alpha, a, b, beta, c)
        m, n, ta, tb = self.m, self.n, self.ta, self.tb
        lda, ldb = (m if ta else self.k), (self.k if tb else n)
        if self.swap:  # C^T = op(B)^T op(A)^T
            a, b, m, n, ta, tb, lda, ldb = b, a, n, m, not tb, not ta, ldb, lda
        return "gemm", (ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, n)

    def _gemv(self, k: object, alpha: str, a: str, b: str, beta: str, c: str) -> tuple[object, ...]:
        """The matrix is the operand with two axes; y = B^T x when it is the right one."""
        if self.n == 1:
            matrix, vector, size, summed_first = a, b, self.m, self.ta
        else:
            matrix, vector, size, summed_first = b, a, self.n, not self.tb
        rows, columns, stride = (k, size, size) if summed_first else (size, k, self.k)
        return summed_first, rows, columns, alpha, matrix, stride, vector, 1, beta, c, 1


def blocks(p: Matmul, dtype: np.dtype) -> int:
    """Into how many blocks a product is cut. Where the result is large, adding it up costs time and
    a BLAS has blocks of its own."""
    if dtype != F32:
        return 1
    longest = SHORT if 1 in (p.m, p.n) else min(max(SHORT, p.m * p.n // 4), LONGEST)
    return -(-p.k // longest)


def emit_blocked(
    module: Module, node: Node, p: Matmul, operands: tuple[Value, Value], scale: str | Value | None
) -> None:
    """One kernel per batch element. With `scale`, a number's text or a value of shape (), the
    product times that is added to what the result holds."""
    result, size = place_of(node.result), p.m * p.n
    total, part = "scratch+0", f"scratch+{8 * size}"
    module.scratch = max(module.scratch, 12 * size)
    for i in range(p.batch):
        w = KernelWriter((size, blocks(p, F32)), {result, total, part})
        c, sums = f"{w.buffer(result, F32)}[{_start(i * size, 'i')}]", w.buffer(total, F64)
        lines = [w.loop(0), f"    {sums}[i] = 0.0", w.loop(1)]
        lines += indent(_add_block(w, p, i, operands, part))
        lines += indent([w.loop(0), f"    {sums}[i] = {sums}[i] + f64({w.buffer(part, F32)}[i])"])
        product = f"{sums}[i]"
        if scale is not None:
            number = scale if isinstance(scale, str) else f"{w.buffer(place_of(scale), F32)}[0]"
            product = f"f64({c}) + f64({number}) * {product}"
        lines += [w.loop(0), f"    {c} = f32({product})"]
        module.call(node, w.finish(lines))


def _add_block(
    w: KernelWriter, p: Matmul, batch: int, operands: tuple[Value, Value], part: str
) -> list[str]:
    """The product of block `j` alone, into `part`."""
    length = -(-p.k // blocks(p, F32))
    x, y = (w.buffer(place_of(v), F32) for v in operands)
    step_a, step_b = (p.m if p.ta else 1), (1 if p.tb else p.n)
    a = f"at({x}, {_start(batch * p.m * p.k, f'w0 * {step_a}')})"
    b = f"at({y}, {_start(batch * p.k * p.n, f'w0 * {step_b}')})"
    count = f"minimum_i64({length}, {p.k} - w0)"
    routine, arguments = p.call(count, "1.0", a, b, "0.0", w.buffer(part, F32))
    return [f"w0 = j * {length}", f"{routine}_f32({', '.join(map(str, arguments))})"]


def _start(offset: int, index: str) -> str:
    return f"{offset} + {index}" if offset else index
