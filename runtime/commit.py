"""Writing to the caller's arrays and containers so that an interrupt finds all of it done or none.

Python looks for Ctrl-C between its own instructions only. So the arrays are written by one iterator
that runs in C (the native step is one such item, `array[...] = value` for every array another), and
what follows in Python, new values of container slots, is prepared before and can be run twice: an
interrupt that comes after the arrays were written is raised when the slots are written, too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


_ATTEMPTS: Final = 100


def writes(targets: Sequence[Array], values: Sequence[Array]) -> Iterable[Any]:
    """`target[...] = value` for all of them, as items of an iterator in C, then the status 0."""
    store: Any = operator.setitem  # its stub is overloaded, which `map` does not take
    return chain(map(store, targets, repeat(...), values), (0,))


def commit(items: Iterable[Any], finish: Callable[[], None]) -> int:
    """Draw all items of an iterator in C, the last of which is a status. It is returned; if it is
    0, `finish()` is run before.

    `finish` can be run again from its start, and is until it comes to its end.
    """
    drawn: list[Any] = []
    try:
        drawn.extend(items)
        if drawn[-1] == 0:
            finish()
    except BaseException:
        # No call before `_surely`: Python would look for the next interrupt.
        if drawn and drawn[-1] == 0:
            _surely(finish)
        raise
    status: int = drawn[-1]
    return status


def _surely(finish: Callable[[], None]) -> None:
    for _ in range(_ATTEMPTS):
        try:
            return finish()
        except KeyboardInterrupt:
            continue
