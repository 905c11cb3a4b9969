"""What objects hold: their attributes as they are stored, past properties and `__setattr__`."""

from __future__ import annotations

import contextlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from types import BuiltinFunctionType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np

from .objects import Method

STATE_READ: ContextVar[Callable[[Any], None]] = ContextVar("state_read", default=lambda x: None)
"""Told of every object whose state is read."""


def state(x: Any) -> dict[str, Any]:
    """The attributes of an object: those in slots that are set, then those in `__dict__`."""
    STATE_READ.get()(x)
    if type(x) is Method:
        return {"__func__": x.__func__, "__self__": x.__self__}
    found = {}
    for name, slot in _slots_of(x).items():
        try:
            found[name] = slot.__get__(x)
        except AttributeError:  # a slot that is not set
            continue
    return {**found, **_dict(x)}


def write(x: Any, name: str, value: Any) -> None:
    """Set an attribute where it is stored."""
    slot = _slots_of(x).get(name)
    if slot is not None:
        slot.__set__(x, value)
    else:
        _dict(x)[name] = value


def remove(x: Any, name: str) -> None:
    """Delete an attribute where it is stored, if it is there."""
    slot = _slots_of(x).get(name)
    if slot is None:
        _dict(x).pop(name, None)
        return
    with contextlib.suppress(AttributeError):
        slot.__delete__(x)


@lru_cache(maxsize=1024)
def slots(kind: Any) -> dict[str, Any]:
    """The slots of a class and its bases, base classes first."""
    return {
        name: member
        for base in reversed(kind.__mro__)
        if "__slots__" in vars(base)  # classes in C have such members for other things
        for name, member in vars(base).items()
        if isinstance(member, MemberDescriptorType)
    }


def _slots_of(x: Any) -> dict[str, Any]:
    kind: Any = type(x)
    return slots(kind)


def _dict(x: Any) -> dict[str, Any]:
    try:
        own: dict[str, Any] = object.__getattribute__(x, "__dict__")
    except AttributeError:  # slots only
        return {}
    return own


def c_base(kind: Any) -> Any:
    """The class in C that gives an object its form: `object` if it has its attributes alone."""
    for base in kind.__mro__:
        made = type.__dict__["__dict__"].__get__(base).get("__new__")
        if isinstance(made, BuiltinFunctionType) or base in (OrderedDict, defaultdict):
            return base
    return object


def has_more(kind: Any, base: Any) -> bool:
    """Whether objects of a class in C hold more than their attributes: they are larger than its
    `base` and one word for each."""
    words = 0
    for other in kind.__mro__[: kind.__mro__.index(base)]:
        scope = type.__dict__["__dict__"].__get__(other)
        words += sum(type(member) is MemberDescriptorType for member in scope.values())
        words += ("__dict__" in scope) + ("__weakref__" in scope)
    return bool(kind.__basicsize__ > base.__basicsize__ + 8 * words)


def stored(kind: Any, value: Any) -> list[tuple[str, Any]]:
    """The attributes of an object, those in slots first."""
    found = []
    for base in kind.__mro__:
        for name, member in type.__dict__["__dict__"].__get__(base).items():
            if type(member) is MemberDescriptorType and base is not object:
                try:
                    found.append((name, member.__get__(value)))
                except AttributeError:  # a slot that is not set
                    continue
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:  # slots only
        own = {}
    return [*found, *own.items()]


def held_array(value: Any, seen: set[int] | None = None) -> str | None:
    """The first attribute of an object under which an array is found, in containers or further
    objects: `W`, `layers`. Modules, classes, and functions around others are not looked into."""
    seen = set() if seen is None else seen
    if isinstance(value, (type, ModuleType)) or id(value) in seen:
        return None
    attributes = state(value)
    if "__wrapped__" in attributes:
        return None
    seen.add(id(value))
    for name, attribute in attributes.items():
        if _holds_array(attribute, seen):
            return name
    return None


def _holds_array(x: Any, seen: set[int]) -> bool:
    if isinstance(x, np.ndarray):
        return True
    if isinstance(x, (dict, list, tuple)):
        if id(x) in seen:
            return False
        seen.add(id(x))
        return any(_holds_array(v, seen) for v in (x.values() if isinstance(x, dict) else x))
    return held_array(x, seen) is not None
