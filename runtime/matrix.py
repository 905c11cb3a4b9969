"""The matrix routines of this process: addresses of `gemm_f32` and its kin for native code.

    addresses = export_routines("f32", store)

`runtime/routines.py` makes their object code, for the BLAS that was found, or, of what a driver's
products need, `runtime/product_parts.py`; in the store it lies under what decides it, so that a
later process needs no text and no llvmlite.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING

from . import blas, blas_threads
from .image import unpack
from .loading import Linked, Made, assemble, shared
from .pool import SHARED as POOL
from .pool import export_pool
from .spec import ROUTINES, THREAD_FUNCTIONS, Products, routine_symbol
from .store import Store, kept, recall

if TYPE_CHECKING:
    from .blas import Blas


@cache
def export_routines(
    dtype: str, store: Store | None, products: Products | None = None
) -> dict[str, int]:
    """The C functions for "f32" or "f64", symbol to address; they stay loaded. With `products` they
    are good for those alone, and consist of what those run through."""

    def make() -> Made:
        *images, absent = _images(dtype, blas.find(store), products, store)
        names = ROUTINES if products is None else {name for name, _ in products}
        symbols = [routine_symbol(name, dtype) for name in names]
        return Made(images, symbols, absent.decode().split())

    alone = _name(dtype, store, products)
    known = store is not None and alone in store.shared
    name = alone if known else _name(dtype, store, products, blas.find(store))
    linked = shared(name, store, make, lambda symbols: _imports(symbols, store))
    packed = None if store is None else store.shared.get(name)
    if store is not None and packed and not any(map(is_of_blas, unpack(packed).symbols)):
        store.shared[alone] = packed
    return dict(linked.addresses)


def shared_names(dtype: str, store: Store, products: Products | None) -> list[str]:
    """The names under which this code and what it calls are among what programs share. Code that
    does without the BLAS goes by one that does not depend on it, and nobody looks for one."""
    alone = _name(dtype, store, products)
    if alone in store.shared:
        return [POOL, alone]
    found = blas.find(store)
    return [POOL, _threads_name(found), _name(dtype, store, products, found)]


def _name(dtype: str, store: Store | None, products: Products | None, *bound: Blas | None) -> str:
    choice = measured_choice(dtype, store)
    form = (part for found in bound for part in _form(found))
    return ", ".join([f"routines {dtype}", f"tiles below {choice}", _wanted(products), *form])


def is_of_blas(symbol: str) -> bool:
    """Whether what routines call by this name is the BLAS, or around it."""
    return symbol.startswith("blas_") or symbol in THREAD_FUNCTIONS


def _imports(symbols: Collection[str] | None, store: Store | None) -> dict[str, int]:
    """What the routines call."""
    imports = export_pool(store)
    if symbols is None or any(map(is_of_blas, symbols)):
        imports = {**imports, **blas.platform_functions(), **_thread_functions(store).addresses}
        found = blas.find(store)
        if found is not None:
            imports |= {f"blas_{name}": address for name, address in found.addresses.items()}
    return imports


def measured_choice(dtype: str, store: Store | None) -> int | None:
    """Below how many multiplications tiles make a product for "f32" or "f64", if measured."""
    payload = recall(store, "tiled work", dtype)
    return None if payload is None else int(payload)


@cache
def _thread_functions(store: Store | None) -> Linked:
    found, text = blas.find(store), blas_threads.WITHOUT_THREADS
    imports: dict[str, int] = {}
    if found is not None and found.has_threads:
        text = blas_threads.WITH_THREADS
        imports = {"get_threads": found.get_threads, "set_threads": found.set_threads}

    def make() -> Made:
        return Made([assemble(text, store)], THREAD_FUNCTIONS)

    return shared(_threads_name(found), store, make, lambda symbols: imports)


def _threads_name(found: Blas | None) -> str:
    """The name of that code among what programs share."""
    return f"thread functions: {', '.join(_form(found))}"


def _images(
    dtype: str, found: Blas | None, products: Products | None, store: Store | None
) -> list[bytes]:
    """The object code, from the store or made now; the last one lists the functions that it
    declares and lacks, since they are never reached."""
    choice = None if found is None else measured_choice(dtype, store)

    def make() -> bytes:
        from .product_parts import host_parts  # lazily: see above
        from .routines import routine_images

        if products is None:
            return _pack([*routine_images(dtype, found, choice), b""])
        images, absent = host_parts(dtype, choice, store).images(products)
        return _pack([*images, " ".join(absent).encode()])

    parts = ("routines", dtype, *_form(found), f"tiles below {choice}", _wanted(products))
    return _unpack(kept(store, parts, make))


def _wanted(products: Products | None) -> str:
    return "all" if products is None else repr(sorted(products))


def _form(found: Blas | None) -> tuple[str, ...]:
    """What the code depends on besides this machine and this package."""
    if found is None:
        return ("tiles",)
    return "blas", f"{found.int_bits} bits", f"threads={found.has_threads}"


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
