"""Functions that choose between arrays, and that write chosen elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.errors import DTypeError, ShapeError, TraceError, UnsupportedError
from ...ir.types import BOOL
from .composed import where
from .creation import masked
from .handle import Handle
from .indexing import select as index
from .indexing import target_of
from .known import sources
from .promotion import as_array, lift, result_dtype
from .registry import Array, implements
from .taking import take_along_axis


@implements(np.isin)
def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
    kind: Any = None,
) -> Array:  # fmt: skip
    """np.isin: every element is compared with every test element."""
    x: Array = as_array(element)
    found: Array = np.any(x[..., None] == as_array(test_elements).reshape(-1), axis=-1)
    return ~found if invert else found


@implements(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Array:
    """np.select: the choice of the first condition that holds."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ShapeError("np.select: list of conditions and list of choices must be equally long")
    for condition in map(as_array, condlist):
        if not condition.type.is_bool:
            raise DTypeError(f"np.select: a condition must be of bool, not {condition.dtype}")
    choices = [lift(x) for x in (*choicelist, default)]
    dtype = result_dtype(choices)
    shape = np.broadcast_shapes(*(as_array(x).shape for x in (*condlist, *choices)))
    *arrays, result = (as_array(x, dtype) for x in choices)
    for condition, choice in reversed(list(zip(condlist, arrays, strict=True))):
        result = where(as_array(condition, BOOL), choice, result)
    return np.broadcast_to(result, shape).copy() if result.shape != shape else result


@implements(np.choose, method="choose")
def choose(a: Any, choices: Any, mode: str = "raise") -> Array:
    """np.choose; in mode "raise" an index out of range raises when the step runs."""
    number: Array = as_array(a)
    parts = [lift(x) for x in choices]
    n, dtype = len(parts), result_dtype(parts)
    if mode == "raise":
        number = where(number < 0, n, number)
    else:
        number = np.remainder(number, n) if mode == "wrap" else np.clip(number, 0, n - 1)
    *spread, number = np.broadcast_arrays(*(as_array(x, dtype) for x in parts), number)
    return take_along_axis(np.stack(spread), number[None], 0)[0].copy()


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Array:
    """np.piecewise: every function is applied to the whole array, and its elements are selected
    (so what it gives elsewhere does not matter, nor does its derivative there)."""
    a = as_array(x)
    given = condlist if isinstance(condlist, (list, tuple)) else [condlist]
    conditions: list[Any] = [as_array(condition, BOOL) for condition in given]
    for condition in conditions:
        if condition.shape != a.shape:
            raise ShapeError(f"np.piecewise: a condition {condition.shape} for an array {a.shape}")
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(np.stack(conditions), axis=0))
    elif len(funclist) != len(conditions):
        raise ShapeError(f"np.piecewise: {len(conditions)} conditions, {len(funclist)} functions")
    result: Array = np.zeros_like(a)
    for condition, function in zip(conditions, funclist, strict=True):
        value = _elementwise(function, a, args, kw) if callable(function) else function
        result = where(condition, as_array(value, a.dtype), result)
    return result


def _elementwise(function: Any, x: Array, args: Any, kw: Any) -> Any:
    """What a function gives for the whole array. UnsupportedError if an element of it depends on
    other elements: NumPy calls it with the chosen ones only."""
    result, producer = function(x.copy(), *args, **kw), x.recorder.builder.producer
    if not isinstance(result, Handle) or not x.ndim:
        return result
    for value in sources(result.value, producer):
        node = producer.get(value)
        if node is None or node.op.kind == "elementwise":
            continue
        if any(x.value in sources(v, producer) for v in node.operands):
            raise UnsupportedError(
                f"np.piecewise: a function that mixes elements ({node.op.name}) would get those of"
                " the whole array here; use np.where, and where=mask for a reduction"
            )
    return result


@implements(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """np.putmask with one value, or with values of the array's shape."""
    target, new = target_of(a), as_array(values)
    if new.size != 1 and new.shape != target.shape:
        raise UnsupportedError("np.putmask: values must be one number or have the array's shape")
    new = new.reshape(()) if new.size == 1 else new
    where_ = as_array(mask, BOOL)
    if where_.size != target.size:
        raise ShapeError(f"np.putmask: a mask of shape {where_.shape} for an array {target.shape}")
    target[...] = masked(target, new, where_.reshape(target.shape))


@implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """np.place with one value."""
    if as_array(vals).size != 1:
        raise TraceError(
            "np.place with several values puts as many elements as the mask selects, which depends"
            " on the data; use x[...] = np.where(mask, values, x)"
        )
    putmask(arr, mask, vals)


@implements(np.put, method="put")
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """np.put: writes into the flattened array; values are repeated as needed."""
    if mode != "raise":
        raise UnsupportedError(f"np.put: mode {mode!r} is not supported")
    target, at = target_of(a), as_array(ind)
    if not as_array(v).size:
        return
    new = np.resize(as_array(v), at.shape) if as_array(v).size != at.size else as_array(v)
    flat = target.reshape(-1)
    if flat.buffer is not target.buffer:
        raise UnsupportedError("np.put is supported for C-contiguous arrays; write x[i, j] = v")
    index(flat, at.reshape(-1)).write(new.reshape(-1))


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """np.fill_diagonal of a square matrix."""
    x = target_of(a)
    if x.ndim != 2 or wrap:
        raise UnsupportedError("np.fill_diagonal is supported for matrices, without wrap")
    every = np.arange(min(x.shape))
    index(x, (every, every)).write(val)
