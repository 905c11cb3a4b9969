"""Object code that is going to be asked for, made by other processes meanwhile.

    begin()                               something is going to be compiled
    ahead(text, "optimised")              it may be made from now on
    image = made(text, "optimised")       made already, or waited for

LLVM takes 90 MB, of which nothing can be given back: so it is used in processes that end when they
have nothing to do (`runtime/workers.py`), as many as threads may work; `TAPELESS_PROCESSES` says
another number. Where there are none (`TAPELESS_PROCESSES=0`, on Windows, where no program may be
started) or one has ended unasked, this process does it, and makes the same.

All of this happens under the lock of `making`. Ctrl-C does not stop the processes, but what they
have not begun is left undone (`dropping`). A forked child has processes of its own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from .cores import wanted_processes
from .making import MAKING
from .workers import EndedError, Job, Worker, wait_for

if TYPE_CHECKING:
    from .loading import Form


class Crew:
    """The processes, and what they have to do: `jobs` that will be asked for, and those `left` that
    none of them has yet."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[str, Form], Job] = {}
        self.left: deque[Job] = deque()
        self.workers: list[Worker] = []
        self.features: str | None = None
        self.works = True

    def begin(self) -> bool:
        """Start a process if there is none; whether there is one then."""
        if not wanted_processes():
            return False
        self._exchange()  # one that has left is noticed
        if not self.workers:
            self._start()
        return bool(self.workers)

    def add(self, text: str, form: Form) -> Job:
        """A job that is asked for later, which a process may begin, or nobody can."""
        if (text, form) in self.jobs:
            return self.jobs[text, form]
        job = Job(text, form)
        job.lost = not self.begin()
        if not job.lost:
            self.jobs[text, form] = job
            self.left.append(job)
            self._exchange()
        return job

    def made(self, text: str, form: Form) -> bytes:
        """The object code of a text. RuntimeError if LLVM refuses it."""
        job = self.add(text, form)
        if job in self.left:  # it is wanted before all others
            self.left.remove(job)
            self.left.appendleft(job)
        try:
            while not job.is_over():
                self._exchange(waits=True)
        finally:
            self.jobs.pop((text, form), None)
        if job.error is not None:
            raise RuntimeError(job.error)
        if job.image is not None:
            return job.image
        from .link import object_code  # lazily: llvmlite

        return object_code(text, form)

    def host_features(self) -> str | None:
        """The processor's features as a process says them; None where there is none."""
        while self.features is None and self.begin():
            self._exchange(waits=True)
        return self.features

    def drop(self) -> None:
        """Leave undone what has not begun."""
        self.left.clear()
        self.jobs.clear()

    def _exchange(self, *, waits: bool = False) -> None:
        """Hand out jobs, and take what was made."""
        self._hand_out(1 if waits else 2)
        if waits and self.workers:
            wait_for(self.workers)
        for worker in tuple(self.workers):
            try:
                worker.exchange()
                self.features = self.features or worker.features
            except EndedError:
                self._bury(worker)

    def _hand_out(self, depth: int) -> None:
        """Give every process a job; then, if this process does not wait for one, a second one, so
        that they need not wait for it."""
        self._give(1)
        while self.left and self.works and len(self.workers) < wanted_processes():
            self._start()
            self._give(1)
        self._give(depth)
        if not self.workers:
            while self.left:
                self.left[0].lost = True
                self.left.popleft()

    def _give(self, depth: int) -> None:
        """A job that is interrupted here may be handed out twice, but is not lost."""
        for worker in tuple(self.workers):
            if self.left and len(worker.jobs) < depth:
                try:
                    worker.send(self.left[0])
                    self.left.popleft()
                except EndedError:
                    self._bury(worker)

    def _start(self) -> None:
        """One more process, unless that does not work here."""
        try:
            if self.works:
                self.workers.append(Worker())
        except OSError:
            self.works = False

    def _bury(self, worker: Worker) -> None:
        """What one that has left had to do is done by others. One that ended unasked was the last:
        nobody knows why it did."""
        if worker.has_left:
            self.left.extendleft(reversed(worker.jobs))
        else:
            self.works = False
            for job in worker.jobs:
                job.lost = True
        self.workers.remove(worker)
        worker.close()

    def forget(self) -> None:
        """In a forked child: the processes are the parent's, what they were to do is to be done."""
        for worker in self.workers:
            self.left.extend(worker.jobs)
            worker.forget()
        self.workers.clear()


@cache
def crew() -> Crew:
    """That of this process."""
    made = Crew()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made.forget)
    return made


def begin() -> None:
    """Say that something is going to be compiled."""
    with MAKING:
        crew().begin()


def ahead(text: str, form: Form) -> None:
    """Say that the object code of a text will be asked for."""
    with MAKING:
        crew().add(text, form)


def made(text: str, form: Form) -> bytes:
    """The object code of a text. RuntimeError if LLVM refuses it."""
    with MAKING:
        return crew().made(text, form)


def host_features() -> Mapping[str, bool]:
    """The features of this processor, in LLVM's names."""
    with MAKING:
        found = crew().host_features()
    if found is None:
        from . import host  # lazily: llvmlite

        return host.host_features()
    return {name[1:]: name[0] == "+" for name in found.split(",") if name}


@contextmanager
def dropping() -> Iterator[None]:
    """If what is done here fails or is interrupted, what has not begun is left undone."""
    try:
        yield
    except BaseException:
        crew().drop()
        raise
