"""What a call of a compiled step promises: all or nothing, no aliasing, any layout, errors that say
what to do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tapeless as tl
from tapeless import errors

FLOATS = [np.float32, np.float64]


def call(step):
    return step


def interpret(step):
    return step.interpret


both_ways = pytest.mark.parametrize("how", [call, interpret])


# --- all or nothing -------------------------------------------------------------------------


@tl.compile
def train(p, state, x, rows):
    """Updates in place, rebinds a slot, counts, and reads `p` at run-time indices last."""
    state["steps"] += 1
    p["b"] = p["b"] * 0.5
    p["w"] *= 2
    p["w"][rows] += x
    return np.sum(p["w"][rows])


def training():
    p = {"w": np.arange(6.0).reshape(3, 2), "b": np.ones(2)}
    return p, {"steps": np.zeros((), np.int64)}, np.ones((2, 2))


@both_ways
@pytest.mark.parametrize("bad", [3, -4, 2**40])
def test_an_index_error_comes_before_any_write(how, bad):
    run = how(train)
    p, state, x = training()
    held = p["w"], p["b"]
    for rows in ([0, bad], [bad, 0]):
        with pytest.raises(IndexError):
            run(p, state, x, np.array(rows))
        fresh, _, _ = training()
        np.testing.assert_array_equal(p["w"], fresh["w"])
        np.testing.assert_array_equal(p["b"], fresh["b"])
        assert p["w"] is held[0] and p["b"] is held[1] and state["steps"] == 0
    run(p, state, x, np.array([0, 2]))
    assert p["w"].tolist() == [[1, 3], [4, 6], [9, 11]]
    assert p["b"].tolist() == [0.5, 0.5] and state["steps"] == 1


@both_ways
def test_statements_keep_their_order_and_the_caller_sees_the_end(how):
    @tl.compile
    def step(a, b):
        before = a.copy()
        a[1:] += a[:-1]
        b -= a
        a[::-1] = b
        return before, a[0]

    def plain(a, b):
        return step.function(a, b)

    a, b = np.arange(5.0), np.ones(5)
    c, d = a.copy(), b.copy()
    found, expected = how(step)(a, b), plain(c, d)
    np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(b, d)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


@both_ways
@pytest.mark.parametrize("shift", [0, 1, -1])
def test_a_transposed_update_never_reads_what_it_has_written(how, shift):
    @tl.compile
    def step(a):
        a += np.roll(a, shift, axis=0).T

    a = np.arange(2500.0).reshape(50, 50)
    expected = a + np.roll(a, shift, axis=0).T
    how(step)(a)
    np.testing.assert_array_equal(a, expected)


# --- aliasing -------------------------------------------------------------------------------


@tl.compile
def add_to(a, b, c):
    a += b * c
    return b


OVERLAPS = {
    "same": lambda m: (m[:4], m[:4]),
    "shifted": lambda m: (m[:4], m[3:7]),
    "reversed": lambda m: (m[:4], m[4::-1][:4]),
    "strided": lambda m: (m[0:8:2], m[2:6]),
}


@both_ways
@pytest.mark.parametrize("which", OVERLAPS)
def test_an_overlap_with_an_updated_argument_raises_before_anything_runs(how, which):
    memory = np.arange(9.0)
    a, b = OVERLAPS[which](memory)
    for args in ((a, b, np.ones(4)), (a, np.ones(4), b)):
        with pytest.raises(errors.AliasError, match=r"argument a is updated .* argument [bc] "):
            how(add_to)(*args)
    np.testing.assert_array_equal(memory, np.arange(9.0))


@both_ways
def test_neighbours_and_read_only_overlaps_are_fine(how):
    memory = np.arange(12.0)
    how(add_to)(memory[:4], memory[4:8], memory[5:9])
    how(add_to)(memory[0:8:2], memory[8:], memory[8:])
    assert memory.tolist() == [84, 31, 125, 59, 104, 5, 127, 7, 8, 9, 10, 11]


@both_ways
def test_outputs_share_no_memory_with_anything(how):
    @tl.compile
    def step(p, x):
        p["w"] += 1
        return {"w": p["w"], "x": x, "again": x, "view": x.T, "part": x[0], "new": x + 1}

    p, x = {"w": np.zeros(3)}, np.arange(6.0).reshape(2, 3)
    first, second = how(step)(p, x), how(step)(p, x)
    arrays = [p["w"], x, *tl.tree.leaves(first), *tl.tree.leaves(second)]
    for a, b in itertools.combinations(arrays, 2):
        assert not np.shares_memory(a, b)
    for a in arrays:
        a[...] = -1
    assert how(step)(p, x)["new"].tolist() == [[0, 0, 0], [0, 0, 0]]


@both_ways
def test_only_updated_arguments_are_written(how):
    @tl.compile
    def step(w, x, y):
        x = x * 2
        x -= y
        w -= x

    w, x, y = np.ones(3), np.ones(3), np.full(3, 4.0)
    x.flags.writeable = y.flags.writeable = False
    how(step)(w, x, y)
    assert (w.tolist(), x.tolist(), y.tolist()) == ([3] * 3, [1] * 3, [4] * 3)


@both_ways
def test_captured_arrays_are_copied(how):
    table, nested = np.arange(3.0), {"scale": np.array(2.0)}

    @tl.compile
    def step(x):
        return x * table * nested["scale"]

    assert how(step)(np.ones(3)).tolist() == [0, 2, 4]
    table[:] = -1
    nested["scale"][...] = 100
    assert how(step)(np.ones(3)).tolist() == [0, 2, 4]
    assert how(step)(np.ones((2, 3))).tolist() == [[-100] * 3] * 2  # a new trace, the new value


# --- odd arguments --------------------------------------------------------------------------


class Sub(np.ndarray):
    """A subclass without behaviour of its own."""


def unaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


ODD = {
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
    "fortran": np.asfortranarray,
    "negative": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "unaligned": unaligned,
    "subclass": lambda a: a.view(Sub),
    "read-only": read_only,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
}


@tl.compile
def layer(x, w):
    h = np.tanh(x @ w)
    w -= 0.1 * (x.T @ h)
    return np.sum(h), h.T, x.reshape(-1), np.max(x, axis=0)


@both_ways
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ODD)
def test_odd_layouts_give_the_bits_of_a_contiguous_copy(kind, dtype, how):
    random = np.random.default_rng(0)
    x, w = (random.normal(size=(6, 6)).astype(dtype) for _ in range(2))
    odd = ODD[kind](x)
    plain = np.array(odd, order="C", subok=False)
    # Some kinds cannot be written; those are only read.
    target = w.copy() if kind in ("read-only", "broadcast") else ODD[kind](w.copy())
    expected = how(layer)(plain, w)
    for a, e in zip(how(layer)(odd, target), expected, strict=True):
        assert type(a) is np.ndarray
        np.testing.assert_array_equal(a, e, strict=True)
    np.testing.assert_array_equal(np.asarray(target), w)


@both_ways
@pytest.mark.parametrize(
    ("bad", "hint"),
    [
        (np.ma.array([1.0, 2.0], mask=[0, 1]), "MaskedArray"),
        (np.array([1, "a"], object), "object"),
        (np.zeros(3, [("a", "f8")]), "fields"),
        (np.arange(3.0).astype(np.dtype("f8").newbyteorder()), "byte-swapped"),
        (np.ones((2, 2)).view(np.matrix), "matrix"),
        (np.ones(2, complex), "complex"),
        (np.array(["text"]), "dtype"),
        (np.array(["2020-01-01"], "M8[D]"), "dtype"),
    ],
    ids=["masked", "object", "structured", "swapped", "matrix", "complex", "text", "date"],
)
def test_unsupported_arrays_raise_one_line(bad, hint, how):
    step = tl.compile(lambda p: p["x"] * 2)
    how(step)({"x": np.ones(2)})
    with pytest.raises(errors.UnsupportedError, match=rf"argument p\['x'\]: .*{hint}") as caught:
        how(step)({"x": bad})
    assert "\n" not in str(caught.value)
    with pytest.raises(errors.UnsupportedError, match=hint) as caught:
        how(tl.compile(lambda x: x + bad))(np.ones(2))
    assert "\n" not in str(caught.value)


# --- misuse ---------------------------------------------------------------------------------


def branches(x):
    if x.sum() > 0:
        return x
    return -x


def converts(x):
    return float(x[0])


def packs(x):
    return np.array([x, x])


def draws(x):
    return x + np.random.normal(size=2)


def looks_up(x):
    return np.eye(2)[x.astype(np.int64)]


def fills(x):
    buffer = np.zeros(2)
    buffer[0] = x[0]
    return buffer


@pytest.mark.parametrize(
    ("misuse", "line", "fix"),
    [
        (branches, "if x.sum() > 0:", "np.where"),
        (converts, "return float(x[0])", ""),
        (packs, "return np.array([x, x])", "np.stack"),
        (draws, "return x + np.random.normal(size=2)", "argument"),
        (looks_up, "return np.eye(2)[x.astype(np.int64)]", "like=x"),
        (fills, "buffer[0] = x[0]", "zeros_like"),
    ],
)
def test_misuse_raises_at_the_users_line_with_the_fix(misuse, line, fix):
    with pytest.raises(errors.TraceError) as caught:
        tl.compile(misuse)(np.ones(2))
    message = str(caught.value)
    assert "test_promises.py:" in message and line in message and fix in message


# --- read-only arrays, interrupts -----------------------------------------------------------


@both_ways
def test_an_update_of_a_read_only_array_raises_before_anything_runs(how):
    @tl.compile
    def step(p, x):
        p["a"] += x
        p["b"] += x

    writable, frozen = np.zeros(2), np.zeros(2)
    for warm in (False, True):
        if warm:
            how(step)({"a": writable, "b": frozen.copy()}, np.ones(2))
            writable[:] = 0
        frozen.flags.writeable = False
        with pytest.raises(ValueError, match=r"p\['b'\].*read-only"):
            how(step)({"a": writable, "b": frozen}, np.ones(2))
        assert not writable.any() and not frozen.any()
