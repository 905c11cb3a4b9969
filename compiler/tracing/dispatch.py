"""How NumPy's dispatch protocols reach the functions that stand in for NumPy's.

`ufunc_call` is `__array_ufunc__`, `function_call` is `__array_function__` and methods,
`python_arithmetic` is what operators mean between Python numbers.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ...ir.errors import ShapeError, TraceError, UnsupportedError
from ...ir.types import BOOL, F64, I64
from . import (  # noqa: F401  (importing them fills the registry)
    assembly,
    calculus,
    choosing,
    creation,
    editing,
    elementwise,
    grids,
    indexing,
    linear,
    misuse,
    nans,
    ownership,
    padding,
    polynomials,
    positions,
    quantiles,
    reductions,
    scans,
    searching,
    shapes,
    solving,
    sorting,
    statistics,
    taking,
    vectors,
)
from .handle import Handle
from .known import settled
from .promotion import (
    as_array,
    as_value,
    convert,
    is_number,
    lift,
    loop_dtypes,
    recorder_now,
    same_kind,
    strong_dtype,
)
from .registry import FUNCTIONS


def is_arraylike(x: Any) -> bool:
    """Whether an operator takes `x`; for anything else Python asks the other operand."""
    return isinstance(x, (Handle, np.ndarray, np.generic, list, tuple)) or is_number(x)


_OF_INTS: Final[dict[np.ufunc, Callable[..., Any]]] = {
    np.power: operator.pow,
    np.left_shift: operator.lshift,
    np.right_shift: operator.rshift,
}
"""What has no type, or no meaning in 64 bits, before the values of its ints are known."""


def python_arithmetic(ufunc: np.ufunc, operands: tuple[Any, ...]) -> Any:
    """Operators between Python numbers stay Python numbers, with Python's result types."""
    dtypes = [strong_dtype(x) for x in operands]
    raised = ufunc is np.power and not isinstance(operands[1], Handle)
    if ufunc in _OF_INTS and set(dtypes) == {I64} and not raised:
        values = [settled(x) for x in operands]
        if not any(isinstance(x, Handle) for x in values):
            return _OF_INTS[ufunc](*values)
    if ufunc in (np.left_shift, np.right_shift):
        raise UnsupportedError(
            "a traced Python int cannot be shifted (Python's ints have no last bit); pass a NumPy"
            " integer, np.int64(n), or multiply or floor-divide by 2**k"
        )
    floats = ufunc is np.true_divide or F64 in dtypes
    if ufunc is np.power and dtypes[-1] == I64 and not floats:
        exponent = operands[1]
        if isinstance(exponent, Handle):
            raise TraceError(
                "the type of a Python int raised to a traced int depends on its sign; write"
                " float(n) literals or pass a float"
            )
        floats = exponent < 0
    if ufunc in elementwise.BITWISE and set(dtypes) == {BOOL} and ufunc is not np.invert:
        dtype = BOOL  # but ~True is -2
    else:
        dtype = F64 if floats else I64
    strong = [x if is_number(x) else convert(x, dtype) for x in operands]
    value = elementwise.apply(ufunc, strong).value
    recorder = recorder_now()
    return recorder.array_type(recorder, recorder.fresh(value).buffer, (), "python")


def store(target: Any, result: Any, what: str) -> None:
    """Write the result of a ufunc, under its casting and broadcasting rules for `out`."""
    same_kind(result.dtype, target.dtype, what)
    value = as_value(result, target.dtype)
    if np.broadcast_shapes(value.shape, target.shape) != target.shape:
        raise ShapeError(f"{what}: shape {value.shape} does not fit the output {target.shape}")
    target.write(indexing.spread(value, target.shape))


# --- ufunc calls ---------------------------------------------------------------------------


def ufunc_call(
    ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], out: Any, owners: int, kwargs: Any
) -> Any:
    if method == "at":
        return _at(ufunc, *inputs)
    if out is None:
        return _methods(method)(ufunc, inputs, kwargs)
    (target,) = out
    if isinstance(target, Handle):
        return _into(ufunc, method, inputs, target, kwargs)
    if method == "__call__" and inputs[0] is target and ownership.sole_owner(target, owners):
        result = call(ufunc, inputs, kwargs)
        same_kind(result.dtype, target.dtype, f"np.{ufunc.__name__} in place")
        if result.shape != target.shape:
            raise ShapeError(
                f"np.{ufunc.__name__} in place: the result has shape {result.shape}, the array "
                f"{target.shape}; write x = x + y for a new array"
            )
        return result.astype(target.dtype)
    raise misuse.dropped_output(target)


def _methods(method: str) -> Callable[..., Any]:
    table = {"__call__": call, "reduce": _reduce, "outer": _outer, "accumulate": _accumulate}
    if method not in table:
        raise UnsupportedError(f"ufunc method {method!r} is not supported")
    return table[method]


def call(ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: Any) -> Any:
    options = dict(kwargs)
    dtype = options.pop("dtype", None)
    if options.pop("where", True) is not True:
        raise UnsupportedError(f"np.{ufunc.__name__}: `where` needs `out`; or use np.where")
    options.pop("casting", None)
    options = {k: v for k, v in options.items() if v is not None}
    if ufunc is np.divmod:
        return call(np.floor_divide, inputs, kwargs), call(np.remainder, inputs, kwargs)
    name = f"np.{ufunc.__name__}"
    if ufunc in FUNCTIONS:
        return invoke(name, FUNCTIONS[ufunc], _cast(name, inputs, dtype), options)
    _no_more(name, options)
    return elementwise.apply(ufunc, inputs, dtype)


def _cast(name: str, inputs: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """The operands in the dtype the caller asks the loop to have."""
    if dtype is None:
        return inputs
    operands = [as_array(x) for x in inputs]
    for x in operands:
        same_kind(x.dtype, np.dtype(dtype), name)
    return tuple(convert(x, np.dtype(dtype)) for x in operands)


def _into(
    ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], target: Any, kwargs: Any
) -> Handle:
    target.check_writable()
    options = dict(kwargs)
    chosen = options.pop("where", True) if method == "__call__" else True
    if method in ("reduce", "accumulate") and ufunc in (np.add, np.multiply):
        options["dtype"] = options.get("dtype") or _loop_with(target, inputs[0])
    result = _methods(method)(ufunc, inputs, options)
    if chosen is not True:
        same_kind(result.dtype, target.dtype, f"np.{ufunc.__name__}")
        result = creation.masked(target, result, chosen)
    if method != "__call__" and result.shape != target.shape:
        raise ShapeError(
            f"np.{ufunc.__name__}.{method}: the result has shape {result.shape}, out="
            f" {target.shape}"
        )
    store(target, result, f"np.{ufunc.__name__} with out=")
    return target  # type: ignore[no-any-return]


def _loop_with(target: Any, array: Any) -> np.dtype:
    """The dtype in which NumPy adds or multiplies elements up when the result has its place."""
    return np.result_type(as_array(array).dtype, target.dtype)


_ACCUMULATING: Final = (reductions.sum_, reductions.prod, scans.cumsum, scans.cumprod)


_REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: reductions.sum_,
    np.multiply: reductions.prod,
    np.maximum: reductions.max_,
    np.minimum: reductions.min_,
    np.logical_and: reductions.all_,
    np.logical_or: reductions.any_,
}


def _reduce(ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: Any) -> Any:
    options = {k: v for k, v in kwargs.items() if v is not None or k == "axis"}
    axis = options.pop("axis", 0)
    if ufunc is np.logaddexp:
        keepdims = options.pop("keepdims", False)
        _no_more("np.logaddexp.reduce", options)
        return reductions.logaddexp_reduce(inputs[0], axis, keepdims)
    if ufunc not in _REDUCTIONS:
        raise UnsupportedError(f"np.{ufunc.__name__}.reduce is not supported")
    return invoke(f"np.{ufunc.__name__}.reduce", _REDUCTIONS[ufunc], (inputs[0], axis), options)


def _accumulate(ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: Any) -> Any:
    array, *axis = inputs
    return scans.accumulate(ufunc, array, *axis, **kwargs)


def _outer(ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: Any) -> Any:
    x, y = (as_array(a) for a in inputs)
    return call(ufunc, (x.reshape(x.shape + (1,) * y.ndim), y), kwargs)


def _at(ufunc: np.ufunc, target: Any, index: Any, *value: Any) -> None:
    """np.add.at and np.subtract.at; any other ufunc where no element can be selected twice."""
    if not isinstance(target, Handle):
        raise misuse.dropped_output(target)
    target.check_writable()
    selection = indexing.select(target, index)  # type: ignore[arg-type]
    if selection.basic or selection.mask is not None:
        selection.write(ufunc(selection.read(), *value))
        return
    if ufunc not in (np.add, np.subtract):
        raise UnsupportedError(
            f"np.{ufunc.__name__}.at is not supported for index arrays; np.add.at is, and so is"
            " x[i] = f(x[i], v) where no index occurs twice"
        )
    new = lift(value[0])
    same_kind(
        loop_dtypes(ufunc, [selection.view, new])[-1], target.type.dtype, f"np.{ufunc.__name__}.at"
    )
    selection.add(np.negative(new) if ufunc is np.subtract else new)


# --- function calls ------------------------------------------------------------------------


def function_call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call what stands in for a NumPy function; UnsupportedError if nothing does."""
    name = f"{function.__module__ or 'numpy'}.{function.__name__}".replace("numpy", "np", 1)
    if function not in FUNCTIONS:
        raise UnsupportedError(f"{name} is not supported; {elementwise.nearest(function.__name__)}")
    return invoke(name, FUNCTIONS[function], args, kwargs)


def invoke(
    name: str, implementation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call an implementation; UnsupportedError for an argument it does not have."""
    out = kwargs.pop("out", None)
    kwargs = {k: v for k, v in kwargs.items() if v is not np._NoValue}
    try:
        inspect.signature(implementation).bind(*args, **kwargs)
    except TypeError as error:
        raise UnsupportedError(f"{name}: {error} in a traced step") from None
    if out is None:
        return implementation(*args, **kwargs)
    if not isinstance(out, Handle):
        raise misuse.dropped_output(out)
    target = as_array(out)
    target.check_writable()
    if implementation in _ACCUMULATING and kwargs.get("dtype") is None and len(args) < 3:
        kwargs["dtype"] = _loop_with(target, args[0] if args else kwargs["a"])
    result = as_array(implementation(*args, **kwargs))
    if result.shape != target.shape:
        raise ShapeError(f"{name}: the result has shape {result.shape}, out= {target.shape}")
    store(target, result, f"{name} with out=")
    return out


def _no_more(name: str, options: Any) -> None:
    if options:
        raise UnsupportedError(f"{name}: argument {next(iter(options))!r} is not supported")
