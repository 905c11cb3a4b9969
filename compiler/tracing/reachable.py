"""What a step can reach by name besides its arguments: globals it names, variables it closes over.

Keeping a traced array there cannot be compiled and would otherwise go unnoticed: it dies with the
trace, and later calls would not replace it.
"""

from __future__ import annotations

import dis
import inspect
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, Final

import numpy as np

from ...ir.errors import TraceError
from .. import containers
from .handle import Handle
from .recorder import located_in

BYTES: Final = 2**26
"""How much of what a step can reach is watched for changes."""

_LIBRARIES: Final = frozenset({__name__.partition(".")[0], "numpy"})


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


def _reached(fn: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """`reachable` of `fn` and of the user's functions that it reaches, once each."""
    pending, seen = [fn], {id(fn)}
    while pending:
        for name, value in reachable(pending.pop()):
            yield name, value
            if type(value) is FunctionType and id(value) not in seen and _is_users(value):
                seen.add(id(value))
                pending.append(value)


def _is_users(fn: FunctionType) -> bool:
    """Whether it is no function of a library that is known by its name."""
    root = fn.__module__.partition(".")[0] if fn.__module__ else ""
    return root not in _LIBRARIES and root not in sys.stdlib_module_names


@lru_cache(maxsize=1024)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """The globals a function names, in its comprehensions and inner functions too (`co_names`
    holds the names of attributes as well)."""
    names = {i.argval: None for i in dis.get_instructions(code) if i.opname.endswith("_GLOBAL")}
    for inner in code.co_consts:
        if type(inner) is CodeType:
            names |= dict.fromkeys(_global_names(inner))
    return tuple(names)


@contextmanager
def constants_unchanged(fn: Callable[..., Any]) -> Iterator[None]:
    """TraceError if a concrete array that `fn` reaches by name is changed within the block: for a
    compiled step that happens once, and not in every call."""
    before = [(name, array, _checksum(array)) for name, array in _constants(fn)]
    yield
    for name, array, checksum in before:
        if _checksum(array) != checksum:
            error = TraceError(
                f"the array {name} from outside the step is changed inside it, which happens once,"
                " while the step is recorded; pass it as an argument, or change it outside"
            )
            raise located_in(error, fn)


def _constants(fn: Callable[..., Any]) -> Iterator[tuple[str, np.ndarray]]:
    """The concrete arrays a function reaches by name, in containers and objects too, as long as
    they are few bytes together."""
    left, seen = BYTES, set[int]()
    for name, value in _reached(fn):
        for found in containers.everything(value):
            plain = type(found) is np.ndarray and not found.dtype.hasobject
            if plain and found.nbytes <= left and id(found) not in seen:
                seen.add(id(found))
                left -= found.nbytes
                yield name, found


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(array.tobytes())


def check_nothing_kept(fn: Callable[..., Any], statics: Iterator[tuple[str, Any]]) -> None:
    """TraceError if a reachable variable, or an attribute of a static argument, holds a traced
    array when the step has ended, in containers or objects."""
    places = [*_reached(fn)]
    for name, value in statics:
        places += [(f"{name}.{key}", item) for key, item in getattr(value, "__dict__", {}).items()]
    for name, value in places:
        if any(isinstance(found, Handle) for found in containers.everything(value)):
            error = TraceError(
                f"{name} holds a traced array when the step ends, and later calls would not"
                " change it; return the array, or keep it in a dict or object argument"
            )
            raise located_in(error, fn)
