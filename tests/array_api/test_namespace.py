"""What the namespace has: signatures, constants, dtypes, inspection, conversion, creation."""

import inspect
import math
import operator

import numpy as np
import pytest
from tapeless import errors

from array_api import execution, standard
from array_api import namespace as xp
from array_api.array import Array
from array_api.test_values import assert_same, lifted, looked_up


@pytest.mark.parametrize("name", standard.CLAIMED)
def test_signature(name: str) -> None:
    function = looked_up(name)
    found = inspect.signature(function).parameters.values()
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in found]
    assert bare == [*standard.ALL[name].parameters.values()]
    assert function.__name__ == name.removeprefix("linalg.")


@pytest.mark.parametrize("name", standard.UNSUPPORTED)
def test_what_is_not_claimed_is_absent_and_refused_by_a_trace(name: str) -> None:
    with pytest.raises(AttributeError):
        looked_up(name)
    if name in ("conj", "real", "imag"):
        return  # they trace: of real numbers they are the number itself, or 0
    operands = [np.eye(2)] * (2 if name == "nextafter" else 1)
    with pytest.raises(
        (errors.UnsupportedError, errors.TraceError), match=r"instead|write|use|compute"
    ):
        execution.run(xp.target(name), tuple(map(Array, operands)), {})


def test_constants() -> None:
    assert (xp.e, xp.pi, xp.inf, xp.newaxis) == (math.e, math.pi, math.inf, None)
    assert math.isnan(xp.nan)


def test_inspection() -> None:
    info = xp.__array_namespace_info__()
    assert info.default_device() in info.devices()
    assert set(info.capabilities()) == {
        "boolean indexing", "data-dependent shapes", "max dimensions"
    }  # fmt: skip
    assert info.default_dtypes()["real floating"] == xp.float64 == xp.asarray(1.0).dtype
    assert info.default_dtypes()["integral"] == xp.int64 == xp.asarray(1).dtype
    assert info.default_dtypes()["indexing"] == xp.argmax(xp.asarray([1.0])).dtype
    assert set(info.dtypes(kind="signed integer")) == {"int8", "int16", "int32", "int64"}
    assert all(getattr(xp, name) == dtype for name, dtype in info.dtypes().items())


def test_dtypes() -> None:
    assert (xp.finfo(xp.float32).bits, xp.finfo(xp.asarray([1.0])).bits) == (32, 64)
    assert (xp.iinfo(xp.int8).max, xp.iinfo(xp.asarray([1])).max) == (127, 2**63 - 1)
    assert xp.isdtype(xp.int32, ("integral", "bool"))
    assert not xp.isdtype(xp.float32, "integral")
    assert xp.can_cast(xp.int8, xp.int16)
    assert not xp.can_cast(xp.asarray([1.0]), xp.float32)


def test_arrays_from_elsewhere() -> None:
    x = xp.asarray([[1, 2], [3, 4]])
    assert_same(xp.from_dlpack(x), np.array([[1, 2], [3, 4]]), 0)
    assert xp.asarray(x) is x
    with pytest.raises(ValueError, match="copy"):
        xp.asarray(x, dtype=xp.float32, copy=False)
    copied = xp.asarray(x, copy=True)
    copied[0, 0] = 9
    assert int(x[0, 0]) == 1
    assert xp.asarray(x, dtype=xp.float32).dtype == xp.float32
    made = xp.empty((2, 3), dtype=xp.int8)
    assert (made.shape, made.dtype) == ((2, 3), xp.int8)
    assert (xp.empty_like(made).shape, xp.empty_like(made).dtype) == ((2, 3), xp.int8)


def test_devices() -> None:
    x = xp.asarray(1.0)
    assert x.to_device("cpu") is x
    with pytest.raises(ValueError, match="cpu"):
        xp.zeros(3, device="gpu")
    assert x.__array_namespace__(api_version="2023.12") is xp
    with pytest.raises(ValueError, match="version"):
        x.__array_namespace__(api_version="1999.01")


@pytest.mark.parametrize(
    "convert", [bool, int, float, complex, operator.index], ids=lambda f: f.__name__
)
def test_python_numbers(convert) -> None:
    assert convert(xp.asarray(3)) == convert(3)
    with pytest.raises(TypeError, match="not a number"):
        convert(xp.asarray([1, 2]))


# --- indexing ----------------------------------------------------------------------------------

INDICES = [
    0, -1, slice(None), slice(1, None), slice(None, None, -1), slice(-1, -4, -2), slice(5, 9),
    slice(2, 1), ..., None, (), (0, 1), (slice(None), -1), (..., 0), (0, ...), (None, 0, ..., None),
    (slice(0, 2), slice(None, None, 2)), (slice(None, None, -2), None, 1),
]  # fmt: skip


@pytest.mark.parametrize("key", INDICES, ids=str)
def test_reading(key) -> None:
    x = np.arange(12).reshape(3, 4)
    assert_same(lifted(x)[key], x[key], 0)


@pytest.mark.parametrize("key", INDICES, ids=str)
def test_writing(key) -> None:
    x = np.arange(12.0).reshape(3, 4)
    written = lifted(x)
    written[key] = xp.asarray(-1.0)
    x[key] = -1.0
    assert_same(written, x, 0)


def test_masks() -> None:
    x = np.arange(12.0).reshape(3, 4)
    mask = x % 3 == 0
    assert_same(lifted(x)[lifted(mask)], x[mask], 0)
    written = lifted(x)
    written[lifted(mask)] = 7.0
    x[mask] = 7.0
    assert_same(written, x, 0)


def test_integer_arrays() -> None:
    x = np.arange(12.0).reshape(3, 4)
    rows, columns = np.array([0, -1, 2]), np.array([1, 1, 3])
    assert_same(lifted(x)[lifted(rows), lifted(columns)], x[rows, columns], 0)
    assert_same(lifted(x)[lifted(rows), ...], x[rows, ...], 0)


@pytest.mark.parametrize("key", [3, -4, (0, 4), (0, 0, 0)], ids=str)
def test_out_of_bounds(key) -> None:
    with pytest.raises(IndexError):
        xp.zeros((3, 4))[key]
