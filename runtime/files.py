"""Files that only the user can read and write, each written as a whole.

A file is written under another name, synchronised and renamed: a process killed anywhere leaves the
old file, the new one, or a temporary file. Nothing here waits, whatever lies at a path.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

TEMPORARY: Final = ".tmp"
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)


class DefectError(OSError):
    """Something about a file or a folder that makes it unusable."""


def private_folder(folder: Path) -> bool:
    """Make the folder, or check that it is the user's own; whether others could enter it, which
    they cannot any more. DefectError for anything else of that name."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise DefectError(f"{folder} is not a folder (links are refused)")
    _check_owner(status)
    is_open = os.name == "posix" and bool(status.st_mode & 0o077)
    if is_open:
        folder.chmod(0o700)
    return is_open


def _check_owner(status: os.stat_result) -> None:
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise DefectError("the cache belongs to another user")


def read_private(path: Path, most: int) -> bytes:
    """The content of a regular file of the user's that others can neither write nor read, and that
    has at most so many bytes.

    DefectError for anything else. Opening never waits, whatever lies there.
    """
    if not _NO_FOLLOW and path.is_symlink():
        raise DefectError("a link")
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _BINARY)
    except OSError as error:
        if path.is_symlink():
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
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def keep(path: Path, content: bytes) -> None:
    """Make this the content of a file, unless it is already. OSError if it cannot be written."""
    try:
        if read_private(path, len(content)) == content:
            return
    except OSError:
        pass
    replace(path, content)


def replace(path: Path, content: bytes) -> None:
    """Make this the content of a file, whatever lies there. OSError if it cannot be written."""
    temporary = write_temporary(path, content)
    try:
        if path.is_dir() and not path.is_symlink():
            remove(path)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        import shutil  # lazily: rarely needed

        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_temporary(path: Path, content: bytes) -> Path:
    """A new file beside `path` with this content, safely on disk."""
    name = f".{path.name[:16]}.{os.getpid()}.{secrets.token_hex(4)}{TEMPORARY}"
    temporary = path.with_name(name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with open(descriptor, "wb", closefd=True) as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
