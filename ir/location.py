"""Lines of the user's code."""

from __future__ import annotations

import os

from .record import dataclass


@dataclass(frozen=True, slots=True)
class Loc:
    """A line of the user's code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"
