"""Object code that is going to be asked for, made by other threads meanwhile.

    ahead(text, "optimised")              it may be made from now on
    image = made(text, "optimised")       made already, made now, or waited for

Which thread makes it changes no bit of it. There are as many threads as cores, the caller's among
them: none is started on one core, or with `TAPELESS_THREADS=1`. They end when nothing is left.

A fork waits until none of them is inside LLVM, whose locks would stay locked in the child. Ctrl-C
does not stop them, but what they have not begun is left undone (`dropping`).
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from .cores import wanted_threads
from .making import MAKING, hold_while_forking

if TYPE_CHECKING:
    import threading

    from .loading import Form


class Job:
    """Object code to be made once, by whoever begins first."""

    def __init__(self, text: str, form: Form) -> None:
        self._text, self._form = text, form
        self._begun, self._making = allocate_lock(), allocate_lock()
        self._making.acquire()
        self._image = b""
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make it, unless another thread has begun to."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            from .link import object_code  # lazily: llvmlite

            self._image = object_code(self._text, self._form)
        except BaseException as error:  # it is raised where the code is asked for
            self._error = error
        finally:
            self._making.release()

    def is_done(self) -> bool:
        return not self._making.locked()

    def result(self) -> bytes:
        """What was made, when it is; or raises what making it raised."""
        with self._making:
            if self._error is not None:
                raise self._error
            return self._image


def _threads() -> int:
    """Those that may compile: one where the variable is no count, which concerns only steps that
    ask it, and is their error."""
    try:
        return wanted_threads()
    except ValueError:
        return 1


class Crew:
    """The threads, and what they have to do. `busy` are locks, one per thread, each held while its
    thread is at work."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, Form], Job] = {}
        self._left: deque[Job] = deque()
        self._busy: list[threading.Lock] = []
        self._held: list[threading.Lock] = []
        self._entered = 0

    def add(self, text: str, form: Form) -> None:
        threads = _threads()
        if (text, form) in self._jobs or threads == 1:
            return
        self._jobs[text, form] = job = Job(text, form)
        self._left.append(job)
        if len(self._busy) < min(threads - 1, len(self._left)):
            lock = allocate_lock()
            self._busy.append(lock)
            # lazily: llvmlite. Here, since threads that both import hinder each other.
            import threading

            from . import link  # noqa: F401

            try:
                threading.Thread(target=self._work, args=(lock,), name="tapeless compiler").start()
            except RuntimeError:  # no more threads here: the caller does it all
                self._busy.remove(lock)

    def _work(self, busy: threading.Lock) -> None:
        left = True
        while left:
            with busy:
                left = self._next()
        self._busy.remove(busy)

    def _next(self) -> bool:
        """Do what comes next, if anything is left."""
        try:
            self._left.popleft().run()
        except IndexError:
            return False
        return True

    def made(self, text: str, form: Form) -> bytes:
        job = self._jobs.pop((text, form), None) or Job(text, form)
        job.run()
        while not job.is_done() and self._next():
            pass
        return job.result()

    def drop(self) -> None:
        """Leave undone what has not begun."""
        self._left.clear()
        self._jobs.clear()

    def __enter__(self) -> None:
        """Wait until no thread is at work, and let none begin. Several hooks of a fork enter."""
        try:
            for lock in () if self._entered else tuple(self._busy):
                lock.acquire()
                self._held.append(lock)
        except BaseException:
            self._release()
            raise
        self._entered += 1

    def __exit__(self, *exception: object) -> None:
        self._entered -= 1
        if not self._entered:
            self._release()

    def _release(self) -> None:
        while self._held:
            self._held.pop().release()

    def forget_threads(self) -> None:
        """In a forked child there are none."""
        self._busy.clear()


@cache
def crew() -> Crew:
    """That of this process."""
    made = Crew()
    hold_while_forking(MAKING, made)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made.forget_threads)
    return made


def ahead(text: str, form: Form) -> None:
    """Say that the object code of a text will be asked for."""
    crew().add(text, form)


def made(text: str, form: Form) -> bytes:
    """The object code of a text. RuntimeError if LLVM refuses it."""
    return crew().made(text, form)


@contextmanager
def dropping() -> Iterator[None]:
    """If what is done here fails or is interrupted, what has not begun is left undone."""
    try:
        yield
    except BaseException:
        crew().drop()
        raise
