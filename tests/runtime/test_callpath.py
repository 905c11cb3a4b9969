"""The native entry and its Python form: same answers on everything odd that can be passed."""

from __future__ import annotations

import numpy as np
import pytest
from tapeless.runtime.callpath import Entry, Item, Reason, failure, native_entry
from tapeless.runtime.engine import compile_source
from tapeless.runtime.kernel import KernelSpec

F32, F64, I64 = (np.dtype(name) for name in ("f4", "f8", "i8"))
ITEMS = [
    Item(F32, (3, 4), slot=2, updated=True),
    Item(F64, (), slot=0),
    Item(I64, (0, 5), slot=1),
    Item(F32, (4,), slot=3),
]


def table(slots: int) -> np.ndarray:
    return np.zeros(slots, np.uintp)


class Subclass(np.ndarray):
    pass


def good() -> list[np.ndarray]:
    return [np.zeros((3, 4), F32), np.zeros((), F64), np.zeros((0, 5), I64), np.ones(4, F32)]


def replaced(index: int, value: object) -> tuple[object, ...]:
    arrays: list[object] = [*good()]
    arrays[index] = value
    return tuple(arrays)


def read_only() -> np.ndarray:
    array = np.zeros((3, 4), F32)
    array.flags.writeable = False
    return array


def misaligned() -> np.ndarray:
    return np.zeros(49, np.uint8)[1:].view(F32).reshape(3, 4)


def overlapping() -> tuple[object, ...]:
    arrays = good()
    arrays[3] = arrays[0][1]
    return tuple(arrays)


ODD = {
    "list": (replaced(0, [1.0]), Reason.TYPE, 0),
    "none": (replaced(1, None), Reason.TYPE, 1),
    "numpy scalar": (replaced(1, np.float64(1)), Reason.TYPE, 1),
    "subclass": (replaced(0, np.zeros((3, 4), F32).view(Subclass)), Reason.TYPE, 0),
    "matrix": (replaced(0, np.zeros((3, 4), F32).view(np.matrix)), Reason.TYPE, 0),
    "masked": (replaced(3, np.ma.masked_array(np.ones(4, F32))), Reason.TYPE, 3),
    "dtype": (replaced(0, np.zeros((3, 4), F64)), Reason.DTYPE, 0),
    "byte-swapped": (replaced(3, np.ones(4, ">f4")), Reason.DTYPE, 3),
    "structured": (replaced(3, np.ones(4, [("a", "f4")])), Reason.DTYPE, 3),
    "rank": (replaced(1, np.zeros(1, F64)), Reason.RANK, 1),
    "shape": (replaced(0, np.zeros((4, 3), F32)), Reason.SHAPE, 0),
    "empty shape": (replaced(2, np.zeros((5, 0), I64)), Reason.SHAPE, 2),
    "fortran": (replaced(0, np.zeros((3, 4), F32, order="F")), Reason.LAYOUT, 0),
    "strided": (replaced(3, np.ones(8, F32)[::2]), Reason.LAYOUT, 3),
    "reversed": (replaced(3, np.ones(4, F32)[::-1]), Reason.LAYOUT, 3),
    "misaligned": (replaced(0, misaligned()), Reason.LAYOUT, 0),
    "read-only": (replaced(0, read_only()), Reason.READ_ONLY, 0),
    "too few": (tuple(good()[:3]), Reason.COUNT, 0),
    "too many": ((*good(), np.ones(4, F32)), Reason.COUNT, 0),
}


def test_the_native_form_is_in_use_here():
    assert native_entry() is not None


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", ODD)
def test_odd_inputs_name_reason_and_item(name, native):
    arrays, reason, item = ODD[name]
    result = failure(Entry(ITEMS, table(4), 0, native=native)(arrays))
    assert (result.reason, result.item) == (reason, item)


@pytest.mark.parametrize("native", [True, False])
def test_a_good_call_fills_the_table(native):
    entry = Entry(ITEMS, table(5), 0, native=native)
    arrays = tuple(good())
    entry.table[4] = 77
    assert entry.is_native == native
    assert entry(arrays) == 0
    assert [int(entry.table[item.slot]) for item in ITEMS] == [a.ctypes.data for a in arrays]
    assert entry.table[4] == 77


@pytest.mark.parametrize("native", [True, False])
def test_overlap_names_both_arrays(native):
    result = failure(Entry(ITEMS, table(4), 0, native=native)(overlapping()))
    assert (result.reason, result.item, result.other) == (Reason.OVERLAP, 0, 3)


@pytest.mark.parametrize("native", [True, False])
def test_overlap_among_read_only_arrays_is_fine(native):
    items = [Item(F32, (4,), 0), Item(F32, (4,), 1), Item(F32, (2,), 2, updated=True)]
    base = np.zeros(10, F32)
    entry = Entry(items, table(3), 0, native=native)
    assert entry((base[:4], base[2:6], base[6:8])) == 0  # neighbours do not overlap
    assert failure(entry((base[:4], base[2:6], base[5:7]))).reason == Reason.OVERLAP


@pytest.mark.parametrize("native", [True, False])
def test_empty_updated_arrays_never_overlap(native):
    base = np.zeros((2, 3), F32)
    items = [Item(F32, (0, 3), 0, updated=True), Item(F32, (2, 3), 1)]
    assert Entry(items, table(2), 0, native=native)((base[1:1], base)) == 0


@pytest.mark.parametrize("native", [True, False])
def test_read_only_inputs_that_are_not_updated_pass(native):
    arrays = good()
    arrays[3].flags.writeable = False
    assert Entry(ITEMS, table(4), 0, native=native)(tuple(arrays)) == 0


@pytest.mark.parametrize("native", [True, False])
def test_the_step_runs_only_after_every_check_and_its_status_comes_back(native):
    source = '''"""Adds one; fails on a negative first element."""
from tapeless.runtime.kernel import *


def k0(x0):
    if x0[0] < f32(0.0):
        return 1
    return 0


def k1(x0, n0):
    for i in range(n0):
        x0[i] += f32(1.0)


def step(t):
    if k0(f32_at(t, 0)):
        return 3
    k1(f32_at(t, 0), 4)
    return 0
'''
    specs = [KernelSpec("k0", ("f32",)), KernelSpec("k1", ("f32",), 1)]
    module = compile_source(source, specs)
    entry = Entry([Item(F32, (4,), 0, updated=True)], table(1), module.address, native=native)
    x = np.zeros(4, F32)
    assert entry((x,)) == 0
    assert entry((x[::-1],)) < 0
    np.testing.assert_array_equal(x, 1)
    x[0] = -1
    assert entry((x,)) == 3
