"""What a step can reach by name besides its arguments: globals it names, variables it closes over.

Keeping a traced array there cannot be compiled and would otherwise go unnoticed: it dies with the
trace, and later calls would not replace it.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

from ...ir.errors import TraceError
from .. import containers
from .handle import Handle
from .recorder import located_in


def reachable(fn: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """The globals `fn` names and the variables it closes over, with their values."""
    fn = inspect.unwrap(fn)
    code = getattr(fn, "__code__", None)
    if code is None:
        return
    for name in _global_names(code):
        if name in fn.__globals__:
            yield name, fn.__globals__[name]
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that is not assigned yet
            continue


@lru_cache(maxsize=1024)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """The globals a function names (`co_names` holds the names of attributes too)."""
    loads = (i.argval for i in dis.get_instructions(code) if i.opname.endswith("_GLOBAL"))
    return tuple(dict.fromkeys(loads))


def check_nothing_kept(fn: Callable[..., Any], statics: Iterator[tuple[str, Any]]) -> None:
    """TraceError if a reachable variable, or an attribute of a static argument, holds a traced
    array when the step has ended, in containers or objects."""
    places = [*reachable(fn)]
    for name, value in statics:
        places += [(f"{name}.{key}", item) for key, item in getattr(value, "__dict__", {}).items()]
    for name, value in places:
        if any(isinstance(found, Handle) for found in containers.everything(value)):
            error = TraceError(
                f"{name} holds a traced array when the step ends, and later calls would not"
                " change it; return the array, or keep it in a dict or object argument"
            )
            raise located_in(error, fn)
