"""P13. Arrays of any layout give the bits of a contiguous copy; what is no plain array raises one
line."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
import tapeless as tl
from conformance import Sub, both_ways, read_only, unaligned
from soak.functions import GROUPS, matrices, together
from tapeless import errors

FLOATS = [np.float32, np.float64]


def in_a_record(array):
    records = np.zeros(array.shape, [("before", "u1"), ("it", array.dtype), ("behind", "i4")])
    records["it"] = array
    return records["it"]


def in_memory_map(array):
    file = tempfile.TemporaryFile()  # noqa: SIM115
    mapped = np.memmap(file, array.dtype, "w+", shape=array.shape)
    mapped[...] = array
    return mapped


def offset(array):
    rows, columns = array.shape
    whole = np.zeros((rows + 2, columns + 3), array.dtype)
    whole[1:-1, 2:-1] = array
    return whole[1:-1, 2:-1]


READ_ONLY = {
    "read-only": read_only,
    "broadcast rows": lambda a: np.broadcast_to(a[:1], a.shape),
    "broadcast columns": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "one element": lambda a: np.broadcast_to(a[0, 0], a.shape),
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a.ravel()[:11], 6),
}

ODD = {
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
    "fortran": np.asfortranarray,
    "negative": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "negative rows": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "negative and strided": lambda a: np.repeat(a[:, ::-1], 2, 1)[:, ::-2],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "middle axis": lambda a: np.stack([a, a, a], axis=1)[:, 1],
    "last axis": lambda a: np.stack([a, a, a], axis=2)[..., 2],
    "offset": offset,
    "unaligned": unaligned,
    "in a record": in_a_record,
    "in a memory map": in_memory_map,
    "subclass": lambda a: a.view(Sub),
    **READ_ONLY,
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
    target = w.copy() if kind in READ_ONLY else ODD[kind](w.copy())
    expected = how(layer)(plain, w)
    for a, e in zip(how(layer)(odd, target), expected, strict=True):
        assert type(a) is np.ndarray
        np.testing.assert_array_equal(a, e, strict=True)
    np.testing.assert_array_equal(np.asarray(target), w)


STEPS = {names[0]: tl.compile(together(names)) for names in GROUPS}


@both_ways
@pytest.mark.parametrize("group", STEPS)
@pytest.mark.parametrize("kind", ODD)
def test_functions_of_odd_layouts_give_the_bits_of_a_contiguous_copy(kind, group, how):
    """18 layouts of both arguments, of each alone, by 39 functions."""
    run, plain = how(STEPS[group]), matrices(np.float64)
    odd = [ODD[kind](a) for a in plain]
    plain = [np.array(a, order="C", subok=False) for a in odd]
    expected = tl.tree.leaves(run(*plain))
    for args in (odd, [odd[0], plain[1]], [plain[0], odd[1]]):
        for a, e in zip(tl.tree.leaves(run(*args)), expected, strict=True):
            assert type(a) is np.ndarray and (a.dtype, a.shape) == (e.dtype, e.shape)
            assert a.tobytes() == e.tobytes()


@both_ways
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (0,), (3, 0)])
def test_small_arrays_of_odd_layouts(shape, how):
    @tl.compile
    def step(x):
        return np.exp(x) + 1, np.sum(x), x.reshape(-1), x.T

    plain = np.full(shape, 0.7)
    wide = np.full((*shape, 2), 0.7)[..., 1]
    for odd in (read_only(plain), unaligned(plain), wide, plain[...], np.array(plain, order="F")):
        for a, e in zip(how(step)(odd), how(step)(plain), strict=True):
            assert (a.shape, a.tobytes()) == (e.shape, e.tobytes())


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
