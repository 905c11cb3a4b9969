"""Matrix products in loops: one per batch element, or in blocks along the summed axis.

    def k0(y0, x0, x1, n0):                       # y[n] = W x[n]
        for i in range(n0):
            gemm_f32(False, False, 16, 64, 200, 1.0, at(x0, i * 0), 200, at(x1, i * 12800), ..)

A routine adds f32 products in f32, in blocks of a few hundred, and adds up the blocks: over a
million rows that loses three digits. A long f32 product is therefore a sum of short ones, added in
f64:

    def k1(y0, y1, x0, x1, y2, n0, n1):           # C, total, A, B, part; 63 elements, 10 blocks
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

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from ...ir.graph import Node, Value
from ...ir.matmul import Loop, Matmul
from ...ir.types import F32, F64, dtype_name
from .kernel import KernelWriter, Split, indent, loop_name
from .module import Module, place_of
from .splitting import chunks_of

SHORT: Final = 512
"""So many positive f32 products added in a row keep the relative error of the sum below 1e-6."""

LONGEST: Final = 65536
"""The longest sum that a routine makes of rows and columns; it adds 512 in a row, and then as many
such sums at most (`runtime/products.py`)."""

LONGEST_VECTOR: Final = 4096
"""The same of a matrix times a vector, eight or one in 16 at a time (`runtime/matvec.py`)."""

Scale = str | Value | None
"""The number a product is multiplied by before it is added to the result: a literal, or a value
of shape (). Without one the product is the result."""


def product_call(
    p: Matmul, k: object, alpha: str, a: str, b: str, beta: str, c: str
) -> tuple[str, tuple[object, ...]]:
    """The routine and its arguments for C = alpha op(A) op(B) + beta C over `k` summed elements,
    the first of the whole product's."""
    if 1 in (p.m, p.n):
        return "gemv", _gemv(p, k, alpha, a, b, beta, c)
    m, n, ta, tb = p.m, p.n, p.ta, p.tb
    lda, ldb, ldc = p.strides
    if p.swap:  # C^T = op(B)^T op(A)^T
        a, b, m, n, ta, tb, lda, ldb = b, a, n, m, not tb, not ta, ldb, lda
    return "gemm", (ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)


def _gemv(
    p: Matmul, k: object, alpha: str, a: str, b: str, beta: str, c: str
) -> tuple[object, ...]:
    """The matrix is the operand with two axes; y = B^T x when it is the right one."""
    lda, ldb, _ = p.strides
    if p.n == 1:
        matrix, vector, size, summed_first, stride = a, b, p.m, p.ta, lda
    else:
        matrix, vector, size, summed_first, stride = b, a, p.n, not p.tb, ldb
    rows, columns = (k, size) if summed_first else (size, k)
    return summed_first, rows, columns, alpha, matrix, stride, vector, beta, c


def longest_sum(p: Matmul, dtype: np.dtype) -> int:
    """How many products may be added in the result's dtype."""
    if dtype != F32:
        return p.length
    if p.length > p.k * SHORT:
        return SHORT
    return LONGEST_VECTOR if 1 in (p.m, p.n) else LONGEST


def blocks(p: Matmul, dtype: np.dtype) -> int:
    """Into how many blocks each product is cut."""
    return -(-p.k // longest_sum(p, dtype))


def emit_looped(
    module: Module, node: Node, p: Matmul, operands: tuple[Value, Value], scale: Scale
) -> None:
    """One kernel that makes every product, one after the other."""
    if p.length > longest_sum(p, node.result.type.dtype):
        _emit_blocked(module, node, p, operands, scale)
        return
    if p.adding and scale is None:
        module.routine(node, "zero", module.value(node.result), node.result.type.size)
        scale = "1.0"
    dtype = node.result.type.dtype
    counts = [loop.count for loop in p.loops]
    w = KernelWriter(counts, {place_of(node.result)}, _choose_split(p, dtype))
    alpha = "1.0" if scale is None else _number(w, scale, dtype)
    beta = "0.0" if scale is None else "1.0"
    places = (*(place_of(v) for v in operands), place_of(node.result))
    a, b, c = (
        _at(w.buffer(place, dtype), _offset(p.loops, side))
        for place, side in zip(places, "abc", strict=True)
    )
    routine, arguments = product_call(p, p.k, alpha, a, b, beta, c)
    whole = "" if w.split is None else "whole_"
    line = f"{whole}{routine}_{dtype_name(dtype)}({', '.join(map(str, arguments))})"
    module.call(node, w.finish(_nested(w, range(len(p.loops)), [line])))


def _choose_split(p: Matmul, dtype: np.dtype) -> Split | None:
    """The first loop with enough steps whose products do not add up, on several threads. A few
    large products are rather split one by one, by the routine."""
    chunks = chunks_of(p.products * p.work * dtype.itemsize * MULTIPLICATION)
    for k, loop in enumerate(p.loops):
        count = min(chunks, loop.count)
        if loop.c and count >= (2 if p.work < LARGE else FEWEST_LARGE):
            size = -(-loop.count // count)
            return Split(k, -(-loop.count // size), size)
    return None


LARGE: Final = 2**18
"""Multiplications of a product that a routine splits by itself."""

FEWEST_LARGE: Final = 4

MULTIPLICATION: Final = 0.0025
"""Nanoseconds for one, per byte of the dtype."""


def _emit_blocked(
    module: Module, node: Node, p: Matmul, operands: tuple[Value, Value], scale: Scale
) -> None:
    """The f32 products in blocks, added up in f64; the rows of each follow one another."""
    result, size, loops = place_of(node.result), p.m * p.n, (*p.outer, *p.adding)
    total, part = "scratch+0", f"scratch+{8 * size}"
    module.scratch = max(module.scratch, 12 * size)
    extents = (*(loop.count for loop in loops), size, blocks(p, F32))
    w = KernelWriter(extents, {result, total, part})
    element, block = len(loops), len(loops) + 1
    i = loop_name(element)
    c = w.buffer(result, F32)
    c = f"{c}[{_joined(_offset(loops, 'c'), i)}]"
    sums = f"{w.buffer(total, F64)}[{i}]"
    inner = [w.loop(block), *indent(_add_block(w, p, loops, operands, part))]
    inner += indent([w.loop(element), f"    {sums} = {sums} + f64({w.buffer(part, F32)}[{i}])"])
    value = sums if scale is None else f"f64({c}) + f64({_number(w, scale, F32)}) * {sums}"
    lines = [w.loop(element), f"    {sums} = 0.0"]
    lines += _nested(w, range(len(p.outer), len(loops)), inner)
    lines += [w.loop(element), f"    {c} = f32({value})"]
    module.call(node, w.finish(_nested(w, range(len(p.outer)), lines)))


def _add_block(
    w: KernelWriter, p: Matmul, loops: Sequence[Loop], operands: tuple[Value, Value], part: str
) -> list[str]:
    """The product of one block alone, into `part`."""
    count = blocks(p, F32)
    length = -(-p.k // count)
    x, y = (w.buffer(place_of(v), F32) for v in operands)
    lda, ldb, _ = p.strides
    step_a, step_b = (lda if p.ta else 1), (1 if p.tb else ldb)
    a = _at(x, _joined(_offset(loops, "a"), f"w0 * {step_a}"))
    b = _at(y, _joined(_offset(loops, "b"), f"w0 * {step_b}"))
    rows = f"minimum_i64({length}, {p.k} - w0)"
    whole = replace(p, rows=(lda, ldb, p.dense[2]))
    routine, arguments = product_call(whole, rows, "1.0", a, b, "0.0", w.buffer(part, F32))
    first = f"w0 = {loop_name(len(loops) + 1)} * {length}"
    return [first, f"{routine}_f32({', '.join(map(str, arguments))})"]


def _number(w: KernelWriter, scale: str | Value, dtype: np.dtype) -> str:
    return scale if isinstance(scale, str) else f"{w.buffer(place_of(scale), dtype)}[0]"


def _nested(w: KernelWriter, loops: range, lines: list[str]) -> list[str]:
    for k in reversed(loops):
        lines = [w.loop(k), *indent(lines)]
    return lines


def _offset(loops: Sequence[Loop], side: str) -> str:
    """Where an operand (or the result) of the current step of the loops starts."""
    steps = ((loop_name(k), getattr(loop, side)) for k, loop in enumerate(loops))
    return " + ".join(f"{name} * {step}" for name, step in steps if step)


def _joined(*terms: str) -> str:
    return " + ".join(filter(None, terms))


def _at(buffer: str, offset: str) -> str:
    return f"at({buffer}, {offset})" if offset else buffer
