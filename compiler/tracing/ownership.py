"""Who holds a concrete array that a step updates in place with a traced value.

    buf = np.zeros(3)
    buf += x                    np.add(buf, x, out=buf), whose result is bound to `buf` again

What is bound may be a traced array if the variable was all that held the concrete one: then no one
sees that this one kept its values. References say so as far as Python counts them. Since 3.14 it
counts neither what an operation is about to use, where it can see that the variable keeps it
meanwhile, nor what a function is called with if a variable of the caller's holds that. So the
instruction that loaded the array says what to expect, and the variables of all running functions
are looked at, too.
"""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import Any, Final

import numpy as np

from . import source


def owners(array: np.ndarray) -> int:
    """References to a concrete array, seen from inside `__array_ufunc__`."""
    return sys.getrefcount(array)


def sole_owner(array: np.ndarray, count: int) -> bool:
    """Whether `local += traced` may rebind the local name to a traced array: nothing else holds
    the concrete array, and the result goes back into a plain local variable. `count` are its
    `owners`."""
    frame = source.user_frame()
    if frame is None or not _SOLE or not _own_memory(array):
        return False
    after = source.next_instruction(frame)
    if after is None or not after.opname.startswith("STORE_FAST"):
        return False
    if not _BORROWS:
        return count <= _SOLE
    expected = _SOLE if source.is_borrowed(frame) else _SOLE + 1
    return count <= expected and _variables(array, frame) == 1


def _own_memory(array: np.ndarray) -> bool:
    """Whether nothing else can see the memory of an array: it is no view, or the one holder of
    what it looks at (as in `np.arange(6.0).reshape(2, 3)`)."""
    return array.base is None or (
        isinstance(array.base, np.ndarray) and _holders(array) == _ONE_VIEW
    )


def _holders(view: np.ndarray) -> int:
    """References to the array that a view looks at."""
    return sys.getrefcount(view.base)


def _variables(array: np.ndarray, frame: FrameType | None) -> int:
    """How many local variables of running functions hold an array, from a frame outwards."""
    found = 0
    while frame is not None:
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            found += sum(value is array for value in frame.f_locals.values())
        frame = frame.f_back
    return found


class _Probe:
    """Counts the references NumPy itself holds while it dispatches `local += probe`."""

    def __init__(self) -> None:
        self.count = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        self.count = owners(kwargs["out"][0])
        return kwargs["out"][0]


def _calibrate() -> int:
    """Owners of an array that only one local name holds; 0 (none qualifies) if unstable."""
    probe: Any = _Probe()
    alone = np.zeros(1)
    alone += probe
    single = probe.count
    shared = also = np.zeros(1)
    shared += probe
    return single if probe.count == single + 1 and also is shared else 0


_SOLE: Final = _calibrate()
_ONE_VIEW: Final = _holders(np.zeros(1)[:])
_BORROWS: Final = sys.version_info >= (3, 14)
"""Whether some references are not counted. Before, `f_locals` makes a copy of the variables, which
is."""
