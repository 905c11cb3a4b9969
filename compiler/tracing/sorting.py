"""Sorting and what follows from it: order statistics, and searching in sorted arrays.

Every sort is a stable one (NaN last), and a derivative goes to the element that was moved. NumPy
promises no order of equals for its other sorts, and of a partition only which element stands at
`kth`, so a stable sort is right for all of them.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from .promotion import as_array, recorder_now
from .reductions import normal_axis
from .registry import METHODS, Array, implements
from .taking import take_along_axis

MOST_SELECTED: Final = 8
"""Positions that are looked for one by one: each takes about a tenth of the time of a sort."""

SHORT: Final = 64
"""Elements that a network sorts in less time than one of them is looked for."""


@implements(np.argsort, method="argsort")
def argsort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Array:
    """np.argsort; always stable."""
    _no_fields(order)
    x = as_array(a)
    x, k = _along(x if x.ndim else x.reshape(1), axis)
    found = recorder_now().builder.argsort(x.value, axis=k)
    return recorder_now().fresh(found, contiguous=x.contiguous)


def _no_fields(order: Any) -> None:
    if order is not None:
        raise UnsupportedError("`order` names fields of a structured array; there are none here")


def _along(x: Array, axis: int | None) -> tuple[Array, int]:
    """The array and the axis to sort along: flattened when no axis is given."""
    if axis is None:
        return x.flatten(), 0
    return x, normal_axis(axis, x.ndim)


@implements(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Array:
    """np.lexsort: by the last key, equals by the one before it: one stable sort per key."""
    parts = [as_array(key) for key in keys]
    if len({key.shape for key in parts}) != 1:
        raise ShapeError(f"np.lexsort needs keys of one shape, got {[key.shape for key in parts]}")
    order = argsort(parts[0], axis)
    for key in parts[1:]:
        again = argsort(take_along_axis(key, order, axis), axis)
        order = take_along_axis(order, again, axis)
    return order


@implements(np.sort)
def sort(
    a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Array:
    """np.sort; always stable."""
    _no_fields(order)
    x, k = _along(as_array(a), axis)
    found = recorder_now().builder.sort(x.value, axis=k)
    return recorder_now().fresh(found, contiguous=x.contiguous)


def select_sorted(x: Array, positions: Sequence[int], axis: int) -> Array:
    """The elements at these ascending positions of a sort along an axis, which is not made."""
    found = recorder_now().builder.argselect(x.value, axis=axis, kth=tuple(positions))
    return take_along_axis(x, recorder_now().fresh(found), axis)


def selecting_pays(count: int, length: int) -> bool:
    """Whether so many positions on an axis are found in less time than it is sorted."""
    return count <= MOST_SELECTED and length > SHORT


def sort_in_place(
    x: Array, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> None:
    """The method x.sort()."""
    x.check_writable()
    x.write(sort(x, axis, order=order).value)


@implements(np.partition)
def partition(
    a: Any, kth: Any, axis: int | None = -1, kind: Any = None, order: Any = None
) -> Array:
    """np.partition: a full sort, which has every element `kth` in its place."""
    x, k = _along(as_array(a), axis)
    _check_kth(kth, x.shape[k])
    return sort(x, k, order=order)


@implements(np.argpartition, method="argpartition")
def argpartition(
    a: Any, kth: Any, axis: int | None = -1, kind: Any = None, order: Any = None
) -> Array:
    """np.argpartition: a full sort, which has every element `kth` in its place."""
    x, k = _along(as_array(a), axis)
    _check_kth(kth, x.shape[k])
    return argsort(x, k, order=order)


def partition_in_place(
    x: Array, kth: Any, axis: int = -1, kind: Any = None, order: Any = None
) -> None:
    """The method x.partition(kth)."""
    x.check_writable()
    x.write(partition(x, kth, axis, order=order).value)


METHODS["sort"] = sort_in_place
METHODS["partition"] = partition_in_place


def _check_kth(kth: Any, n: int) -> None:
    for k in np.ravel(kth).tolist():
        if not -n <= operator.index(k) < n:
            raise ShapeError(f"kth(={k}) out of bounds ({n})")
