"""Finding BLAS, its self-test, its threads, and doing without it."""

from __future__ import annotations

import ctypes
import dataclasses

import numpy as np
import pytest
from tapeless.runtime import blas, blas_proof
from tapeless.runtime.engine import compile_source
from tapeless.runtime.store import open_store

HEADER = '"""A test."""\nfrom tapeless.runtime.kernel import *\n\n\n'
needs_blas = pytest.mark.skipif(blas.find() is None, reason="NumPy brought no usable BLAS")


@needs_blas
def test_the_self_test_notices_a_wrong_routine():
    found = blas.find()
    assert found is not None
    swapped = {**found.addresses, "sgemv": found.addresses["dgemv"]}
    assert blas_proof.multiplies(found)
    assert not blas_proof.multiplies(dataclasses.replace(found, addresses=swapped))


@needs_blas
def test_a_library_is_tested_once_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    store = open_store()
    tested, verdict = [], [True]

    def multiplies(library):
        tested.append(library.path)
        return verdict[0]

    def found(store=store):
        return blas.find.__wrapped__(store) is not None

    monkeypatch.setattr(blas_proof, "multiplies", multiplies)
    assert [found(), found(), len(tested)] == [True, True, 1]
    described = blas._described

    def changed(library):
        *others, file = described(library)
        return *others, f"{file} changed"

    monkeypatch.setattr(blas, "_described", changed)
    verdict[0] = False
    assert not found()
    count = len(tested)
    verdict[0] = True
    assert [found(), found(), len(tested)] == [True, True, count + 1]
    monkeypatch.setattr(blas, "_described", lambda library: None)
    assert [found(), found(), len(tested)] == [True, True, count + 3]
    assert [found(None), found(None), len(tested)] == [True, True, count + 5]


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("TAPELESS_BLAS", "off")
    assert blas.find.__wrapped__() is None


@needs_blas
def test_threads_are_restored_after_small_products_and_kept_for_large_ones():
    found = blas.find()
    assert found is not None
    if found.threads is None:
        pytest.skip("this BLAS has no thread count to ask for")
    set_threads = ctypes.CFUNCTYPE(None, ctypes.c_int)(found.set_threads)
    before = found.threads
    module = compile_source(
        HEADER
        + """def step(t):
    gemm_f32(False, False, 8, 8, 8, 1.0, f32_at(t, 0), 8, f32_at(t, 1), 8, 0.0, f32_at(t, 2), 8)
    return 0
""",
        [],
    )
    arrays = [np.ones(64, np.float32) for _ in range(3)]
    table = np.array([a.ctypes.data for a in arrays], np.uintp)
    try:
        for count in (1, 2):
            set_threads(count)
            assert module.call(table.ctypes.data) == 0
            assert found.threads == count
    finally:
        set_threads(before)
    np.testing.assert_array_equal(arrays[2], 8)


def test_generated_code_works_without_blas(python, monkeypatch):
    code = """
import numpy as np
from tapeless.runtime import blas
from tapeless.runtime.engine import compile_source
assert blas.find() is None
module = compile_source('''from tapeless.runtime.kernel import *
def step(t):
    gemm_f64(False, True, 2, 3, 4, 1.0, f64_at(t, 0), 4, f64_at(t, 1), 4, 0.0, f64_at(t, 2), 3)
    return 0
''', [])
a, b, c = np.arange(8.0).reshape(2, 4), np.arange(12.0).reshape(3, 4), np.zeros((2, 3))
table = np.array([x.ctypes.data for x in (a, b, c)], np.uintp)
assert module.call(table.ctypes.data) == 0
np.testing.assert_array_equal(c, a @ b.T)
"""
    monkeypatch.setenv("TAPELESS_BLAS", "off")
    python("-c", code)
