"""Running a function in a forked process, or in threads, which must end in time."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final, NamedTuple

HANGS: Final = 300.0
"""Seconds after which something hangs. On a busy machine a process may wait long for its turn, so
this says nothing about speed."""


class Done(NamedTuple):
    """What a child said before it ended (None if it could not), and how it ended: its exit code,
    the number of a signal below zero, or None for one that did not end in time."""

    value: Any
    status: int | None


def in_child(function: Callable[[], Any], seconds: float = HANGS) -> Done:
    """The value of a function, which JSON can carry, computed in a fork of this process. A child
    that hangs is aborted: where `faulthandler` is on, as in pytest, it says where it was."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _speak(function, writer)
    os.close(writer)
    text = _heard(reader, time.monotonic() + seconds)
    if text is None:
        print(f"a child did not end in {seconds:.0f} s", file=sys.stderr)
        os.kill(child, signal.SIGABRT)
        _end(child, time.monotonic() + 10)
        return Done(None, None)
    return Done(json.loads(text) if text else None, _end(child, time.monotonic() + HANGS))


def _end(child: int, deadline: float) -> int:
    """The exit code of a child, which is killed if it lives too long."""
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_threads(target: Callable[[int], object], count: int, seconds: float = HANGS) -> None:
    """Run `target(k)` in threads that start together; raises what a thread raised, and
    AssertionError for one that hangs."""
    barrier, failures = threading.Barrier(count), []

    def body(k: int) -> None:
        try:
            barrier.wait(seconds)
            target(k)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=body, args=(k,), daemon=True) for k in range(count)]
    for t in threads:
        t.start()
    deadline = time.monotonic() + seconds
    for t in threads:
        t.join(max(0, deadline - time.monotonic()))
        assert not t.is_alive(), f"a thread did not end in {seconds:.0f} s"
    for failure in failures:
        raise failure


def _speak(function: Callable[[], Any], writer: int) -> None:
    status = 1
    try:
        content = json.dumps(function()).encode()
        while content:
            content = content[os.write(writer, content) :]
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _heard(reader: int, deadline: float) -> str | None:
    parts = []
    with os.fdopen(reader, "rb", buffering=0) as file:
        while select.select([file], [], [], max(0, deadline - time.monotonic()))[0]:
            part = file.read(1 << 20)
            if not part:
                return b"".join(parts).decode()
            parts.append(part)
    return None
