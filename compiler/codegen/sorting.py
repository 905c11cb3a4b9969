"""Sorting along an axis, and searching in a sorted array.

Rows are sorted one by one by routines (`runtime/sort_routines.py`), in scratch memory; many rows in
chunks, each of which has its own.

    def k0(y0, y1, x0, n0, n1, n2):      # %y = argsort %x; x0[n0,n2,n1], y0[n0,n2,n1]
        for i in range(n0):
            for j in range(n1):
                w0 = i * n2 * n1 + j
                argsorted_f64(n2, at(x0, w0), n1, at(y0, w0), n1, y1)

Searching halves the interval in which a key belongs:

    def k0(y0, x0, x1, n0, n1):                                        # %y = searchsorted %x, %v
        for i in range(n0):
            ...
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ...ir.errors import UnsupportedError
from ...ir.graph import Graph, Node
from ...ir.types import BOOL, I64, dtype_name
from ...runtime.kernel import SORT_SCRATCH
from .kernel import CHUNK, Kernel, KernelWriter, Split, indent
from .module import Module, place_of
from .splitting import split_outermost

_STEP_TIME: Final = 3.0
"""Nanoseconds, about, that halving an interval takes."""

_SORT_TIME: Final = 1.0
"""The same for an element of a row to be sorted, for each time that its length doubles."""


LONGEST: Final = 2**32
"""Elements of a row that is too long: positions have 32 bits beside keys of as many."""


def emit_sort(module: Module, graph: Graph, node: Node) -> None:
    """The kernel of a `sort`, `argsort` or `argselect`. UnsupportedError for 2**32 elements."""
    if node.result.type.size == 0:
        return
    shape, axis = node.operands[0].shape, node.attrs["axis"]
    if shape[axis] >= LONGEST:
        where = f" at {node.loc}" if node.loc is not None else ""
        raise UnsupportedError(
            f"{node.op.name}{where}: {shape[axis]} elements are too many; sort parts of fewer than"
            f" {LONGEST}, and merge them with np.searchsorted"
        )
    n, outer, inner = shape[axis], math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    loop, rows = (1, inner) if outer == 1 else (0, outer)
    time = (outer * inner // rows) * n * n.bit_length() * _SORT_TIME
    split = split_outermost(rows, time, loop=loop)
    room = SORT_SCRATCH * n
    module.scratch = max(module.scratch, 8 * room * (split.chunks if split else 1))
    module.call(node, _sort_kernel(node, (outer, inner, n), room, split))


def _sort_kernel(
    node: Node, extents: tuple[int, int, int], room: int, split: Split | None
) -> Kernel:
    (x,), y, scratch = node.operands, place_of(node.result), "scratch+0"
    name, kth = node.op.name, node.attrs.get("kth", ())
    w = KernelWriter(extents, (y, scratch), split)
    n, inner = w.extent(2), w.extent(1)
    target = w.buffer(y, node.result.type.dtype)
    area = w.buffer(scratch, I64)
    if split is not None:
        area = f"at({area}, {CHUNK} * {w.number(room)})"
    dtype = dtype_name(x.type.dtype)
    source = f"at({w.buffer(place_of(x), x.type.dtype)}, w0), {inner}"
    lines = [f"w0 = i * {n} * {inner} + j"]
    if name == "argselect":
        lines += [f"keyed_{dtype}({n}, {source}, {area})"]
        lines.append(f"w1 = i * {w.number(len(kth))} * {inner} + j")
        low = "0"
        for k in map(w.number, kth):
            call = f"{n}, {low}, {k}, {source}, at({target}, w1), {area}"
            lines += [f"selected_{dtype}({call})", f"w1 += {inner}"]
            low = f"{k} + 1"
    else:
        lines.append(f"{name}ed_{dtype}({n}, {source}, at({target}, w0), {inner}, {area})")
    return w.finish([w.loop(0), *indent([w.loop(1), *indent(lines)])])


def _precedes(dtype: np.dtype, a: str = "a", b: str = "b") -> str:
    """Whether key `a` must stand before key `b`. NaN is the largest."""
    return f"({a} < {b} or ({b} != {b} and {a} == {a}))" if dtype.kind == "f" else f"{a} < {b}"


def emit_search(module: Module, graph: Graph, node: Node) -> None:
    """The kernel of one `searchsorted`."""
    if node.result.type.size == 0:
        return
    (ordered, keys), place = node.operands, place_of(node.result)
    dtype = ordered.type.dtype
    split = split_outermost(keys.type.size, ordered.type.size.bit_length() * _STEP_TIME)
    w = KernelWriter((keys.type.size, ordered.type.size), {place}, split)
    y = w.buffer(place, I64)
    x, v = (w.buffer(place_of(value), dtype) for value in node.operands)
    x, v = f"{x}[middle]", f"{v}[i]"
    if dtype == BOOL:
        x, v = f"u8_from_bool({x})", f"u8_from_bool({v})"
    before = f"not {_precedes(dtype)}" if node.attrs["right"] else _precedes(dtype, "b", "a")
    text = _SEARCH.format(n=w.extent(1), x=x, v=v, y=y, before=before)
    module.call(node, w.finish([w.loop(0), *indent(text.strip().splitlines())]))


_SEARCH = """
a = {v}
low = 0
high = {n}
while low < high:
    middle = (low + high) >> 1
    b = {x}
    if {before}:
        low = middle + 1
    else:
        high = middle
{y}[i] = low
"""
