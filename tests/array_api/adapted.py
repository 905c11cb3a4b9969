"""Functions of the standard whose parameters differ from those of NumPy's function of that name.

They run inside the trace, so each is a small step in itself.
"""

from __future__ import annotations

from typing import Any

import numpy
from tapeless import numpy as np


def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None) -> Any:
    first, last = (0, start) if stop is None else (start, stop)
    return np.arange(first, last, step, dtype=dtype)


def astype(x: Any, dtype: Any, *, copy: bool = True) -> Any:
    return np.astype(x, dtype, copy=copy)


def eye(rows: int, columns: int | None = None, *, k: int = 0, dtype: Any = None) -> Any:
    return np.eye(rows, columns, k, dtype=float if dtype is None else dtype)


def linspace(start: Any, stop: Any, num: int, *, dtype: Any = None, endpoint: bool = True) -> Any:
    return np.linspace(start, stop, num, endpoint, dtype=dtype)


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    return np.clip(x, min, max)


def diff(x: Any, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    given = {"prepend": prepend, "append": append}
    return np.diff(x, n, axis, **{key: side for key, side in given.items() if side is not None})


def reshape(x: Any, shape: Any, *, copy: bool | None = None) -> Any:
    return np.reshape(x, shape, copy=copy)


def flip(x: Any, *, axis: Any = None) -> Any:
    return np.flip(x, axis)


def sort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    rising = np.sort(x, axis=axis, stable=stable)
    return np.flip(rising, axis=axis) if descending else rising


def argsort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Descending and stable: the order of the reversed array, reversed, its equals in order."""
    if not descending:
        return np.argsort(x, axis=axis, stable=stable)
    last = x.shape[axis] - 1 if x.ndim else 0
    return last - np.flip(np.argsort(np.flip(x, axis=axis), axis=axis, stable=stable), axis=axis)


def tile(x: Any, repetitions: Any) -> Any:
    return np.tile(x, repetitions)


def where(condition: Any, x1: Any, x2: Any) -> Any:
    return np.where(condition, x1, x2)


ADAPTED = {
    f.__name__: f
    for f in (arange, astype, eye, linspace, clip, diff, reshape, flip, sort, argsort, tile, where)
}


def _of_dtype(x: Any) -> Any:
    return x.dtype if isinstance(x, numpy.ndarray) else x


CONCRETE = {
    "can_cast": lambda from_, to: numpy.can_cast(_of_dtype(from_), to),
    "finfo": lambda x: numpy.finfo(_of_dtype(x)),
    "from_dlpack": numpy.from_dlpack,
    "iinfo": lambda x: numpy.iinfo(_of_dtype(x)),
    "isdtype": numpy.isdtype,
    "result_type": numpy.result_type,
}
"""Functions of dtypes, or from outside: nothing in them is traced."""
