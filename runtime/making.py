"""The lock under which programs are made, and what a fork does with locks.

A forked child has one thread. A lock that another thread held when it was born would stay locked
in it for ever: ours, Numba's, or llvmlite's, which is also taken when machine code is thrown away.
So everything that traces or compiles runs under one lock, and a fork first takes this one, then
theirs, in the order in which compiling takes them.
"""

from __future__ import annotations

import os
from _thread import RLock
from contextlib import AbstractContextManager
from typing import Any, Final

MAKING: Final = RLock()


def hold_while_forking(*locks: AbstractContextManager[Any]) -> None:
    """Every fork from now on enters these in order; parent and child leave those that were entered:
    Ctrl-C may come while one of them is waited for, and the fork happens nevertheless."""
    held: list[AbstractContextManager[Any]] = []

    def enter() -> None:
        for lock in locks:
            lock.__enter__()
            held.append(lock)

    def leave() -> None:
        while held:
            held.pop().__exit__(None, None, None)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=enter, after_in_parent=leave, after_in_child=leave)


hold_while_forking(MAKING)
