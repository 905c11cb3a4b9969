"""Scans: running totals along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import DTypeError
from ..graph import Node
from ..jacobian import Axes, Map, Term
from ..op import REQUIRED, Attrs, Op, Sample, define
from ..types import F32, F64, I32, I64, Type, dtype_name
from .sort import axis_operand


def _cumsum_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    x = axis_operand("cumsum", types, attrs)
    if x.is_bool:
        raise DTypeError(f"cumsum is not defined for {dtype_name(x.dtype)}")
    return (x,)


def _cumsum(x: Any, axis: int, reverse: bool) -> Any:
    turned = np.flip(x, axis) if reverse else x
    total = np.cumsum(turned, axis=axis, dtype=x.dtype)
    return np.flip(total, axis).copy() if reverse else total


def _cumsum_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """Lower triangular along the axis (upper for a reversed one), the identity on the others."""
    axis, pairs = node.attrs["axis"], list(zip(axes.a, axes.z, strict=True))
    if axes.extent[axes.a[axis]] == 1:
        return (Term(1.0, axes.deltas(pairs)),)
    (a, z), attrs = pairs.pop(axis), (("reverse", True),)
    scan = Map("cumsum", attrs if node.attrs["reverse"] else (), (), (a,), (z,))
    return (Term(1.0, (*axes.deltas(pairs), scan)),)


define(
    Op(
        "cumsum",
        "scan",
        _cumsum_type,
        _cumsum,
        "sums of x[0..i] along `axis`, added one by one in the operand's dtype; of x[i..] when"
        " `reverse`, from the last on",
        attrs={"axis": REQUIRED, "reverse": False},
        jacobian=_cumsum_jacobian,
        samples=tuple(
            Sample((Type(d, shape),), {"axis": axis, "reverse": reverse})
            for d in (F32, F64, I32, I64)
            for shape, axis, reverse in (
                ((6,), 0, False), ((6,), 0, True), ((3, 5), 0, False), ((3, 5), 1, True),
                ((2, 3, 4), 1, True), ((2, 1), 1, False), ((0, 3), 0, False),
            )
        ),
    )
)  # fmt: skip
