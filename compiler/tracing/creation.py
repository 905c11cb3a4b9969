"""Making arrays like others, copying, converting."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import DTypeError, TraceError, UnsupportedError
from ...ir.types import DTYPES, F64
from .composed import where
from .handle import Handle
from .indexing import spread, target_of
from .known import asked
from .promotion import as_array, as_mask, as_value, lift, recorder_now, result_dtype
from .registry import Array, implements
from .shapes import shape_of


def filled(shape: Any, fill_value: Any, dtype: Any, *, like: Handle | None = None) -> Array:
    """A new array of one (possibly traced) value. It is contiguous unless its template may not
    be: NumPy keeps the template's layout."""
    recorder = recorder_now()
    value = as_value(lift(fill_value), checked_dtype(dtype))
    extent = shape_of(shape)
    if value.shape != extent:
        value = spread(value, extent)
    return recorder.fresh(value, contiguous=like is None or like.contiguous, scalar=False)


def checked_dtype(dtype: Any) -> np.dtype:
    """The dtype; UnsupportedError if the IR does not have it."""
    found: np.dtype = np.dtype(dtype)
    if found not in DTYPES.values():
        raise UnsupportedError(
            f"dtype {found} is not supported; use one of {', '.join(map(str, DTYPES.values()))}"
        )
    return found


@implements(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Array:
    """np.full_like."""
    x = as_array(a)
    if shape is None:
        return filled(x.shape, fill_value, dtype or x.dtype, like=x)
    return filled(shape, fill_value, dtype or x.dtype)


@implements(np.zeros_like, np.empty_like)
def zeros_like(a: Any, dtype: Any = None, *, shape: Any = None) -> Array:
    """np.zeros_like; np.empty_like too."""
    return full_like(a, 0, dtype, shape=shape)


@implements(np.ones_like)
def ones_like(a: Any, dtype: Any = None, *, shape: Any = None) -> Array:
    """np.ones_like."""
    return full_like(a, 1, dtype, shape=shape)


@implements(np.zeros, np.empty)
def zeros(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Array:
    """np.zeros(shape, like=x): an array of the step."""
    return full(shape, 0, dtype or F64, order)


@implements(np.ones)
def ones(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Array:
    """np.ones(shape, like=x)."""
    return full(shape, 1, dtype or F64, order)


@implements(np.full)
def full(
    shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None
) -> Array:
    """np.full(shape, value, like=x)."""
    if order != "C":
        raise UnsupportedError(f"order {order!r} is not supported; use 'C' and transpose")
    return filled(shape, fill_value, dtype or as_array(fill_value).dtype)


@implements(np.array)
def array(
    object: Any, dtype: Any = None, *, copy: bool | None = True, order: Any = "K",
    subok: bool = False, ndmin: int = 0,
) -> Array:  # fmt: skip
    """np.array of traced and concrete values, nested lists of them too."""
    if copy:
        x = as_array(object)
        found = copy_of(x, x.dtype if dtype is None else checked_dtype(dtype), order)
    else:
        found = asarray(object, dtype, order)
    return found if found.ndim >= ndmin else found[(None,) * (ndmin - found.ndim)]


@implements(np.asarray, np.asanyarray)
def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: bool | None = None
) -> Array:
    """np.asarray: a traced array of this dtype is returned as it is."""
    x = as_array(a)
    wanted = x.dtype if dtype is None else checked_dtype(dtype)
    if x.kind == "array" and x.dtype == wanted and not copy:
        return _in_order(x, order)
    return copy_of(x, wanted, order)


def copy_of(x: Array, dtype: np.dtype, order: str | None, *, scalar: bool = False) -> Array:
    """A copy of that dtype. The layout of one in Fortran order counts as unknown."""
    _check_order(order)
    dense = order == "C" or (order != "F" and x.contiguous)
    return recorder_now().fresh(as_value(x, dtype), contiguous=dense, scalar=scalar)


def _in_order(x: Array, order: str | None) -> Array:
    """The array itself if its memory has the order, else a copy that has it."""
    _check_order(order)
    if order in (None, "A", "K") or (x if order == "C" else x.T).contiguous:
        return x
    copy = copy_of(x, x.dtype, order)
    if x.strides_known is None:
        x.buffer.link(copy.buffer)
    return copy


def _check_order(order: str | None) -> None:
    if order not in (None, "C", "F", "A", "K"):
        raise UnsupportedError(f"order {order!r} is not supported; use 'C', 'F', 'A' or 'K'")


@implements(np.ascontiguousarray)
def ascontiguousarray(a: Any, dtype: Any = None) -> Array:
    """np.ascontiguousarray: the array itself if its memory is C-contiguous, else a copy."""
    x = asarray(a, dtype, "C")
    return x if x.ndim else x.reshape(1)


def lifted(array: np.ndarray, borrowed: bool) -> Array:
    """A concrete array as an array of the step. A `borrowed` one may not be written: the array
    outside would have to change."""
    found = recorder_now().capture(array)
    found.buffer.borrowed = borrowed
    return found


def converted(value: Any, dtype: np.dtype) -> Array:
    """np.float32(x) and the like: an array of that dtype, or for shape () a scalar."""
    return recorder_now().fresh(as_value(as_array(value), dtype))


@implements(np.arange)
def arange(*bounds: Any, dtype: Any = None, device: Any = None) -> Array:
    """np.arange(..., like=x) of concrete bounds."""
    if any(isinstance(bound, Handle) and asked(bound) is None for bound in bounds):
        raise TraceError(
            "np.arange with a traced bound has a length that depends on the data; make the bound"
            " a static argument (static_argnames), or shift and scale np.arange(n)"
        )
    return as_array(np.arange(*bounds, dtype=dtype))


@implements(np.eye, np.identity)
def eye(*size: Any, **options: Any) -> Array:
    """np.eye(..., like=x)."""
    options.pop("device", None)
    return as_array(np.eye(*size, **options))


@implements(np.copy)
def copy(a: Any, order: str = "K") -> Array:
    """np.copy."""
    x = as_array(a)
    return copy_of(x, x.dtype, order)


@implements(np.astype, method="astype")
def astype(
    x: Any, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
    copy: bool = True,
) -> Array:  # fmt: skip
    """x.astype(dtype): a copy, unless `copy` is false and nothing changes."""
    a, to = as_array(x), checked_dtype(dtype)
    if a.type.dtype == to and not copy and not a.weak:
        return _in_order(a, order)
    return copy_of(a, to, order, scalar=a.kind != "array")


@implements(np.copyto)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """np.copyto into a traced array."""
    target = target_of(dst)
    new = lift(src)
    if not np.can_cast(result_dtype([new]), target.dtype, casting):
        raise DTypeError(
            f"np.copyto: {result_dtype([new])} cannot be cast to {target.dtype} by the rule "
            f"{casting!r}; convert it with astype"
        )
    if where is not True:
        new = masked(target, new, where)
    target[...] = new


def masked(target: Array, new: Any, mask: Any) -> Array:
    """The target with `new` where the mask holds."""
    return where(as_mask(mask), as_array(new, target.dtype), target)


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """np.result_type; dtypes count as arrays of them."""
    operands = [
        np.zeros((), x) if isinstance(x, (type, np.dtype, str)) else x for x in arrays_and_dtypes
    ]
    return result_dtype([lift(x) for x in operands])


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """Never: complex arrays are not supported."""
    return False


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """Always: complex arrays are not supported."""
    return True
