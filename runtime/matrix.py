"""The matrix routines of this process: addresses of `gemm_f32` and its kin for native code.

    addresses = export_routines(store)

`runtime/routines.py` makes their object code, for the BLAS that was found; in the store it lies
under what decides it, so that a later process needs no text and no llvmlite.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache

from .blas import Blas, find
from .kernel import ROUTINES, routine_symbol
from .loading import Linked, link
from .pool import export_pool
from .store import Store

DTYPES = ("f32", "f64")


def routine_words() -> Iterator[str]:
    """gemm_f32, gemm_f64, gemv_f32, ..."""
    return (f"{routine}_{dtype}" for routine in ROUTINES for dtype in DTYPES)


def export_routines(store: Store | None) -> dict[str, int]:
    """The C functions, symbol to address; they stay loaded."""
    return dict(_linked(store).addresses)


@cache
def _linked(store: Store | None) -> Linked:
    blas = find(store)
    imports: dict[str, int] = {}
    if blas is not None:
        imports = export_pool(store) | {
            f"blas_{name}": address for name, address in blas.addresses.items()
        }
        imports |= {"get_threads": blas.get_threads, "set_threads": blas.set_threads}
    exports = tuple(routine_symbol(*word.split("_")) for word in routine_words())
    return link(_images(blas, store), exports, imports)


def _images(blas: Blas | None, store: Store | None) -> list[bytes]:
    """The object code, from the store or made now."""
    key = "" if store is None else store.key("routines", *_form(blas))
    payload = None if store is None else store.get(key)
    if payload is not None:
        return _unpack(payload)
    from .routines import routine_images  # lazily: llvmlite

    images = routine_images(blas)
    if store is not None:
        store.put(key, _pack(images))
    return images


def _form(blas: Blas | None) -> tuple[str, ...]:
    """What the code depends on besides this machine and this package."""
    if blas is None:
        return ("loops",)
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
