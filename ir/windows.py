"""Where the windows of an axis lie."""

from __future__ import annotations

from .errors import ShapeError

Ints = tuple[int, ...]


def window_span(size: int, dilation: int) -> int:
    """How far a window reaches, gaps included."""
    return (size - 1) * dilation + 1


def window_count(extent: int, size: int, stride: int, dilation: int) -> int:
    """The positions at which a window lies inside an axis."""
    return (extent - window_span(size, dilation)) // stride + 1


def windows_shape(
    name: str, shape: Ints, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> Ints:
    """The shape of the windows; ShapeError where they do not fit."""
    if not len(axes) == len(sizes) == len(strides) == len(dilations):
        raise ShapeError(f"{name}: axes, sizes, strides and dilations differ in number")
    if len(set(axes)) < len(axes) or not all(0 <= k < len(shape) for k in axes):
        raise ShapeError(f"{name}: axes {axes} are not distinct axes of rank {len(shape)}")
    if min((*sizes, *strides, *dilations), default=1) < 1:
        raise ShapeError(f"{name}: sizes, strides and dilations must be positive")
    positions = list(shape)
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        span, n = window_span(size, dilation), shape[axis]
        if span > n:
            raise ShapeError(f"{name}: a window of {span} does not fit an axis of {n}")
        positions[axis] = window_count(n, size, stride, dilation)
    return (*positions, *sizes)
