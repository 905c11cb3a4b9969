"""Sorting: the permutation that puts an axis in order. Sorted values are a gather by it."""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..op import REQUIRED, ZERO, Attrs, Op, Sample, define
from ..types import BOOL, F32, F64, I32, I64, Type
from .elementwise import check_arity, common_dtype


def axis_operand(name: str, types: tuple[Type, ...], attrs: Attrs) -> Type:
    """The only operand of an op along `axis`; ShapeError if it lacks that axis."""
    check_arity(name, types, 1)
    if not 0 <= attrs["axis"] < types[0].rank:
        raise ShapeError(f"{name}: axis {attrs['axis']} is out of range for rank {types[0].rank}")
    return types[0]


def _argsort_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    return (Type(I64, axis_operand("argsort", types, attrs).shape),)


_TIES = np.array([3.0, np.nan, -0.0, 1.0, np.inf, 0.0, 3.0, -np.inf, np.nan, 1.0])

define(
    Op(
        "argsort",
        "sort",
        _argsort_type,
        lambda x, axis: np.argsort(x, axis=axis, kind="stable"),
        "indices (i64) that sort along `axis`: ascending, equals in their order, NaN last",
        attrs={"axis": REQUIRED},
        jacobian=ZERO,
        samples=(
            *(
                Sample((Type(d, shape),), {"axis": axis})
                for d in (F32, F64, I32, I64, BOOL)
                for shape, axis in (((5, 6), 1), ((5, 6), 0))
            ),
            *(
                Sample((Type(F64, shape),), {"axis": axis})
                for shape, axis in (
                    ((1,), 0), ((0,), 0), ((2, 0), 0), ((40,), 0), ((3, 33, 2), 1), ((2, 3, 70), 2)
                )
            ),
            Sample((_TIES,), {"axis": 0}),
            Sample((np.tile(_TIES.astype(F32), (2, 7)),), {"axis": 1}),
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
