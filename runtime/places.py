"""Where files may go. Imported by everything that compiles, so it imports next to nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .files import private_folder


def cache_directory() -> Path:
    """The folder for files that outlive the process: `TAPELESS_CACHE`, or the user's cache folder.

    It may not exist yet, and it may not be writable. FileNotFoundError if the user has no home.
    """
    chosen = os.environ.get("TAPELESS_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else _user_folder().expanduser() / "tapeless"
    except RuntimeError as error:
        raise FileNotFoundError(f"no cache folder: {error}") from None


def _user_folder() -> Path:
    if sys.platform == "darwin":
        return Path("~/Library/Caches")
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local"))
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")


def source_directory() -> Path:
    """The folder for generated source, private to the user; OSError if it cannot be."""
    folder = cache_directory() / "source"
    private_folder(folder)
    return folder
