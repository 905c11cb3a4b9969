"""Elementwise functions: NumPy's ufuncs, in the dtype of the loop NumPy would run.

`DIRECT` ufuncs are one IR op; the `COMPOSED` ones are written in NumPy in `composed.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...ir.errors import DTypeError, UnsupportedError
from ...ir.graph import Value
from ...ir.types import BOOL, I64
from .handle import Handle
from .promotion import (
    Operand,
    as_array,
    as_value,
    convert,
    is_number,
    lift,
    loop_dtypes,
    recorder_now,
    result_dtype,
    strong_dtype,
)
from .registry import COMPOSED, Array

DIRECT: dict[np.ufunc, str] = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.true_divide: "div",
    np.floor_divide: "floor_divide",
    np.remainder: "remainder",
    np.power: "power",
    np.float_power: "power",
    np.maximum: "maximum",
    np.minimum: "minimum",
    np.arctan2: "arctan2",
    np.negative: "neg",
    np.absolute: "abs",
    np.fabs: "abs",
    np.sign: "sign",
    np.exp: "exp",
    np.exp2: "exp2",
    np.log: "log",
    np.log2: "log2",
    np.log10: "log10",
    np.log1p: "log1p",
    np.expm1: "expm1",
    np.sqrt: "sqrt",
    np.tanh: "tanh",
    np.sin: "sin",
    np.cos: "cos",
    np.tan: "tan",
    np.arcsin: "arcsin",
    np.arccos: "arccos",
    np.sinh: "sinh",
    np.cosh: "cosh",
    np.floor: "floor",
    np.ceil: "ceil",
    np.rint: "rint",
    np.fmod: "fmod",
    np.copysign: "copysign",
    np.cbrt: "cbrt",
    np.arcsinh: "arcsinh",
    np.arccosh: "arccosh",
    np.arctanh: "arctanh",
    np.left_shift: "shift_left",
    np.right_shift: "shift_right",
    np.isnan: "isnan",
    np.isinf: "isinf",
    np.isfinite: "isfinite",
}

COMPARISONS: dict[np.ufunc, str] = {
    np.less: "lt",
    np.less_equal: "le",
    np.greater: "gt",
    np.greater_equal: "ge",
    np.equal: "eq",
    np.not_equal: "ne",
}

LOGICAL: dict[np.ufunc, str] = {
    np.logical_and: "and",
    np.logical_or: "or",
    np.logical_xor: "xor",
    np.logical_not: "not",
}

BITWISE: dict[np.ufunc, str] = {
    np.bitwise_and: "and",
    np.bitwise_or: "or",
    np.bitwise_xor: "xor",
    np.invert: "not",
}
"""The op for bool; the one for integers has `bit_` before its name."""

_ON_BOOL = {"add": "or", "mul": "and", "maximum": "or", "minimum": "and", "abs": None}
"""What arithmetic means on Booleans (None: nothing happens)."""

_ON_INTEGERS: dict[str, Any] = {
    "floor": None, "ceil": None, "isnan": False, "isinf": False, "isfinite": True
}  # fmt: skip
"""Float functions that NumPy also has for integers: the identity (None) or a constant."""


def apply(ufunc: np.ufunc, inputs: Sequence[Any], dtype: Any = None) -> Array:
    """Call a ufunc; at least one input is traced. UnsupportedError for one that is not known."""
    operands = [lift(x) for x in inputs]
    if ufunc in COMPARISONS:
        return _compare(ufunc, operands)
    if ufunc in LOGICAL:
        return emit(LOGICAL[ufunc], [convert(x, BOOL) for x in operands])
    if ufunc in BITWISE:
        return _bitwise(ufunc, operands)
    *wanted, _ = loop_dtypes(ufunc, operands, dtype)
    if ufunc in DIRECT:
        return _direct(ufunc, operands, wanted[0])
    composed = COMPOSED.get(ufunc)
    if composed is None:
        raise UnsupportedError(f"np.{ufunc.__name__} is not supported; {nearest(ufunc.__name__)}")
    return composed(*(convert(x, d) for x, d in zip(operands, wanted, strict=True)))


def emit(op: str, operands: Sequence[Operand], dtype: np.dtype | None = None) -> Array:
    """One elementwise node on operands converted to `dtype`."""
    recorder = recorder_now()
    values = [as_value(x, dtype or strong_dtype(x)) for x in operands]
    layout = all(x.contiguous for x in operands if isinstance(x, Handle))
    return recorder.fresh(_node(op, values), contiguous=layout)


def _node(op: str, values: Sequence[Value], **attrs: Any) -> Value:
    return recorder_now().builder.emit(op, values, attrs).result


def _direct(ufunc: np.ufunc, operands: Sequence[Operand], dtype: np.dtype) -> Array:
    op = DIRECT[ufunc]
    if dtype == BOOL and op in _ON_BOOL:
        on_bool = _ON_BOOL[op]
        return emit(on_bool, operands, dtype) if on_bool else copied(convert(operands[0], dtype))
    if dtype.kind in "iub" and op in _ON_INTEGERS:
        constant = _ON_INTEGERS[op]
        return copied(as_array(operands[0])) if constant is None else filled(operands[0], constant)
    if dtype.kind in "iu" and op == "power":
        return _integer_power(operands[0], operands[1], dtype)
    return emit(op, operands, dtype)


def filled(like: Operand, value: Any) -> Array:
    """A Boolean array of one value."""
    recorder = recorder_now()
    shape = like.type.shape if isinstance(like, Handle) else ()
    return recorder.fresh(recorder.builder.full(shape, value, BOOL))


def copied(x: Handle, *, scalar: bool | None = None) -> Array:
    """A new array with the value of `x` (no node: values are immutable)."""
    return x.recorder.fresh(x.value, contiguous=x.contiguous, scalar=scalar)


def _integer_power(base: Operand, exponent: Operand, dtype: np.dtype) -> Array:
    if isinstance(exponent, Handle):
        raise UnsupportedError(
            "an integer raised to a traced integer power is not supported (NumPy raises for a"
            " negative one); convert the base first: x.astype(np.float64) ** n"
        )
    if exponent < 0:
        raise DTypeError("integers to negative integer powers are not allowed; use x.astype(float)")
    one, square = as_array(1, dtype), as_array(base, dtype)
    n = int(exponent)
    if n < 2:  # an array of its own, of the shape of the base
        kept = emit("mul", [square, as_array(n, dtype)])
        return kept if n else emit("add", [kept, one])
    result = one
    while n:
        if n & 1:
            result = emit("mul", [result, square]) if n != exponent else square
        square, n = (emit("mul", [square, square]) if n > 1 else square), n >> 1
    return result


_FAST_POWERS: dict[Any, np.ufunc] = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal}


def raised(base: Array, exponent: Any) -> Array:
    """`base ** exponent`: for a few literals NumPy's operator is not np.power but exact."""
    fast = _FAST_POWERS.get(exponent) if is_number(exponent) else None
    exact = base.type.is_float or (fast is np.square and isinstance(exponent, int))
    if fast is None or base.kind != "array" or not exact:
        return apply(np.power, (base, exponent))
    return apply(fast, (base,))


_PYTHON_COMPARISON: dict[np.ufunc, Callable[[Any, Any], Any]] = {
    np.less: operator.lt, np.less_equal: operator.le, np.greater: operator.gt,
    np.greater_equal: operator.ge, np.equal: operator.eq, np.not_equal: operator.ne,
}  # fmt: skip


def _compare(ufunc: np.ufunc, operands: Sequence[Operand]) -> Array:
    first, second, _ = loop_dtypes(ufunc, operands)
    if first != second:
        raise UnsupportedError(
            f"comparing {first} with {second} is not supported; convert one side with astype"
        )
    verdict = _beyond_range(ufunc, operands, first)
    if verdict is not None:
        array = next(x for x in operands if isinstance(x, Handle))
        return filled(array, verdict)
    exact = any(isinstance(x, Handle) and x.weak for x in operands) and np.can_cast(first, I64)
    return emit(COMPARISONS[ufunc], operands, I64 if exact and first != BOOL else first)


def _beyond_range(ufunc: np.ufunc, operands: Sequence[Operand], dtype: np.dtype) -> bool | None:
    """The answer when a Python int lies outside the integers it is compared with (NumPy compares
    exactly); None in all other cases."""
    for literal in operands:
        if isinstance(literal, Handle) or not isinstance(literal, int) or dtype.kind not in "iu":
            continue
        limits = np.iinfo(dtype)
        if not limits.min <= literal <= limits.max:
            sides = [0 if isinstance(x, Handle) else x for x in operands]
            return bool(_PYTHON_COMPARISON[ufunc](*sides))
    return None


def _bitwise(ufunc: np.ufunc, operands: Sequence[Operand]) -> Array:
    *_, dtype = loop_dtypes(ufunc, operands)
    return emit(("" if dtype == BOOL else "bit_") + BITWISE[ufunc], operands, dtype)


def select(c: Array, x: Any, y: Any, *, scalar: bool | None = None) -> Array:
    """x where the condition holds, else y; Python numbers are weak."""
    dtype = result_dtype([x, y])
    values = [as_value(c, BOOL), as_value(x, dtype), as_value(y, dtype)]
    layout = all(a.contiguous for a in (c, x, y) if isinstance(a, Handle))
    return recorder_now().fresh(_node("select", values), contiguous=layout, scalar=scalar)


_NEAREST = {
    "gcd": "compute it outside the step",
    "lcm": "compute it outside the step",
    "nonzero": "its shape depends on the data; use a mask with np.where",
    "argwhere": "its shape depends on the data; use a mask with np.where",
    "flatnonzero": "its shape depends on the data; use a mask with np.where",
    "unique": "its shape depends on the data; compute it outside the step, or mark the first of"
    " equals in y = np.sort(x): y[1:] != y[:-1]",
    "histogram": "count with np.bincount(np.searchsorted(edges, x, 'right') - 1, minlength=n)",
    "lstsq": "use np.linalg.solve(A.T @ A, A.T @ y)",
    "pinv": "use np.linalg.solve(A.T @ A, A.T)",
    "qr": "R is np.linalg.cholesky(A.T @ A).T up to signs; or compute it outside the step",
    "cond": "cond(A, 1) is np.linalg.norm(A, 1) * np.linalg.norm(np.linalg.inv(A), 1)",
    "tensorsolve": "reshape to matrices and use np.linalg.solve",
    "tensorinv": "reshape to matrices and use np.linalg.inv",
    **dict.fromkeys(
        ("svd", "svdvals", "eig", "eigh", "eigvals", "eigvalsh", "matrix_rank"),
        "compute it outside the step and pass the result",
    ),
    "vectorize": "write it for whole arrays",
    "nanargmax": "use np.argmax(np.where(np.isnan(x), -np.inf, x), axis)",
    "nanargmin": "use np.argmin(np.where(np.isnan(x), np.inf, x), axis)",
    "trim_zeros": "its shape depends on the data; compute it outside the step",
    **dict.fromkeys(
        ("save", "savez", "savez_compressed", "savetxt", "tofile", "tobytes", "dump", "dumps"),
        "return it and save it outside the step",
    ),
    **dict.fromkeys(
        ("array2string", "array_repr", "array_str"), "return it and print it outside the step"
    ),
    **dict.fromkeys(
        ("strides", "ctypes", "data", "base", "flags"),
        "a traced array has a shape and a dtype, but no memory; look at it outside the step",
    ),
    **dict.fromkeys(
        ("fft", "ifft", "rfft", "irfft", "fft2", "ifft2", "fftn"),
        "complex arrays are not supported; compute it outside the step and pass the result",
    ),
    "imag": "arrays are real; it is np.zeros_like(x)",
    "view": "use x.astype(dtype) for another dtype, x[...] for a view",
    "item": "results of shape () work like numbers",
    "flat": "use x.reshape(-1)",
}


def nearest(name: str) -> str:
    """What to write instead of an unsupported function."""
    return _NEAREST.get(
        name, "write it with supported functions, or compute it outside the step and pass it"
    )
