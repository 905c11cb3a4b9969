"""Pooling, as in `torch.nn.functional`: over windows of the last one or two axes.

The maximum of a window is its first largest element, the first NaN if there is one, and the
derivative goes to that element alone. Average pooling spreads it evenly. A small window is taken
apart: its first elements are a strided part of the input, its second ones another, and comparing
or adding up whole parts vectorises, as does writing their derivatives. Where strided windows
overlap, the place of each maximum is found that way, and the derivatives go there one by one.
"""

from __future__ import annotations

import math
import operator
from functools import reduce
from itertools import product
from typing import Final

import numpy as np

from ...ir.errors import DTypeError, ShapeError, UnsupportedError
from ...ir.record import dataclass
from ._shared import Array
from ._windows import Ints, Sizes, batched, padded, per_axis, windows

UNROLLED: Final = 16
"""Windows of so many elements are taken apart."""


def max_pool1d(
    input: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Array:
    """The maximum of each window of (n, c, length) or (c, length); stride None is the kernel size.

    Padding never wins. With `return_indices` also the positions of the maxima in the input.
    """
    grid = _grid("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool("max_pool1d", input, grid, return_indices)


def max_pool2d(
    input: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Array:
    """The maximum of each window of (n, c, h, w) or (c, h, w); stride None is the kernel size.

    Padding never wins. With `return_indices` also the positions of the maxima, h * width + w.
    """
    grid = _grid("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool("max_pool2d", input, grid, return_indices)


def avg_pool1d(
    input: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of each window of (n, c, length) or (c, length); stride None is the kernel size."""
    grid = _grid("avg_pool1d", 1, input, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool("avg_pool1d", input, grid, count_include_pad, None)


def avg_pool2d(
    input: Array,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The mean of each window of (n, c, h, w) or (c, h, w); stride None is the kernel size.

    The divisor is the size of the window, without padding if not `count_include_pad`, or
    `divisor_override`.
    """
    grid = _grid("avg_pool2d", 2, input, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool("avg_pool2d", input, grid, count_include_pad, divisor_override)


def adaptive_avg_pool1d(input: Array, output_size: Sizes) -> Array:
    """The means of `output_size` equal parts of (n, c, length) or (c, length)."""
    return _adaptive("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Array, output_size: Sizes) -> Array:
    """The means of `output_size` equal parts of (n, c, h, w) or (c, h, w), along both axes."""
    return _adaptive("adaptive_avg_pool2d", 2, input, output_size)


@dataclass(frozen=True)
class _Axis:
    """The windows along one axis of `extent`: `count` of them, the first at `-padding`."""

    extent: int
    size: int
    stride: int
    padding: int
    dilation: int
    count: int

    @property
    def span(self) -> int:
        return (self.size - 1) * self.dilation + 1

    @property
    def starts(self) -> np.ndarray:
        return np.arange(self.count) * self.stride - self.padding

    @property
    def widths(self) -> tuple[int, int]:
        """The padding that is read, before and after."""
        end = int(self.starts[-1]) + self.span
        return self.padding, max(end - self.extent, 0)

    @property
    def firsts(self) -> np.ndarray:
        """The first element of each window that is not padding."""
        skipped = np.maximum(-self.starts + self.dilation - 1, 0) // self.dilation
        firsts: np.ndarray = self.starts + skipped * self.dilation
        return firsts

    def lengths(self, with_padding: bool) -> np.ndarray:
        """How many elements of each window count."""
        end = self.extent + (self.padding if with_padding else 0)
        first = self.starts if with_padding else np.maximum(self.starts, 0)
        lengths: np.ndarray = np.minimum(self.starts + self.size, end) - first
        return lengths


_Grid = tuple[_Axis, ...]


def _grid(
    name: str,
    rank: int,
    x: Array,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> _Grid:
    """The windows along each pooled axis; ShapeError where there are none."""
    batched(name, x, rank)
    sizes = per_axis(name, "kernel_size", kernel_size, rank, 1)
    strides = sizes if stride is None else per_axis(name, "stride", stride, rank, 1)
    paddings = per_axis(name, "padding", padding, rank, 0)
    dilations = per_axis(name, "dilation", dilation, rank, 1)
    columns = zip(x.shape[-rank:], sizes, strides, paddings, dilations, strict=True)
    return tuple(_axis(name, x, ceil_mode, *column) for column in columns)


def _axis(
    name: str, x: Array, ceil_mode: bool, n: int, size: int, stride: int, padding: int, step: int
) -> _Axis:
    span = (size - 1) * step + 1
    room = n + 2 * padding - span
    if padding > span // 2:
        raise ShapeError(f"{name}: padding {padding} is more than half of a window of {span}")
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if count < 1 or n == 0:
        raise ShapeError(f"{name}: a window of {span} does not fit input {x.shape}")
    if ceil_mode and (count - 1) * stride >= n + padding:
        count -= 1  # a window must not start behind the input
    axis = _Axis(n, size, stride, padding, step, count)
    if max(axis.firsts) >= n:
        raise ShapeError(f"{name}: a window lies in the padding of input {x.shape} alone")
    return axis


def _max_pool(name: str, x: Array, grid: _Grid, return_indices: bool) -> Array:
    if x.dtype.kind not in "fiu":
        raise DTypeError(f"{name}: input must be of numbers, not {x.dtype}")
    lowest = -np.inf if x.dtype.kind == "f" else int(np.iinfo(x.dtype).min)
    x_padded = padded(x, [axis.widths for axis in grid], lowest)
    if _elements(grid) <= UNROLLED:
        best, index = _max_of_parts(x_padded, grid)
        if _overlaps_apart(grid):
            best = _in_planes(x, index, len(grid))
    else:
        best, index = _max_of_windows(x, x_padded, grid)
    return (best, index) if return_indices else best


def _overlaps_apart(grid: _Grid) -> bool:
    """Whether windows overlap that lie further apart than elements do: their parts are no vectors,
    and derivatives that are written part by part go through memory once for each."""
    return grid[-1].stride > 1 and any(axis.stride < axis.span for axis in grid)


def _max_of_windows(x: Array, x_padded: Array, grid: _Grid) -> tuple[Array, Array]:
    """The maximum of each window, and where it lies in the input."""
    places = _places(_arg_max(x_padded, grid), grid)
    shape = places[0].shape
    lead = range(len(shape) - len(grid))
    rest = [np.reshape(np.arange(shape[k]), (-1,) + (1,) * (len(shape) - 1 - k)) for k in lead]
    return x[(*rest, *places)], _flat(places, grid)


def _max_of_parts(x: Array, grid: _Grid) -> tuple[Array, Array]:
    """The maximum of the parts of padded `x`, last to first: each one that is not smaller, or NaN,
    and no padding, replaces what was found behind it. And where it lies in the input."""
    *others, last = product(*(range(axis.size) for axis in grid))
    best, inside = _part(x, grid, last), np.asarray(_offset(grid, last))
    for place in reversed(others):
        v, columns = _part(x, grid, place), _columns(grid, place)
        wins = (v >= best) | (v != v) if x.dtype.kind == "f" else v >= best
        valid = [(at >= 0) & (at < a.extent) for a, at in zip(grid, columns, strict=True)]
        for row in (row for row in valid if not np.all(row)):
            wins = wins & row
        best = np.where(wins, v, best)
        inside = np.where(wins, _offset(grid, place), inside)
    first = _flat(_columns(grid, (0,) * len(grid)), grid)
    return best, first + inside.astype(np.int64)


def _offset(grid: _Grid, place: Ints) -> np.int32:
    """How far a place inside a window lies from its first, counted through the pooled axes."""
    offset = 0
    for k, axis in zip(place, grid, strict=True):
        offset = offset * axis.extent + k * axis.dilation
    return np.int32(offset)


def _in_planes(x: Array, index: Array, rank: int) -> Array:
    """The elements at places that are counted through the last `rank` axes."""
    planes = x.shape[:-rank]
    first = np.arange(math.prod(planes)) * math.prod(x.shape[-rank:])
    values: Array = np.reshape(x, -1)[np.reshape(first, planes + (1,) * rank) + index]
    return values


def _part(x: Array, grid: _Grid, place: Ints) -> Array:
    """The element of every window at one place, of padded `x`: its windows start at 0."""
    columns = (
        slice(first := k * axis.dilation, first + (axis.count - 1) * axis.stride + 1, axis.stride)
        for k, axis in zip(place, grid, strict=True)
    )
    part: Array = x[(..., *columns)]
    return part


def _columns(grid: _Grid, place: Ints) -> list[Array]:
    """Where the elements of `_part` lie along each pooled axis of the input."""
    ends = ((axis.count,) + (1,) * (len(grid) - 1 - k) for k, axis in enumerate(grid))
    return [
        np.reshape(axis.starts + k * axis.dilation, column)
        for k, axis, column in zip(place, grid, ends, strict=True)
    ]


def _flat(places: list[Array], grid: _Grid) -> Array:
    """Places in the input, counted through its pooled axes."""
    flat = places[0]
    for axis, at in zip(grid[1:], places[1:], strict=True):
        flat = flat * axis.extent + at
    return flat


def _places(chosen: Array, grid: _Grid) -> list[Array]:
    """Where the chosen elements of the windows lie, along each pooled axis of the input."""
    places: list[Array] = []
    for k in reversed(range(len(grid))):
        axis, column = grid[k], (grid[k].count,) + (1,) * (len(grid) - 1 - k)
        inside, chosen = (chosen % axis.size, chosen // axis.size) if k else (chosen, chosen)
        at = np.reshape(axis.starts, column) + inside * axis.dilation
        if any(axis.widths):  # padding is chosen where all else is -inf as well
            first = np.reshape(axis.firsts, column)
            at = np.where((at < 0) | (at >= axis.extent), first, at)
        places.insert(0, at)
    return places


def _arg_max(x: Array, grid: _Grid) -> Array:
    """The place of the first maximum in each window of padded `x`, counted row by row."""
    w = _windows(x, grid)
    flat = np.reshape(w, (*w.shape[: -len(grid)], _elements(grid)))
    return np.argmax(flat, axis=-1)


def _avg_pool(name: str, x: Array, grid: _Grid, with_padding: bool, divisor: int | None) -> Array:
    if x.dtype.kind != "f":
        raise DTypeError(f"{name}: input must be floating, not {x.dtype}; use x.astype(float)")
    if divisor == 0:
        raise ShapeError(f"{name}: divisor_override must not be 0")
    x_padded = padded(x, [axis.widths for axis in grid])
    if _elements(grid) <= UNROLLED:
        places = product(*(range(axis.size) for axis in grid))
        total = reduce(operator.add, (_part(x_padded, grid, place) for place in places))
    else:
        total = np.sum(_windows(x_padded, grid), axis=tuple(range(-len(grid), 0)))
    return total / (_divisors(x, grid, with_padding) if divisor is None else divisor)


def _elements(grid: _Grid) -> int:
    """How many elements a window has."""
    return math.prod(axis.size for axis in grid)


def _divisors(x: Array, grid: _Grid, with_padding: bool) -> Array:
    """How many elements each window averages: a number, or an array where they differ."""
    counts = np.ones((), int)
    for axis in grid:
        counts = np.multiply.outer(counts, axis.lengths(with_padding))
    first = int(counts.flat[0])
    return first if np.all(counts == first) else counts.astype(x.dtype)


def _windows(x: Array, grid: _Grid) -> Array:
    return windows(
        x,
        tuple(axis.size for axis in grid),
        tuple(axis.stride for axis in grid),
        tuple(axis.dilation for axis in grid),
    )


def _adaptive(name: str, rank: int, x: Array, output_size: Sizes) -> Array:
    batched(name, x, rank)
    sizes, shape = per_axis(name, "output_size", output_size, rank, 1), x.shape[-rank:]
    if any(n % size for n, size in zip(shape, sizes, strict=True)):
        raise UnsupportedError(
            f"{name}: output_size {sizes} does not divide {shape}; use an avg_pool, or an"
            " output_size that does"
        )
    parts = tuple(n // size for n, size in zip(shape, sizes, strict=True))
    grid = _grid(name, rank, x, parts, None, 0, 1, False)
    return _avg_pool(name, x, grid, True, None)
