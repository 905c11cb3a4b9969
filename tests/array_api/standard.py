"""The Python array API standard, version 2024.12, as tables: what there is, with which parameters.

Source: data-apis.org/array-api/2024.12. The namespace is built from these tables and the tests run
over them, so a function of the standard is either claimed or has a reason in `UNSUPPORTED`.
"""

from __future__ import annotations

import inspect
from typing import Final

VERSION: Final = "2024.12"

UNARY: Final = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_invert", "ceil", "cos",
    "cosh", "exp", "expm1", "floor", "isfinite", "isinf", "isnan", "log", "log1p", "log2",
    "log10", "logical_not", "negative", "positive", "reciprocal", "round", "sign", "signbit",
    "sin", "sinh", "square", "sqrt", "tan", "tanh", "trunc",
]  # fmt: skip

BINARY: Final = [
    "add", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "copysign", "divide", "equal", "floor_divide", "greater", "greater_equal",
    "hypot", "less", "less_equal", "logaddexp", "logical_and", "logical_or", "logical_xor",
    "maximum", "minimum", "multiply", "not_equal", "pow", "remainder", "subtract",
]  # fmt: skip

SIGNATURES: Final[dict[str, list[str]]] = {
    "creation": [
        "arange(start, /, stop=None, step=1, *, dtype=None, device=None)",
        "asarray(obj, /, *, dtype=None, device=None, copy=None)",
        "empty(shape, *, dtype=None, device=None)",
        "empty_like(x, /, *, dtype=None, device=None)",
        "eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None)",
        "from_dlpack(x, /, *, device=None, copy=None)",
        "full(shape, fill_value, *, dtype=None, device=None)",
        "full_like(x, /, fill_value, *, dtype=None, device=None)",
        "linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True)",
        "meshgrid(*arrays, indexing='xy')",
        "ones(shape, *, dtype=None, device=None)",
        "ones_like(x, /, *, dtype=None, device=None)",
        "tril(x, /, *, k=0)",
        "triu(x, /, *, k=0)",
        "zeros(shape, *, dtype=None, device=None)",
        "zeros_like(x, /, *, dtype=None, device=None)",
    ],
    "dtypes": [
        "astype(x, dtype, /, *, copy=True, device=None)",
        "can_cast(from_, to, /)",
        "finfo(type, /)",
        "iinfo(type, /)",
        "isdtype(dtype, kind)",
        "result_type(*arrays_and_dtypes)",
    ],
    "elementwise": [
        *(f"{name}(x, /)" for name in UNARY),
        *(f"{name}(x1, x2, /)" for name in BINARY),
        "clip(x, /, min=None, max=None)",
        "conj(x, /)",
        "imag(x, /)",
        "nextafter(x1, x2, /)",
        "real(x, /)",
    ],
    "indexing": [
        "take(x, indices, /, *, axis=None)",
        "take_along_axis(x, indices, /, *, axis=-1)",
    ],
    "inspection": ["__array_namespace_info__()"],
    "linear algebra": [
        "matmul(x1, x2, /)",
        "matrix_transpose(x, /)",
        "tensordot(x1, x2, /, *, axes=2)",
        "vecdot(x1, x2, /, *, axis=-1)",
    ],
    "manipulation": [
        "broadcast_arrays(*arrays)",
        "broadcast_to(x, /, shape)",
        "concat(arrays, /, *, axis=0)",
        "expand_dims(x, /, *, axis=0)",
        "flip(x, /, *, axis=None)",
        "moveaxis(x, source, destination, /)",
        "permute_dims(x, /, axes)",
        "repeat(x, repeats, /, *, axis=None)",
        "reshape(x, /, shape, *, copy=None)",
        "roll(x, /, shift, *, axis=None)",
        "squeeze(x, /, axis)",
        "stack(arrays, /, *, axis=0)",
        "tile(x, repetitions, /)",
        "unstack(x, /, *, axis=0)",
    ],
    "searching": [
        "argmax(x, /, *, axis=None, keepdims=False)",
        "argmin(x, /, *, axis=None, keepdims=False)",
        "count_nonzero(x, /, *, axis=None, keepdims=False)",
        "nonzero(x, /)",
        "searchsorted(x1, x2, /, *, side='left', sorter=None)",
        "where(condition, x1, x2, /)",
    ],
    "sets": [
        "unique_all(x, /)",
        "unique_counts(x, /)",
        "unique_inverse(x, /)",
        "unique_values(x, /)",
    ],
    "sorting": [
        "argsort(x, /, *, axis=-1, descending=False, stable=True)",
        "sort(x, /, *, axis=-1, descending=False, stable=True)",
    ],
    "statistics": [
        "cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False)",
        "cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False)",
        "max(x, /, *, axis=None, keepdims=False)",
        "mean(x, /, *, axis=None, keepdims=False)",
        "min(x, /, *, axis=None, keepdims=False)",
        "prod(x, /, *, axis=None, dtype=None, keepdims=False)",
        "std(x, /, *, axis=None, correction=0.0, keepdims=False)",
        "sum(x, /, *, axis=None, dtype=None, keepdims=False)",
        "var(x, /, *, axis=None, correction=0.0, keepdims=False)",
    ],
    "utility": [
        "all(x, /, *, axis=None, keepdims=False)",
        "any(x, /, *, axis=None, keepdims=False)",
        "diff(x, /, *, axis=-1, n=1, prepend=None, append=None)",
    ],
    "linalg": [
        "linalg.cholesky(x, /, *, upper=False)",
        "linalg.cross(x1, x2, /, *, axis=-1)",
        "linalg.det(x, /)",
        "linalg.diagonal(x, /, *, offset=0)",
        "linalg.eigh(x, /)",
        "linalg.eigvalsh(x, /)",
        "linalg.inv(x, /)",
        "linalg.matmul(x1, x2, /)",
        "linalg.matrix_norm(x, /, *, keepdims=False, ord='fro')",
        "linalg.matrix_power(x, n, /)",
        "linalg.matrix_rank(x, /, *, rtol=None)",
        "linalg.matrix_transpose(x, /)",
        "linalg.outer(x1, x2, /)",
        "linalg.pinv(x, /, *, rtol=None)",
        "linalg.qr(x, /, *, mode='reduced')",
        "linalg.slogdet(x, /)",
        "linalg.solve(x1, x2, /)",
        "linalg.svd(x, /, *, full_matrices=True)",
        "linalg.svdvals(x, /)",
        "linalg.tensordot(x1, x2, /, *, axes=2)",
        "linalg.trace(x, /, *, offset=0, dtype=None)",
        "linalg.vecdot(x1, x2, /, *, axis=-1)",
        "linalg.vector_norm(x, /, *, axis=None, keepdims=False, ord=2)",
    ],
}

OPERATORS: Final[dict[str, str]] = {
    "__abs__": "abs", "__neg__": "negative", "__pos__": "positive", "__invert__": "bitwise_invert",
    "__add__": "add", "__sub__": "subtract", "__mul__": "multiply", "__truediv__": "divide",
    "__floordiv__": "floor_divide", "__mod__": "remainder", "__pow__": "pow",
    "__matmul__": "matmul", "__and__": "bitwise_and", "__or__": "bitwise_or",
    "__xor__": "bitwise_xor", "__lshift__": "bitwise_left_shift",
    "__rshift__": "bitwise_right_shift", "__eq__": "equal", "__ne__": "not_equal",
    "__lt__": "less", "__le__": "less_equal", "__gt__": "greater", "__ge__": "greater_equal",
}  # fmt: skip
"""Operator methods and the function each is equal to."""

COMPARISONS: Final = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
UNARY_OPERATORS: Final = ("__abs__", "__neg__", "__pos__", "__invert__")
BINARY_OPERATORS: Final = tuple(n for n in OPERATORS if n not in UNARY_OPERATORS)
ARITHMETIC_OPERATORS: Final = tuple(n for n in BINARY_OPERATORS if n not in COMPARISONS)
"""The operators that also have a reflected and an in-place form."""

_BY_DATA = "the shape of its result depends on the data, and a trace has static shapes"
_COMPLEX = "the compiler has no complex dtypes"
_DECOMPOSITION = "no op for this decomposition; tracing it raises an error that says so"

UNSUPPORTED: Final[dict[str, str]] = {
    **dict.fromkeys(("nonzero", "unique_all", "unique_counts", "unique_inverse"), _BY_DATA),
    "unique_values": _BY_DATA,
    **dict.fromkeys(("conj", "imag", "real"), _COMPLEX),
    "nextafter": "no op steps to a neighbouring float; tracing it raises an error that says so",
    **{
        f"linalg.{name}": _DECOMPOSITION
        for name in ("eigh", "eigvalsh", "matrix_rank", "pinv", "qr", "svd", "svdvals")
    },
}
"""What of the standard is not claimed, and why."""


def name_of(signature: str) -> str:
    """`sum` of `sum(x, /)`."""
    return signature.partition("(")[0]


def parameters_of(signature: str) -> inspect.Signature:
    """The parameters that a line of the tables gives."""
    text = signature.partition("(")[2].removesuffix(")")
    return inspect.signature(eval(f"lambda {text}: None"))


ALL: Final[dict[str, inspect.Signature]] = {
    name_of(line): parameters_of(line) for lines in SIGNATURES.values() for line in lines
}
"""Every function of the standard's main namespace and of its extension `linalg`."""

CLAIMED: Final = tuple(name for name in ALL if name not in UNSUPPORTED)
