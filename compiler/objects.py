"""Objects as containers: which instances are taken apart into their attributes, and how.

An instance of a class written in Python is one: a network, a layer, an optimiser. Its attributes
are what `__dict__` and `__slots__` hold, read and written as they are stored, past properties and
`__setattr__`. Not taken apart are classes of the standard library, of NumPy and of this package,
those with state in C (a generator, an open file), enums, wrapped functions, and value objects:
hashable by what they hold, such as a path, unless that is arrays.
"""

from __future__ import annotations

import enum
import os
import sys
from functools import lru_cache
from types import (
    BuiltinFunctionType,
    MethodType,
    SimpleNamespace,
)
from typing import Any, Final

from . import attributes

Hidden = frozenset[tuple[type, str]]
"""Attributes by the class of the object and their name."""

NONE: Final[Hidden] = frozenset()

Method = MethodType
"""A bound method is a container of its function and its object."""

FIELDS: Final = "__dataclass_fields__"
"""The attribute that makes a class a dataclass."""

_CLOSED = {"builtins", "numpy", __name__.partition(".")[0]}
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")


def is_object(x: Any) -> bool:
    """Whether `x` is a container of its attributes."""
    kind: Any = type(x)
    if kind is Method:
        return is_object(x.__self__)
    if hasattr(kind, FIELDS):
        return True
    if not is_open(kind) or "__wrapped__" in getattr(x, "__dict__", ()):
        return False
    return kind.__hash__ in (None, object.__hash__) or attributes.held_array(x) is not None


@lru_cache(maxsize=1024)
def is_open(kind: Any) -> bool:
    """Whether instances of a class are nothing but their attributes."""
    if issubclass(kind, SimpleNamespace) or _is_parsed(kind):
        return True
    root = kind.__module__.partition(".")[0]
    if root in _CLOSED or _is_standard(root) or issubclass(kind, (enum.Enum, type)):
        return False
    return not any(
        isinstance(vars(base).get("__new__"), BuiltinFunctionType)
        for base in kind.__mro__
        if base is not object
    )


def _is_parsed(kind: Any) -> bool:
    """Whether a class is argparse's namespace; who has one has imported that module."""
    namespace = getattr(sys.modules.get("argparse"), "Namespace", None)
    return namespace is not None and issubclass(kind, namespace)


def _is_standard(name: str) -> bool:
    """Whether a module is of the standard library, and no file of the user's by that name."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return name in sys.stdlib_module_names and (file is None or file.startswith(_STANDARD))
