"""How long each phase of making something took."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Clock:
    """`done(name)` gives the time since the last one to a phase; `phases` are their seconds, in
    order of first appearance."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, name: str) -> None:
        now = time.perf_counter()
        self.phases[name] = self.phases.get(name, 0.0) + now - self._last
        self._last = now

    def split(self, parts: Mapping[str, float], rest: str) -> None:
        """The same for time of which parts were measured; the rest goes to a phase, too."""
        self.done(rest)
        for name, seconds in parts.items():
            self.phases[rest] -= seconds
            self.phases[name] = self.phases.get(name, 0.0) + seconds
