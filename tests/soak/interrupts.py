"""Ctrl-C at every instruction of a call, and at random times from another process.

Both ways the state is looked at after every interrupt: all its parts must have counted the same
number of steps, the last one or one more.
"""

from __future__ import annotations

import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from soak.children import HANGS
from soak.stepping import CASES

WAYS: dict[str, Callable[[Any], Any]] = {
    "native": lambda step: step,
    "interpreted": lambda step: step.interpret,
}


class _AtInstruction:
    """Raises KeyboardInterrupt at the n-th instruction of Python that runs from now on."""

    def __init__(self, n: int | None = None) -> None:
        self.n, self.count = n, 0

    def __call__(self, frame: Any, event: str, argument: object) -> _AtInstruction:
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.count += 1
            if self.count == self.n:
                raise KeyboardInterrupt
        return self

    def during(self, run: Callable[..., Any], args: tuple[Any, ...]) -> None:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            run(*args)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)


def at_instructions(name: str, way: str, most: int | None = None, seed: int = 0) -> tuple[int, ...]:
    """Interrupt the step of a case at its instructions, at most so many of them, most of those
    near its end; how many interrupts left the state before the step, and how many after it.

    AssertionError if the parts of a state disagree.
    """
    step, make, counts = CASES[name]
    run, args, seen = WAYS[way](step), make(), [0, 0]
    run(*args)
    run(*args)
    whole = _AtInstruction()
    whole.during(run, args)
    (last,) = set(counts(*args))
    for n in _chosen(whole.count, most, seed):
        _AtInstruction(n).during(run, args)
        found = set(counts(*args))
        assert len(found) == 1 and found <= {last, last + 1}, (name, way, n, found)
        seen[int(found != {last})] += 1
        last = found.pop()
    return tuple(seen)


def _chosen(total: int, most: int | None, seed: int) -> Iterable[int]:
    every = range(1, total + 1)
    if most is None or total <= most:
        return every
    pick, end = random.Random(seed), min(500, total // 2)
    return pick.sample(every[:-end], most // 3) + pick.sample(every[-end:], most - most // 3)


TARGET = """
import signal, sys
from soak.interrupts import WAYS
from soak.children import HANGS
from soak.stepping import CASES

name, way = sys.argv[1:]
step, make, counts = CASES[name]
run, args = WAYS[way](step), make()
run(*args), run(*args)
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
while sys.stdin.readline() == "go\\n":
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        while True:
            run(*args)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(*set(counts(*args)), flush=True)
"""


def at_random_times(name: str, way: str, count: int, seed: int = 0) -> int:
    """Send SIGINT so many times to a process that runs the step of a case; how many steps it made.

    AssertionError if the parts of a state disagree.
    """
    pick, last = random.Random(seed), 2.0
    path = f"import sys; sys.path[:] = {sys.path!r}\n"
    command = [sys.executable, "-c", path + TARGET, name, way]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert _speaks(process, HANGS), "the process hangs"
            assert process.stdout.readline() == "ready\n"
            for _ in range(count):
                process.stdin.write("go\n")
                process.stdin.flush()
                found = _answer(process, pick.uniform(0, 0.01))
                assert len(found) == 1 and found[0] >= last, (name, way, found)
                (last,) = found
            process.stdin.close()
            assert process.wait(HANGS) == 0
        finally:
            process.kill()
    return int(last)


def _answer(process: Any, seconds: float) -> list[float]:
    """What a process says after an interrupt. One that falls into a callback of the garbage
    collector is reported there and goes nowhere, and one that comes early is ignored: then it is
    sent again."""
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        if _speaks(process, 0.5):
            return [float(word) for word in process.stdout.readline().split()]
    raise AssertionError("the process hangs")


def _speaks(process: Any, seconds: float) -> bool:
    return bool(select.select([process.stdout], [], [], seconds)[0])
