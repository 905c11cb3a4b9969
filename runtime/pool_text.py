"""The LLVM text of the pool of threads (`pool.py`), and of what stands in for it on other
systems."""

from __future__ import annotations

import os
from typing import Final

from .modes import MODES_TEXT

SPIN_NANOSECONDS: Final = 1_000_000

TRIED: Final = 8
"""Calls of a trial on all threads, and as many on one."""

SHORTEST, ROUND = 64, 1024
"""Calls from the first trial to the next, and at the most."""

LONG: Final = 10_000_000
"""Ticks of a call that is left to all threads: on x86 some milliseconds; on Arm, whose counter runs
at 24 MHz to 1 GHz, 10 ms or more."""

_FUTEX: Final = {"x86_64": 202, "aarch64": 98}


_OF_MACHINE: Final = {
    "x86_64": """
declare i64 @llvm.readcyclecounter()
define internal i64 @ticks() {
  %now = call i64 @llvm.readcyclecounter()
  ret i64 %now
}
declare void @llvm.x86.sse2.pause()
define internal void @pause() {
  call void @llvm.x86.sse2.pause()
  ret void
}
""",
    "aarch64": """
declare i64 @llvm.readsteadycounter()
define internal i64 @ticks() {
  %now = call i64 @llvm.readsteadycounter()
  ret i64 %now
}
declare void @llvm.aarch64.hint(i32)
define internal void @pause() {
  call void @llvm.aarch64.hint(i32 1)
  ret void
}
""",
}

ALONE: Final = """
define void @tapeless_use_threads(i64 %count) {
  ret void
}
define i64 @tapeless_begin(ptr %trial, i64 %threads) {
  ret i64 0
}
define void @tapeless_end(ptr %trial, i64 %threads, i64 %began) {
  ret void
}
define void @tapeless_split(ptr %task, ptr %context, i64 %chunks) {
  %none = icmp eq i64 %chunks, 0
  br i1 %none, label %done, label %each
each:
  %c = phi i64 [ 0, %0 ], [ %c.next, %each ]
  call void %task(ptr %context, i64 %c)
  %c.next = add i64 %c, 1
  %more = icmp ult i64 %c.next, %chunks
  br i1 %more, label %each, label %done
done:
  ret void
}
"""


def text(machine: str) -> str:
    """The LLVM text of the pool for "x86_64" or "aarch64"."""
    with open(os.path.join(os.path.dirname(__file__), "pool.ll")) as file:
        made = file.read()
    numbers = {"TRIED": TRIED, "LAST": TRIED - 1, "TWICE": 2 * TRIED, "LONG": LONG, "ROUND": ROUND}
    numbers |= {"SHORTEST": SHORTEST, "SPIN": SPIN_NANOSECONDS, "FUTEX": _FUTEX[machine]}
    for name, number in numbers.items():
        made = made.replace(name, str(number))
    return made + _OF_MACHINE[machine] + MODES_TEXT[machine]
