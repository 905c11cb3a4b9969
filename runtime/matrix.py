"""The matrix routines of this process: addresses of `gemm_f32` and its kin for native code.

    addresses = export_routines("f32", store)

`runtime/routines.py` makes their object code, for the BLAS that was found; in the store it lies
under what decides it, so that a later process needs no text and no llvmlite.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Sequence
from functools import cache

from .blas import Blas, find, find_address
from .blas_threads import THREAD_FUNCTIONS, WITH_THREADS, WITHOUT_THREADS
from .loading import Linked, assemble, link
from .pool import export_pool
from .spec import ROUTINES, routine_symbol
from .store import Store, kept, recall


@cache
def export_routines(dtype: str, store: Store | None) -> dict[str, int]:
    """The C functions for "f32" or "f64", symbol to address; they stay loaded."""
    return dict(_linked(dtype, store).addresses)


@cache
def _linked(dtype: str, store: Store | None) -> Linked:
    blas = find(store)
    imports = {**export_pool(store), **_thread_functions(store).addresses}
    if blas is not None:
        imports |= {f"blas_{name}": address for name, address in blas.addresses.items()}
    elif sys.platform == "win32":  # which wants a probe of functions with large buffers
        imports["__chkstk"] = find_address(ctypes.WinDLL("ntdll"), "__chkstk")
    exports = [routine_symbol(name, dtype) for name in ROUTINES]
    choice = None if blas is None else measured_choice(dtype, store)
    return link(_images(dtype, blas, choice, store), exports, imports)


def measured_choice(dtype: str, store: Store | None) -> int | None:
    """Below how many multiplications tiles make a product for "f32" or "f64", if measured."""
    payload = recall(store, "tiled work", dtype)
    return None if payload is None else int(payload)


@cache
def _thread_functions(store: Store | None) -> Linked:
    blas = find(store)
    if blas is None or not blas.has_threads:
        return link([assemble(WITHOUT_THREADS, store)], THREAD_FUNCTIONS, {})
    imports = {"get_threads": blas.get_threads, "set_threads": blas.set_threads}
    return link([assemble(WITH_THREADS, store)], THREAD_FUNCTIONS, imports)


def _images(dtype: str, blas: Blas | None, choice: int | None, store: Store | None) -> list[bytes]:
    """The object code, from the store or made now."""

    def make() -> bytes:
        from .routines import routine_images  # lazily: llvmlite

        return _pack(routine_images(dtype, blas, choice))

    parts = ("routines", dtype, *_form(blas), f"tiles below {choice}")
    return _unpack(kept(store, parts, make))


def _form(blas: Blas | None) -> tuple[str, ...]:
    """What the code depends on besides this machine and this package."""
    if blas is None:
        return ("tiles",)
    return "blas", f"{blas.int_bits} bits", f"threads={blas.has_threads}"


def _pack(images: Sequence[bytes]) -> bytes:
    sizes = struct.pack(f"<{1 + len(images)}Q", len(images), *map(len, images))
    return b"".join([sizes, *images])


def _unpack(payload: bytes) -> list[bytes]:
    (count,) = struct.unpack_from("<Q", payload)
    sizes, start, images = struct.unpack_from(f"<{count}Q", payload, 8), 8 + 8 * count, []
    for size in sizes:
        images.append(payload[start : start + size])
        start += size
    return images
