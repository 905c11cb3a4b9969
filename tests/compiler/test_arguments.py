import numpy as np
import pytest
from tapeless.compiler import arguments
from tapeless.compiler.arguments import Parameter
from tapeless.ir.errors import AliasError, ReadOnlyError, ScalarRangeError

F64 = np.dtype(np.float64)
W, X = Parameter("p['W']", True, F64), Parameter("x", False, F64)


def test_overlap_of_an_updated_argument_is_an_error_naming_both():
    base = np.zeros(6)
    with pytest.raises(AliasError, match=r"argument p\['W'\] is updated .* argument x in memory"):
        arguments.check((X, W), (base[2:], base[:3]))


def test_overlap_of_read_arguments_is_fine():
    base = np.zeros(6)
    arguments.check((X, X), (base, base))


@pytest.mark.parametrize("size", [6, 0])
def test_disjoint_parts_of_one_array_are_fine(size):
    base = np.zeros(size)
    arguments.check((W, X), (base[::2], base[1::2]))
    arguments.check((W, X, X), (np.zeros(3), base, 1.0))


def test_a_read_only_updated_argument_is_an_error():
    array = np.zeros(3)
    array.flags.writeable = False
    with pytest.raises(ReadOnlyError, match=r"p\['W'\] is updated .* read-only"):
        arguments.check((W,), (array,))
    arguments.check((X,), (array,))


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1])
def test_an_int_out_of_range_is_an_error(value):
    ranges = ((1, np.dtype(np.int32)),)
    arguments.check_ranges(ranges, (W, X), (np.zeros(1), 2**31 - 1))
    with pytest.raises(ScalarRangeError, match=f"argument x: Python integer {value}"):
        arguments.check_ranges(ranges, (W, X), (np.zeros(1), value))


def unaligned():
    return np.frombuffer(bytes(33), np.uint8)[1:].view(np.float64)


class Sub(np.ndarray):
    pass


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0)[::2],
        np.arange(6.0).reshape(2, 3).T,
        np.arange(3.0)[::-1],
        unaligned(),
        np.zeros(3).view(Sub),
        np.zeros(()).view(Sub),
        np.zeros(3, np.dtype(np.float64, metadata={"unit": "m"})),
    ],
)
def test_odd_arrays_become_plain_copies(array):
    made = arguments.plain(X, array)
    assert type(made) is np.ndarray and made.dtype is F64
    assert made.flags.c_contiguous and made.flags.aligned
    assert made.shape == array.shape
    np.testing.assert_array_equal(made, array)


def test_plain_arrays_and_numbers_pass():
    array = np.zeros((2, 3))
    assert arguments.plain(X, array) is array
    assert arguments.plain(X, 1.5) == 1.5


def test_copies_of_updated_arguments_are_written_back():
    base = np.zeros(6)
    odd, read = base[::2], np.zeros(4)[::2]
    used = [arguments.plain(W, odd), arguments.plain(X, read)]
    for array in used:
        array += 1
    arguments.restore((odd, read), used, (W, X))
    assert base.tolist() == [1, 0, 1, 0, 1, 0]
    assert read.tolist() == [0, 0]
