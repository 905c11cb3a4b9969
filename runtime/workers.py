"""Processes that compile (`runtime/llvm_process.py`), and the pipes between them and this one.

    worker = Worker()                 OSError where there can be none
    worker.send(job)
    worker.exchange()                 what can be written is, and what has come is in the jobs
    wait_for([worker, ...])           until there is something to exchange

A worker is in a process group of its own: Ctrl-C at the terminal is not for it. It ends by itself
when its pipe is closed, which the end of this process does, however it comes. It is nobody's child
for long, so that nobody has to wait for it. No pipe is passed on to other programs.
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from . import llvm_process as process
from .identity import folder_of
from .llvm_process import HEADER

if TYPE_CHECKING:
    from .loading import Form

_CHUNK: Final = 1 << 16


class Job:
    """Object code to be made. `image` is there when it is, `error` what LLVM has against it; a job
    is `lost` with a process that ended unasked."""

    def __init__(self, text: str, form: Form) -> None:
        self.text, self.form = text, form
        self.image: bytes | None = None
        self.error: str | None = None
        self.lost = False

    def is_over(self) -> bool:
        return self.lost or self.image is not None or self.error is not None


class EndedError(Exception):
    """A process ended, or what was exchanged with it was interrupted."""


class Worker:
    """A process, and its jobs in the order in which it gets them. `has_left`: it ended since
    there was nothing to do, or nobody listened to the end."""

    def __init__(self) -> None:
        arguments = _command()
        self.jobs: deque[Job] = deque()
        self.features: str | None = None
        self.has_left = False
        self._sound = True
        self._outgoing, self._incoming = b"", b""
        self._open: list[int] = []
        self._leader: int | None = None
        try:
            # One end of the first is kept here as well: writing into it never fails, and sends
            # no SIGPIPE, whatever the process does.
            theirs, self._texts = self._pipe()
            self._answers, back = self._pipe()
            self._leader = _started(arguments, theirs, back)
            self._open.remove(back)
            os.close(back)
            for end in (self._texts, self._answers):
                os.set_blocking(end, False)
        except BaseException:
            self.close()
            raise

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open += ends
        return ends

    def ends(self) -> Iterator[tuple[int, bool]]:
        """The pipe's ends to wait for, and whether to write."""
        yield self._answers, False
        if self._outgoing:
            yield self._texts, True

    def send(self, job: Job) -> None:
        with self._whole():
            text = job.text.encode()
            self._outgoing += HEADER.pack(len(text), process.FORMS.index(job.form)) + text
            self.jobs.append(job)

    def exchange(self) -> None:
        """Write and read what can be. EndedError where that is over."""
        with self._whole():
            try:
                self._write()
                self._read()
            except OSError as error:
                raise EndedError from error

    def _write(self) -> None:
        with suppress(BlockingIOError):
            while self._outgoing:
                written = os.write(self._texts, self._outgoing[:_CHUNK])
                self._outgoing = self._outgoing[written:]

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while part := os.read(self._answers, _CHUNK):
                self._incoming += part
                self._take()
            raise EndedError

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """What is done here is done to the end, or nothing is done any more."""
        if not self._sound:
            self.has_left = True
            raise EndedError
        self._sound = False
        yield
        self._sound = True

    def _take(self) -> None:
        """Take the answers that are there."""
        while len(self._incoming) >= HEADER.size:
            length, kind = HEADER.unpack_from(self._incoming)
            end = HEADER.size + length
            if len(self._incoming) < end:
                return
            answer, self._incoming = self._incoming[HEADER.size : end], self._incoming[end:]
            self._answered(kind, answer)

    def _answered(self, kind: int, answer: bytes) -> None:
        if kind == process.HELLO:
            self._wait()
            if not answer.startswith(process.VERSION):
                raise EndedError
            self.features = answer.removeprefix(process.VERSION).decode()
        elif kind == process.FAREWELL:
            self.has_left = True
        elif kind == process.IMAGE:
            self.jobs.popleft().image = answer
        else:
            self.jobs.popleft().error = answer.decode(errors="replace")

    def _wait(self) -> None:
        """Wait for the child that was started, which ends at once: what works is its child."""
        leader, self._leader = self._leader, None
        if leader is not None:
            with suppress(ChildProcessError):  # someone who waits for all children was faster
                os.waitpid(leader, 0)

    def close(self) -> None:
        """Close the pipes, whereupon the process ends."""
        while self._open:
            os.close(self._open.pop())
        self._wait()

    def forget(self) -> None:
        """Close the pipes in a forked child, where the process is the parent's."""
        self._leader = None
        self.close()


def wait_for(workers: Iterable[Worker]) -> None:
    """Wait until there is something to exchange."""
    poll = select.poll()
    for worker in workers:
        for end, writes in worker.ends():
            poll.register(end, select.POLLOUT if writes else select.POLLIN)
    poll.poll()


def _started(arguments: list[str], texts: int, answers: int) -> int:
    """The number of a process that reads and writes these pipes. OSError if it cannot be."""
    actions: list[Any] = [
        (os.POSIX_SPAWN_DUP2, texts, 0),
        (os.POSIX_SPAWN_DUP2, answers, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    settings: dict[str, Any] = {"file_actions": actions, "setpgroup": 0, "setsigmask": ()}
    return os.posix_spawn(arguments[0], arguments, os.environ, **settings)


def _command() -> list[str]:
    """What starts a process. OSError where nothing does: the running program may be another than
    Python, which has it built in."""
    program = sys.executable or ""
    is_python = os.path.basename(program).startswith("python") and not hasattr(sys, "frozen")
    if not (is_python and hasattr(os, "posix_spawn")):
        raise FileNotFoundError("no Python that can be started")
    script, folder = os.path.abspath(process.__file__), os.path.abspath(folder_of("llvmlite"))
    return [program, "-I", "-S", script, folder]
