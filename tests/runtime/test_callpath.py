"""The native form of a call and its Python form: the same answers on everything that can be
passed."""

from __future__ import annotations

import ctypes
import gc
import itertools
import random
import sys
import types
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from tapeless.runtime.callpath import (
    MISS,
    Array,
    Entry,
    Group,
    Item,
    Number,
    Parameters,
    Target,
)
from tapeless.runtime.callpath_python import Reason

F32, F64, I64 = (np.dtype(name) for name in ("f4", "f8", "i8"))
ITEMS = [
    Item(F32, (3, 4), slot=2, updated=True),
    Item(F64, (), slot=0),
    Item(I64, (0, 5), slot=1),
    Item(F32, (4,), slot=3),
]
FORMS = [Array(k) for k in range(4)]
STEP = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
FORMS_OF = pytest.mark.parametrize("native", [True, False])


class Checked:
    """An entry whose step only looks at the table: where arguments lie, and the bytes there."""

    def __init__(self, forms, items, native):
        self.native, self.items = native, items
        self.step = STEP(self.look)
        address = ctypes.cast(self.step, ctypes.c_void_p).value
        target = Target(address, np.full(len(items) + 1, 77, np.uintp), self.step)
        self.entry = Entry(forms, items, [], target, native=native)

    def look(self, table):
        self.table = list((ctypes.c_int64 * (len(self.items) + 1)).from_address(table))
        places = [self.table[item.slot] for item in self.items]
        self.bytes = [
            ctypes.string_at(at, item.nbytes) for at, item in zip(places, self.items, strict=True)
        ]
        return 0

    def reason(self, *arguments):
        return -self.entry.run((), *arguments)


class Stepped:
    """An entry of a step written in Python, which has these statuses one after the other."""

    def __init__(self, forms, items, outputs, statuses=(0,), native=True, returns="all"):
        statuses, slots = itertools.cycle(statuses), len(items) + len(outputs)
        self.runs = 0

        def body(table):
            self.runs += 1
            self.table = list((ctypes.c_int64 * slots).from_address(table))
            return next(statuses)

        self.function = STEP(body)
        address = ctypes.cast(self.function, ctypes.c_void_p).value
        target = Target(address, np.zeros(slots, np.uintp), self.function)
        self.entry = Entry(forms, items, outputs, target, native=native, returns=returns)


class Subclass(np.ndarray):
    pass


def good():
    return [np.zeros((3, 4), F32), np.zeros((), F64), np.zeros((0, 5), I64), np.ones(4, F32)]


def replaced(index, value):
    arrays = [*good()]
    arrays[index] = value
    return tuple(arrays)


def read_only():
    array = np.zeros((3, 4), F32)
    array.flags.writeable = False
    return array


def misaligned():
    return np.zeros(49, np.uint8)[1:].view(F32).reshape(3, 4)


def overlapping(index):
    arrays = good()
    arrays[3] = arrays[0].reshape(12)[index : index + 4]
    return tuple(arrays)


ODD = {
    "list": (replaced(0, [1.0]), Reason.TYPE),
    "none": (replaced(1, None), Reason.TYPE),
    "numpy scalar": (replaced(1, np.float64(1)), Reason.TYPE),
    "subclass": (replaced(0, np.zeros((3, 4), F32).view(Subclass)), Reason.TYPE),
    "matrix": (replaced(0, np.zeros((3, 4), F32).view(np.matrix)), Reason.TYPE),
    "masked": (replaced(3, np.ma.masked_array(np.ones(4, F32))), Reason.TYPE),
    "dtype": (replaced(0, np.zeros((3, 4), F64)), Reason.DTYPE),
    "byte-swapped": (replaced(3, np.ones(4, ">f4")), Reason.DTYPE),
    "structured": (replaced(3, np.ones(4, [("a", "f4")])), Reason.DTYPE),
    "rank": (replaced(1, np.zeros(1, F64)), Reason.RANK),
    "shape": (replaced(0, np.zeros((4, 3), F32)), Reason.SHAPE),
    "empty shape": (replaced(2, np.zeros((5, 0), I64)), Reason.SHAPE),
    "fortran": (replaced(0, np.zeros((3, 4), F32, order="F")), Reason.LAYOUT),
    "strided": (replaced(3, np.ones(8, F32)[::2]), Reason.LAYOUT),
    "reversed": (replaced(3, np.ones(4, F32)[::-1]), Reason.LAYOUT),
    "misaligned": (replaced(0, misaligned()), Reason.LAYOUT),
    "read-only": (replaced(0, read_only()), Reason.READ_ONLY),
    "too few": (tuple(good()[:3]), Reason.COUNT),
    "too many": ((*good(), np.ones(4, F32)), Reason.COUNT),
    "overlap at the start": (overlapping(0), Reason.OVERLAP),
    "overlap at the end": (overlapping(8), Reason.OVERLAP),
}


def test_the_native_form_is_in_use_here():
    entry = Checked(FORMS, ITEMS, native=True).entry
    assert entry.is_native
    assert {type(f) for f in (entry.call, entry.run, entry.outputs)} == {types.BuiltinFunctionType}


@FORMS_OF
@pytest.mark.parametrize("name", ODD)
def test_odd_arrays_name_the_reason(name, native):
    arguments, reason = ODD[name]
    assert Checked(FORMS, ITEMS, native).reason(*arguments) == reason


@FORMS_OF
def test_a_good_call_fills_the_table(native):
    checked = Checked(FORMS, ITEMS, native)
    arrays = good()
    assert checked.reason(*arrays) == 0
    assert [checked.table[item.slot] for item in ITEMS] == [a.ctypes.data for a in arrays]
    assert checked.table[4] == 77


@FORMS_OF
def test_overlap_among_read_only_arrays_is_fine(native):
    items = [Item(F32, (4,), 0), Item(F32, (4,), 1), Item(F32, (2,), 2, updated=True)]
    base = np.zeros(10, F32)
    reason = Checked(FORMS[:3], items, native).reason
    assert reason(base[:4], base[2:6], base[6:8]) == 0  # neighbours do not overlap
    assert reason(base[:4], base[2:6], base[5:7]) == Reason.OVERLAP
    assert reason(base[:4], base[:4], base[8:]) == 0


@FORMS_OF
def test_empty_updated_arrays_never_overlap(native):
    base = np.zeros((2, 3), F32)
    items = [Item(F32, (0, 3), 0, updated=True), Item(F32, (2, 3), 1)]
    assert Checked(FORMS[:2], items, native).reason(base[1:1], base) == 0


@FORMS_OF
def test_read_only_inputs_that_are_not_updated_pass(native):
    arrays = good()
    arrays[3].flags.writeable = False
    assert Checked(FORMS, ITEMS, native).reason(*arrays) == 0


def test_arrays_at_random_places_overlap_in_both_forms_or_in_none():
    """From call to call the arrays change their order in memory, and some are one."""
    pick = random.Random(0)
    items = [Item(F32, (n,), k, updated=k < 3) for k, n in enumerate((3, 1, 0, 4, 2, 5, 1))]
    forms = [Array(k) for k in range(7)]
    native, python = (Checked(forms, items, native) for native in (True, False))
    base, seen = np.zeros(120, F32), []
    for _ in range(600):
        starts = [pick.randrange(0, 115) for _ in items]
        arrays = [base[s : s + item.shape[0]] for s, item in zip(starts, items, strict=True)]
        expected = python.reason(*arrays)
        assert native.reason(*arrays) == expected
        seen.append(expected)
    assert 100 < seen.count(0) < 500 and set(seen) == {0, Reason.OVERLAP}


Pair = namedtuple("Pair", "left right")
NAMES = "W", "b"
GROUPS = [
    Group(dict, (Array(0), Group(list, (Array(1), Group(type(None))))), NAMES),
    Group(Pair, (Array(2), Group(dict, (Array(3),), ("a key",)))),
    Group(tuple),
]


def grouped():
    a, b, c, d = good()
    return {"W": a, "b": [b, None]}, Pair(c, {"a key": d}), ()


def changed(number, change):
    arguments = [*grouped()]
    arguments[number] = change(arguments[number])
    return tuple(arguments)


class Text(str):
    pass


class Keys(dict):
    pass


A, B, C, D = good()
STRUCTURES = {
    "as it is": (grouped(), 0),
    "equal keys": (changed(0, lambda p: {"".join(["W"]): A, "b": [B, None]}), 0),
    "order": (changed(0, lambda p: {"b": [B, None], "W": A}), Reason.KEYS),
    "missing": (changed(0, lambda p: {"W": A}), Reason.KEYS),
    "more": (changed(0, lambda p: p | {"c": A}), Reason.KEYS),
    "other key": (changed(0, lambda p: {"W": A, "c": [B, None]}), Reason.KEYS),
    "other text": (changed(1, lambda p: Pair(C, {"b key": D})), Reason.KEYS),
    "no text": (changed(0, lambda p: {"W": A, 1: [B, None]}), Reason.KEYS),
    "text of a class": (changed(0, lambda p: {Text("W"): A, "b": [B, None]}), Reason.KEYS),
    "dict of a class": (changed(0, lambda p: Keys(p)), Reason.TYPE),
    "ordered": (changed(0, lambda p: OrderedDict(p)), Reason.TYPE),
    "tuple for list": (changed(0, lambda p: {"W": A, "b": (B, None)}), Reason.TYPE),
    "short list": (changed(0, lambda p: {"W": A, "b": [B]}), Reason.KEYS),
    "long list": (changed(0, lambda p: {"W": A, "b": [B, None, None]}), Reason.KEYS),
    "no none": (changed(0, lambda p: {"W": A, "b": [B, 0]}), Reason.TYPE),
    "plain tuple": (changed(1, tuple), Reason.TYPE),
    "filled": (changed(2, lambda p: (A,)), Reason.KEYS),
    "deep": (changed(1, lambda p: Pair(C, {"a key": D[:2]})), Reason.SHAPE),
    "count": (grouped()[:2], Reason.COUNT),
}


@FORMS_OF
@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name, native):
    arguments, reason = STRUCTURES[name]
    assert Checked(GROUPS, ITEMS, native).reason(*arguments) == reason


class Odd(float):
    pass


KINDS = [bool, int, float, *(np.dtype(code).type for code in "?bhilBHILfd")]
VALUES = [
    True, False, 0, 7, -1, 2**62, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**30, 0.5, -0.0,
    1e308, float("nan"), float("-inf"), Odd(2.0), np.array(1.0), np.array(1), None, "1", 1j, [1.0],
    *(np.dtype(code).type(3) for code in "?bhilBHILfd"), np.float16(1), np.longdouble(1),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_numbers_have_the_value_that_numpy_gives_them(kind):
    dtype = np.dtype(kind)
    limits = (-5, 7) if kind is int else ()
    for form in (Number(0, kind), Number(0, kind, *limits)):
        both = [Checked([form], [Item(dtype, (), 0)], native) for native in (True, False)]
        passed = 0
        for value in VALUES:
            reasons = [checked.reason(value) for checked in both]
            assert reasons[0] == reasons[1], value
            if reasons[0] == 0:
                passed += 1
                expected = np.array(value, dtype).tobytes()
                assert both[0].bytes == both[1].bytes == [expected]
        assert passed >= 1


OUTPUTS = [Item(F32, (2, 3), 4), Item(I64, (), 5), Item(np.dtype(bool), (0, 2), 6)]


@FORMS_OF
def test_outputs_are_fresh_arrays_of_their_types(native):
    stepped = Stepped(FORMS, ITEMS, OUTPUTS, native=native)
    arguments = good()
    first, second = stepped.entry.call(*arguments), stepped.entry.call(*arguments)
    assert type(first) is tuple and stepped.runs == 2
    for x, item in zip(first, OUTPUTS, strict=True):
        assert type(x) is np.ndarray and (x.shape, x.dtype) == (item.shape, item.dtype)
        assert x.flags.owndata and x.flags.writeable and x.flags.c_contiguous and x.base is None
    assert not any(np.shares_memory(x, y) for x, y in zip(first, second, strict=True))
    assert [stepped.table[item.slot] for item in OUTPUTS] == [x.ctypes.data for x in second]


@FORMS_OF
def test_what_a_call_returns(native):
    def call(outputs, returns, statuses=(0,)):
        entry = Stepped(FORMS, ITEMS, outputs, statuses, native, returns).entry
        return entry.call(*good())

    assert call(OUTPUTS[:1], "only").shape == (2, 3)
    assert len(call(OUTPUTS[:1], "all")) == 1 and call([], "all") == ()
    assert call([], "none") is None
    assert call(OUTPUTS, "all", [3]) is MISS and call([], "none", [3]) is MISS


@FORMS_OF
def test_a_refused_call_does_not_run_and_a_status_comes_back(native):
    stepped = Stepped(FORMS, ITEMS, OUTPUTS, [0, 5], native)
    entry, outputs = stepped.entry, stepped.entry.outputs()
    assert entry.call(*good()[:3]) is MISS
    assert entry.run(outputs, *overlapping(1)) == -Reason.OVERLAP
    assert stepped.runs == 0
    assert [entry.run(outputs, *good()) for _ in range(3)] == [0, 5, 0]
    done = []
    assert entry.commit(lambda: done.append(1), outputs, *good()) == 5
    assert entry.commit(lambda: done.append(1), outputs, *good()[:1]) == -Reason.COUNT
    assert entry.commit(lambda: done.append(1), outputs, *good()) == 0 and done == [1]


@FORMS_OF
def test_arguments_come_by_position_and_by_name(native):
    """Positional only, both, and by name only."""
    names = ("a", "b", "c", "d")
    entry = Entry(
        [Number(k, float) for k in range(4)],
        [Item(F64, (), k) for k in range(4)],
        [],
        Target(0, np.zeros(4, np.uintp)),
        returns="none",
        parameters=Parameters(names, 1, 3),
        native=native,
    )

    def runs(*arguments, **named):
        return entry.call(*arguments, **named) is None

    for n in range(1, 4):
        for order in itertools.permutations(range(n, 4)):
            assert runs(*[float(k) for k in range(n)], **{names[k]: float(k) for k in order})
    assert not runs(1.0, 2.0, 3.0, 4.0)
    assert not runs(a=1.0, b=2.0, c=3.0, d=4.0)
    assert not runs(1.0, 2.0, 3.0) and not runs() and not runs(1.0, 2.0, 3.0, d=4)
    assert not runs(1.0, 2.0, b=3.0, d=4.0) and not runs(1.0, 2.0, 3.0, e=4.0)
    assert not runs(1.0, 2.0, 3.0, d=4.0, c=3.0)
    assert runs(1.0, 2.0, **{"".join(["", "d"]): 4.0, Text("c"): 3.0})


@FORMS_OF
@pytest.mark.parametrize("huge", [[0], [0, 1], [1]])
def test_no_memory_for_outputs_is_a_memory_error_before_the_step_runs(native, huge):
    outputs = [Item(F64, (2**44,) if k in huge else (3,), 4 + k) for k in range(2)]
    stepped = Stepped(FORMS, ITEMS, outputs, native=native)
    arguments = good()
    gc.collect()
    counts = [sys.getrefcount(x) for x in (*arguments, F64)]
    for _ in range(100):
        with pytest.raises(MemoryError):
            stepped.entry.call(*arguments)
        with pytest.raises(MemoryError):
            stepped.entry.outputs()
    assert stepped.runs == 0
    gc.collect()
    now = [sys.getrefcount(x) for x in (*arguments, F64)]
    assert max(abs(a - b) for a, b in zip(now, counts, strict=True)) < 50  # others use the dtype


def test_references_are_balanced_and_nothing_stays_allocated():
    """Calls that run, that are refused, and whose step fails."""
    p = {"W": np.zeros((3, 4), F32), "b": [np.zeros((), F64), None]}
    rest = Pair(np.zeros((0, 5), I64), {"a key": np.ones(4, F32)}), (), 1.5, 10**12
    forms = [*GROUPS, Number(4, float), Number(5, int)]
    items = [*ITEMS, Item(F64, (), 7), Item(I64, (), 8)]
    outputs = [*OUTPUTS, Item(F32, (700,), 9)]
    entry = Stepped(forms, items, outputs, [0, 0, 1]).entry
    counted = [
        MISS, None, np.ndarray, F32, F64, I64, float, int, Pair, p, *p, *p.values(), p["b"][0],
        *rest, *rest[0], *rest[0][1],
    ]  # fmt: skip

    def rounds(count):
        for k in range(count):
            assert (entry.call(p, *rest) is MISS) == (k % 3 == 2)
            assert entry.call(p) is MISS
            assert entry.run(entry.outputs(), p, None) == -Reason.COUNT

    rounds(300)
    gc.collect()
    before, blocks = [sys.getrefcount(x) for x in counted], sys.getallocatedblocks()
    rounds(9999)
    gc.collect()
    after = [sys.getrefcount(x) for x in counted]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 30  # None: others use it
    assert sys.getallocatedblocks() - blocks < 100
    output = entry.call(p, *rest)[0]
    alone = np.zeros(())
    assert sys.getrefcount(output) == sys.getrefcount(alone)


def test_a_call_keeps_what_it_needs():
    """The keys, the table, the step, the machine code: nobody else holds them here."""
    keys = tuple("".join(["key", str(k)]) for k in range(3))
    forms = [Group(dict, tuple(Array(k) for k in range(3)), keys)]
    items = [Item(F32, (4,), k) for k in range(3)]
    call = Stepped(forms, items, [Item(F32, (2,), 3)]).entry.call
    del forms, items, keys
    gc.collect()
    assert len(call({f"key{k}": np.ones(4, F32) for k in range(3)})) == 1
