"""Numbers, arrays and attributes are written exactly and read back as the same bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tapeless.ir.errors import IRSyntaxError
from tapeless.ir.literals import (
    format_array,
    format_attr,
    format_scalar,
    format_slices,
    parse_array,
    parse_attr,
    parse_literal,
    parse_slices,
    to_scalar,
)
from tapeless.ir.tokens import Cursor, tokenize
from tapeless.ir.types import BOOL, DTYPES, F32, F64, I64, Type


def read_scalar(text, dtype):
    cursor = Cursor(text)
    scalar = to_scalar(cursor, parse_literal(cursor), dtype)
    assert cursor.token.kind == "end"
    return scalar


def assert_same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    nan = np.isnan(a) if a.dtype.kind == "f" else np.zeros(a.shape, bool)
    np.testing.assert_array_equal(nan, np.isnan(b) if a.dtype.kind == "f" else nan)
    assert np.where(nan, 0, a).tobytes() == np.where(nan, 0, b).tobytes()


@given(st.floats(width=64))
def test_doubles_are_exact(x):
    assert_same_bits(read_scalar(format_scalar(np.float64(x)), F64), np.float64(x))


@given(st.floats(width=32))
def test_singles_are_exact(x):
    assert_same_bits(read_scalar(format_scalar(np.float32(x)), F32), np.float32(x))


@given(st.integers(0, 2**32 - 1))
def test_singles_of_any_bits_are_exact_and_short(bits):
    x = np.array(bits, np.uint32).view(np.float32)[()]
    text = format_scalar(x)
    assert_same_bits(read_scalar(text, F32), x)
    assert len(text) <= len(repr(float(x)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.float64(0.1), "0.1"),
        (np.float32(1 / 3), "0.33333334"),
        (np.float32(1e20), "1e+20"),
        (np.float32(1e-45), "1e-45"),
        (np.float64(-0.0), "-0.0"),
        (np.float32(np.inf), "inf"),
        (np.float64(-np.inf), "-inf"),
        (np.float64(np.nan), "nan"),
        (np.array(2.5), "2.5"),
        (np.int8(-128), "-128"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.bool_(True), "true"),
        (np.array(False), "false"),
    ],
)
def test_spelling(value, text):
    assert format_scalar(value) == text
    assert_same_bits(read_scalar(text, value.dtype), value)


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind in "iu"], ids=str)
def test_integers_to_the_ends_of_their_range(dtype):
    info = np.iinfo(dtype)
    for value in (info.min, info.max):
        assert read_scalar(str(value), dtype) == value
    for value in (info.min - 1, info.max + 1):
        with pytest.raises(IRSyntaxError, match="does not fit"):
            read_scalar(str(value), dtype)


ARRAYS = st.sampled_from([F32, F64, I64, BOOL, DTYPES["u8"]]).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
    )
)


@given(ARRAYS)
def test_arrays_are_exact(array):
    cursor = Cursor(format_array(array))
    again = parse_array(cursor, Type(array.dtype, array.shape))
    if array.size > 64:
        assert again.tobytes() == np.ascontiguousarray(array).tobytes()
    else:
        assert_same_bits(again, array)
    assert cursor.token.kind == "end"


ATTRIBUTES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.floats(allow_nan=False),
        st.sampled_from(list(DTYPES.values())),
        st.from_regex(r"[A-Za-z_][\w.]*", fullmatch=True),
        st.sampled_from(["true", "f32", "None", "nan", "two words", "", "1x"]),
    ),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)


@given(ATTRIBUTES)
def test_attributes_read_back(value):
    cursor = Cursor(format_attr(value))
    again = parse_attr(cursor)
    assert again == value
    assert type(again) is type(value)
    assert cursor.token.kind == "end"


def test_numpy_integers_in_attributes_print_as_integers():
    assert format_attr((np.int64(3), 1.5, F32)) == "(3,1.5,f32)"


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(-1, 9), st.sampled_from([-3, -1, 1, 2])),
        max_size=4,
    ),
    st.booleans(),
)
def test_slices_read_back(parts, known):
    shape = tuple(range(7, 7 + len(parts))) if known else None
    text = f"{format_slices(tuple(parts), shape)}]"
    assert parse_slices(Cursor(text), "]", shape) == tuple(parts)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ((0, 5, 1), ":"),
        ((0, 5, 2), "::2"),
        ((4, -1, -1), "::-1"),
        ((0, 3, 1), "0:3"),
        ((3, -1, -2), "3:-1:-2"),
        ((2, 5, 1), "2:5"),
    ],
)
def test_slice_spelling(part, text):
    assert format_slices((part,), (5,)) == text


def test_tokens_know_where_they_are():
    found = [(t.kind, t.text, t.line, t.column) for t in tokenize("%a:\n  <- 1.5e3 # end")]
    assert found == [
        ("value", "%a", 1, 1),
        ("punct", ":", 1, 3),
        ("newline", "\n", 1, 4),
        ("punct", "<-", 2, 3),
        ("float", "1.5e3", 2, 6),
        ("comment", "# end", 2, 12),
        ("end", "", 2, 17),
    ]


def test_long_tokens_are_cut_in_messages():
    (token, _) = tokenize("x" * 100)
    assert str(token) == repr("x" * 37 + "...")
