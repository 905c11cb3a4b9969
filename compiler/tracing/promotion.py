"""NumPy 2's dtype rules (NEP 50), asked of NumPy itself.

Python numbers are *weak*: they take the dtype of the arrays they meet. That holds for literals
and for traced Python arguments (`Handle.weak`) alike. Conversions become `cast` nodes, so that
every elementwise op sees one dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeGuard, Union, cast

import numpy as np

from ...ir.errors import DTypeError, ScalarRangeError, ShapeError, TraceError, UnsupportedError
from ...ir.graph import Value
from ...ir.types import BOOL, DTYPES, F64, I64
from ..active import active
from .handle import Handle, Unshaped
from .recorder import Recorder

if TYPE_CHECKING:
    from .traced import TracedArray

Number = bool | int | float
Operand = Union["TracedArray", bool, int, float]
_SUPPORTED = frozenset(DTYPES.values())


def is_number(x: object) -> TypeGuard[Number]:
    """Whether `x` is a Python number (a NumPy scalar is not)."""
    return isinstance(x, (bool, int, float)) and not isinstance(x, np.generic)


def recorder_now() -> Recorder:
    """The active trace."""
    recorder = active()
    if recorder is None:
        raise TraceError("a traced array is used outside its trace")
    return recorder


def lift(x: Any) -> Operand:
    """An argument of a NumPy function as a traced array or a Python number.

    Concrete arrays and NumPy scalars are captured; so are lists of numbers. Lists that hold traced
    arrays are assembled, as np.array does it.
    """
    if isinstance(x, Handle):
        if not x.recorder.alive or x.recorder is not active():
            raise TraceError("an array of another trace is used; pass it as an argument")
        return cast("TracedArray", x)
    if is_number(x):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return recorder_now().capture(x)
    if isinstance(x, (list, tuple)):
        return _assembled(x) if holds_traced(x) else recorder_now().capture(np.asarray(x))
    if isinstance(x, Unshaped):
        raise x.error
    raise UnsupportedError(f"{type(x).__name__} cannot be used as an array")


def holds_traced(x: Any) -> bool:
    """Whether `x` is a traced array, or a nested list or tuple with one in it."""
    return isinstance(x, Handle) or (isinstance(x, (list, tuple)) and any(map(holds_traced, x)))


def _assembled(nested: Sequence[Any]) -> TracedArray:
    """A new array of nested lists of arrays and numbers, none of them weak."""
    shape, parts = _unnested(nested)
    dtype = np.result_type(*(part.dtype for part in parts))
    b = recorder_now().builder
    values = [as_value(part, dtype) for part in parts if part.size]
    flat = [v if v.type.rank == 1 else b.reshape(v, shape=(v.type.size,)) for v in values]
    if not flat:
        return recorder_now().capture(np.zeros(shape, dtype))
    joined = flat[0] if len(flat) == 1 else b.emit("concatenate", flat, {"axis": 0}).result
    return recorder_now().fresh(b.reshape(joined, shape=shape), scalar=False)


def _unnested(x: Any) -> tuple[tuple[int, ...], list[TracedArray]]:
    """The shape of a nested list, and the arrays in it in order."""
    if not isinstance(x, (list, tuple)):
        array = as_array(x)
        return array.shape, [array]
    found = [_unnested(item) for item in x]
    shapes = [shape for shape, _ in found]
    if len(set(shapes)) > 1:
        raise ShapeError(
            f"a list of arrays of shapes {', '.join(map(str, shapes))} is not an array"
        )
    inner = shapes[0] if shapes else ()
    return (len(found), *inner), [array for _, arrays in found for array in arrays]


def as_array(x: Any, dtype: Any = None) -> TracedArray:
    """An argument as a traced array, converted to `dtype` if given."""
    operand = lift(x)
    if isinstance(operand, Handle):
        return operand if dtype is None else convert(operand, np.dtype(dtype))
    wanted = strong_dtype(operand) if dtype is None else np.dtype(dtype)
    return recorder_now().fresh(as_value(operand, wanted))


def as_value(x: Operand, dtype: np.dtype) -> Value:
    """The SSA value of an operand in `dtype`.

    ScalarRangeError if a Python int does not fit; for a traced Python int the call checks it.
    """
    recorder = recorder_now()
    if not isinstance(x, Handle):
        return recorder.builder.constant(_literal(x, dtype))
    value = x.value
    if value.type.dtype == dtype:
        return value
    if x.weak and value.type.is_integer and dtype.kind in "iu":
        _note_range(recorder, value, dtype)
    return recorder.builder.cast(value, dtype=_supported(dtype))


def convert(x: Operand, dtype: np.dtype) -> TracedArray:
    """The operand as a new strong array of `dtype` (the operand itself if it is one already)."""
    if isinstance(x, Handle) and x.type.dtype == dtype and not x.weak:
        return x
    layout = x.contiguous if isinstance(x, Handle) else True
    array = isinstance(x, Handle) and x.kind == "array"
    value = as_value(x, dtype)
    return recorder_now().fresh(value, contiguous=layout, scalar=None if not array else False)


def strong_dtype(x: Operand) -> np.dtype:
    """The dtype of an array, or the one a Python number has on its own."""
    if isinstance(x, Handle):
        return x.type.dtype
    return BOOL if isinstance(x, bool) else I64 if isinstance(x, int) else F64


def result_dtype(operands: Sequence[Operand]) -> np.dtype:
    """`np.result_type` of the operands, Python numbers being weak."""
    if all(_is_weak(x) for x in operands):
        return np.result_type(*(strong_dtype(x) for x in operands))
    return _supported(np.result_type(*(_example(x) for x in operands)))


def loop_dtypes(
    ufunc: np.ufunc, operands: Sequence[Operand], dtype: Any = None
) -> tuple[np.dtype, ...]:
    """The dtypes of the loop NumPy would run: inputs, then outputs. DTypeError if it has none."""
    weak = all(_is_weak(x) for x in operands)
    given = tuple(strong_dtype(x) if weak else _abstract(x) for x in operands)
    options: dict[str, Any] = {}
    if dtype is not None:
        options["signature"] = (None,) * ufunc.nin + (np.dtype(dtype),) * ufunc.nout
    try:
        found = ufunc.resolve_dtypes(given + (None,) * ufunc.nout, **options)
    except TypeError as error:
        raise DTypeError(f"np.{ufunc.__name__}: {_no_loop(ufunc, given, str(error))}") from None
    return tuple(_supported(d) for d in found)


_FOR_BOOLS: Final = {np.subtract: "use ^ or np.logical_xor", np.negative: "use ~ or np.logical_not"}


def _no_loop(ufunc: np.ufunc, given: Sequence[Any], said: str) -> str:
    """Why NumPy has no loop for these dtypes, and what to write."""
    if ufunc in _FOR_BOOLS and "boolean" in said:
        return f"not defined for bool arrays; {_FOR_BOOLS[ufunc]}"
    if "not supported for the input types" in said:
        names = " and ".join(x.__name__ if isinstance(x, type) else str(x) for x in given)
        return f"not defined for {names}; convert with x.astype, or compare first (x > 0)"
    return said.splitlines()[0]


def same_kind(source: np.dtype, target: np.dtype, what: str) -> None:
    """DTypeError unless an in-place operation may store `source` in `target`."""
    if not np.can_cast(source, target, casting="same_kind"):
        raise DTypeError(
            f"{what}: a result of dtype {source} cannot be stored in an array of dtype {target}"
            " (casting rule 'same_kind'); convert one of them with astype"
        )


def as_mask(chosen: Any) -> TracedArray:
    """A `where` argument. DTypeError if it is not of bool."""
    mask = as_array(chosen)
    if not mask.type.is_bool:
        raise DTypeError(f"`where` must be an array of bool, not {mask.dtype}; write mask != 0")
    return mask


def _literal(x: Number, dtype: np.dtype) -> np.ndarray:
    if dtype.kind in "iu" and isinstance(x, int):
        limits = np.iinfo(dtype)
        if not limits.min <= x <= limits.max:
            raise ScalarRangeError(f"Python integer {x} out of bounds for {dtype}")
    with np.errstate(over="ignore"):
        return np.array(x, dtype=dtype)


def _note_range(recorder: Recorder, value: Value, dtype: np.dtype) -> None:
    index = recorder.weak_inputs.get(value)
    if index is None:
        raise TraceError(
            f"a computed Python int meets an array of dtype {dtype}, and its range cannot be"
            f" checked; pass it as an argument of its own, or as np.{dtype.name}(..)"
        )
    recorder.int_ranges[index, dtype] = None


def _is_weak(x: Operand) -> bool:
    return x.weak if isinstance(x, Handle) else True


def _abstract(x: Operand) -> Any:
    """What `ufunc.resolve_dtypes` takes: int or float for a weak number, else the dtype."""
    dtype = strong_dtype(x)
    if not _is_weak(x) or dtype == BOOL:
        return dtype
    return int if dtype.kind == "i" else float


def _example(x: Operand) -> Any:
    dtype = strong_dtype(x)
    if not _is_weak(x) or dtype == BOOL:
        return dtype
    return 0 if dtype.kind == "i" else 0.0


def _supported(dtype: np.dtype) -> np.dtype:
    if dtype not in _SUPPORTED:
        raise UnsupportedError(f"the result would have dtype {dtype}, which is not supported")
    return dtype
