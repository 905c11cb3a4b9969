"""Object code into this process, without LLVM where that is possible.

    image = assemble(text, store)            object code, from the store if it was made before
    image = assemble(text, store, "straight")           of code that runs once, made quickly
    linked = link([image], ("step",), {"k0": address})

On Linux and x86-64 `runtime/elf.py` loads it; LLVM does elsewhere, and whatever that loader does
not know. What runs always comes from object code, so it has the same bits fresh and from the store.
Importing this module does not import llvmlite; what is not in the store does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ..ir.record import dataclass
from . import elf
from .store import Store, kept

Form = Literal["optimised", "loops", "straight"]
"""How much is done for a text: LLVM's passes, then machine code made with care; such code of the
text as it stands; code made quickly, for what runs straight through."""


@dataclass(frozen=True)
class Linked:
    """Machine code; it lives as long as this object."""

    addresses: Mapping[str, int]
    tracker: Any


def link(images: Iterable[bytes], exports: Iterable[str], imports: Mapping[str, int]) -> Linked:
    """Load object code; `imports` gives the addresses of the symbols it takes from elsewhere, the
    C library's excepted. RuntimeError if it cannot be loaded."""
    found, names = tuple(images), tuple(exports)
    if elf.is_suited():
        try:
            image = elf.load(found, names, imports)
            return Linked(image.addresses, image.memory)
        except elf.UnsuitedError:  # LLVM loads it, or says what is wrong
            pass
    from .link import link_by_llvm  # lazily: llvmlite

    return link_by_llvm(found, names, imports)


def assemble(text: str, store: Store | None, form: Form = "loops") -> bytes:
    """The object code of LLVM text. RuntimeError if LLVM refuses it."""

    def make() -> bytes:
        from .ahead import made  # lazily: a step from the cache does without

        return made(text, form)

    return kept(store, _parts(text, form), make)


def assemble_ahead(text: str, store: Store | None, form: Form = "loops") -> None:
    """Say that `assemble` will be called: another thread may begin."""
    from .ahead import ahead  # lazily: see above

    if not is_assembled(text, store, form):
        ahead(text, form)


def is_assembled(text: str, store: Store | None, form: Form = "loops") -> bool:
    """Whether it seems to be in the store."""
    return store is not None and store.has(store.key(*_parts(text, form)))


def _parts(text: str, form: Form) -> tuple[str, ...]:
    return "llvm", form, text
