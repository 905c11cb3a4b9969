"""Pooling, as in `torch.nn.functional`: over windows of the last one or two axes.

Max pooling finds the first largest element of each window and reads it from the input; so the
derivative goes to that element alone, and a NaN in a window is its maximum. Average pooling spreads
it evenly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...ir.errors import DTypeError, ShapeError, UnsupportedError
from ._shared import Array
from ._windows import Sizes, batched, padded, per_axis, windows


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
    places = _places(_arg_max(name, x, grid), grid)
    shape = places[0].shape
    lead = range(len(shape) - len(grid))
    rest = [np.reshape(np.arange(shape[k]), (-1,) + (1,) * (len(shape) - 1 - k)) for k in lead]
    values = x[(*rest, *places)]
    if not return_indices:
        return values
    flat = places[0]
    for axis, at in zip(grid[1:], places[1:], strict=True):
        flat = flat * axis.extent + at
    return values, flat


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


def _arg_max(name: str, x: Array, grid: _Grid) -> Array:
    """The place of the first maximum in each window, counted row by row."""
    if x.dtype.kind not in "fiu":
        raise DTypeError(f"{name}: input must be of numbers, not {x.dtype}")
    lowest = -np.inf if x.dtype.kind == "f" else int(np.iinfo(x.dtype).min)
    w = _windows(padded(x, [axis.widths for axis in grid], lowest), grid)
    flat = np.reshape(w, (*w.shape[: -len(grid)], math.prod(axis.size for axis in grid)))
    return np.argmax(flat, axis=-1)


def _avg_pool(name: str, x: Array, grid: _Grid, with_padding: bool, divisor: int | None) -> Array:
    if x.dtype.kind != "f":
        raise DTypeError(f"{name}: input must be floating, not {x.dtype}; use x.astype(float)")
    if divisor == 0:
        raise ShapeError(f"{name}: divisor_override must not be 0")
    w = _windows(padded(x, [axis.widths for axis in grid]), grid)
    total = np.sum(w, axis=tuple(range(-len(grid), 0)))
    return total / (_divisors(x, grid, with_padding) if divisor is None else divisor)


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
