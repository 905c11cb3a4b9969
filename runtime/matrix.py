"""The matrix routines of this process: addresses of `gemm_f32` and its kin for native code.

    addresses = export_routines("f32", store)

`runtime/routines.py` makes their object code, for the BLAS that was found, or, of what a driver's
products need, `runtime/product_parts.py`; in the store it lies under what decides it, so that a
later process needs no text and no llvmlite.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import cache
from typing import Final

from .blas import Blas, find, find_address, platform_functions
from .blas_threads import THREAD_FUNCTIONS, WITH_THREADS, WITHOUT_THREADS
from .loading import Linked, assemble, link
from .pool import export_pool
from .spec import ROUTINES, WINDOW_ROUTINES, routine_symbol
from .store import Store, kept, recall

_WINDOW_PARTS: Final = ("window routines",)

Products = frozenset[tuple[str, tuple[int, ...]]]
"""Calls of routines with their integer operands: flags, extents and strides."""


def called_products(driver: str) -> dict[str, Products | None]:
    """The products that a driver's LLVM text calls, by dtype; None where an integer is none that
    the text spells out."""
    found: dict[str, Products | None] = {}
    for line in driver.splitlines():
        _, call, rest = line.partition('call void @"tapeless_')
        name, _, operands = rest.partition('"(')
        routine, _, dtype = name.partition("_")
        if not call or routine not in ROUTINES:
            continue
        typed = (x.split() for x in operands.rstrip(")").split(", "))
        integers = [number for kind, number in typed if kind == "i64"]
        known = found.get(dtype, frozenset())
        if known is None or not all(map(str.isdecimal, integers)):
            found[dtype] = None
        else:
            found[dtype] = known | {(routine, tuple(map(int, integers)))}
    return found


@cache
def export_routines(
    dtype: str, store: Store | None, products: Products | None = None
) -> dict[str, int]:
    """The C functions for "f32" or "f64", symbol to address; they stay loaded. With `products` they
    are good for those alone, and consist of what those run through."""
    blas = find(store)
    imports = {**export_pool(store), **_thread_functions(store).addresses, **platform_functions()}
    if blas is not None:
        imports |= {f"blas_{name}": address for name, address in blas.addresses.items()}
    images = _images(dtype, blas, products, store)
    absent = images.pop().decode().split()
    imports |= dict.fromkeys(absent, find_address(ctypes.CDLL(None), "abort") if absent else 0)
    names = ROUTINES if products is None else {name for name, _ in products}
    linked = link(images, [routine_symbol(name, dtype) for name in names], imports)
    _keep().append(linked)
    return dict(linked.addresses)


@cache
def export_window_routines(dtype: str, store: Store | None) -> dict[str, int]:
    """The same of the routines for windows (`runtime/indirect.py`)."""

    def make() -> bytes:
        from .ahead import made  # lazily: a step from the cache does without

        return made(_window_text(dtype), "loops")

    image = kept(store, (*_WINDOW_PARTS, dtype), make)
    linked = link([image], [routine_symbol(name, dtype) for name in WINDOW_ROUTINES], {})
    _keep().append(linked)
    return dict(linked.addresses)


def window_routines_ahead(dtype: str, store: Store | None) -> None:
    """Say that they will be exported: another thread may begin to make them."""
    from .ahead import ahead  # lazily: see above

    if store is None or not store.has(store.key(*_WINDOW_PARTS, dtype)):
        ahead(_window_text(dtype), "loops")


def _window_text(dtype: str) -> str:
    from .host import host_features
    from .indirect import indirect_text  # lazily: see above
    from .vector_text import registers

    return indirect_text(registers(host_features()), dtype)


@cache
def _keep() -> list[Linked]:
    """Kernels call this machine code: it stays as long as the process."""
    return []


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


def _images(
    dtype: str, blas: Blas | None, products: Products | None, store: Store | None
) -> list[bytes]:
    """The object code, from the store or made now; the last one lists the functions that it
    declares and lacks, since they are never reached."""
    choice = None if blas is None else measured_choice(dtype, store)

    def make() -> bytes:
        from .product_parts import host_parts  # lazily: llvmlite
        from .routines import routine_images

        if products is None:
            return _pack([*routine_images(dtype, blas, choice), b""])
        images, absent = host_parts(dtype, choice, store).images(products)
        return _pack([*images, " ".join(absent).encode()])

    wanted = "all" if products is None else repr(sorted(products))
    parts = ("routines", dtype, *_form(blas), f"tiles below {choice}", wanted)
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
