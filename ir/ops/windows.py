"""Sliding windows along some axes, and their adjoint, which adds overlapping windows up.

    %w:f64[3,2] = windows %x [axes=(0), sizes=(2), strides=(2), dilations=(1)]      x:f64[7]
    %y:f64[7] = windows_add %w [axes=(0), extents=(7), strides=(2), dilations=(1)]

Element k of the window at position o lies at `o * stride + k * dilation`. Each windowed axis
becomes positions; the axes inside the windows are appended at the end, as by NumPy's
`sliding_window_view`. With them a convolution is a `dot`, and pooling is a reduction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..builder import Builder
from ..errors import DTypeError, ShapeError
from ..graph import Node
from ..jacobian import Axes, Factor, Letter, Map, Term
from ..op import REQUIRED, Attrs, Op, Sample, define
from ..types import BOOL, F32, F64, I64, Type
from ..windows import Ints, window_span, windows_shape
from .elementwise import check_arity


def _windows_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("windows", types, 1)
    return (types[0].with_shape(windows_shape("windows", types[0].shape, **attrs)),)


def _windows(x: Any, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints) -> Any:
    spans = tuple(map(window_span, sizes, dilations))
    whole = sliding_window_view(x, spans, axis=axes)
    step = dict(zip(axes, strides, strict=True))
    positions = [slice(None, None, step.get(k, 1)) for k in range(x.ndim)]
    return whole[(*positions, *(slice(None, None, d) for d in dilations))]


def _windows_add_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("windows_add", types, 1)
    (g,), axes, extents = types, attrs["axes"], attrs["extents"]
    rank = g.rank - len(axes)
    if g.is_bool:
        raise DTypeError("windows_add is not defined for bool")
    if len(extents) != len(axes) or not all(0 <= k < rank for k in axes):
        raise ShapeError(f"windows_add: extents {extents} of axes {axes} do not fit {g}")
    shape = list(g.shape[:rank])
    for axis, n in zip(axes, extents, strict=True):
        shape[axis] = n
    steps = attrs["strides"], attrs["dilations"]
    expected = windows_shape("windows_add", tuple(shape), axes, g.shape[rank:], *steps)
    if expected != g.shape:
        raise ShapeError(f"windows_add: windows of {tuple(shape)} have shape {expected}, not {g}")
    return (g.with_shape(tuple(shape)),)


def _windows_add(g: Any, axes: Ints, extents: Ints, strides: Ints, dilations: Ints) -> Any:
    rank = g.ndim - len(axes)
    shape = list(g.shape[:rank])
    for axis, n in zip(axes, extents, strict=True):
        shape[axis] = n
    out = np.zeros(shape, g.dtype)
    for offset in product(*(range(n) for n in g.shape[rank:])):
        place = [slice(None)] * rank
        for axis, k, s, d in zip(axes, offset, strides, dilations, strict=True):
            place[axis] = slice(k * d, k * d + (g.shape[axis] - 1) * s + 1, s)
        out[tuple(place)] += g[(..., *offset)]
    return out


def windows_factors(
    axes: Axes, big: Sequence[Letter], small: Sequence[Letter], attrs: Attrs
) -> tuple[Factor, ...]:
    """Deltas on the axes without windows and one map, from `big` to the windows `small`."""
    windowed, rank = attrs["axes"], len(big)
    rest = [(big[k], small[k]) for k in range(rank) if k not in windowed]
    steps = (("strides", attrs["strides"]), ("dilations", attrs["dilations"]))
    src = tuple(big[k] for k in windowed)
    dst = (*(small[k] for k in windowed), *small[rank:])
    return (*axes.deltas(rest), Map("windows", steps, (), src, dst))


def _windows_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    return (Term(1.0, windows_factors(axes, axes.a, axes.z, node.attrs)),)


def _windows_add_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    return (Term(1.0, windows_factors(axes, axes.z, axes.a, node.attrs)),)


_CASES: tuple[tuple[Ints, Ints, Ints, Ints, Ints], ...] = (
    ((7,), (0,), (3,), (1,), (1,)),
    ((8,), (0,), (2,), (3,), (2,)),
    ((2, 5), (1,), (5,), (1,), (1,)),
    ((4, 3), (0,), (1,), (2,), (1,)),
    ((3, 6), (1,), (2,), (2,), (1,)),
    ((2, 5, 4), (1, 2), (3, 2), (1, 1), (1, 1)),
    ((5, 6, 2), (1, 0), (2, 2), (2, 1), (3, 2)),
    ((0, 4), (1,), (2,), (1,), (1,)),
)
"""Shape, axes, sizes, strides, dilations: overlaps, gaps, dilation, size 1, size n, empty."""


def _samples(*dtypes: np.dtype) -> Iterator[Sample]:
    for dtype in dtypes:
        for shape, *steps in _CASES:
            names = ("axes", "sizes", "strides", "dilations")
            yield Sample((Type(dtype, shape),), dict(zip(names, steps, strict=True)))


def _samples_of_add(*dtypes: np.dtype) -> Iterator[Sample]:
    for dtype in dtypes:
        for shape, axes, sizes, strides, dilations in _CASES:
            windows = windows_shape("sample", shape, axes, sizes, strides, dilations)
            extents = tuple(shape[k] for k in axes)
            attrs = {"axes": axes, "extents": extents, "strides": strides, "dilations": dilations}
            yield Sample((Type(dtype, windows),), attrs)


define(
    Op(
        "windows",
        "move",
        _windows_type,
        _windows,
        "every window along `axes`: positions in place of each axis, window axes at the end",
        attrs={"axes": REQUIRED, "sizes": REQUIRED, "strides": REQUIRED, "dilations": REQUIRED},
        jacobian=_windows_jacobian,
        samples=tuple(_samples(F32, F64, I64, BOOL)),
    )
)
define(
    Op(
        "windows_add",
        "move",
        _windows_add_type,
        _windows_add,
        "the adjoint of windows: an array of zeros with every window added where it lies",
        attrs={"axes": REQUIRED, "extents": REQUIRED, "strides": REQUIRED, "dilations": REQUIRED},
        jacobian=_windows_add_jacobian,
        samples=tuple(_samples_of_add(F32, F64, I64)),
    )
)
