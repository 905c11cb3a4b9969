"""Sorting along an axis, and searching in a sorted array.

Sorting is a stable merge sort from short runs upwards.

A run of 16 keys is sorted by insertion as it is read; then neighbouring runs are merged, each pass
from one half of the scratch memory into the other, until one run is left. Keys travel with their
positions, so that every pass reads and writes memory in order.

    def k0(y0, y1, y2, x0, n0, n1, n2):      # %y = argsort %x; x0[n0,n2,n1], y1[2,n2], y2[2,n2]
        for i in range(n0):
            for j in range(n1):
                ...

Searching halves the interval in which a key belongs:

    def k0(y0, x0, x1, n0, n1):                                        # %y = searchsorted %x, %v
        for i in range(n0):
            ...
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ...ir.graph import Graph, Node
from ...ir.types import BOOL, I64
from .kernel import Kernel, KernelWriter, indent
from .module import Module, place_of
from .splitting import split_outermost

_STEP_TIME: Final = 3.0
"""Nanoseconds, about, that halving an interval takes."""

RUN: Final = 16
"""Keys that are sorted by insertion before runs are merged."""


def emit_argsort(module: Module, graph: Graph, node: Node) -> None:
    """The kernel of one `argsort`; its scratch memory holds one row's keys and positions, twice."""
    if node.result.type.size == 0:
        return
    shape, axis = node.result.shape, node.attrs["axis"]
    module.scratch = max(module.scratch, 2 * (8 + 8) * shape[axis])
    module.call(node, _kernel(node, math.prod(shape[:axis]), math.prod(shape[axis + 1 :])))


def _kernel(node: Node, outer: int, inner: int) -> Kernel:
    n = node.result.shape[node.attrs["axis"]]
    (x,), dtype = node.operands, node.operands[0].type.dtype
    key_dtype = np.dtype(np.uint8) if dtype == BOOL else dtype
    places = (place_of(node.result), "scratch+0", f"scratch+{2 * 8 * n}")
    w = KernelWriter((outer, inner, n), places)
    order, keys, positions = map(w.buffer, places, (I64, key_dtype, I64))
    load = f"{w.buffer(place_of(x), dtype)}[w0 + p * {w.extent(1)}]"
    row = _ROW.format(
        n=w.extent(2), inner=w.extent(1), order=order, keys=keys, positions=positions,
        load=f"u8_from_bool({load})" if dtype == BOOL else load,
        precedes=_precedes(dtype), last=RUN - 1, run=RUN,
    )  # fmt: skip
    return w.finish([w.loop(0), *indent([w.loop(1), *indent(row.strip().splitlines())])])


def _precedes(dtype: np.dtype, a: str = "a", b: str = "b") -> str:
    """Whether key `a` must stand before key `b`. NaN is the largest."""
    return f"({a} < {b} or ({b} != {b} and {a} == {a}))" if dtype.kind == "f" else f"{a} < {b}"


_ROW = """
w0 = i * {n} * {inner} + j
for p in range({n}):
    a = {load}
    q = p
    while q & {last}:
        b = {keys}[q - 1]
        if not {precedes}:
            break
        {keys}[q] = b
        {positions}[q] = {positions}[q - 1]
        q -= 1
    {keys}[q] = a
    {positions}[q] = p
source = 0
target = {n}
width = {run}
while width < {n}:
    start = 0
    while start < {n}:
        middle = minimum_i64(start + width, {n})
        stop = minimum_i64(middle + width, {n})
        left = source + start
        right = source + middle
        for p in range(start, stop):
            second = left == source + middle
            if not second and right < source + stop:
                a = {keys}[right]
                b = {keys}[left]
                second = {precedes}
            q = left
            if second:
                q = right
                right += 1
            else:
                left += 1
            {keys}[target + p] = {keys}[q]
            {positions}[target + p] = {positions}[q]
        start = stop
    source, target = target, source
    width += width
for p in range({n}):
    {order}[w0 + p * {inner}] = {positions}[source + p]
"""


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
