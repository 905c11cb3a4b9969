"""Where in the user's code an operation happens: line, running expression, assigned name.

The user's frame is the first one outside this package and outside NumPy. What it is executing is
read from its code object: positions give the source of the running expression, the next
instruction says which local name the result gets.
"""

from __future__ import annotations

import dis
import inspect
import linecache
import os
import sys
import warnings
from functools import lru_cache
from itertools import pairwise
from types import CodeType, FrameType

import numpy as np

from ...ir.graph import Loc

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_INSIDE = (
    *(os.path.join(_ROOT, d, "") for d in ("compiler", "ir", "library", "passes", "runtime")),
    os.path.join(os.path.dirname(os.path.abspath(np.__file__)), ""),
)
_LIBRARY = os.path.join(_ROOT, "library", "")


def user_frame() -> FrameType | None:
    """The innermost frame of the user's code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back
    return frame


def raising_frame(error: BaseException) -> FrameType | None:
    """The innermost frame of the user's code that an error came through."""
    found = None
    entry = error.__traceback__
    while entry is not None:
        if not entry.tb_frame.f_code.co_filename.startswith(_INSIDE):
            found = entry.tb_frame
        entry = entry.tb_next
    return found


def location(frame: FrameType | None) -> Loc | None:
    """The line the frame is at."""
    if frame is None or frame.f_lineno is None:
        return None
    return Loc(frame.f_code.co_filename, frame.f_lineno)


def definition(fn: object) -> Loc | None:
    """Where a function begins."""
    code = getattr(inspect.unwrap(fn), "__code__", None)  # type: ignore[arg-type]
    return None if code is None else Loc(code.co_filename, code.co_firstlineno)


def place(loc: Loc | None) -> str:
    """`at train.py:12: h = x @ w`, for the end of an error message."""
    if loc is None:
        return "at an unknown line"
    text = linecache.getline(loc.file, loc.line).strip()
    return f"at {loc}: {text}" if text else f"at {loc}"


def warn(message: str) -> None:
    """A RuntimeWarning at the user's line."""
    where = location(user_frame())
    if where is not None:
        warnings.warn_explicit(message, RuntimeWarning, where.file, where.line)


@lru_cache(maxsize=1024)
def _following(code: CodeType) -> dict[int, dis.Instruction]:
    """The instruction that comes after the one at each offset."""
    found = list(dis.get_instructions(code))
    return {a.offset: b for a, b in pairwise(found)}


def next_instruction(frame: FrameType) -> dis.Instruction | None:
    """The instruction that receives the result of the running one."""
    return _following(frame.f_code).get(frame.f_lasti)


def assigned_name(frame: FrameType) -> str | None:
    """`h` while the right side of `h = ...` is running."""
    after = next_instruction(frame)
    if after is None or not after.opname.startswith(("STORE_FAST", "STORE_DEREF", "STORE_NAME")):
        return None
    # Since Python 3.13 an instruction may do the next one's work, too: STORE_FAST_LOAD_FAST.
    return str(after.argval[0] if isinstance(after.argval, tuple) else after.argval)


@lru_cache(maxsize=1024)
def _positions(code: CodeType) -> tuple[tuple[int | None, int | None, int | None, int | None], ...]:
    return tuple(code.co_positions())


@lru_cache(maxsize=1024)
def _borrowed(code: CodeType) -> frozenset[tuple[int | None, int | None]]:
    """Where what is loaded stands in the source if it is loaded without being counted."""
    loads = [i.positions for i in dis.get_instructions(code) if "BORROW" in i.opname]
    return frozenset((at.lineno, at.col_offset) for at in loads if at is not None)


def is_borrowed(frame: FrameType) -> bool:
    """Whether the first operand of the running operation is not counted among the references to
    it, or nobody knows."""
    first, _, start, _ = _positions(frame.f_code)[frame.f_lasti // 2]
    return start is None or (first, start) in _borrowed(frame.f_code)


def running_expression(frame: FrameType | None) -> str:
    """The source text of the expression being evaluated, '' when it cannot be known."""
    if frame is None:
        return ""
    positions = _positions(frame.f_code)
    index = frame.f_lasti // 2
    if not 0 <= index < len(positions):
        return ""
    first, last, start, stop = positions[index]
    if first is None or last is None or start is None or stop is None:
        return ""
    lines = [linecache.getline(frame.f_code.co_filename, k) for k in range(first, last + 1)]
    raw = [line.encode() for line in lines]  # columns count bytes
    raw[-1] = raw[-1][:stop]
    raw[0] = raw[0][start:]
    return " ".join(part.decode(errors="replace").strip() for part in raw)


def running_line(frame: FrameType | None) -> str:
    """The source line the frame is at, '' when it cannot be known."""
    loc = location(frame)
    return "" if loc is None else linecache.getline(loc.file, loc.line).strip()


def running_opcode(frame: FrameType | None) -> str:
    """The name of the instruction the frame is executing."""
    if frame is None or frame.f_lasti < 0:
        return ""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]]


def called_by_library() -> bool:
    """Whether the running operation is part of a function of `library/`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        if frame.f_code.co_filename.startswith(_LIBRARY):
            return True
        frame = frame.f_back
    return False
