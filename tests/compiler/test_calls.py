"""One call after another: layout, aliasing, all or nothing, freshness, threads."""

import os
import tracemalloc
from types import BuiltinFunctionType

import numpy as np
import pytest
import tapeless as tl
from conformance import Sub, read_only, unaligned
from regression import arguments, make_step, numpy_step
from soak.children import in_child, in_threads
from soak.stepping import CASES
from tapeless.ir.errors import (
    AliasError,
    BoundsError,
    ReadOnlyError,
    ScalarRangeError,
    UnsupportedError,
)
from tapeless.runtime import callpath_native

# --- layout (P13) --------------------------------------------------------------------------


ODD = {
    "strided": lambda a: np.repeat(a, 2, 1)[:, ::2],
    "fortran": np.asfortranarray,
    "negative": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": unaligned,
    "read-only": read_only,
    "subclass": lambda a: a.view(Sub),
}


@pytest.mark.parametrize("how", ODD)
def test_odd_read_arguments_give_the_bits_of_a_contiguous_copy(how):
    step = make_step()
    (p, x, lr), (q, _, _) = arguments(), arguments()
    odd = ODD[how](x)
    for _ in range(2):
        assert step(p, odd, lr) == step(q, np.array(odd, order="C"), lr)
    assert p["w"].tolist() == q["w"].tolist()


@pytest.mark.parametrize("how", ["strided", "fortran", "negative", "unaligned", "subclass"])
def test_odd_updated_arguments_are_updated(how):
    @tl.compile
    def step(w):
        w *= 3
        return np.sum(w)

    array = np.arange(6.0).reshape(2, 3)
    odd = ODD[how](array)
    assert step(odd) == 45
    assert np.asarray(odd).tolist() == [[0, 3, 6], [9, 12, 15]]


def structured():
    return np.zeros(3, [("a", "f8")])


@pytest.mark.parametrize(
    "bad",
    [
        np.ma.array([1.0, 2.0], mask=[0, 1]),
        np.array([1, "a"], object),
        structured(),
        np.arange(3.0).astype(">f8"),
        np.ones((2, 2)).view(np.matrix),
        np.ones(2, complex),
        np.array(["a"]),
    ],
    ids=["masked", "object", "structured", "swapped", "matrix", "complex", "text"],
)
def test_unsupported_arrays_raise_one_line_naming_the_argument(bad):
    double = tl.compile(lambda x: x * 2)
    double(np.ones(3))
    with pytest.raises(UnsupportedError, match="argument x: ") as caught:
        double(bad)
    assert "\n" not in str(caught.value)


# --- aliasing, all or nothing (P3-P5, P15) -------------------------------------------------


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("how", ["call", "interpret"])
def test_an_updated_argument_must_not_overlap_another(how, warm):
    step = make_step()
    run = step if how == "call" else step.interpret
    if warm:
        run(*arguments(n=1))
    base = np.ones(8)
    p = {"w": base[2:6]}
    with pytest.raises(AliasError, match=r"argument p\['w'\] is updated .* argument x"):
        run(p, base[4:].reshape(1, 4), 0.1)
    assert base.tolist() == [1] * 8


def test_read_arguments_may_overlap_and_neighbours_may_be_updated():
    @tl.compile
    def step(w, a, b):
        w += a * b

    base = np.ones(4)
    for _ in range(2):
        step(base[:2], base[2:], base[2:])
    assert base.tolist() == [3, 3, 1, 1]


def test_interleaved_updates_are_told_apart():
    @tl.compile
    def step(w, x):
        w += x

    base = np.arange(6.0)
    step(base[::2], base[1::2])
    assert base.tolist() == [1, 1, 5, 3, 9, 5]


@pytest.mark.parametrize("warm", [False, True])
def test_a_read_only_updated_argument(warm):
    step = make_step()
    p, x, lr = arguments()
    if warm:
        step(p, x, lr)
    p["w"].flags.writeable = False
    before = p["w"].copy()
    with pytest.raises(ReadOnlyError, match=r"argument p\['w'\]"):
        step(p, x, lr)
    assert isinstance(ReadOnlyError(), ValueError)
    np.testing.assert_array_equal(p["w"], before)


@pytest.mark.parametrize("how", ["call", "interpret"])
def test_an_index_out_of_range_leaves_everything_untouched(how):
    @tl.compile
    def step(table, history, index):
        history += 1
        table[index] = 5.0
        return table[index]

    run = step if how == "call" else step.interpret
    table, history = np.zeros(3), np.zeros(2)
    run(table, history, np.array([0, -1]))
    assert (table.tolist(), history.tolist()) == ([5, 0, 5], [1, 1])
    with pytest.raises(BoundsError, match="out of"):
        run(table, history, np.array([1, 3]))
    assert (table.tolist(), history.tolist()) == ([5, 0, 5], [1, 1])


@pytest.mark.parametrize("warm", [False, True])
def test_a_python_int_out_of_range_raises_at_the_call(warm):
    @tl.compile
    def add(x, n):
        return x + n

    x = np.zeros(2, np.int32)
    if warm:
        assert add(x, 2**31 - 1).tolist() == [2**31 - 1] * 2
    for n in (2**31, -(2**31) - 1, 2**80):
        with pytest.raises(ScalarRangeError):
            add(x, n)
    assert add(x, -5).dtype == np.int32


def test_outputs_are_fresh_and_distinct():
    @tl.compile
    def step(x, w):
        w += 1
        return x, x, w, x[1:]

    x, w = np.arange(3.0), np.zeros(3)
    first = step(x, w)
    second = step(x, w)
    arrays = [*first, *second, x, w]
    for k, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[k + 1 :])
    assert first[2].tolist() == [1, 1, 1] and second[2].tolist() == [2, 2, 2]


def test_captured_arrays_are_copied_at_trace_time():
    table = np.ones(2)
    step = tl.compile(lambda x: x + table)
    assert step(np.zeros(2)).tolist() == [1, 1]
    table += 1
    assert step(np.zeros(2)).tolist() == [1, 1]


# --- threads (P16) -------------------------------------------------------------------------


def test_calls_from_several_threads():
    step = make_step()

    def work(k):
        n = 2 + k % 2
        for _ in range(20):
            p, x, lr = arguments(n=n)
            q, _, _ = arguments(n=n)
            np.testing.assert_allclose(step(p, x, lr), numpy_step(q, x, lr))

    in_threads(work, 4)
    assert len(step.programs) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_compiles_and_calls():
    step = make_step()
    step(*arguments())

    def both():
        p, x, lr = arguments(n=2)
        q, _, _ = arguments(n=2)
        right = bool(np.allclose(step(p, x, lr), numpy_step(q, x, lr)))
        step(*arguments())
        return right

    assert in_child(both) == (True, 0)


# --- allocation ----------------------------------------------------------------------------


def test_a_step_allocates_nothing_but_its_results():
    @tl.compile
    def step(p, x, lr):
        for _ in range(2):
            p["w"] -= lr * (np.tanh(x @ p["w"]) + p["b"])
            p["b"] *= 0.5
        return np.sum(p["w"])

    p = {"w": np.ones((256, 256)), "b": np.ones((256, 256))}
    x = np.ones((256, 256)) / 256
    addresses = [a.ctypes.data for a in p.values()]
    for _ in range(3):
        step(p, x, 0.1)
    tracemalloc.start()
    step(p, x, 0.1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16_000  # an array is 512 KiB
    assert [a.ctypes.data for a in p.values()] == addresses


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", ["in-place", "rebound", "objects", "slots", "swapped"])
def test_steps_run_in_both_forms_on_plain_memory(name, native, monkeypatch):
    """As for users: other tests run on poisoned memory, which has a way of its own."""
    monkeypatch.delenv("TAPELESS_POISON")
    if not native:
        monkeypatch.setattr(callpath_native, "native_form", lambda *args: None)
    step, make, counts = CASES[name]
    compiled, args = tl.compile(step.function), make()
    for n in range(1, 6):
        compiled(*args)
        assert set(counts(*args)) == {n}
    if native and name == "in-place":
        assert type(compiled.programs[0].fast) is BuiltinFunctionType
