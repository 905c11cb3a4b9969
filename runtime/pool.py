"""Threads that share the work of one step.

    addresses = export_pool(store)          the C functions below, by symbol
    count = thread_count(threads)           what `threads=` and TAPELESS_THREADS ask for

    void tapeless_use_threads(int64_t count)                          threads of the regions to come
    void tapeless_split(task, void *context, int64_t chunks)          one region
    int64_t tapeless_begin(void *trial, int64_t threads)              one call of a program, and
    void tapeless_end(void *trial, int64_t threads, int64_t began)    its end

A region calls `task(context, c)` for every chunk c, once, in any order and on any thread; it
returns when all are done. What a chunk is does not depend on the count of threads, so neither do
the bits of a result.

The pool is LLVM text (`pool.ll`, `pool_text.py`), compiled once per process and kept by content.
Thread t of T begins with a range of the chunks of its own, the t-th part of them: where consecutive
regions cut their arrays alike, its cache holds what it needs. Only when its range is empty does it
take chunks from those of others. The caller takes part, and waits for claimed chunks only: a
worker that sleeps, or that the system has put aside, costs nothing. Workers spin for a millisecond
after their last chunk, then sleep until the next region wakes them. They are made when a region
first needs them, never hold the GIL, never call Python, take no signals, and run with the caller's
floating-point modes.

Threads do not always pay: a program is timed on all of them and on one, now and then, and runs in
the better way (`tapeless_begin`; a trial is `TRIAL_WORDS` words of zeros that belong to it). That
decides nothing but how long it takes. Where several threads of Python call it at once, calls may go
uncounted or be timed as of the other way: the choice may be the worse one, until the next round.

A region inside another one, or beside that of another thread, runs on its caller alone. A forked
child starts without workers and makes its own. At exit the workers are sent home first.

The pool needs Linux (a futex) on x86-64 or AArch64. Elsewhere a step runs on one thread.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import sys
from functools import cache
from typing import Final

from . import pool_text
from .cores import wanted_threads
from .image import procedure
from .loading import Linked, Made, assemble, assemble_ahead, no_imports, shared
from .store import Store

MOST_THREADS: Final = 65
"""The caller and as many workers as `pool.ll` has room for."""

TRIAL_WORDS: Final = 6

SHARED: Final = "pool"
"""The name of its code among what programs share."""

EXPORTS: Final = ("tapeless_use_threads", "tapeless_split", "tapeless_begin", "tapeless_end")
_OWN: Final = ("tapeless_reset_pool", "tapeless_close_pool")

_MACHINES: Final = ("x86_64", "aarch64")


def has_pool() -> bool:
    """Whether this system can run a step on several threads."""
    return sys.platform == "linux" and platform.machine() in _MACHINES


def thread_count(threads: int | None = None) -> int:
    """How many threads a step may use: what it asks for, else `TAPELESS_THREADS`, else the cores
    this process may run on; 1 where there is no pool. ValueError if the variable is no count."""
    if threads is None:
        threads = wanted_threads()
    return min(threads, MOST_THREADS) if has_pool() else 1


def thread_address(threads: int | None) -> int:
    """The address of a word of memory that holds `thread_count(threads)`, for ever: native code
    reads it."""
    return ctypes.addressof(_cell(thread_count(threads)))


@cache
def _cell(count: int) -> ctypes.c_int64:
    return ctypes.c_int64(count)


def export_pool(store: Store | None) -> dict[str, int]:
    """The pool's functions for native code, symbol to address. There is one pool in a process; the
    store may hold its code."""
    addresses = _exported()
    if not addresses:
        linked = _link(store)
        addresses |= {symbol: linked.addresses[symbol] for symbol in EXPORTS}
    return addresses


def pool_ahead(store: Store | None) -> None:
    """Say that the pool will be exported: another process may begin to make it."""
    if has_pool() and not _exported():
        assemble_ahead(pool_text.text(platform.machine()), store)


def _link(store: Store | None) -> Linked:
    if not has_pool():
        return shared(SHARED, store, lambda: _made_alone(store), no_imports)
    linked = shared(SHARED, store, lambda: _made(store), no_imports)
    reset, close = (procedure(linked.addresses[symbol]) for symbol in _OWN)
    os.register_at_fork(after_in_child=reset)
    atexit.register(close)
    return linked


def _made(store: Store | None) -> Made:
    return Made([assemble(pool_text.text(platform.machine()), store)], (*EXPORTS, *_OWN))


def _made_alone(store: Store | None) -> Made:
    return Made([assemble(pool_text.ALONE, store)], EXPORTS)


@cache
def _exported() -> dict[str, int]:
    return {}
