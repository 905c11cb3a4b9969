"""Reading and writing by index arrays: `gather`, `scatter`, `scatter_add`.

Every index operand that is not known in advance is checked first, by a kernel whose non-zero
answer ends the step; only then is anything written. Equal indices are written in order, so the
last one wins.

    def k0(x0, n0, a0):                              def k1(y0, x0, x1, n0, n1):
        s0 = False                                    for i in range(n0):
        for i in range(n0):                               v0 = x1[i]
            v0 = x0[i]                                    w0 = select_i64(v0 < 0, v0 + a0, v0)
            v1 = (v0 < -a0) | (v0 >= a0)                  for j in range(n1):
            s0 = s0 | v1                                      y0[i * n1 + j] = x0[w0 * n1 + j]
        return i64_from_bool(s0)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from ...ir.errors import BoundsError
from ...ir.graph import Graph, Node, Value
from ...ir.region import Axis
from ...ir.types import I64, dtype_name
from .kernel import Kernel, KernelWriter, factor, indent
from .module import Check, Module, place_of
from .regions import copy_all
from .splitting import split_outermost

_ELEMENT_TIME: Final = 0.5
"""Nanoseconds, about, that a gathered element takes."""

REARRANGING: Final = frozenset({"reshape", "transpose", "broadcast", "slice"})
"""Ops whose result holds elements of their operand and nothing else."""

POSITIONS: Final = frozenset({"argsort", "argselect"})
"""Ops of kind sort whose results are indices along the axis."""


def emit_indexed(module: Module, graph: Graph, node: Node) -> None:
    """The code of a gather or scatter."""
    gather = node.op.name == "gather"
    whole = node.operands[0]
    indices = index_operands(node)
    for index, axis in zip(indices, node.attrs["axes"], strict=True):
        extent = whole.shape[axis]
        if not is_in_range(graph, index, extent):
            message = f"an index is out of bounds for axis {axis} with size {extent}"
            check = Check(node, BoundsError, f"{node.op.name}: {message}")
            module.check(check, _check_kernel(index, extent), index, extent)
    if not gather:
        copy_all(module, node, whole)
    if node.result.type.size and all(v.type.size for v in indices):
        module.call(node, _move_kernel(node, indices, gather))


def index_operands(node: Node) -> tuple[Value, ...]:
    """The index arrays of a gather or scatter."""
    return node.operands[1 if node.op.name == "gather" else 2 :]


def is_in_range(graph: Graph, index: Value, extent: int) -> bool:
    """Whether an index array is known to fit now: a constant, a count, the positions of a sort."""
    node = graph.producer.get(index)
    while node is not None and node.op.name in REARRANGING:
        node = graph.producer.get(node.operands[0])
    if node is not None and (node.op.kind == "argreduce" or node.op.name in POSITIONS):
        return bool(node.operands[0].shape[node.attrs["axis"]] <= extent)
    if node is None or node.op.kind != "constant":
        return False
    known = node.op.evaluate(**node.attrs)
    return bool(np.all((known >= -extent) & (known < extent)))


def _check_kernel(index: Value, extent: int) -> Kernel:
    w = KernelWriter((index.type.size,), ())
    load = w.element(place_of(index), I64, [Axis(0, index.type.size)])
    limit = w.number(extent)
    test = [f"v0 = {load}", f"v1 = (v0 < -{limit}) | (v0 >= {limit})", "s0 = s0 | v1"]
    return w.finish(["s0 = False", w.loop(0), *indent(test), "return i64_from_bool(s0)"])


def _move_kernel(node: Node, indices: Sequence[Value], gather: bool) -> Kernel:
    """Loops over the index positions, then over the axes that are not indexed."""
    whole, part = (node.operands[0], node.result) if gather else (node.result, node.operands[1])
    split = None
    if gather and part.shape:  # positions of a scatter may meet
        rest = math.prod(part.shape[1:])
        split = split_outermost(part.shape[0], rest * _ELEMENT_TIME, innermost=rest == 1)
    w = KernelWriter(part.shape, {place_of(node.result)}, split)
    axes = node.attrs["axes"]
    batch = part.type.rank - (whole.type.rank - len(axes))
    setup = []
    for number, (index, axis) in enumerate(zip(indices, axes, strict=True)):
        element = w.element(place_of(index), I64, _broadcast_axes(index, batch))
        extent = w.number(whole.shape[axis])
        setup.append(f"v{number} = {element}")
        wrapped = f"select_i64(v{number} < 0, v{number} + {extent}, v{number})"
        setup.append(f"w{number} = {wrapped}")
    dtype = whole.type.dtype
    there = f"{w.buffer(place_of(whole), dtype)}[{_whole_index(w, whole, axes, batch)}]"
    own_axes = list(map(Axis, range(part.type.rank), part.shape))
    here = w.element(place_of(part), dtype, own_axes)
    lines = [_transfer(node, here, there, dtype)]
    for k in range(part.type.rank - 1, batch - 1, -1):
        lines = [w.loop(k), *indent(lines)]
    lines = [*setup, *lines]
    for k in range(batch - 1, -1, -1):
        lines = [w.loop(k), *indent(lines)]
    return w.finish(lines)


def _transfer(node: Node, here: str, there: str, dtype: np.dtype) -> str:
    if node.op.name == "gather":
        return f"{here} = {there}"
    if node.op.name == "scatter":
        return f"{there} = {here}"
    if dtype.kind == "b":
        return f"{there} = {there} | {here}"
    total = f"{there} + {here}"
    return f"{there} = {total if dtype.kind == 'f' else f'{dtype_name(dtype)}({total})'}"


def _broadcast_axes(index: Value, batch: int) -> list[Axis]:
    skip = batch - index.type.rank
    return [Axis(None if n == 1 else k + skip, n) for k, n in enumerate(index.shape)]


def _whole_index(w: KernelWriter, whole: Value, axes: Sequence[int], batch: int) -> str:
    """The flat index in the indexed array: index values on its indexed axes, loops on the rest."""
    text, loop = "", batch
    for k, n in enumerate(whole.shape):
        if k in axes:
            position = f"w{tuple(axes).index(k)}"
            extent = w.number(n)
        else:
            position, extent = w.index([Axis(loop, n)]) if n != 1 else "0", w.extent(loop)
            loop += 1
        text = f"{factor(text)} * {extent} + {position}" if text else position
    return text
