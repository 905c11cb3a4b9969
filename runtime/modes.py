"""How a native step runs, beside what it computes: on how many threads, with which floating-point
modes of the processor.

@read_mode and @write_mode are LLVM text that reads and sets the modes.
"""

from __future__ import annotations

import platform
from typing import Final

from ..ir.record import dataclass

_X86: Final = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal i64 @read_mode() {
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %mode = load i32, ptr %place
  %wide = zext i32 %mode to i64
  ret i64 %wide
}
define internal void @write_mode(i64 %mode) {
  %place = alloca i32
  %narrow = trunc i64 %mode to i32
  store i32 %narrow, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}
"""
_ARM: Final = """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define internal i64 @read_mode() {
  %mode = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %mode
}
define internal void @write_mode(i64 %mode) {
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
"""

MODES_TEXT: Final = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}
"""By the machine's name in lower case."""

_FLUSH: Final = {"x86_64": 0x8040, "amd64": 0x8040, "aarch64": 1 << 24, "arm64": 1 << 24}
"""x86: results to zero (bit 15) and operands (bit 6). AArch64: both (FZ)."""


@dataclass(frozen=True)
class RunOptions:
    """How a step runs. None of these changes which kernels it calls.

    threads     threads it may use (`pool.thread_count`), which change no bit of a result
    flush       whether subnormal numbers are zero while it runs
    ticks       the address of an array of u64: the driver notes there the time stamp counter
                before each statement and at the end
    """

    threads: int | None = None
    flush: bool = False
    ticks: int | None = None


DEFAULTS: Final = RunOptions()


def can_flush() -> bool:
    """Whether this machine has a mode for subnormals."""
    return platform.machine().lower() in _FLUSH


def flushing(name: str, inner: str) -> str:
    """LLVM text of `i64 name(ptr)`, which calls `inner` with subnormals taken for zero and puts
    the modes back as they were."""
    machine = platform.machine().lower()
    return f"""{MODES_TEXT[machine]}
define i64 @{name}(ptr %t) {{
  %mode = call i64 @read_mode()
  %flushing = or i64 %mode, {_FLUSH[machine]}
  call void @write_mode(i64 %flushing)
  %status = call i64 @{inner}(ptr %t)
  call void @write_mode(i64 %mode)
  ret i64 %status
}}
"""
