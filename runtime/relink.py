"""What the native code of a step was linked with, again in another process, without a look at what
it is: the code that programs share by name, and the BLAS by its file.

    imports = relinked(names, library, store)      None if something is not as it was

`runtime/needs.py` does the same for a step that is made here, from what its text says.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping

import numpy as np

from ..ir.archive import STATE
from .image import UnsuitedError, library_symbols, procedure, unpack
from .loading import linked_once
from .pool import SHARED as POOL
from .pool import export_pool
from .store import Store

Library = tuple[str, str, str, tuple[int, ...], dict[str, str]]
"""A BLAS that was found to multiply correctly: its file, the function that says what it is, what
that says, the file's state, and its functions by the symbol they are called by."""


def relinked(names: Iterable[str], library: Library | None, store: Store) -> dict[str, int] | None:
    """The addresses of a program's imports, by symbol. `names` are the shared code it needs, each
    after what it calls."""
    known = {} if library is None else _functions(library)
    if known is None:
        return None
    for name in names:
        found = export_pool(store) if name == POOL else _linked(name, known, store)
        if found is None:
            return None
        known |= found
    return known


def _linked(name: str, known: Mapping[str, int], store: Store) -> Mapping[str, int] | None:
    packed = store.shared.get(name)
    try:
        if packed is None:
            return None
        return linked_once(name, unpack(packed), lambda symbols: known).addresses
    except UnsuitedError:
        return None


def _functions(library: Library) -> dict[str, int] | None:
    """The addresses of a library's functions; None if it is not NumPy's of this process, or not
    what was tested. (`blas.find` looks in more places, and tests.)"""
    path, describing, said, state, symbols = library
    if not path.startswith(os.path.dirname(np.__file__)):
        return None
    try:
        if STATE(os.stat(path)) != state:
            return None
        found = library_symbols(path, [describing, *symbols.values()])
        describe = procedure(found[describing])
        describe.restype = ctypes.c_char_p
        if repr(describe()) != said:
            return None
        return {by: found[name] for by, name in symbols.items()}
    except (OSError, UnsuitedError):
        return None
