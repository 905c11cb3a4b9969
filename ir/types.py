"""Tensor types: a dtype and a static shape, written `f32[784,128]`."""

from __future__ import annotations

import math

import numpy as np

from . import errors
from .record import dataclass

DTYPES: dict[str, np.dtype] = {
    "bool": np.dtype(np.bool_),
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "u8": np.dtype(np.uint8),
    "u16": np.dtype(np.uint16),
    "u32": np.dtype(np.uint32),
    "u64": np.dtype(np.uint64),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

BOOL, I32, I64 = DTYPES["bool"], DTYPES["i32"], DTYPES["i64"]
F32, F64 = DTYPES["f32"], DTYPES["f64"]

MAX_RANK = 16


def dtype_name(dtype: np.dtype) -> str:
    """The IR's short name of a dtype, `f32`; DTypeError for one the IR does not have."""
    try:
        return _NAMES[dtype]
    except KeyError:
        raise errors.DTypeError(
            f"dtype {dtype} is not supported; use one of {', '.join(map(str, _NAMES))}"
        ) from None


@dataclass(frozen=True, slots=True)
class Type:
    """The type of an IR value: dtype and shape (a tuple of non-negative ints)."""

    dtype: np.dtype
    shape: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def is_float(self) -> bool:
        return self.dtype.kind == "f"

    @property
    def is_bool(self) -> bool:
        return self.dtype.kind == "b"

    @property
    def is_integer(self) -> bool:
        return self.dtype.kind in "iu"

    def with_dtype(self, dtype: np.dtype) -> Type:
        return Type(dtype, self.shape)

    def with_shape(self, shape: tuple[int, ...]) -> Type:
        return Type(self.dtype, shape)

    def __str__(self) -> str:
        return f"{dtype_name(self.dtype)}[{','.join(map(str, self.shape))}]"
