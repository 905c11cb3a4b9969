"""Sorting: the permutation that puts an axis in order. Sorted values are a gather by it."""

from __future__ import annotations

import numpy as np

from ..errors import ShapeError
from ..op import REQUIRED, ZERO, Attrs, Op, Sample, define
from ..types import BOOL, F32, F64, I32, I64, Type
from .elementwise import check_arity


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
