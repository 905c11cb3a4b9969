"""Divisions of vectors of integers: NumPy's values for every kind of pair."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tapeless.ir.types import DTYPES
from tapeless.runtime import engine, kernels, vector_text
from tapeless.runtime import module as making
from tapeless.runtime.engine import compile_source
from tapeless.runtime.kernel import KernelSpec

OPS = ("floor_divide", "remainder", "fmod")
SHORT = ("i8", "u8", "i16", "u16", "i32", "u32")


def compiled(dtype: str, size: int):
    """All three by a divisor for each element, and by one for all."""
    lines = [f"y{k}[i] = {op}_{dtype}(x0[i], x1[i])" for k, op in enumerate(OPS)]
    lines += [f"y{k + 3}[i] = {op}_{dtype}(x0[i], x1[0])" for k, op in enumerate(OPS)]
    buffers = ["x0", "x1", *(f"y{k}" for k in range(6))]
    body = "\n        ".join(lines)
    places = ", ".join(f"{dtype}_at(t, {k})" for k in range(8))
    source = f'''"""Divisions."""
from tapeless.runtime.kernel import *


def k0({", ".join(buffers)}, n0):
    for i in range(n0):
        {body}


def step(t):
    k0({places}, {size})
    return 0
'''
    return compile_source(source, [KernelSpec("k0", (dtype,) * 8, 1)])


def pairs(dtype: str) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """The ends of the range and what is near 0, any numbers, and multiples beside their
    neighbours, for which a quotient that is hardly off shows."""
    t, info = DTYPES[dtype], np.iinfo(DTYPES[dtype])
    rng, n = np.random.default_rng(3), 20_001
    edges = np.array([info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7], t)
    edges = np.append(edges, -edges)  # wraps, as the lowest does
    any_, other = rng.integers(info.min, info.max, (2, n), dtype=t, endpoint=True)
    small = rng.integers(1, 100, n).astype(t)
    divisors = np.append(small, other[other != 0])
    quotients = info.max // np.maximum(np.abs(divisors.astype(np.int64)), 1)
    multiples = (divisors.astype(np.int64) * rng.integers(0, quotients, endpoint=True)).astype(t)
    sides = [(any_, other), (any_, small), (multiples, divisors), (multiples - t.type(1), divisors)]
    sides.append(tuple(x.ravel() for x in np.meshgrid(edges, edges)))
    first, second = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    return first, second


@pytest.mark.parametrize(
    ("dtype", "registers"),
    [*((dtype, None) for dtype in SHORT), ("i32", vector_text.AVX2), ("i16", vector_text.AVX2)],
)
def test_short_integers_are_divided_as_in_numpy(dtype, registers, monkeypatch):
    if registers is not None:
        monkeypatch.setattr(vector_text, "registers", lambda features: registers)
    table = kernels.KernelTable()
    for user in (engine, making):
        monkeypatch.setattr(user, "kernel_table", lambda: table)
    x, y = pairs(dtype)
    module = compiled(dtype, x.size)
    assert "fdiv" in module.llvm()
    for divisor in (y[0], x.dtype.type(0), np.array(-1).astype(x.dtype), x.dtype.type(7)):
        y[0] = divisor
        found = np.zeros((6, x.size), x.dtype)
        arrays = (x, y, *found)
        pointers = np.array([a.ctypes.data for a in arrays], np.uintp)
        assert module.call(pointers.ctypes.data) == 0
        with np.errstate(all="ignore"):
            expected = [getattr(np, op)(x, d) for d in (y, divisor) for op in OPS]
        np.testing.assert_array_equal(found, expected)
