"""What an earlier process was linked with: taken as it was, or not at all."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest
from tapeless.runtime import blas, relink
from tapeless.runtime.blas_threads import WITH_THREADS
from tapeless.runtime.image import is_suited
from tapeless.runtime.link import assemble
from tapeless.runtime.loading import Made, linked_once, shared
from tapeless.runtime.store import Store

FOUND = blas.find()
LIBRARY = None if FOUND is None else FOUND.library
pytestmark = pytest.mark.skipif(
    LIBRARY is None or not is_suited(), reason="no BLAS that says what it is, or another system"
)


@pytest.fixture
def store(tmp_path):
    made = Store(str(tmp_path), b"x" * 32, "")
    text = assemble(WITH_THREADS, None)
    names = ("lower_threads", "restore_threads")
    here = {f"{verb}_threads": getattr(FOUND, f"{verb}_threads") for verb in ("get", "set")}
    shared("threads", made, lambda: Made([text], names), lambda symbols: here)
    return made


def test_the_library_is_found_by_its_file(store):
    known = relink.relinked([], LIBRARY, store)
    for name, address in FOUND.addresses.items():
        assert known[f"blas_{name}"] == address
    if FOUND.has_threads:
        assert known["get_threads"] == FOUND.get_threads
        assert known["set_threads"] == FOUND.set_threads


def test_code_that_is_there_is_not_loaded_twice(store):
    if not FOUND.has_threads:
        pytest.skip("this BLAS has no thread count to ask for")
    here = {"get_threads": FOUND.get_threads, "set_threads": FOUND.set_threads}
    first = shared("threads", store, lambda: pytest.fail("made"), lambda symbols: here)
    known = relink.relinked(["threads"], LIBRARY, store)
    assert known["lower_threads"] == first.addresses["lower_threads"]


def test_code_that_calls_something_else_is_other_code(store):
    image = relink.unpack(store.shared["threads"])
    other = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)
    address = ctypes.cast(other, ctypes.c_void_p).value
    here = {"get_threads": FOUND.get_threads, "set_threads": address or 0}
    made = linked_once("threads", image, lambda symbols: here)
    usual = relink.relinked(["threads"], LIBRARY, store)
    assert made.addresses["lower_threads"] != usual["lower_threads"]


CHANGED = {
    "another version": lambda p, d, said, state, f: (p, d, said + "x", state, f),
    "a changed file": lambda p, d, said, state, f: (p, d, said, (*state[:-1], 0), f),
    "no file": lambda p, d, said, state, f: (p + ".gone", d, said, state, f),
    "elsewhere": lambda p, d, said, state, f: ("/elsewhere" + p, d, said, state, f),
    "no such function": lambda p, d, said, state, f: (p, d, said, state, {"blas_sgemm": "gone"}),
    "says nothing": lambda p, d, said, state, f: (p, "gone", said, state, f),
}


@pytest.mark.parametrize("change", CHANGED)
def test_another_library_is_not_taken(store, change):
    assert relink.relinked([], CHANGED[change](*LIBRARY), store) is None


def test_a_library_of_another_numpy_is_not_taken(store, monkeypatch):
    monkeypatch.setattr(np, "__file__", os.path.join("/other", "numpy", "__init__.py"))
    assert relink.relinked([], LIBRARY, store) is None


@pytest.mark.parametrize("names", [["gone"], ["threads"]])
def test_code_that_is_missing_or_lacks_something_is_not_taken(store, names):
    assert relink.relinked(names, None, store) is None
