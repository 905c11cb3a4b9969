"""Sorting: values in order, the permutation that does it, and single places of that order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import ShapeError
from ..graph import Node
from ..jacobian import Axes, Term
from ..op import REQUIRED, ZERO, Attrs, Op, Sample, define
from ..types import BOOL, F32, F64, I32, I64, Type
from .elementwise import check_arity, common_dtype
from .index import taken_along


def axis_operand(name: str, types: tuple[Type, ...], attrs: Attrs) -> Type:
    """The only operand of an op along `axis`; ShapeError if it lacks that axis."""
    check_arity(name, types, 1)
    if not 0 <= attrs["axis"] < types[0].rank:
        raise ShapeError(f"{name}: axis {attrs['axis']} is out of range for rank {types[0].rank}")
    return types[0]


def _argsort_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    return (Type(I64, axis_operand("argsort", types, attrs).shape),)


def _sort_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    return (axis_operand("sort", types, attrs),)


def _sort_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    """An element comes from where argsort says."""
    (x,), axis = node.operands, node.attrs["axis"]
    return (Term(1.0, (taken_along(b, b.argsort(x, axis=axis), axis, axes),)),)


_TIES = np.array([3.0, np.nan, -0.0, 1.0, np.inf, 0.0, 3.0, -np.inf, np.nan, 1.0])
_SAMPLES = (
    *(
        Sample((Type(d, shape),), {"axis": axis})
        for d in (F32, F64, I32, I64, BOOL)
        for shape, axis in (((5, 6), 1), ((5, 6), 0))
    ),
    *(
        Sample((Type(F64, shape),), {"axis": axis})
        for shape, axis in (
            ((1,), 0), ((0,), 0), ((2, 0), 0), ((40,), 0), ((3, 33, 2), 1), ((1, 2, 70), 2)
        )
    ),
    Sample((_TIES,), {"axis": 0}),
    Sample((np.tile(_TIES.astype(F32), (2, 7)),), {"axis": 1}),
)  # fmt: skip

define(
    Op(
        "sort",
        "sort",
        _sort_type,
        lambda x, axis: np.sort(x, axis=axis, kind="stable"),
        "the elements along `axis` in order: ascending, equals in their order, NaN last",
        attrs={"axis": REQUIRED},
        jacobian=_sort_jacobian,
        samples=_SAMPLES,
    )
)

define(
    Op(
        "argsort",
        "sort",
        _argsort_type,
        lambda x, axis: np.argsort(x, axis=axis, kind="stable"),
        "indices (i64) that sort along `axis`: ascending, equals in their order, NaN last",
        attrs={"axis": REQUIRED},
        jacobian=ZERO,
        samples=_SAMPLES,
    )
)


def _argselect_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    shape, axis, kth = axis_operand("argselect", types, attrs).shape, attrs["axis"], attrs["kth"]
    if list(kth) != sorted(set(kth)) or not all(0 <= k < shape[axis] for k in kth):
        raise ShapeError(
            f"argselect: kth must be ascending positions on an axis of {shape[axis]}, got {kth}"
        )
    return (Type(I64, (*shape[:axis], len(kth), *shape[axis + 1 :])),)


def _argselect(x: Any, axis: int, kth: tuple[int, ...]) -> Any:
    return np.take(np.argsort(x, axis=axis, kind="stable"), kth, axis)


define(
    Op(
        "argselect",
        "sort",
        _argselect_type,
        _argselect,
        "indices (i64) along `axis` of the elements at the ascending positions `kth` of its order,"
        " which is that of `argsort`",
        attrs={"axis": REQUIRED, "kth": REQUIRED},
        jacobian=ZERO,
        samples=(
            *(
                Sample((Type(d, (5, 6)),), {"axis": axis, "kth": kth})
                for d in (F32, F64, I32, I64, BOOL)
                for axis, kth in ((1, (2, 3)), (0, (0, 2, 4)))
            ),
            *(
                Sample((Type(F64, shape),), {"axis": axis, "kth": kth})
                for shape, axis, kth in (((1,), 0, (0,)), ((400,), 0, (3, 9)), ((3, 33, 2), 1, ()))
            ),
            *(Sample((_TIES,), {"axis": 0, "kth": kth}) for kth in ((2, 3, 9), (1, 7, 8))),
        ),
    )
)  # fmt: skip


def _searchsorted_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("searchsorted", types, 2)
    common_dtype("searchsorted", types)
    if types[0].rank != 1:
        raise ShapeError(f"searchsorted: the sorted array must have rank 1, got {types[0].shape}")
    return (Type(I64, types[1].shape),)


_KNOTS, _KEYS = np.array([-1.0, 0.0, 0.0, 2.0]), np.array([[0.0, -3.0, 2.0], [9.0, 1.0, 0.0]])
_SPECIAL = np.array([-np.inf, 0.0, np.inf, np.nan, np.nan])

define(
    Op(
        "searchsorted",
        "search",
        _searchsorted_type,
        lambda x, v, right: np.asarray(np.searchsorted(x, v, "right" if right else "left")),
        "where each element of v goes in the sorted array x (i64): before its equals, or behind"
        " them when `right`",
        attrs={"right": False},
        jacobian=ZERO,
        samples=tuple(
            Sample(operands, {"right": right})
            for operands in (
                *((_KNOTS.astype(d), _KEYS.astype(d)) for d in (F32, F64, I32, I64, BOOL)),
                (_SPECIAL, _SPECIAL),
                (_KNOTS, _KEYS[0, 0]),
                (_KNOTS[:0], _KEYS),
            )
            for right in (False, True)
        ),
    )
)
