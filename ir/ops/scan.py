"""Scans: running totals, products and extrema along one axis, and linear recurrences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import DTypeError, ShapeError
from ..graph import Node
from ..jacobian import Axes, Letter, Map, Ref, Term
from ..op import REQUIRED, Attrs, Op, Sample, define
from ..types import BOOL, F32, F64, I32, I64, Type, dtype_name
from .elementwise import check_arity, common_dtype
from .index import positions_along, taken_along
from .move import slice_along
from .sort import axis_operand

Letters = tuple[Letter, ...]


def _scan_type(name: str) -> Any:
    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        x = axis_operand(name, types, attrs)
        if x.is_bool and name in ("cumsum", "cumprod"):
            raise DTypeError(f"{name} is not defined for {dtype_name(x.dtype)}")
        return (x,)

    return infer


def _recurrence_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("recurrence", types, 2)
    common_dtype("recurrence", types)
    weights, x = types
    if weights.shape != x.shape:
        raise ShapeError(f"recurrence: shapes {weights.shape} and {x.shape} differ")
    return (axis_operand("recurrence", (x,), attrs),)


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


def _recurrence(a: Any, b: Any, axis: int, reverse: bool, exclusive: bool) -> Any:
    out = np.empty_like(b)
    weights, terms, totals = (np.moveaxis(v, axis, 0) for v in (a, b, out))
    places = range(len(terms))[:: -1 if reverse else 1]
    for last, k in zip((None, *places), places, strict=False):
        if last is None:
            totals[k] = 0 if exclusive else terms[k]
        elif exclusive and last == places[0]:
            totals[k] = terms[last]
        else:
            link = last if exclusive else max(last, k)
            totals[k] = terms[last if exclusive else k] + weights[link] * totals[last]
    return out


def recurrence_map(weights: Ref, attrs: Attrs, src: Letters, dst: Letters) -> Map:
    """The recurrence as a linear map of its second operand."""
    return Map("recurrence", tuple(sorted(attrs.items())), (weights,), src, dst)


def _recurrence_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """A weight multiplies what has come to it, and goes on from there."""
    (weights, terms), attrs = node.operands, dict(node.attrs)
    if i == 1:
        return (Term(1.0, (recurrence_map(weights, attrs, axes.a, axes.z),)),)
    cut = {**attrs, "exclusive": True}
    into, on = (attrs, cut) if attrs["reverse"] else (cut, attrs)
    come = axes.val(b.recurrence(weights, terms, **into), axes.a)
    return (Term(1.0, (come, recurrence_map(weights, on, axes.a, axes.z))),)


def _cumprod_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """The product of all before x[j], times those between it and the result: right at zeros."""
    (x,), axis = node.operands, node.attrs["axis"]
    n = x.shape[axis]
    if n == 1:
        return (Term(1.0, axes.deltas(list(zip(axes.a, axes.z, strict=True)))),)
    first = b.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), 1, x.type.dtype)
    before = b.slice(node.result, spec=slice_along(x.shape, axis, (0, x.shape[axis] - 1, 1)))
    before = b.concatenate(first, before, axis=axis)
    on = recurrence_map(x, {"axis": axis, "exclusive": False, "reverse": False}, axes.a, axes.z)
    return (Term(1.0, (axes.val(before, axes.a), on)),)


def _extremum_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """Half goes to the first of the equals so far, half to the last."""
    (x,), axis = node.operands, node.attrs["axis"]
    shape, best = x.shape, node.result
    n = shape[axis]
    if n == 1:
        return (Term(1.0, axes.deltas(list(zip(axes.a, axes.z, strict=True)))),)
    here = b.eq(x, best)
    parts = ((1, n, 1), (0, n - 1, 1))
    changed = b.ne(*(b.slice(best, spec=slice_along(shape, axis, part)) for part in parts))
    start = b.full((*shape[:axis], 1, *shape[axis + 1 :]), True, BOOL)
    new = b.emit("and", (here, b.concatenate(start, changed, axis=axis))).result
    positions, terms = positions_along(b, shape, axis), []
    for chosen in (new, here):
        place = b.cummax(b.select(chosen, positions, 0), axis=axis)
        terms.append(Term(0.5, (axes.mask(chosen, axes.a), taken_along(b, place, axis, axes))))
    return terms


def _samples(*dtypes: np.dtype) -> tuple[Sample, ...]:
    return tuple(
        Sample((Type(d, shape),), {"axis": axis})
        for d in dtypes
        for shape, axis in (((6,), 0), ((3, 5), 0), ((3, 5), 1), ((2, 3, 4), 1), ((2, 1), 1))
    )


for _name, _ufunc, _rule, _dtypes, _meaning in (
    ("cumprod", np.multiply, _cumprod_jacobian, (F32, F64, I32, I64), "products"),
    ("cummax", np.maximum, _extremum_jacobian, (F32, F64, I32, I64, BOOL), "maxima"),
    ("cummin", np.minimum, _extremum_jacobian, (F32, F64, I32, I64, BOOL), "minima"),
):
    define(
        Op(
            _name,
            "scan",
            _scan_type(_name),
            lambda x, axis, _ufunc=_ufunc: _ufunc.accumulate(x, axis=axis, dtype=x.dtype),
            f"{_meaning} of x[0..i] along `axis`, one by one in the operand's dtype",
            attrs={"axis": REQUIRED},
            jacobian=_rule,
            samples=_samples(*_dtypes),
        )
    )

define(
    Op(
        "recurrence",
        "scan",
        _recurrence_type,
        _recurrence,
        "h[i] = b[i] + a[i] h[i-1] along `axis`, h[0] = b[0]; if `reverse` the adjoint of that in"
        " b, h[i] = b[i] + a[i+1] h[i+1]. If `exclusive` what comes to i from the one before it,"
        " without a[i]: h[i-1], or b[i+1] + a[i+1] h[i+1]; 0 at the start",
        attrs={"axis": REQUIRED, "reverse": False, "exclusive": False},
        jacobian=_recurrence_jacobian,
        samples=tuple(
            Sample((Type(d, shape),) * 2, {"axis": axis, "reverse": turned, "exclusive": cut})
            for d, shape, axis in (
                (F64, (6,), 0), (F32, (3, 5), 0), (F64, (2, 3, 4), 1), (F64, (2, 1), 1),
                (F64, (0, 3), 0), (F64, (2, 2), 1),
            )
            for turned in (False, True)
            for cut in (False, True)
        ),
    )
)  # fmt: skip

define(
    Op(
        "cumsum",
        "scan",
        _scan_type("cumsum"),
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
