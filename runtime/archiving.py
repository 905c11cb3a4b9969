"""Leaves the compiled Python of what this process has loaded for later ones (`ir/archive.py`).

archiving.leave("tapeless")
"""

from __future__ import annotations

import contextlib
import marshal
import os
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from types import ModuleType
from typing import Final

from ..ir import archive, late
from ..ir.archive import DEFECTS, MARK, STATE, WINDOW, Archive, Known, Place, maker
from .files import replace
from .identity import SETTLED

_HEADER: Final = struct.Struct("<4sIII")
"""Of the compiled Python of a file: magic number, flags (0: known by the following), and the time
and size of its source."""


def leave(package: str, *others: str) -> None:
    """Put what is loaded of a package into its archive, with what is there, and other modules that
    later processes need, unless it is already. Each module is looked at once in a process, when its
    source was not changed just now. Where nothing can be written, or Python is told to leave no
    such files, nothing is."""
    path = None if sys.dont_write_bytecode else archive.path_of(package)
    if path is None:
        return
    done = done_with(path)
    places = _settled(s for s in _specs(package) if s.name not in done)
    if not places:
        return
    source = str(sys.modules[package].__file__)
    known = _found(path, os.path.dirname(source))
    if not all(_is_now(known.get(name)) for name in places):
        for name in others:
            late.execute(name)
        places |= _settled(s for s in _specs(package) if s.name not in done)
        with contextlib.suppress(OSError):
            replace(path, _content({name: place for name, (place, _) in known.items()} | places))
            os.chmod(path, os.stat(source).st_mode & 0o777 | 0o200)  # as Python does
    done.update(places)


@cache
def done_with(path: str) -> set[str]:
    """The modules that are in an archive, or for which this process has tried."""
    return set()


def _found(path: str, root: str) -> dict[str, Known]:
    """What is in the archive that is there, if its modules are those of this folder."""
    try:
        found = Archive(path)
    except DEFECTS:
        return {}
    return found.all_known() if all(f.startswith(root) for f in found.folders) else {}


def _specs(package: str) -> Iterator[ModuleSpec]:
    """Of the modules that are loaded from files."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == package and isinstance(module, ModuleType):
            spec = vars(module).get("__spec__")
            if spec is not None and isinstance(spec.loader, SourceFileLoader):
                yield spec


def _settled(specs: Iterable[ModuleSpec]) -> dict[str, Place]:
    """The files of those modules whose sources were not changed just now. (Python need not have
    left compiled Python of the others yet, and what it leaves may be of another source.)"""
    found = ((spec.name, _place(spec)) for spec in specs)
    return {name: place for name, place in found if place and _is_settled(place[0])}


def _is_settled(source: str) -> bool:
    """Whether the times of a file tell every further change."""
    try:
        return bool(max(STATE(os.stat(source))[3:]) <= time.time_ns() - SETTLED)
    except OSError:
        return True  # it is gone


def _place(spec: ModuleSpec) -> Place | None:
    if spec.origin is None or spec.cached is None:
        return None
    return spec.origin, spec.cached, spec.submodule_search_locations is not None


def _is_now(known: Known | None) -> bool:
    """Whether the source is what it was."""
    try:
        return known is not None and bool(STATE(os.stat(known[0][0])) == known[1])
    except OSError:
        return False


def _content(places: dict[str, Place]) -> bytes:
    """The archive of modules with these files."""
    compiled = {name: found for name in places if (found := _compiled(*places[name][:2]))}
    mark, parts, at = os.urandom(MARK), [], 0
    blocks: list[tuple[int, int, int]] = []
    entries: dict[str, int] = {}
    for names in _together({name: len(code) for name, (_, code) in compiled.items()}):
        entries |= dict.fromkeys(names, len(blocks))
        head = marshal.dumps({name: (places[name], compiled[name][0]) for name in names})
        codes = marshal.dumps([marshal.loads(compiled.pop(name)[1]) for name in names])
        blocks.append((at, len(head), len(codes)))
        parts += [mark, head, codes]
        at += MARK + len(head) + len(codes)
    folders = list(dict.fromkeys(os.path.dirname(places[name][0]) for name in entries))
    index = marshal.dumps((maker(), folders, blocks, entries))
    return b"".join([mark, len(index).to_bytes(8, "little"), index, *parts])


def _together(sizes: dict[str, int]) -> Iterator[list[str]]:
    """The modules of each block: those that nearly every process loads in the order in which they
    are loaded, as many as have room, and each other alone."""
    order = {name: late.common_order(sys.modules[name]) for name in sizes if name in sys.modules}
    for name in sorted(filter(order.get, order), key=order.__getitem__):
        package = name.rpartition(".")[0]
        order[package] = order.get(package) or order[name]
    block: list[str] = []
    for name in sorted(filter(order.get, sizes), key=order.__getitem__):
        if block and sum(sizes[each] for each in [*block, name]) > WINDOW:
            yield block
            block = []
        block.append(name)
    yield from ([block] if block else [])
    yield from ([name] for name in sizes if not order.get(name))


def _compiled(source: str, cached: str) -> tuple[tuple[int, ...], bytes] | None:
    """The state of a source, and its compiled Python as Python left it; None where it did not, or
    it is known by something else than the time, or the source was changed just now."""
    try:
        status = os.stat(source)
        with open(cached, "rb", buffering=0) as file:
            content = file.read()
    except OSError:
        return None
    seconds, size = int(status.st_mtime) % 2**32, status.st_size % 2**32
    state = STATE(status)
    if content[: _HEADER.size] != _HEADER.pack(MAGIC_NUMBER, 0, seconds, size):
        return None
    if max(state[3:]) > time.time_ns() - SETTLED:
        return None
    return state, content[_HEADER.size :]
