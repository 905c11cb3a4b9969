"""Garbage collection while a program is made.

Every node that is made lives on to the next pass or longer. Python searches the objects made last
after every 700 of them, and all there are, those of other libraries too, whenever their number has
grown by a quarter: of a long program an eighth of the time, and hardly anything is found.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG: Final = 10_000
"""Objects made before a search among them."""

SELDOM: Final = 10_000
"""Searches among younger objects before one of all: none but in the longest of programs."""


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Search less often for objects that only refer to each other, as long as the block runs."""
    before = gc.get_threshold()
    young = max(before[0], YOUNG) if before[0] else 0  # 0: never
    during = young, before[1], max(before[2], SELDOM)
    gc.set_threshold(*during)
    try:
        yield
    finally:
        if gc.get_threshold() == during:  # nobody else has changed it
            gc.set_threshold(*before)
