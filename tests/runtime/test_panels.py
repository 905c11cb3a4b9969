"""Products in panels: right, the same bits on any threads, and the BLAS on one thread."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest
from tapeless.ir.types import DTYPES
from tapeless.runtime import blas
from tapeless.runtime.blas_threads import WITH_THREADS
from tapeless.runtime.engine import compile_source
from tapeless.runtime.kernel import routine_symbol
from tapeless.runtime.loading import assemble, link
from tapeless.runtime.modes import RunOptions
from tapeless.runtime.pool import export_pool, has_pool
from tapeless.runtime.routines import routines_text
from tapeless.runtime.vector_text import PLAIN, Target

HEADER = '"""A test."""\nfrom tapeless.runtime.kernel import *\n\n\n'
TOLERANCE = {"f32": 2e-5, "f64": 1e-13}

needs_panels = pytest.mark.skipif(
    not has_pool() or not getattr(blas.find(), "set_threads", 0), reason="no panels here"
)


def call(statement, arrays, threads):
    """Run one statement of a driver on copies of the arrays; the last one afterwards."""
    source = f"{HEADER}def step(t):\n    {statement}\n    return 0\n"
    copies = [a.copy() for a in arrays]
    table = np.array([a.ctypes.data for a in copies], np.uintp)
    assert compile_source(source, [], RunOptions(threads)).call(table.ctypes.data) == 0
    return copies[-1]


def drawn(dtype, *shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(DTYPES[dtype]) for shape in shapes]


def assert_close(actual, expected, dtype):
    scale = np.max(np.abs(expected), initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(32, 128, 784), (784, 128, 32), (64, 65, 70), (515, 260, 131), (31, 31, 9999), (0, 99, 9),
     (99, 0, 9), (300, 70, 0), (1, 5000, 100), (16, 97, 301), (131, 9, 521), (23, 33, 149),
     (270, 520, 530)],
)  # fmt: skip
def test_gemm(dtype, m, n, k):
    for ta, tb in itertools.product((False, True), repeat=2):
        a, b, c = drawn(dtype, (k, m) if ta else (m, k), (n, k) if tb else (k, n), (m, n))
        statement = (
            f"gemm_{dtype}({ta}, {tb}, {m}, {n}, {k}, 0.5, {dtype}_at(t, 0), {a.shape[1]}, "
            f"{dtype}_at(t, 1), {b.shape[1]}, 2.0, {dtype}_at(t, 2), {n})"
        )
        one, two, four = (call(statement, (a, b, c), threads) for threads in (1, 2, 4))
        left, right = (a.T if ta else a).astype(float), (b.T if tb else b).astype(float)
        assert_close(one, 0.5 * left @ right + 2.0 * c, dtype)
        assert one.tobytes() == two.tobytes() == four.tobytes()


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("m", "n"), [(784, 128), (1031, 521), (3, 200000), (200000, 3)])
def test_gemv(dtype, m, n):
    for ta in (False, True):
        a, x, y = drawn(dtype, (m, n), (m if ta else n,), (n if ta else m,))
        statement = (
            f"gemv_{dtype}({ta}, {m}, {n}, 0.5, {dtype}_at(t, 0), {n}, {dtype}_at(t, 1), 2.0, "
            f"{dtype}_at(t, 2))"
        )
        one, three = (call(statement, (a, x, y), threads) for threads in (1, 3))
        expected = 0.5 * (a.T if ta else a).astype(float) @ x + 2.0 * y
        assert_close(one, expected, dtype)
        assert one.tobytes() == three.tobytes()


def product(function, dtype, n):
    """C = A B of (n, n) matrices by the address of a `gemm`."""
    number = {"f32": ctypes.c_float, "f64": ctypes.c_double}[dtype]
    kinds = {"i": ctypes.c_int64, "f": number, "p": ctypes.c_void_p}
    gemm = ctypes.CFUNCTYPE(None, *(kinds[x] for x in "iiiiifpipifpi"))(function)
    a, b, c = drawn(dtype, (n, n), (n, n), (n, n))
    pointers = [x.ctypes.data for x in (a, b, c)]
    gemm(0, 0, n, n, n, 1.0, pointers[0], n, pointers[1], n, 0.0, pointers[2], n)
    assert_close(c, a.astype(float) @ b, dtype)


@needs_panels
@pytest.mark.parametrize("paneled", [True, False])
def test_the_count_of_the_blas_is_lowered_and_restored(paneled):
    """With panels around every call; without, only around small ones."""
    found = blas.find()
    assert found is not None
    calls: list[int] = []
    get = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)
    set_ = ctypes.CFUNCTYPE(None, ctypes.c_int)(calls.append)
    imports = {f"blas_{name}": address for name, address in found.addresses.items()}
    for name, function in (("get_threads", get), ("set_threads", set_)):
        imports[name] = ctypes.cast(function, ctypes.c_void_p).value or 0
    for dtype in TOLERANCE:
        text = routines_text(Target(PLAIN, dtype), found, 0, paneled=paneled)
        images = [assemble(part, None) for part in (text, WITH_THREADS)]
        symbol = routine_symbol("gemm", dtype)
        linked = link(images, [symbol], imports | export_pool(None))
        for n, lowers in ((20, True), (100, True), (300, paneled)):
            calls.clear()
            product(linked.addresses[symbol], dtype, n)
            assert calls == ([1, 7] if lowers else [])
