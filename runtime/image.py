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
import mmap
import os
import struct
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Final

from ..ir.record import dataclass

Imports = Callable[[Collection[str] | None], Mapping[str, int]]
"""The addresses of those of the symbols that are not the C library's, and perhaps of others; of all
there may be if nobody knows which (None)."""
_WORD: Final = struct.Struct("<Q")


class UnsuitedError(Exception):
    """Object code, or a system, that is not for this loader."""


@dataclass(frozen=True)
class Image:
    """Code in memory, as long as this object lives."""

    addresses: Mapping[str, int]
    memory: mmap.mmap


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
        memory = _map(self.bounds[2])
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        memory[: len(self.content)] = self.content
        for place in self.based:
            _add(memory, place, base)
        for place, name in self.slots:
            _add(memory, place, found.get(name) or process_symbol(name))
        code, read, _ = self.bounds
        _protect(base, code, mmap.PROT_READ | mmap.PROT_EXEC)
        _protect(base + code, read - code, mmap.PROT_READ)
        return Image({name: base + offset for name, offset in self.exports.items()}, memory)


def unpack(packed: bytes) -> Prelinked:
    """What was packed. The bytes are trusted: their MAC was right."""
    return Prelinked(*marshal.loads(packed))


def is_suited() -> bool:
    """Whether this system can have such code."""
    return sys.platform == "linux" and os.uname().machine == "x86_64" and sys.maxsize > 2**32


def _add(memory: mmap.mmap, place: int, address: int) -> None:
    (value,) = _WORD.unpack_from(memory, place)
    _WORD.pack_into(memory, place, (value + address) % 2**64)


def _map(size: int) -> mmap.mmap:
    """Private memory on pages of its own; it is given back with the object."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    try:
        return mmap.mmap(-1, max(size, 1), flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    except (OSError, ValueError) as error:
        raise UnsuitedError(str(error)) from error


def _protect(address: int, size: int, protection: int) -> None:
    if not size:
        return
    function = _process().mprotect
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if function(address, size, protection) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise UnsuitedError(f"the system refuses executable memory: {reason}")


def process_symbol(name: str) -> int:
    """The address of a function of this process, the C library's among them."""
    try:
        function = getattr(_process(), name)
    except AttributeError:
        raise UnsuitedError(f"{name} is not defined") from None
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _process() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
