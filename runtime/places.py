"""Where files may go. Imported by everything that compiles, so it imports next to nothing."""

from __future__ import annotations

import os
import sys

from .files import private_folder


def cache_directory() -> str:
    """The folder for files that outlive the process: `TAPELESS_CACHE`, or the user's cache folder.

    It may not exist yet, and it may not be writable. FileNotFoundError if the user has no home.
    """
    chosen = os.environ.get("TAPELESS_CACHE") or os.path.join(_user_folder(), "tapeless")
    found = os.path.expanduser(chosen)
    if found.startswith("~"):
        raise FileNotFoundError(f"no cache folder: there is no home for {found}")
    return os.path.normpath(found)


def _user_folder() -> str:
    if sys.platform == "darwin":
        return "~/Library/Caches"
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    return os.environ.get("XDG_CACHE_HOME") or "~/.cache"


def source_directory() -> str:
    """The folder for generated source, private to the user; OSError if it cannot be."""
    folder = os.path.join(cache_directory(), "source")
    private_folder(folder)
    return folder
