"""P7. Result dtypes are those of NumPy 2, for every mix of arrays, 0-d arrays, NumPy scalars and
Python numbers."""

from __future__ import annotations

import itertools
import operator

import numpy as np
import pytest
import tapeless as tl
from conformance import run_traced
from tapeless.ir.types import DTYPES

ALL = list(DTYPES.values())
FORMS = {
    "array": lambda v: np.full(2, v),
    "0-d": lambda v: np.array(v),
    "scalar": lambda v: v,
}
PYTHON = [True, 3, 2.5]
ARITHMETIC = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    np.maximum, np.arctan2, operator.and_,
]  # fmt: skip
OPERATIONS = [*ARITHMETIC, operator.lt, operator.eq, lambda a, b: np.where(a > b, a, b)]


def operands(first):
    """Pairs of all dtypes and kinds of number, one of them of this dtype."""
    for second in ALL:
        for a, b in itertools.product(FORMS, FORMS):
            yield FORMS[a](first.type(1)), FORMS[b](second.type(1))
    for form, number in itertools.product(FORMS, PYTHON):
        yield FORMS[form](first.type(1)), number
        yield number, FORMS[form](first.type(1))


def is_refused(operation, a, b):
    """Comparing signed integers with u64, which no dtype holds both: NumPy compares the numbers."""
    dtypes = [getattr(x, "dtype", np.dtype(bool)) for x in (a, b)]
    compares = operation not in ARITHMETIC
    return compares and np.uint64 in dtypes and "i" in [dtype.kind for dtype in dtypes]


def by_numpy(operation, a, b):
    """NumPy's result; None where it raises, or gives a dtype that is not supported."""
    if is_refused(operation, a, b):
        return None
    try:
        found = np.asarray(operation(a, b))
    except (TypeError, OverflowError):
        return None
    return found if found.dtype in ALL else None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_result_dtypes_are_numpys(dtype):
    """All pairs of dtypes, all kinds of number, as they are traced, with their values."""
    for a, b in operands(dtype):
        expected = [by_numpy(operation, a, b) for operation in OPERATIONS]
        known = [op for op, e in zip(OPERATIONS, expected, strict=True) if e is not None]
        found = run_traced(lambda a, b, known=known: [op(a, b) for op in known], a, b)
        wanted = [e for e in expected if e is not None]
        for op, f, e in zip(known, found, wanted, strict=True):
            assert (f.dtype, f.shape) == (e.dtype, e.shape), (op, a, b)
            np.testing.assert_array_equal(f, e, err_msg=f"{op} {a!r} {b!r}")
        for operation in OPERATIONS:
            if operation not in known:
                with pytest.raises((TypeError, OverflowError)):
                    run_traced(operation, a, b)


MIXED = [np.bool_, np.int8, np.uint8, np.int32, np.int64, np.uint64, np.float32, np.float64]


def every_mix(*arrays):
    """One step that mixes everything, so that native code is compiled once."""
    for x, y in itertools.combinations_with_replacement(arrays, 2):
        yield x + y
        yield x * y
        yield x / y
        yield np.maximum(x, y)
        yield x < y if not is_refused(np.less, x, y) else x
    for x in arrays:
        yield x + True
        yield x * 3
        yield x / 2
        yield x * 2.5
        yield x + np.float32(0.5)
        yield x + np.float64(0.5)
        yield x + np.int32(7)
        yield x + np.uint8(7)
        yield np.sum(x)
        yield np.mean(x)
        yield np.max(x)
        yield np.exp(x) if x.dtype.itemsize > 1 else x
        yield np.sqrt(x) if x.dtype.itemsize > 1 else x


def test_native_result_dtypes_are_numpys():
    args = [np.arange(1, 4).astype(d) for d in MIXED]
    expected = list(every_mix(*args))
    found = tl.compile(lambda *a: list(every_mix(*a)))(*args)
    for a, e in zip(found, expected, strict=True):
        e = np.asarray(e)
        assert (a.dtype, a.shape) == (e.dtype, e.shape)
        rtol = 4 * np.finfo(e.dtype).eps if e.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, e, rtol=rtol)
