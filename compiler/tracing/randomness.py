"""Notice random numbers drawn while a step is traced.

They would be frozen into the compiled step: drawn once, the same in every call. NumPy's global
generator and every generator the step's function can reach by name are compared before and after.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class RandomGuard:
    """Remembers the state of the generators a function could draw from."""

    message = (
        "random numbers were drawn with np.random inside the step; they would be the same in"
        " every call. Draw them outside and pass the array as an argument"
    )

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._generators = list(_reachable(fn))
        self._before = self._states()

    def drawn(self) -> bool:
        """Whether any generator has moved since this guard was made."""
        return self._states() != self._before

    def _states(self) -> list[str]:
        states = [repr(g.bit_generator.state) for g in self._generators]
        _, key, *rest = np.random.get_state()
        return [*states, repr((key.tobytes() if isinstance(key, np.ndarray) else key, rest))]


def _reachable(fn: Callable[..., Any]) -> Iterator[np.random.Generator]:
    """Generators among the globals a function names and the variables it closes over."""
    fn = inspect.unwrap(fn)
    code = getattr(fn, "__code__", None)
    if code is None:
        return
    for name in code.co_names:
        value = fn.__globals__.get(name)
        if isinstance(value, np.random.Generator):
            yield value
    for cell in fn.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # a variable not assigned yet
            continue
        if isinstance(value, np.random.Generator):
            yield value
