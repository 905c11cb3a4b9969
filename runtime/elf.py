"""Object code linked without LLVM: ELF for x86-64, as LLVM emits it for generated code.

    image = load([object_code, ...], ("step",), {"blas_sgemm": address})
    image.addresses["step"]
    prelinked = prelink([object_code, ...], ("step",))      the same in two steps

Sections are laid out code first, then what is only read, then what is written; relocations are
applied as far as they do not depend on the process (`runtime/image.py` does the rest). A function
from elsewhere is reached through a stub, `jmp *slot`, since it may be far away.

What LLVM emits for position-independent code is known; whatever is not (thread-local data,
constructors, other relocations) raises UnsuitedError before anything runs, and so does a system
that refuses the mapping: `runtime/loading.py` then lets LLVM load it. Source of the formats and
of the arithmetic: System V Application Binary Interface, AMD64 Architecture Processor Supplement.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from .image import Image, Prelinked, UnsuitedError

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QIIq")
_IDENTITY: Final = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian, version 1
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _NOBITS, _UNWIND = 1, 2, 4, 8, 0x7000_0001
_IGNORED: Final = frozenset({0, 3, 7, _SYMTAB, _RELA, _UNWIND})
"""Kinds of sections that need no memory of their own: null, strings, notes ..."""
_CONSTRUCTORS: Final = (b".ctors", b".dtors", b".init", b".fini")
_WRITE, _ALLOC, _EXEC = 1, 2, 4
_KNOWN_FLAGS: Final = _WRITE | _ALLOC | _EXEC | 0x10 | 0x20 | 0x40  # merge, strings, link
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2
_UNDEFINED, _ABSOLUTE, _RESERVED = 0, 0xFFF1, 0xFF00
_KINDS: Final = frozenset(range(5))  # of symbols: not thread-local, not resolved at run time
_ABS64, _PC32, _PLT32, _PC64 = 1, 2, 4, 24
_DIRECT: Final = frozenset({_ABS64, _PC32, _PLT32, _PC64})
_GOT: Final = frozenset({9, 41, 42})  # GOTPCREL, and the forms a linker may shorten
_FIELDS: Final = {_ABS64: (8, "<Q"), _PC64: (8, "<q")}
"""The bytes a relocation writes, where they are not four."""
_STUB: Final = struct.Struct("<HIH")  # jmp *slot(%rip), padded to 8 bytes
_JMP: Final = 0x25FF


def load(images: Iterable[bytes], exports: Iterable[str], imports: Mapping[str, int]) -> Image:
    """Load object code; `imports` are the addresses of symbols from elsewhere, the C library's
    excepted. UnsuitedError if that is not for this loader; nothing was executed then."""
    return prelink(images, exports).image(lambda symbols: imports)


def prelink(
    images: Iterable[bytes], exports: Iterable[str], absent: Iterable[str] = ()
) -> Prelinked:
    """Link object code; UnsuitedError if it is not for this linker. Functions that are `absent` are
    never reached: `abort` stands in for them."""
    try:
        objects = [_Object(image) for image in images]
        return _Linking(objects, _Layout(objects)).prelinked(exports, frozenset(absent))
    except (struct.error, IndexError, ValueError) as error:
        raise UnsuitedError(str(error)) from error


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class _Symbol(NamedTuple):
    name: str
    binding: int
    section: int
    value: int


class _Object:
    """The sections and symbols of one piece of object code."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        fields = _HEADER.unpack_from(image)
        identity, kind, machine = fields[:3]
        start, (size, count, names) = fields[6], fields[11:]
        if (identity[:7], kind, machine) != (_IDENTITY, _RELOCATABLE, _X86_64):
            raise UnsuitedError("not an object file for x86-64")
        _expect(size == _SECTION.size, "section headers")
        self.sections = [
            _Section._make(_SECTION.unpack_from(image, start + size * k)) for k in range(count)
        ]
        named = self.content(self.sections[names])
        for section in self.sections:
            self._check(section, named[section.name : named.index(b"\0", section.name)])
        self.symbols = list(self._symbols())

    def content(self, section: _Section) -> bytes:
        """The bytes of a section."""
        content = self.image[section.offset : section.offset + section.size]
        _expect(len(content) == section.size, "a section beyond the end")
        return content

    def loaded(self) -> Iterator[tuple[int, _Section]]:
        """The sections that need memory."""
        for k, section in enumerate(self.sections):
            if section.flags & _ALLOC and section.kind in (_PROGBITS, _NOBITS):
                yield k, section

    def relocations(self) -> Iterator[tuple[int, Iterator[tuple[Any, ...]]]]:
        """For each section that has some: offset, type, symbol and addend."""
        for section in self.sections:
            if section.kind == _RELA:
                yield section.info, _RELOCATION.iter_unpack(self.content(section))

    def _check(self, section: _Section, name: bytes) -> None:
        _expect(not name.startswith(_CONSTRUCTORS), "constructors")
        if section.flags & _ALLOC and section.kind not in _IGNORED:
            known = section.kind in (_PROGBITS, _NOBITS) and not section.flags & ~_KNOWN_FLAGS
            both = section.flags & _WRITE and section.flags & _EXEC
            _expect(known and not both, f"a section of kind {section.kind}")
            power = section.alignment & (section.alignment - 1) == 0
            _expect(power and section.alignment <= mmap.PAGESIZE, "alignment")
        _expect(section.kind not in (9, 17, 18), f"a section of kind {section.kind}")

    def _symbols(self) -> Iterator[_Symbol]:
        for table in (s for s in self.sections if s.kind == _SYMTAB):
            names = self.content(self.sections[table.link])
            for name, info, _, section, value, _ in _SYMBOL.iter_unpack(self.content(table)):
                end = names.index(b"\0", name)
                known = info & 15 in _KINDS and info >> 4 in (_LOCAL, _GLOBAL, _WEAK)
                _expect(known, f"a symbol of kind {info}")
                _expect(section < _RESERVED or section == _ABSOLUTE, "a common symbol")
                yield _Symbol(names[name:end].decode(), info >> 4, section, value)


class _Layout:
    """Where everything goes: three segments on pages of their own, code with the stubs, what is
    read with the slots, what is written."""

    def __init__(self, objects: list[_Object]) -> None:
        self.places: dict[tuple[int, int], int] = {}
        every = (s.name for found in objects for s in found.symbols if s.binding != _LOCAL)
        self.links = {name: 8 * k for k, name in enumerate(dict.fromkeys(every))}
        bytes_for_links = 8 * len(self.links)
        self.size = 0
        self.bounds = [0]
        self._segment(objects, lambda flags: bool(flags & _EXEC))
        self.stubs = self._reserve(bytes_for_links)
        self._close()
        self._segment(objects, lambda flags: not flags & (_EXEC | _WRITE))
        self.slots = self._reserve(bytes_for_links)
        self._close()
        self._segment(objects, lambda flags: bool(flags & _WRITE))
        self._close()

    def _segment(self, objects: list[_Object], belongs: Callable[[int], bool]) -> None:
        for i, found in enumerate(objects):
            for k, section in found.loaded():
                if belongs(section.flags):
                    self.places[i, k] = self._reserve(section.size, max(section.alignment, 1))

    def _reserve(self, size: int, alignment: int = 8) -> int:
        place = -(-self.size // alignment) * alignment
        self.size = place + size
        return place

    def _close(self) -> None:
        self.size = -(-self.size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.bounds.append(self.size)


class _Linking:
    """The objects on their way into one image. An address is the offset in it."""

    def __init__(self, objects: list[_Object], layout: _Layout) -> None:
        self.objects, self.layout = objects, layout
        self.memory = bytearray(layout.size)
        self.based: list[int] = []
        self.slots: list[tuple[int, str]] = []
        self.defined = self._definitions()

    def prelinked(self, exports: Iterable[str], absent: Collection[str]) -> Prelinked:
        for (i, k), place in self.layout.places.items():
            section = self.objects[i].sections[k]
            if section.kind == _PROGBITS:
                self.memory[place : place + section.size] = self.objects[i].content(section)
        for name, link in self.layout.links.items():
            self._link(name, link)
        for i, found in enumerate(self.objects):
            for k, relocations in found.relocations():
                if (i, k) in self.layout.places:
                    for relocation in relocations:
                        self._relocate(i, k, *relocation)
        missing = [name for name in exports if name not in self.defined]
        _expect(not missing, f"no {', '.join(missing)}")
        _, code, read, size = self.layout.bounds
        return Prelinked(
            bytes(self.memory.rstrip(b"\0")),
            (code, read, size),
            {name: self.defined[name] for name in exports},
            tuple(self.based),
            tuple((place, "abort" if s in absent else s) for place, s in self.slots),
        )

    def _definitions(self) -> dict[str, int]:
        """The addresses of the symbols that are seen from outside their object."""
        found: dict[str, int] = {}
        strong: set[str] = set()
        for i, holder in enumerate(self.objects):
            for symbol in holder.symbols:
                if symbol.binding == _LOCAL or symbol.section == _UNDEFINED:
                    continue
                if symbol.binding == _GLOBAL:
                    _expect(symbol.name not in strong, f"two definitions of {symbol.name}")
                    strong.add(symbol.name)
                if symbol.binding == _GLOBAL or symbol.name not in found:
                    found[symbol.name] = self._address(i, symbol)
        return found

    def _address(self, i: int, symbol: _Symbol) -> int:
        place = self.layout.places.get((i, symbol.section))
        if place is None:
            raise UnsuitedError(f"{symbol.name or 'a symbol'} is nowhere")
        return place + symbol.value

    def _link(self, name: str, link: int) -> None:
        """Fill the slot of a symbol, and write the stub that jumps to one from elsewhere."""
        stub, slot = self.layout.stubs + link, self.layout.slots + link
        address = self.defined.get(name)
        if address is None:
            self.slots.append((slot, name))
            _STUB.pack_into(self.memory, stub, _JMP, slot - (stub + 6), 0)
        else:
            self.based.append(slot)
            struct.pack_into("<Q", self.memory, slot, address)

    def _relocate(self, i: int, k: int, offset: int, kind: int, index: int, addend: int) -> None:
        width, form = _FIELDS.get(kind, (4, "<i"))
        _expect(offset + width <= self.objects[i].sections[k].size, "a relocation beyond the end")
        place = self.layout.places[i, k] + offset
        symbol = self.objects[i].symbols[index]
        if kind == _ABS64:
            value = self._absolute(i, symbol, place) + addend
            struct.pack_into(form, self.memory, place, value % 2**64)
        else:
            value = self._value(i, symbol, kind) + addend
            struct.pack_into(form, self.memory, place, value - place)

    def _absolute(self, i: int, symbol: _Symbol, place: int) -> int:
        """What the address of a symbol is before that of the image, or of a symbol from elsewhere,
        is added to it."""
        if symbol.binding != _LOCAL and symbol.name not in self.defined:
            self.slots.append((place, symbol.name))
            return 0
        self.based.append(place)
        return self._address(i, symbol) if symbol.binding == _LOCAL else self.defined[symbol.name]

    def _value(self, i: int, symbol: _Symbol, kind: int) -> int:
        """What a relocation of a kind refers to: the symbol, its slot, or its stub."""
        if symbol.binding == _LOCAL:
            _expect(kind in _DIRECT, f"a relocation of type {kind}")
            return self._address(i, symbol)
        link = self.layout.links[symbol.name]
        if kind in _GOT:
            return self.layout.slots + link
        if symbol.name in self.defined and kind in _DIRECT:
            return self.defined[symbol.name]
        _expect(kind == _PLT32, f"a relocation of type {kind} to {symbol.name}")
        return self.layout.stubs + link


def _expect(condition: object, what: str) -> None:
    if not condition:
        raise UnsuitedError(what)
