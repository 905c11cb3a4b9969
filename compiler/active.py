"""Which trace is being recorded. Every call of a compiled step asks, so this imports nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .tracing.recorder import Recorder

ACTIVE: ContextVar[Recorder | None] = ContextVar("tapeless_trace", default=None)

active: Final[Callable[[], Recorder | None]] = ACTIVE.get
"""The trace this thread is recording, if any."""
