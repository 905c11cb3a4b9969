"""Routines that kernels call, compiled once on a machine: those for windows of images, and sorts.

    addresses = export_library("windows_f32", store)

Their text needs no optimiser; in the store each library lies by itself. Importing this module does
not import llvmlite.
"""

from __future__ import annotations

from functools import cache

from .loading import Made, no_imports, shared
from .spec import LIBRARIES, routine_symbol
from .store import Store, kept


@cache
def export_library(name: str, store: Store | None) -> dict[str, int]:
    """The C functions of a library such as "sorted_f32", symbol to address; they stay loaded."""

    def make() -> bytes:
        from .ahead import made  # lazily: a step from the cache does without

        return made(_text(name), "loops")

    library, _, dtype = name.rpartition("_")
    symbols = [routine_symbol(routine, dtype) for routine in LIBRARIES[library]]
    linked = shared(
        shared_name(name),
        store,
        lambda: Made([kept(store, _parts(name), make)], symbols),
        no_imports,
    )
    return dict(linked.addresses)


def shared_name(name: str) -> str:
    """The name of its code among what programs share."""
    return f"library {name}"


def library_ahead(name: str, store: Store | None) -> None:
    """Say that it will be exported: another process may begin to make it."""
    from .ahead import ahead  # lazily: see above

    if store is None or not store.has(store.key(*_parts(name))):
        ahead(_text(name), "loops")


def _parts(name: str) -> tuple[str, ...]:
    return "library", name


def _text(name: str) -> str:
    from .ahead import host_features  # lazily: see above
    from .indirect import indirect_text  # lazily: see above
    from .sort_routines import sort_text
    from .vector_text import registers

    library, _, dtype = name.rpartition("_")
    machine = registers(host_features())
    if library == "windows":
        return indirect_text(machine, dtype)
    return sort_text(machine, library, dtype)
