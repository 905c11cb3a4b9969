"""The compiled Python of many modules of a package in one file, beside the files of each.

    archive.use("tapeless")        in the `__init__.py` of the package

To find and read one module in Python's way takes as long as to run it. So a process that compiles
a step leaves what it loaded in `__pycache__` (`runtime/archiving.py`), and later ones take it from
there: a finder of the package's folders knows where in the file a module lies. It gives only what
belongs to the source as it is now, by the file's number, size and times, which says more than
Python asks of its own files, and is as trusted as these are. Whatever is wrong, the module is
imported as ever.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from operator import attrgetter
from types import CodeType
from typing import Any, Final

STATE: Final = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
"""What tells a file's content, if it was not changed just now. The time of the last change of its
status cannot be set."""
MARK: Final = 16
"""Bytes in front of the index and of each block, which no other archive has."""
FORM: Final = 2
WINDOW: Final = 3 * 2**15
"""Bytes of a block of several modules. More would be memory that is touched for the first time."""
_LOADERS: Final = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)
DEFECTS: Final = (OSError, EOFError, LookupError, ValueError, TypeError)
"""What reading something else says."""

Place = tuple[str, str, bool]
"""The file of a module, that of its compiled Python, and whether it is a package."""
Known = tuple[Place, tuple[int, ...]]
"""Besides, the state of the former when the latter was made of it."""


def path_of(package: str) -> str | None:
    """The archive of a package; None if it was not imported from a file, or leaves none."""
    spec = sys.modules[package].__spec__
    if spec is None or type(spec.loader) is not SourceFileLoader or spec.cached is None:
        return None
    folder, name = os.path.split(spec.cached)
    return os.path.join(folder, name.replace("__init__", "archive", 1))


def maker() -> tuple[str, int]:
    """What can read an archive: this Python, and this form of one."""
    return sys.version, FORM


class Archive:
    """One such file. ValueError, OSError and the like for a defective one."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb", buffering=0) as file:
            self.mark, length = file.read(MARK), int.from_bytes(file.read(8), "little")
            made_by, self.folders, self.blocks, self.entries = marshal.loads(file.read(length))
        if made_by != maker():
            raise ValueError("of another Python, or another form")
        self.start = MARK + 8 + length
        self._unpacked: dict[str, tuple[Known, CodeType]] = {}

    folders: list[str]
    """Where the modules lie."""
    blocks: list[tuple[int, int, int]]
    """Where each lies behind the index, and how long what is known of its modules and their
    compiled Python are."""
    entries: dict[str, int]
    """The block of each module. (One object more for each would take as long as to import one.)
    Those that nearly every process loads lie together: what they have in common is there once."""

    def all_known(self) -> dict[str, Known]:
        """What is known of the modules that are here, as far as the file is sound."""
        found: dict[str, Known] = {}
        with contextlib.suppress(*DEFECTS), open(self.path, "rb", buffering=0) as file:
            for place, head, _ in self.blocks:
                file.seek(self.start + place)
                content = file.read(MARK + head)
                if content[:MARK] == self.mark:
                    found |= marshal.loads(content[MARK:])
        return found

    def spec(self, name: str) -> ModuleSpec | None:
        """How to import a module; None if it is not here as it is now."""
        number = self.entries.get(name)
        if number is None:
            return None
        try:
            if name not in self._unpacked:
                self._unpacked |= self._unpack(*self.blocks[number])
            ((source, cached, is_package), state), code = self._unpacked.pop(name)
            if STATE(os.stat(source)) != state:
                return None
        except DEFECTS:
            return None
        spec = ModuleSpec(name, _Loader(name, source, code), origin=source, is_package=is_package)
        spec.has_location, spec.cached = True, cached
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(source))
        return spec

    def _unpack(self, place: int, head: int, length: int) -> dict[str, tuple[Known, CodeType]]:
        """The modules of a block. ValueError if another archive has taken the place of this one."""
        content = memoryview(self._read(place, MARK + head + length))
        if content[:MARK] != self.mark:
            raise ValueError("of another archive")
        known = marshal.loads(content[MARK : MARK + head])
        codes = marshal.loads(content[MARK + head :])
        return dict(zip(known, zip(known.values(), codes, strict=True), strict=True))

    def _read(self, place: int, length: int) -> bytes:
        file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            os.lseek(file, self.start + place, os.SEEK_SET)
            return os.read(file, length)
        finally:
            os.close(file)


class _Loader(SourceFileLoader):
    """The loader of a module's file, which knows its compiled Python."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code: CodeType | None = code

    def get_code(self, fullname: str) -> Any:
        """What was given; later whatever the file holds then."""
        code, self._code = self._code, None
        return super().get_code(fullname) if code is None else code


class _Finder(FileFinder):
    """Finds the modules of a folder, in the archive if they are there."""

    def __init__(self, folder: str, archive: Archive) -> None:
        super().__init__(folder, *_LOADERS)
        self._archive = archive

    def find_spec(self, fullname: str, target: Any = None) -> ModuleSpec | None:
        """See `importlib.abc.PathEntryFinder`."""
        return self._archive.spec(fullname) or super().find_spec(fullname, target)


def use(package: str) -> None:
    """Import a package's modules from its archive from now on, if it has one."""
    path = path_of(package)
    if path is None or not os.path.exists(path):
        return
    try:
        archive = Archive(path)
    except DEFECTS:
        return
    for folder in archive.folders:
        sys.path_importer_cache[folder] = _Finder(folder, archive)
