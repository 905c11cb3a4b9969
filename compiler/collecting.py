"""Garbage collection while a program is made.

Every node that is made lives on to the next pass or longer. Python searches all objects there are,
those of other libraries too, whenever their number has grown by a quarter: of a long program an
eighth of the time, and hardly anything is found.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SELDOM: Final = 100
"""Searches among younger objects before one of all."""


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Search among all objects less often, as long as the block runs; young ones as usual."""
    before = gc.get_threshold()
    during = (*before[:2], max(before[2], SELDOM))
    gc.set_threshold(*during)
    try:
        yield
    finally:
        if gc.get_threshold() == during:  # nobody else has changed it
            gc.set_threshold(*before)
