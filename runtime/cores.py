"""How many threads may work: those that `TAPELESS_THREADS` asks for, else one per usable core; and
how many processes may compile."""

from __future__ import annotations

import contextlib
import os
from typing import Final

VARIABLE: Final = "TAPELESS_THREADS"
PROCESSES: Final = "TAPELESS_PROCESSES"


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def wanted_threads() -> int:
    """What `TAPELESS_THREADS` says, else the cores this process may run on. ValueError if the
    variable is no count."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return usable_cores()
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{VARIABLE} must be a positive integer such as 2, not {text!r}")
    return int(text)


def wanted_processes() -> int:
    """What `TAPELESS_PROCESSES` says, else one per thread; one where `TAPELESS_THREADS` is no
    count, which concerns only steps that ask it, and is their error. ValueError if the former is
    none."""
    text = os.environ.get(PROCESSES, "").strip()
    if text and not text.isdecimal():
        raise ValueError(f"{PROCESSES} must be 0 or a positive integer such as 2, not {text!r}")
    if text:
        return int(text)
    with contextlib.suppress(ValueError):
        return wanted_threads()
    return 1
