"""The C functions of the matrix routines, by tiles and by a BLAS: one meaning."""

import ctypes
import dataclasses
import itertools
import sys
from functools import cache

import numpy as np
import pytest
from llvmlite import binding as llvm
from tapeless.ir.types import DTYPES
from tapeless.runtime import blas
from tapeless.runtime.blas_threads import WITHOUT_THREADS
from tapeless.runtime.host import host_features
from tapeless.runtime.kernel import ROUTINES, routine_symbol
from tapeless.runtime.loading import assemble, link
from tapeless.runtime.products import products_text
from tapeless.runtime.routines import ALL, routines_text, tiled_work
from tapeless.runtime.vector_text import AVX2, AVX512, NEON, Target, registers

MACHINE = registers(host_features())
BLAS = blas.find()
WAYS = {"tiles": (None, ALL), "both": (BLAS, 5000), "blas": (BLAS, 0)}
if BLAS is None:
    WAYS = {"tiles": WAYS["tiles"]}


@cache
def functions(way, dtype):
    found, tiled = WAYS[way]
    texts = [products_text(MACHINE, dtype)] if tiled else []
    texts.append(routines_text(Target(MACHINE, dtype), found, tiled, paneled=False))
    texts.append(WITHOUT_THREADS)
    imports = {}
    if found is not None:
        imports = {f"blas_{name}": address for name, address in found.addresses.items()}
    symbols = {name: routine_symbol(name, dtype) for name in ROUTINES}
    linked = link([assemble(text, None) for text in texts], symbols.values(), imports)
    number = ctypes.c_float if dtype == "f32" else ctypes.c_double
    kinds = {"i": ctypes.c_int64, "p": ctypes.c_void_p, "f": number}
    result = {}
    for name, symbol in symbols.items():
        kind = ctypes.PYFUNCTYPE(None, *(kinds[letter] for letter in ROUTINES[name]))
        result[name] = kind(linked.addresses[symbol])
        result[name].machine_code = linked
    return result


@pytest.mark.parametrize("name", ["gemm", "whole_gemm"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("ta", "tb"), list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize(
    ("m", "n", "k"), [(5, 19, 11), (0, 4, 3), (4, 3, 0), (23, 20, 21), (3, 5, 1100)]
)
def test_gemm(way, dtype, ta, tb, m, n, k, name):
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=s).astype(DTYPES[dtype]) for s in ((m, k), (k, n), (m, n)))
    left, right = (np.ascontiguousarray(x.T if t else x) for x, t in ((a, ta), (b, tb)))
    for beta in (0.0, -0.5):
        out = np.full_like(c, np.nan) if beta == 0 else c.copy()
        functions(way, dtype)[name](
            ta, tb, m, n, k, 2.0, left.ctypes.data, left.shape[1], right.ctypes.data,
            right.shape[1], beta, out.ctypes.data, n,
        )  # fmt: skip
        tolerance = 100 * k * np.finfo(c.dtype).eps
        np.testing.assert_allclose(out, 2 * (a @ b) + beta * c, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["gemv", "whole_gemv"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("beta", [0.0, -0.5])
@pytest.mark.parametrize(("m", "n"), [(7, 19), (1100, 64), (60, 1100), (1100, 9), (9, 208)])
def test_gemv(way, dtype, ta, beta, m, n, name):
    rng = np.random.default_rng(0)
    rows, columns = (n, m) if ta else (m, n)
    a, x, y = (rng.normal(size=s).astype(DTYPES[dtype]) for s in ((m, n), columns, rows))
    out = np.full_like(y, np.nan) if beta == 0 else y.copy()
    functions(way, dtype)[name](
        ta, m, n, 2.0, a.ctypes.data, n, x.ctypes.data, beta, out.ctypes.data
    )
    expected = 2 * ((a.T if ta else a) @ x) + beta * y
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(BLAS is None, reason="NumPy brought no usable BLAS")
def test_a_library_of_32_bit_integers_is_called_with_them():
    assert BLAS is not None
    narrow = dataclasses.replace(BLAS, int_bits=32)
    text = routines_text(Target(MACHINE, "f32"), narrow, 0, paneled=False)
    llvm.parse_assembly(text).verify()
    assert "declare void @blas_sgemv(i32, i32, i32, i32, float, ptr, i32, ptr, i32," in text


def test_where_tiles_make_a_product(monkeypatch):
    if BLAS is not None:
        assert tiled_work(AVX512, BLAS, None, paneled=True) == ALL
        assert tiled_work(AVX512, BLAS, None, paneled=False) == blas.THREADED_WORK
        assert tiled_work(AVX2, BLAS, None, paneled=True) == blas.THREADED_WORK
        assert tiled_work(NEON, BLAS, None, paneled=True) == 0
        assert tiled_work(NEON, BLAS, 999, paneled=True) == 999
        assert tiled_work(AVX512, BLAS, 0, paneled=True) == 0
        monkeypatch.setattr(sys, "platform", "win32")
        assert tiled_work(AVX512, BLAS, None, paneled=False) == 0
    assert tiled_work(NEON, None, None, paneled=False) == ALL


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_where_an_array_begins_changes_no_bit(dtype):
    """Vectors are laid along cache lines, whose parts at the ends are masked."""
    rng = np.random.default_rng(0)
    m, n = 37, 96
    x = rng.normal(size=m).astype(DTYPES[dtype])
    values = rng.normal(size=(m, n)).astype(DTYPES[dtype])
    found = []
    for start in range(64 // x.itemsize):
        a = np.zeros(m * n + 64, x.dtype)
        lines = -a.ctypes.data // x.itemsize % (64 // x.itemsize)
        a = a[lines + start : lines + start + m * n]
        a[:] = values.ravel()
        y = np.full(n + 2, 7, x.dtype)
        functions("tiles", dtype)["gemv"](
            1, m, n, 1.0, a.ctypes.data, n, x.ctypes.data, 0.0, y[1:].ctypes.data
        )
        assert (y[0], y[-1]) == (7, 7), "written beyond the ends"
        found.append(y.tobytes())
    np.testing.assert_allclose(y[1:-1], values.T @ x, rtol=1e-4, atol=1e-4)
    assert len(set(found)) == 1
