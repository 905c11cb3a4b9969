"""Running a function in a forked process."""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple


class Done(NamedTuple):
    """What a child said before it ended (None if it could not), and how it ended: its exit code,
    the number of a signal below zero, or None for one that did not end in time."""

    value: Any
    status: int | None


def in_child(function: Callable[[], Any], seconds: float = 60) -> Done:
    """The value of a function, which JSON can carry, computed in a fork of this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _speak(function, writer)
    os.close(writer)
    text = _heard(reader, time.monotonic() + seconds)
    if text is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return Done(None, None)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Done(json.loads(text) if text else None, status)


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
