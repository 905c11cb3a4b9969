"""Files that only the user can read and write, each written as a whole.

A file is written under another name and renamed: a process killed anywhere leaves the old file, the
new one, or a temporary file. Nothing waits for the disk (a file that a loss of power cut short is
found to be defective, and made again), nor for anything else, whatever lies at a path.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final

TEMPORARY: Final = ".tmp"
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)


class DefectError(OSError):
    """Something about a file or a folder that makes it unusable."""


def private_folder(folder: str) -> bool:
    """Make the folder, or check that it is the user's own; whether others could enter it, which
    they cannot any more. DefectError for anything else of that name."""
    try:
        status = os.lstat(folder)
    except FileNotFoundError:
        _make_folder(folder)
        status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise DefectError(f"{folder} is not a folder (links are refused)")
    _check_owner(status)
    is_open = os.name == "posix" and bool(status.st_mode & 0o077)
    if is_open:
        os.chmod(folder, 0o700)
    return is_open


def _make_folder(folder: str) -> None:
    """The folder for the user alone; those above it as usual."""
    above = os.path.dirname(folder)
    if above:
        os.makedirs(above, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:  # another process was first, or it is no folder
        if not os.path.isdir(folder):
            raise


def _check_owner(status: os.stat_result) -> None:
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise DefectError("the cache belongs to another user")


def read_private(path: str, most: int) -> bytes:
    """The content of a regular file of the user's that others can neither write nor read, and that
    has at most so many bytes.

    DefectError for anything else. Opening never waits, whatever lies there.
    """
    if not _NO_FOLLOW and os.path.islink(path):
        raise DefectError("a link")
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _BINARY)
    except OSError as error:
        if os.path.islink(path):
            raise DefectError("a link") from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DefectError("not a file")
        _check_owner(status)
        if os.name == "posix" and status.st_mode & 0o077:
            raise DefectError("others may read or write it")
        if status.st_size > most:
            raise DefectError(f"longer than {most} bytes")
        return _read(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _read(descriptor: int, expected: int) -> bytes:
    """All that a file holds, which is most often what its status says."""
    parts = [os.read(descriptor, expected + 1)]
    while parts[-1]:
        parts.append(os.read(descriptor, 2**16))
    return b"".join(parts)


def keep(path: str, content: bytes) -> None:
    """Make this the content of a file, unless it is already. OSError if it cannot be written."""
    try:
        if read_private(path, len(content)) == content:
            return
    except OSError:
        pass
    replace(path, content)


def replace(path: str, content: bytes) -> None:
    """Make this the content of a file, whatever lies there. OSError if it cannot be written."""
    temporary = write_temporary(path, content)
    try:
        if _is_folder(path):
            remove(path)
        os.replace(temporary, path)
    except OSError:
        remove(temporary)
        raise


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def remove(path: str) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if _is_folder(path):
        import shutil  # lazily: rarely needed

        shutil.rmtree(path)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def write_temporary(path: str, content: bytes) -> str:
    """A new file beside `path` with this content."""
    folder, name = os.path.split(path)
    unique = f".{name[:16]}.{os.getpid()}.{os.urandom(4).hex()}{TEMPORARY}"
    temporary = os.path.join(folder, unique)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
    descriptor = os.open(temporary, flags, 0o600)
    try:
        _write(descriptor, content)
    except OSError:
        remove(temporary)
        raise
    return temporary


def _write(descriptor: int, content: bytes) -> None:
    """Write all of it and close."""
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
