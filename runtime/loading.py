"""Object code into this process, without LLVM where that is possible.

    image = assemble(text, store)            object code, from the store if it was made before
    image = assemble(text, store, "straight")           of code that runs once, made quickly
    linked = link([image], ("step",), {"k0": address})
    linked = shared("pool", store, lambda: ([image], ("split",)))        of code all programs share

On Linux and x86-64 `runtime/elf.py` links it; LLVM does elsewhere, and whatever that linker does
not know. What runs always comes from object code, so it has the same bits fresh and from the store.
Importing this module does not import llvmlite; what is not in the store does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ..ir.record import dataclass
from . import elf
from .image import (
    Image,
    Prelinked,
    UnsuitedError,
    is_suited,
    process_symbol,
    unpack,
)
from .store import Store, kept

if TYPE_CHECKING:
    from typing import Literal

    from .image import Imports

    Form = Literal["optimised", "vectors", "loops", "straight"]
    """How much is done for a text: LLVM's passes, then machine code made with care; those passes
    alone that a text in which no loop is left to vectorise wants; such code of the text as it
    stands; code made quickly, for what runs straight through."""


@dataclass(frozen=True)
class Linked:
    """Machine code; it lives as long as this object."""

    addresses: Mapping[str, int]
    tracker: Any


def link(images: Iterable[bytes], exports: Iterable[str], imports: Mapping[str, int]) -> Linked:
    """Load object code; `imports` gives the addresses of the symbols it takes from elsewhere, the
    C library's excepted. RuntimeError if it cannot be loaded."""
    found, names = tuple(images), tuple(exports)
    if is_suited():
        try:
            return loaded(elf.prelink(found, names).image(lambda symbols: imports))
        except UnsuitedError:  # LLVM loads it, or says what is wrong
            pass
    from .link import link_by_llvm  # lazily: llvmlite

    return link_by_llvm(found, names, imports)


@dataclass(frozen=True)
class Made:
    """Object code, the symbols it is for, and the functions it declares but never reaches."""

    images: Iterable[bytes]
    exports: Iterable[str]
    absent: Iterable[str] = ()


def shared(name: str, store: Store | None, make: Callable[[], Made], imports: Imports) -> Linked:
    """Code that programs share, known by a name to this package on this machine: what a program of
    an earlier process brought along in `store.shared`; else it is made, and left there for programs
    that are left to later processes. Where LLVM links it, nothing is."""
    packed = None if store is None else store.shared.get(name)
    if packed is not None:
        with contextlib.suppress(UnsuitedError):  # it is made as if it were not there
            return linked_once(name, unpack(packed), imports)
    made = make()
    images, exports, absent = tuple(made.images), tuple(made.exports), tuple(made.absent)
    if is_suited():
        with contextlib.suppress(UnsuitedError):
            prelinked = elf.prelink(images, exports, absent)
            linked = linked_once(name, prelinked, imports)
            if store is not None:
                store.shared[name] = prelinked.pack()
            return linked
    unreached = dict.fromkeys(absent, process_symbol("abort") if absent else 0)
    linked = link(images, exports, {**imports(None), **unreached})
    _linked_by_llvm().append(linked)
    return linked


def linked_once(name: str, image: Prelinked, imports: Imports) -> Linked:
    """Code that programs share, in memory for as long as the process: it may have state, so there
    is one of a name that calls the same. UnsuitedError if this system refuses it."""
    found = imports(image.symbols)
    key = name, *sorted((symbol, found.get(symbol, 0)) for symbol in image.symbols)
    linked = _in_memory().get(key)
    if linked is None:
        linked = _in_memory()[key] = loaded(image.image(lambda symbols: found))
    return linked


@cache
def _in_memory() -> dict[tuple[Any, ...], Linked]:
    return {}


@cache
def _linked_by_llvm() -> list[Linked]:
    """Shared code stays as long as the process, whoever links it: kernels call it."""
    return []


def no_imports(symbols: Collection[str] | None) -> Mapping[str, int]:
    """The imports of code that takes nothing but the C library's."""
    return {}


def loaded(image: Image) -> Linked:
    """An image as any other machine code."""
    return Linked(image.addresses, image.memory)


def assemble(text: str, store: Store | None, form: Form = "loops") -> bytes:
    """The object code of LLVM text. RuntimeError if LLVM refuses it."""

    def make() -> bytes:
        from .ahead import made  # lazily: a step from the cache does without

        return made(text, form)

    return kept(store, _parts(text, form), make)


def assemble_ahead(text: str, store: Store | None, form: Form = "loops") -> None:
    """Say that `assemble` will be called: another process may begin."""
    from .ahead import ahead  # lazily: see above

    if not is_assembled(text, store, form):
        ahead(text, form)


def begin() -> None:
    """Say that something is going to be compiled."""
    from .ahead import begin  # lazily: see above

    begin()


def is_assembled(text: str, store: Store | None, form: Form = "loops") -> bool:
    """Whether it seems to be in the store."""
    return store is not None and store.has(store.key(*_parts(text, form)))


def _parts(text: str, form: Form) -> tuple[str, ...]:
    return "llvm", form, text
