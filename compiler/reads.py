"""Which attributes of its objects a step reads: a program does not depend on the others.

    def forward(self, x):
        self.cache = x          # None before the first call, the last batch after it
        return x @ self.W

While a step is traced, the classes of the objects among its arguments have a `__getattribute__`
that notes reads of what the caller left there. What was not read and may change its form (a cache
that is only written, a history of losses) is hidden from the program: it is neither in its key nor
among its inputs, and need not even exist. Hidden are attributes of a class, so one that is read in
any instance is seen in all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from . import attributes, containers, objects
from .objects import Hidden
from .tracing.handle import Handle
from .tracing.refused import is_refused

WHOLE: Final = frozenset({"__dict__", "__dir__", "__getstate__", "__reduce__", "__reduce_ex__"})
"""What leads to every attribute."""


class Reads:
    """Notes what is read of the objects in the arguments of a trace while it runs."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        watched = filter(_is_watched, containers.everything(dict(arguments), is_refused))
        self._originals = {id(x): (x, dict(vars(x))) for x in watched}
        self._seen: set[tuple[type, str]] = set()
        self._thread = threading.get_ident()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note reads by Python code, and by `attributes.state`, until the block ends."""
        hooks = {"__getattribute__": _reading(self._note), "__delattr__": _deleting(self._note)}
        kinds = {type(x) for x, _ in self._originals.values()}
        places = [(kind, name) for kind in kinds for name in hooks]
        token = attributes.STATE_READ.set(self._whole)
        try:
            for kind, name in places:
                type.__setattr__(kind, name, hooks[name])
            yield
        finally:
            for kind, name in places:
                if vars(kind).get(name) is hooks[name]:
                    type.__delattr__(kind, name)
            attributes.STATE_READ.reset(token)

    def hidden(self) -> Hidden:
        """What was not read and may change its form, and what the step has added."""
        found = set()
        for x, before in self._originals.values():
            names = {name for name, value in before.items() if _varies(value)}
            found |= {(type(x), name) for name in names | (vars(x).keys() - before.keys())}
        return frozenset(found - self._seen)

    @property
    def seen(self) -> Hidden:
        """What was read, or asked for in vain."""
        return frozenset(self._seen)

    def _note(self, x: Any, name: str, *, deleted: bool = False) -> None:
        """Note a read of an attribute, unless the step itself has set it before."""
        if id(x) not in self._originals or threading.get_ident() != self._thread:
            return
        before = self._originals[id(x)][1]
        now = object.__getattribute__(x, "__dict__")
        if name in WHOLE:
            self._whole(x)
        elif deleted or name not in now or (name in before and now[name] is before[name]):
            self._seen.add((type(x), name))

    def _whole(self, x: Any) -> None:
        if id(x) in self._originals:
            self._seen |= {(type(x), name) for name in self._originals[id(x)][1]}


def _reading(note: Callable[..., None]) -> Any:
    def __getattribute__(self: Any, name: str) -> Any:
        note(self, name)
        return object.__getattribute__(self, name)

    return __getattribute__


def _deleting(note: Callable[..., None]) -> Any:
    def __delattr__(self: Any, name: str) -> None:
        note(self, name, deleted=True)
        object.__delattr__(self, name)

    return __delattr__


def _is_watched(x: Any) -> bool:
    """Whether reads of the attributes of `x` can be noted: an object with a `__dict__` alone, of a
    class that leaves reading and deleting to Python."""
    kind: Any = type(x)
    return (
        not isinstance(x, (dict, list, tuple, objects.Method))
        and objects.is_object(x)
        and not attributes.slots(kind)
        and hasattr(x, "__dict__")
        and kind.__getattribute__ is object.__getattribute__
        and kind.__delattr__ is object.__delattr__
    )


def _varies(value: Any) -> bool:
    """Whether another value would make another program, and be no number."""
    if is_refused(value):
        return False
    if isinstance(value, Handle):
        return value.kind == "array"
    return value is None or containers.is_container(value)
