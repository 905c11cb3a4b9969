"""Matrix products as plain loops, in the vocabulary of generated code.

They stand in where NumPy has no usable BLAS. The innermost loop runs along rows of memory and
vectorises; four rows of the right factor are used per pass over a row of the result, which
quarters the traffic to it.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from .kernel import routine_symbol
from .link import compile_text
from .lowering import lower
from .words import routine_operands

SOURCE: Final = """
def gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    for i in range(m):
        for j in range(n):
            c[i * ldc + j] = T(0.0) if beta == 0.0 else beta * c[i * ldc + j]
    row = 1 if ta else lda
    column = lda if ta else 1
    if tb:
        for i in range(m):
            for j in range(n):
                total = T(0.0)
                for p in range(k):
                    total = add_reassoc_T(total, a[i * row + p * column] * b[j * ldb + p])
                c[i * ldc + j] += alpha * total
        return
    blocked = k & ~3
    for i in range(m):
        for p in range(0, blocked, 4):
            x0 = alpha * a[i * row + p * column]
            x1 = alpha * a[i * row + (p + 1) * column]
            x2 = alpha * a[i * row + (p + 2) * column]
            x3 = alpha * a[i * row + (p + 3) * column]
            for j in range(n):
                c[i * ldc + j] += (x0 * b[p * ldb + j] + x1 * b[(p + 1) * ldb + j]) + (
                    x2 * b[(p + 2) * ldb + j] + x3 * b[(p + 3) * ldb + j]
                )
        for p in range(blocked, k):
            x0 = alpha * a[i * row + p * column]
            for j in range(n):
                c[i * ldc + j] += x0 * b[p * ldb + j]


def gemv(ta, m, n, alpha, a, lda, x, incx, beta, y, incy):
    for i in range(n if ta else m):
        y[i * incy] = T(0.0) if beta == 0.0 else beta * y[i * incy]
    if ta:
        for p in range(m):
            factor = alpha * x[p * incx]
            for j in range(n):
                y[j * incy] += factor * a[p * lda + j]
        return
    for i in range(m):
        total = T(0.0)
        for p in range(n):
            total = add_reassoc_T(total, a[i * lda + p] * x[p * incx])
        y[i * incy] += alpha * total


def ger(m, n, alpha, x, incx, y, incy, a, lda):
    for i in range(m):
        factor = alpha * x[i * incx]
        for j in range(n):
            a[i * lda + j] += factor * y[j * incy]
"""


def compile_loops(routine: str, dtype: str) -> bytes:
    """Object code that defines one routine for "f32" or "f64"."""
    text = re.sub(r"\bT\b|(?<=_)T\b", dtype, SOURCE)
    functions = {f.name: f for f in ast.parse(text).body if isinstance(f, ast.FunctionDef)}
    operands = routine_operands(routine, dtype)
    return compile_text(lower(functions[routine], operands, routine_symbol(routine, dtype)).text)
