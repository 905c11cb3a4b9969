"""Diagonals of arrays, read where they lie.

diagonal(b, %x, 0, 1)             of %x:f64[3,4,5], axes that are neighbours
%v0:f64[12,5]  = reshape %x [shape=(12,5)]
%v1:f64[3,5]   = slice %v0 [::5, :]
%v2:f64[5,3]   = transpose %v1 [perm=(1,0)]

diagonal(b, %x, 0, 2)             axes with others between
%v0:f64[60]    = reshape %x [shape=(60)]
%v1:f64[3,4]   = windows %v0 [axes=(0), sizes=(4), strides=(21), dilations=(5)]
%v2:f64[4,3]   = transpose %v1 [perm=(1,0)]
"""

from __future__ import annotations

import math

from .builder import Builder
from .graph import Value
from .windows import window_span


def diagonal(b: Builder, x: Value, axis1: int, axis2: int, offset: int = 0) -> Value:
    """The diagonal of two axes of an array, as a new last axis behind the others.

    In C order a step along it is one along both axes. What lies between the axes is a window
    whose elements are as far apart as the later axis is long.
    """
    if axis1 > axis2:
        axis1, axis2, offset = axis2, axis1, -offset
    shape = x.shape
    rows, columns = shape[axis1], shape[axis2]
    before, between, after = shape[:axis1], shape[axis1 + 1 : axis2], shape[axis2 + 1 :]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    rest = (*before, *between, *after)
    if not length or not math.prod(rest):
        return b.broadcast(b.constant(0, x.type.dtype), shape=(*rest, length))
    row = math.prod(between) * columns
    first = max(offset, 0) - min(offset, 0) * row
    flat = b.reshape(x, shape=(*before, rows * row, *after))
    found = _strided(b, flat, axis1, (first, length, row + 1), (math.prod(between), columns))
    spread = (*before, length, *after, *between)
    kept = found if found.shape == spread else b.reshape(found, shape=spread)
    order = list(range(len(spread)))
    inner = order[axis1 + 1 + len(after) :]
    perm = (*order[:axis1], *inner, *order[axis1 + 1 : axis1 + 1 + len(after)], axis1)
    return kept if list(perm) == order else b.transpose(kept, perm=perm)


def _strided(
    b: Builder, x: Value, axis: int, steps: tuple[int, int, int], window: tuple[int, int]
) -> Value:
    """Along an axis `length` windows, `stride` apart, of so many elements so far apart; the axis of
    the windows comes last, and there is none for windows of one element."""
    (first, length, stride), (size, dilation) = steps, window
    stop = first + (length - 1) * stride + window_span(size, dilation)
    spec = [(0, n, 1) for n in x.shape]
    spec[axis] = (first, stop, stride if size == 1 else 1)
    found = b.slice(x, spec=tuple(spec))
    if size == 1:
        return found
    return b.windows(found, axes=(axis,), sizes=(size,), strides=(stride,), dilations=(dilation,))
