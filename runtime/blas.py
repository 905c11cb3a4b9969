"""The BLAS that NumPy brought along, found by symbol and tested before use.

NumPy's wheels contain OpenBLAS, or use Accelerate. Where none is found, or `TAPELESS_BLAS=off`,
our own tiles make all products (`runtime/products.py`), on one thread each.

Threads. OpenBLAS has one thread count per process, which belongs to the user; it also threads
products too small to gain from it, which costs more than it saves (and a thousand times more when
the second core is busy). So it is called with the count set to one, restored right after, by native
code under the GIL: no other Python code can see it or interleave with it. Products are shared among
our own threads instead (`runtime/panels.py`); only where there are none, those of at least
`THREADED_WORK` multiplications use the user's count. A NumPy product that another thread started at
that very moment may run on fewer threads; its result is not affected.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np

from ..ir.archive import STATE
from ..ir.record import dataclass
from . import blas_proof
from .relink import Library
from .store import Store

THREADED_WORK = 2**23
"""Multiplications from which a product is always left to the BLAS, and may use several of its
threads where we have none. Measured on two idle cores, its second thread makes smaller products
1.05 to 1.35 times faster and larger ones up to 1.8 times; when the second core is busy a threaded
product takes many times as long as one on a single thread."""

ROUTINES = ("sgemm", "dgemm", "sgemv", "dgemv")
_VERBS = ("get", "set")
_ILP64 = ("scipy_cblas_{}64_", "cblas_{}64_", "cblas_{}$NEWLAPACK$ILP64")
_LP64 = ("scipy_cblas_{}", "cblas_{}")
_ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Accelerate"


@dataclass(frozen=True)
class Blas:
    """A BLAS that passed the self-test."""

    path: str
    pattern: str  # of the C symbols, "scipy_cblas_{}64_"
    int_bits: int
    addresses: Mapping[str, int]  # routine name to address
    get_threads: int  # addresses of OpenBLAS's functions, 0 when there are none
    set_threads: int
    handle: ctypes.CDLL

    def __str__(self) -> str:
        return (
            f"{os.path.basename(self.path)} ({self.pattern.format('sgemm')}, {self.int_bits}-bit)"
        )

    @property
    def library(self) -> Library | None:
        """What `relink.py` finds it by again; None where it does not say what it is."""
        described = _described(self)
        if described is None:
            return None
        path, pattern, _, said, _ = described
        symbols = {f"blas_{name}": pattern.format(name) for name in self.addresses}
        if self.has_threads:
            symbols |= {f"{verb}_threads": _threads_symbol(pattern, verb) for verb in _VERBS}
        describing = pattern.replace("cblas_{}", "openblas_get_config")
        return path, describing, said, STATE(os.stat(path)), symbols

    @property
    def has_threads(self) -> bool:
        """Whether its thread count can be asked and set."""
        return bool(self.get_threads and self.set_threads)

    @property
    def threads(self) -> int | None:
        """The library's thread count now, None if it cannot be asked."""
        if not self.get_threads:
            return None
        return int(ctypes.CFUNCTYPE(ctypes.c_int)(self.get_threads)())


@cache
def find(store: Store | None = None) -> Blas | None:
    """The first library that has the routines and multiplies correctly; None without one. The
    store remembers which did."""
    if os.environ.get("TAPELESS_BLAS", "").lower() in ("off", "0"):
        return None
    for path in _libraries():
        blas = _open(path)
        if blas is not None and _is_right(blas, store):
            return blas
    return None


def _libraries() -> Iterator[str]:
    """Paths worth trying, best first: NumPy's own library is loaded already."""
    package = os.path.dirname(np.__file__)
    for folder in (f"{package}.libs", os.path.join(package, ".dylibs")):
        yield from _named(folder, "openblas")
    for name in ("scipy_openblas64", "scipy_openblas32"):
        for entry in sys.path:
            yield from _named(os.path.join(entry, name, "lib"), "openblas")
    if sys.platform == "darwin":
        yield _ACCELERATE
    for place in ("lib/libcblas.so.3", "lib/libcblas.3.dylib", "Library/bin/libcblas.dll"):
        path = os.path.join(sys.prefix, place)
        if os.path.exists(path):
            yield path


def _named(folder: str, part: str) -> list[str]:
    """The files of a folder, if there is one, with this in their names."""
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder) if part in name)
    except OSError:
        return []


def _open(path: str) -> Blas | None:
    try:
        handle = ctypes.CDLL(path)
    except OSError:
        return None
    for patterns, bits in ((_ILP64, 64), (_LP64, 32)):
        for pattern in patterns:
            addresses = {r: find_address(handle, pattern.format(r)) for r in ROUTINES}
            if all(addresses.values()):
                get, set_ = (_thread_function(handle, pattern, verb) for verb in _VERBS)
                return Blas(path, pattern, bits, addresses, get, set_, handle)
    return None


def platform_functions() -> dict[str, int]:
    """On Windows what functions with large buffers call, by symbol."""
    if sys.platform != "win32":
        return {}
    return {"__chkstk": find_address(ctypes.WinDLL("ntdll"), "__chkstk")}


def find_address(handle: ctypes.CDLL, symbol: str) -> int:
    """The address of a function in a library, 0 without it."""
    try:
        function = getattr(handle, symbol)
    except AttributeError:
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _thread_function(handle: ctypes.CDLL, pattern: str, verb: str) -> int:
    return find_address(handle, _threads_symbol(pattern, verb))


def _threads_symbol(pattern: str, verb: str) -> str:
    """OpenBLAS decorates these names as it does the routines."""
    return pattern.replace("cblas_{}", f"openblas_{verb}_num_threads")


def _is_right(blas: Blas, store: Store | None) -> bool:
    """Whether the library multiplies correctly: tested now, or by an earlier process that kept it.

    What was tested is known by its file, down to the time of the last change of the file itself,
    which nobody can set, and by what it says of its version, integers and processor.
    """
    described = _described(blas) if store is not None else None
    if store is None or described is None:
        return blas_proof.multiplies(blas)
    key = store.key("blas", *described)
    if store.get(key) is not None:
        return True
    right = blas_proof.multiplies(blas)
    if right:
        store.put(key, b"multiplies")
    return right


def _described(blas: Blas) -> tuple[str, ...] | None:
    """What tells one library from another; None for one that does not describe itself."""
    name = blas.pattern.replace("cblas_{}", "openblas_get_config")
    address = find_address(blas.handle, name)
    try:
        status = os.stat(blas.path)
    except OSError:  # a system library without a file
        return None
    if not address or os.name != "posix":
        return None
    said = ctypes.CFUNCTYPE(ctypes.c_char_p)(address)()
    return blas.path, blas.pattern, str(blas.int_bits), repr(said), repr(STATE(status))
