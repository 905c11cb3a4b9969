"""Tensor types."""

import numpy as np
import pytest
from tapeless.ir.errors import DTypeError
from tapeless.ir.types import BOOL, DTYPES, F32, F64, I64, Type, dtype_name


def test_a_type_knows_its_size():
    t = Type(F32, (3, 4))
    assert (t.rank, t.size, t.nbytes, str(t)) == (2, 12, 48, "f32[3,4]")
    scalar = Type(I64)
    assert (scalar.rank, scalar.size, scalar.nbytes, str(scalar)) == (0, 1, 8, "i64[]")
    assert Type(F64, (0, 5)).size == 0


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [(F32, (1, 0, 0)), (BOOL, (0, 1, 0)), (I64, (0, 0, 1)), (DTYPES["u8"], (0, 0, 1))],
)
def test_kinds(dtype, kinds):
    t = Type(dtype)
    assert (t.is_float, t.is_bool, t.is_integer) == kinds


def test_types_compare_by_dtype_and_shape():
    t = Type(F32, (2,))
    assert t == Type(np.dtype("float32"), (2,))
    assert t.with_dtype(F64) == Type(F64, (2,))
    assert t.with_shape((3,)) == Type(F32, (3,))
    assert len({t, Type(F32, (2,)), t.with_shape(())}) == 2


@pytest.mark.parametrize("name", DTYPES)
def test_names_of_dtypes(name):
    assert dtype_name(DTYPES[name]) == name


@pytest.mark.parametrize("dtype", ["c16", "f2", ">f4", "M8[s]", "U3", "O"])
def test_dtypes_the_ir_lacks(dtype):
    with pytest.raises(DTypeError, match="is not supported; use one of bool, int8, "):
        dtype_name(np.dtype(dtype))
