"""The routines that sort, against NumPy's stable sort, bit by bit; on processors with other
registers too."""

import ctypes
from functools import cache

import numpy as np
import pytest
from llvmlite import binding as llvm
from processors import PROCESSORS, RUNNABLE, machine_for
from tapeless.ir.types import DTYPES, dtype_name
from tapeless.runtime.kernel import SORT_ROUTINES, SORT_SCRATCH, VOCABULARY, routine_symbol
from tapeless.runtime.loading import assemble, link
from tapeless.runtime.sort_networks import Keys, comparators
from tapeless.runtime.sort_routines import sort_text
from tapeless.runtime.spec import LIBRARIES

LENGTHS = [*range(20), 31, 32, 33, 63, 64, 65, 127, 129, 255, 257, 300, 2500]
FEW = "%twice = shl i64 %log, 1"
GUARD = 16
ROWS = [
    *(("host", name, "sorted") for name in DTYPES),
    *(("host", name, "argsorted") for name in ("u8", "i32", "f32", "u64", "f64")),
    *((name, t, "sorted") for name in RUNNABLE if name != "host" for t in ("i32", "f64")),
    *((name, "f64", "argsorted") for name in RUNNABLE if name != "host"),
]
PLACES = [
    *(("host", name) for name in ("bool", "i32", "f32", "u64", "f64")),
    *((name, "f32") for name in RUNNABLE if name != "host"),
]


@cache
def functions(name, library, dtype, tries=FEW):
    text = sort_text(RUNNABLE[name], library, dtype)
    assert FEW in text
    text = text.replace(FEW, tries)
    if name == "host":
        image = assemble(text, None)
    else:
        image = machine_for(name).emit_object(llvm.parse_assembly(text))
    words = LIBRARIES[library]
    linked = link([image], [routine_symbol(word, dtype) for word in words], {})
    kinds = {"i": ctypes.c_int64, "p": ctypes.c_void_p, "o": ctypes.c_void_p}
    found = []
    for word in words:
        kind = ctypes.CFUNCTYPE(None, *(kinds[letter] for letter in SORT_ROUTINES[word]))
        found.append(kind(linked.addresses[routine_symbol(word, dtype)]))
        found[-1].machine_code = linked
    return found


def arrays(dtype, n, seed=0):
    """Ordinary ones, few distinct ones, corner values, and such as differ in their last bits, or
    lie far apart."""
    rng = np.random.default_rng([seed, n])
    if dtype.kind == "b":
        return [rng.random(n) < 0.5]
    if dtype.kind == "f":
        corners = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 5e-324], dtype)
        corners = np.append(corners, -corners[2])  # a NaN with its sign set
        payload = f"u{dtype.itemsize}"
        corners = np.append(corners, (corners[2:3].view(payload) + 5).astype(payload).view(dtype))
        near = 1 + rng.integers(0, 60, n) * np.finfo(dtype).eps
        ordinary = rng.standard_normal(n)
        far, few = np.append(-1e30, near)[:n], rng.integers(0, 3, n)
        found = [ordinary, rng.choice(corners, n), near, far, few, np.sort(ordinary)[::-1]]
    else:
        info = np.iinfo(dtype)
        ordinary = rng.integers(info.min, info.max, n, dtype=dtype, endpoint=True)
        corners = rng.choice(np.array([info.min, info.max, 0, 1], dtype), n)
        ends = np.array([info.min, info.max], dtype)
        near = np.append(ends, rng.integers(0, 90, n).astype(dtype))[:n]
        found = [ordinary, corners, near, np.full(n, info.max), np.sort(ordinary)]
    return [x.astype(dtype) for x in found]


def guarded(x, step):
    """Room for a row whose elements are so far apart, and the row in it."""
    room = np.full(len(x) * step + 2 * GUARD, 7).astype(x.dtype)
    row = room[GUARD : GUARD + len(x) * step : step]
    row[...] = x
    return room, row


def bits(x):
    return x.view(f"u{x.itemsize}")


def run(function, x, result, step, ystep, *numbers):
    """Call a routine on a row among others; what lies around rows and scratch memory stays."""
    room, _ = guarded(x, step)
    target, there = guarded(result, ystep)
    before, after = room.copy(), target.copy()
    scratch, _ = guarded(np.zeros(SORT_SCRATCH * len(x), np.int64), 1)
    ends = [a[GUARD:].ctypes.data for a in (room, target, scratch)]
    function(len(x), *numbers, ends[0], step, ends[1], ystep, ends[2])
    found = there.copy()
    there[...] = result
    assert (bits(room) == bits(before)).all() and (bits(target) == bits(after)).all()
    assert (scratch[:GUARD] == 7).all() and (scratch[len(scratch) - GUARD :] == 7).all()
    return found


@pytest.mark.parametrize(("name", "dtype", "library"), ROWS)
def test_a_row_of_any_length_is_sorted_as_numpy_sorts_it(name, dtype, library):
    (function,) = functions(name, library, dtype)
    for n in LENGTHS:
        for k, x in enumerate(arrays(DTYPES[dtype], n)):
            steps = ((1, 1), (3, 2))[(n + k) % 2]
            order = np.argsort(x, kind="stable")
            expected = x[order] if library == "sorted" else order
            found = run(function, x, np.zeros_like(expected), *steps)
            np.testing.assert_array_equal(bits(found), bits(expected))


@pytest.mark.parametrize(("name", "dtype"), PLACES)
def test_places_in_the_order_are_found_one_after_another(name, dtype):
    keyed, selected = functions(name, "selected", dtype)
    for n in LENGTHS[1:]:
        for step, x in enumerate(arrays(DTYPES[dtype], n), 1):
            order = np.argsort(x, kind="stable")
            room, _ = guarded(x, step)
            scratch, _ = guarded(np.zeros(SORT_SCRATCH * n, np.int64), 1)
            row, area = room[GUARD:].ctypes.data, scratch[GUARD:].ctypes.data
            keyed(n, row, step, area)
            low, found = 0, np.zeros(1, np.int64)
            for k in sorted({n // 3, n // 2, min(n // 2 + 1, n - 1), n - 1}):
                selected(n, low, k, row, step, found.ctypes.data, area)
                assert found[0] == order[k]
                low = k + 1
            assert (scratch[:GUARD] == 7).all() and (scratch[len(scratch) - GUARD :] == 7).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_samples_that_divide_badly_are_given_up_in_time(dtype):
    """Without any tries, parts are divided by halving the range of their keys."""
    name, dtype = dtype_name(np.dtype(dtype)), np.dtype(dtype)
    hopeless = "%twice = and i64 %log, 0"
    (values,) = functions("host", "sorted", name, hopeless)
    keyed, selected = functions("host", "selected", name, hopeless)
    for x in arrays(dtype, 3000):
        order = np.argsort(x, kind="stable")
        found = run(values, x, np.zeros_like(x), 1, 1)
        np.testing.assert_array_equal(bits(found), bits(x[order]))
        scratch, found = np.zeros(SORT_SCRATCH * len(x), np.int64), np.zeros(1, np.int64)
        keyed(len(x), x.ctypes.data, 1, scratch.ctypes.data)
        selected(len(x), 0, 1700, x.ctypes.data, 1, found.ctypes.data, scratch.ctypes.data)
        assert found[0] == order[1700]


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_comparators_sort_all_zeros_and_ones(n):
    """The zero-one principle: so they sort all numbers."""
    columns = np.arange(2**n)[:, None] >> np.arange(n) & 1
    for i, j in comparators(n):
        low, high = columns[:, [i, j]].min(axis=1), columns[:, [i, j]].max(axis=1)
        columns[:, i], columns[:, j] = low, high
    assert (np.diff(columns, axis=1) >= 0).all()


@pytest.mark.parametrize("word", SORT_ROUTINES)
def test_plain_words_do_the_same(word):
    x, scratch = np.array([3.0, -0.0, np.nan, 0.0, 1.0, -2.0]), np.zeros(18, np.int64)
    y = np.zeros(6, x.dtype if word == "sorted" else np.int64)
    own = np.ascontiguousarray(x[::2])
    order = np.argsort(own, kind="stable")
    if word in ("sorted", "argsorted"):
        VOCABULARY[f"{word}_f64"](3, x, 2, y, 2, scratch)
        expected = own[order] if word == "sorted" else order
        np.testing.assert_array_equal(y, np.stack([expected, np.zeros(3)], 1).ravel())
    else:
        VOCABULARY["keyed_f64"](3, x, 2, scratch)
        VOCABULARY["selected_f64"](3, 0, 1, x, 2, y, scratch)
        assert y[0] == order[1] and not y[1:].any()


@pytest.mark.parametrize(
    ("name", "dtype", "word"), [("neon", "f32", "smin"), ("avx512", "f64", "vpcompressq")]
)
def test_processors_have_code_of_their_own(name, dtype, word):
    machine = machine_for(name)
    if machine is None:
        pytest.skip("this LLVM makes no code for that processor")
    text = sort_text(PROCESSORS[name][0], "sorted", dtype)
    assert word in machine.emit_assembly(llvm.parse_assembly(text))


def test_networks_fit_the_registers():
    for machine, _, _, _ in PROCESSORS.values():
        for kind in ("i32", "i64"):
            for rows, lanes in Keys(machine, kind).shapes:
                assert lanes <= rows <= machine.count // 2 and lanes <= Keys(machine, kind).lanes
