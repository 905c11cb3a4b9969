"""Factorisations and solvers: `lu`, `lu_solve`, `solve_triangular`, `cholesky`.

Each is a kernel in blocks of `BLOCK` rows and columns: plain loops inside a block, a matrix product
(`gemm`) for everything outside it, which is nearly all the work of a large matrix. An error is
found before the first write: the diagonal of a triangle is looked through before it is solved with,
and a Cholesky factor is made in scratch memory.

The blocked algorithms are those of G. H. Golub and C. F. Van Loan, "Matrix Computations", 4th
edition, 2013, chapters 3 and 4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from ...ir.errors import LinAlgError
from ...ir.graph import Graph, Node, Value
from ...ir.ops.linalg import INDEFINITE, SINGULAR
from ...ir.types import dtype_name
from .kernel import Kernel, KernelWriter, indent
from .module import Check, Module, place_of
from .regions import copy_all

BLOCK: Final = 32

_LU: Final = f"""\
a = at(y0, h * n1 * n1)
p = at(y1, h * n1)
for s in range(0, n1, {BLOCK}):
    e = minimum_i64(s + {BLOCK}, n1)
    for j in range(s, e):
        q = j
        v = T(-1.0)
        for i in range(j, n1):
            if abs_T(a[i * n1 + j]) > v:
                v = abs_T(a[i * n1 + j])
                q = i
        p[j] = q
        if q != j:
            for k in range(n1):
                v = a[j * n1 + k]
                a[j * n1 + k] = a[q * n1 + k]
                a[q * n1 + k] = v
        if a[j * n1 + j] != 0.0:
            for i in range(j + 1, n1):
                v = a[i * n1 + j] / a[j * n1 + j]
                a[i * n1 + j] = v
                for k in range(j + 1, e):
                    a[i * n1 + k] -= v * a[j * n1 + k]
    if e < n1:
        for i in range(s + 1, e):
            for j in range(s, i):
                v = a[i * n1 + j]
                for k in range(e, n1):
                    a[i * n1 + k] -= v * a[j * n1 + k]
        gemm_T(False, False, n1 - e, n1 - e, e - s, -1.0, at(a, e * n1 + s), n1,
               at(a, s * n1 + e), n1, 1.0, at(a, e * n1 + e), n1)
"""

_CHOLESKY: Final = f"""\
a = at(y0, h * n1 * n1)
for s in range(0, n1, {BLOCK}):
    e = minimum_i64(s + {BLOCK}, n1)
    if s > 0:
        gemm_T(False, True, n1 - s, e - s, s, -1.0, at(a, s * n1), n1, at(a, s * n1), n1,
               1.0, at(a, s * n1 + s), n1)
    for j in range(s, e):
        for i in range(j, n1):
            v = a[i * n1 + j]
            for k in range(s, j):
                v -= a[i * n1 + k] * a[j * n1 + k]
            if i > j:
                a[i * n1 + j] = v / a[j * n1 + j]
            elif v <= 0.0:
                return 1
            else:
                a[i * n1 + j] = sqrt_T(v)
for i in range(n1):
    for k in range(i + 1, n1):
        a[i * n1 + k] = 0.0
"""

_EXCHANGE: Final = """\
for m in range(n1):
    i = {row}
    q = p[i]
    if q != i:
        for k in range(n2):
            v = x[i * n2 + k]
            x[i * n2 + k] = x[q * n2 + k]
            x[q * n2 + k] = v
"""

_DIAGONAL: Final = """\
for i in range(n1):
    if x0[(h * n1 + i) * n1 + i] == 0.0:
        return 1
"""


def emit_linalg(module: Module, graph: Graph, node: Node) -> None:
    """The code of one of the four ops."""
    _EMIT[node.op.name](module, node)


def _emit_lu(module: Module, node: Node) -> None:
    matrix, (factors, pivots) = node.operands[0], node.results
    copy_all(module, node, matrix)
    w = _writer(matrix, {place_of(factors), place_of(pivots)})
    w.buffer(place_of(factors), factors.type.dtype)
    w.buffer(place_of(pivots), pivots.type.dtype)
    if pivots.type.size:
        module.call(node, _finished(w, _LU, matrix))


def _emit_cholesky(module: Module, node: Node) -> None:
    matrix, factor = node.operands[0], node.result
    if not factor.type.size:
        return
    dtype, scratch = factor.type.dtype, "scratch+0"
    module.scratch = max(module.scratch, factor.type.nbytes)
    there = module.pointer(scratch, dtype)
    module.routine(node, "copy", there, module.value(matrix), matrix.type.size)
    w = _writer(matrix, {scratch})
    w.buffer(scratch, dtype)
    check = Check(node, LinAlgError, f"cholesky: {INDEFINITE}")
    module.check(check, _finished(w, _CHOLESKY, matrix, "return 0"), factor, INDEFINITE)
    module.routine(node, "copy", module.value(factor), there, factor.type.size)


def _emit_solve_triangular(module: Module, node: Node) -> None:
    lower, transposed = node.attrs["lower"], node.attrs["transposed"]
    _check_diagonal(module, node, node.operands[0], node.op.name)
    _emit_solution(module, node, _substitution(lower, transposed))


def _emit_lu_solve(module: Module, node: Node) -> None:
    _check_diagonal(module, node, node.operands[0], "solve")
    if node.attrs["transposed"]:  # A^T = U^T L^T P
        steps = _substitution(False, True) + _substitution(True, True, unit=True)
        steps += _EXCHANGE.format(row="n1 - 1 - m")
    else:
        steps = _EXCHANGE.format(row="m")
        steps += _substitution(True, False, unit=True) + _substitution(False, False)
    _emit_solution(module, node, steps)


def _check_diagonal(module: Module, node: Node, matrix: Value, name: str) -> None:
    if not matrix.type.size:
        return
    w = _writer(matrix, ())
    w.buffer(place_of(matrix), matrix.type.dtype)
    check = Check(node, LinAlgError, f"{name}: {SINGULAR}")
    module.check(check, _finished(w, _DIAGONAL, matrix, "return 0"), matrix, SINGULAR)


def _emit_solution(module: Module, node: Node, steps: str) -> None:
    """Solve in place of the right-hand side, the last operand."""
    matrix, *pivots, right = node.operands
    copy_all(module, node, right)
    if not right.type.size:
        return
    result = node.result
    w = KernelWriter((*_sizes(matrix), right.shape[-1]), {place_of(result)})
    w.buffer(place_of(result), result.type.dtype)
    for value in (matrix, *pivots):
        w.buffer(place_of(value), value.type.dtype)
    heads = ["t = at(x0, h * n1 * n1)", "p = at(x1, h * n1)"][: 1 + len(pivots)]
    lines = "\n".join(["x = at(y0, h * n1 * n2)", *heads, steps])
    module.call(node, _finished(w, lines, matrix))


def _substitution(lower: bool, transposed: bool, *, unit: bool = False) -> str:
    """Solve with one triangle of t, or its transpose, for the columns of x, in place."""

    def at(row: str, column: str) -> str:
        return f"{column} * n1 + {row}" if transposed else f"{row} * n1 + {column}"

    if lower != transposed:  # from the first row on
        block = f"for s in range(0, n1, {BLOCK}):\n    e = minimum_i64(s + {BLOCK}, n1)"
        known, corner, solved, row, others = "s", at("s", "0"), "x", "m", "range(s, i)"
    else:
        block = (
            f"for r in range(0, n1, {BLOCK}):\n    e = n1 - r\n    s = maximum_i64(e - {BLOCK}, 0)"
        )
        known, corner, solved = "r", at("s", "e"), "at(x, e * n2)"
        row, others = "s + e - 1 - m", "range(i + 1, e)"
    divide = "" if unit else _DIVIDE
    return f"""\
{block}
    if {known} > 0:
        gemm_T({transposed}, False, e - s, n2, {known}, -1.0, at(t, {corner}), n1,
               {solved}, n2, 1.0, at(x, s * n2), n2)
    for m in range(s, e):
        i = {row}
        for j in {others}:
            v = t[{at("i", "j")}]
            for k in range(n2):
                x[i * n2 + k] -= v * x[j * n2 + k]
{divide}"""


_DIVIDE: Final = """\
        for k in range(n2):
            x[i * n2 + k] = x[i * n2 + k] / t[i * n1 + i]
"""

_EMIT: Final[Mapping[str, Callable[[Module, Node], None]]] = {
    "lu": _emit_lu,
    "lu_solve": _emit_lu_solve,
    "solve_triangular": _emit_solve_triangular,
    "cholesky": _emit_cholesky,
}


def _sizes(matrix: Value) -> tuple[int, int]:
    """(matrices, rows of each)"""
    n = matrix.shape[-1]
    return matrix.type.size // max(n * n, 1), n


def _writer(matrix: Value, written: Collection[str]) -> KernelWriter:
    return KernelWriter(_sizes(matrix), written)


def _finished(w: KernelWriter, steps: str, matrix: Value, *after: str) -> Kernel:
    """The kernel that takes these steps for matrix number h; a T stands for the dtype."""
    text = re.sub(r"\bT\b|(?<=_)T\b", dtype_name(matrix.type.dtype), steps)
    return w.finish(["for h in range(n0):", *indent(text.splitlines()), *after])
