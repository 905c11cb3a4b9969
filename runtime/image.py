"""Linked code into memory: it lies ready, but for the addresses that every process has its own.

    image = prelinked.image(imports)
    image.addresses["step"]

`runtime/elf.py` makes a `Prelinked` of object code, once. It goes into one private mapping, code
first, then what is only read, then what is written; addresses are filled in, and only then is the
code made executable and no longer writable.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import sys
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from ..ir.record import dataclass

if TYPE_CHECKING:
    Imports = Callable[[Collection[str] | None], Mapping[str, int]]
    """The addresses of those of the symbols that are not the C library's, and perhaps of others; of
    all there may be if nobody knows which (None)."""

_READ, _WRITE, _EXECUTE = 1, 2, 4
_PRIVATE_ANONYMOUS: Final = 0x22
_FAILED: Final = 2**64 - 1


class UnsuitedError(Exception):
    """Object code, or a system, that is not for this loader."""


@dataclass(frozen=True)
class Image:
    """Code in memory, as long as this object lives."""

    addresses: Mapping[str, int]
    memory: Memory


@dataclass(frozen=True)
class Prelinked:
    """Code that may lie anywhere. `bounds` are the ends of the code, of what is only read and of
    everything, on pages; `content` is the start of it, what follows are zeros. `exports` are
    offsets of symbols. The words at the offsets `based` are offsets, too, and those at the offsets
    of `slots` are numbers: to the former the address of the image is added, to the latter that of
    the symbol beside them."""

    content: bytes
    bounds: tuple[int, int, int]
    exports: Mapping[str, int]
    based: tuple[int, ...]
    slots: tuple[tuple[int, str], ...]

    def pack(self) -> bytes:
        """As bytes, for `unpack`."""
        rest = self.bounds, dict(self.exports), self.based, self.slots
        return marshal.dumps((self.content, *rest))

    @property
    def symbols(self) -> frozenset[str]:
        """What it takes from elsewhere."""
        return frozenset(name for _, name in self.slots)

    def image(self, imports: Imports) -> Image:
        """The code in memory. UnsuitedError if a symbol is nowhere or the system refuses; nothing
        was executed then."""
        found = imports(self.symbols)
        code, read, size = self.bounds
        memory = Memory(max(size, 1))
        base = memory.address
        ctypes.memmove(base, self.content, min(len(self.content), size))
        for place in self.based:
            ctypes.c_uint64.from_address(base + place).value += base
        for place, name in self.slots:
            address = found.get(name) or process_symbol(name)
            ctypes.c_uint64.from_address(base + place).value += address
        _protect(base, code, _READ | _EXECUTE)
        _protect(base + code, read - code, _READ)
        return Image({name: base + offset for name, offset in self.exports.items()}, memory)


def unpack(packed: bytes) -> Prelinked:
    """What was packed. The bytes are trusted: their MAC was right."""
    return Prelinked(*marshal.loads(packed))


def is_suited() -> bool:
    """Whether this system can have such code."""
    return sys.platform == "linux" and os.uname().machine == "x86_64" and sys.maxsize > 2**32


class Memory:
    """Private memory on pages of its own, which are given back with the object. (The module `mmap`
    takes longer to load than this.)"""

    def __init__(self, size: int) -> None:
        rights = ctypes.c_int(_READ | _WRITE), ctypes.c_int(_PRIVATE_ANONYMOUS)
        place = _process().mmap(None, ctypes.c_size_t(size), *rights, -1, ctypes.c_size_t(0))
        if place in (None, _FAILED):
            raise UnsuitedError(f"no memory for code: {os.strerror(ctypes.get_errno())}")
        self.address, self.size = place, size
        self._give_back = partial(_process().munmap, ctypes.c_void_p(place), ctypes.c_size_t(size))

    def __del__(self) -> None:
        if "_give_back" in vars(self):
            self._give_back()


def _protect(address: int, size: int, rights: int) -> None:
    if size and _process().mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), rights):
        reason = os.strerror(ctypes.get_errno())
        raise UnsuitedError(f"the system refuses executable memory: {reason}")


def process_symbol(name: str) -> int:
    """The address of a function of this process, the C library's among them."""
    try:
        function = getattr(_process(), name)
    except AttributeError:
        raise UnsuitedError(f"{name} is not defined") from None
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def library_symbols(path: str, names: Collection[str]) -> dict[str, int]:
    """The addresses of functions of a library's file, by name. UnsuitedError if it lacks one, or
    cannot be loaded."""
    load, look = _process()["dlopen"], _process()["dlsym"]
    load.restype = look.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(load(os.fsencode(path), os.RTLD_NOW))
    found = {name: look(handle, name.encode()) for name in names if handle.value}
    if len(found) < len(names) or None in found.values():
        raise UnsuitedError(f"{path} is not a library with such functions")
    return found


def procedure(address: int) -> Any:
    """The C function at an address, without arguments or result. (A type of functions takes longer
    to make than all else that is done with it.)"""
    made = type(_process().munmap)(address)
    made.restype = None
    return made


@cache
def _process() -> ctypes.CDLL:
    process = ctypes.CDLL(None, use_errno=True)
    process.mmap.restype = ctypes.c_void_p
    return process
