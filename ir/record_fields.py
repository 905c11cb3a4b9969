"""The classes of `record.py` whose fields the standard library must look at: those with bases,
keywords or `field(...)`, and all of which there are many instances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import MemberDescriptorType
from typing import Any, Final

from .record import comparison, frozen_methods

_set: Final = object.__setattr__


def by_standard_library(
    cls: Any, eq: bool, frozen: bool, **options: bool
) -> tuple[Any, dict[str, Any]]:
    """The class and methods for it, its fields found by the standard library."""
    made = dataclasses.dataclass(cls, init=False, repr=False, eq=False, **options)
    fields = dataclasses.fields(made)
    methods: dict[str, Any] = {"__init__": _init(made, frozen)}
    if eq:
        compared = [f.name for f in fields if f.compare]
        hashed = [f.name for f in fields if (f.compare if f.hash is None else f.hash)]
        methods |= comparison(compared, hashed, frozen)
    return made, methods | (frozen_methods(made, [f.name for f in fields]) if frozen else {})


def _init(cls: Any, frozen: bool) -> Callable[..., None]:
    """An `__init__` that puts a compiled one in its place when it is first called."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        compiled = compiled_init(cls, frozen)
        cls.__init__ = compiled
        compiled(self, *args, **kwargs)

    return __init__


def compiled_init(cls: Any, frozen: bool) -> Any:
    """`def __init__(self, a, b=..., *, c): ...`, which sets every field. A default is known to it
    as `_b`, whatever it is; a field's name cannot start with an underscore twice over."""
    fields = dataclasses.fields(cls)
    scope: dict[str, Any] = {"__set": _set, "__missing": dataclasses.MISSING}
    first = [_parameter(f, scope) for f in fields if f.init and not f.kw_only]
    named = [_parameter(f, scope) for f in fields if f.init and f.kw_only]
    body = [_assignment(f, cls, frozen, scope) for f in fields]
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    signature = ", ".join(["self", *first, *(["*", *named] if named else [])])
    text = "\n  ".join(
        [f"def __init__({signature}):", *(filter(None, body) if any(body) else ["pass"])]
    )
    exec(text, scope)
    made = scope["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__module__ = cls.__module__
    return made


def _parameter(field: dataclasses.Field[Any], scope: dict[str, Any]) -> str:
    if field.default is not dataclasses.MISSING:
        scope[f"__default_{field.name}"] = field.default
        return f"{field.name}=__default_{field.name}"
    if field.default_factory is not dataclasses.MISSING:
        return f"{field.name}=__missing"
    return field.name


def _assignment(
    field: dataclasses.Field[Any], cls: Any, frozen: bool, scope: dict[str, Any]
) -> str:
    value = field.name
    if field.default_factory is not dataclasses.MISSING:
        scope[f"__factory_{field.name}"] = field.default_factory
        made = f"__factory_{field.name}()"
        value = f"{made} if {field.name} is __missing else {field.name}" if field.init else made
    elif not field.init:
        if field.default is dataclasses.MISSING:
            return ""
        scope[f"__default_{field.name}"] = field.default
        value = f"__default_{field.name}"
    if not frozen:
        return f"self.{field.name} = {value}"
    slot = vars(cls).get(field.name)
    if type(slot) is MemberDescriptorType:
        scope[f"__set_{field.name}"] = slot.__set__
        return f"__set_{field.name}(self, {value})"
    return f"__set(self, {field.name!r}, {value})"
