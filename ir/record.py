"""`dataclass`, as in the standard library, for the many classes of a compiler.

    from .record import dataclass

`dataclasses.dataclass` compiles half a dozen functions for every class, which took more than half
of the time to import this package. Here the standard library finds the fields, comparison, hash and
text share code between classes, and `__init__` is compiled where instances are many. To a type
checker, to `fields`, `replace` and patterns, it is the same thing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Final

_MISSING: Final = dataclasses.MISSING
_set: Final = object.__setattr__

FEW: Final = 8
"""Fewer instances than these are not worth compiling for."""


def _made(
    cls: Any = None,
    /,
    *,
    eq: bool = True,
    frozen: bool = False,
    kw_only: bool = False,
    slots: bool = False,
) -> Any:
    """What `dataclasses.dataclass` makes of a class with these options."""
    if cls is None:
        return lambda decorated: _made(
            decorated, eq=eq, frozen=frozen, kw_only=kw_only, slots=slots
        )
    own = set(vars(cls))
    if "__eq__" in own and vars(cls).get("__hash__") is None:
        own.discard("__hash__")  # Python put None there, the class did not
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__  # else it is made of the signature, which takes its time
    made: Any = dataclasses.dataclass(
        init=False, repr=False, eq=False, kw_only=kw_only, slots=slots
    )(cls)
    methods: dict[str, Any] = {"__init__": _init(made, frozen), "__repr__": _repr}
    if eq:
        methods |= _comparison(made, frozen)
    if frozen:
        methods |= _frozen(made)
    if frozen and slots:
        methods |= {"__getstate__": _get_state, "__setstate__": _set_state}
    for name, method in methods.items():
        if name not in own:
            setattr(made, name, method)
    return made


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    dataclass = _made


def _comparison(cls: Any, frozen: bool) -> dict[str, Any]:
    """Equal are instances of one class with equal fields; what can change has no hash."""
    fields = dataclasses.fields(cls)
    compared = _values([f.name for f in fields if f.compare])
    hashed = _values([f.name for f in fields if (f.compare if f.hash is None else f.hash)])

    def __eq__(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compared(self) == compared(other)

    def __hash__(self: Any) -> int:
        return hash(hashed(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}


def _values(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """The function from an instance to the tuple of these attributes."""
    if len(names) > 1:
        return attrgetter(*names)
    if not names:
        return lambda self: ()
    only = attrgetter(names[0])
    return lambda self: (only(self),)


@recursive_repr()
def _repr(self: Any) -> str:
    """`Type(dtype=..., shape=...)`."""
    parts = [f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr]
    return f"{type(self).__qualname__}({', '.join(parts)})"


def _frozen(cls: Any) -> dict[str, Any]:
    names = frozenset(f.name for f in dataclasses.fields(cls))

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return {"__setattr__": __setattr__, "__delattr__": __delattr__}


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, f.name) for f in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        _set(self, field.name, value)


def _init(cls: Any, frozen: bool) -> Callable[..., None]:
    """An `__init__` for the first instances. Then it puts a compiled one in its place and goes on
    there, and so it does with arguments that it does not expect. Two threads may both do that: what
    they compile is the same."""
    left = [FEW]
    store = _set if frozen else setattr

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        left[0] -= 1
        values = _values_of(dataclasses.fields(cls), args, kwargs) if left[0] > 0 else None
        if values is None or hasattr(cls, "__post_init__"):
            compiled = _compiled_init(cls, frozen)
            cls.__init__ = compiled
            compiled(self, *args, **kwargs)
            return
        for name, value in values.items():
            store(self, name, value)

    return __init__


def _values_of(
    fields: tuple[dataclasses.Field[Any], ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """The value of every field; None where that is not easily said."""
    names = [f.name for f in fields]
    given = dict(zip(names, args, strict=False)) | kwargs
    if len(given) != len(args) + len(kwargs) or not given.keys() <= set(names):
        return None
    for f in fields:
        if f.kw_only or not f.init:
            return None
        if f.name not in given:
            if f.default is not _MISSING:
                given[f.name] = f.default
            elif f.default_factory is not _MISSING:
                given[f.name] = f.default_factory()
            else:
                return None
    return given


def _compiled_init(cls: Any, frozen: bool) -> Any:
    """`def __init__(self, a, b=..., *, c): ...`, which sets every field. A default is known to it
    as `_b`, whatever it is; a field's name cannot start with an underscore twice over."""
    fields = dataclasses.fields(cls)
    scope: dict[str, Any] = {"__set": _set, "__missing": _MISSING}
    first = [_parameter(f, scope) for f in fields if f.init and not f.kw_only]
    named = [_parameter(f, scope) for f in fields if f.init and f.kw_only]
    body = [_assignment(f, frozen, scope) for f in fields]
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
    if field.default is not _MISSING:
        scope[f"__default_{field.name}"] = field.default
        return f"{field.name}=__default_{field.name}"
    if field.default_factory is not _MISSING:
        return f"{field.name}=__missing"
    return field.name


def _assignment(field: dataclasses.Field[Any], frozen: bool, scope: dict[str, Any]) -> str:
    value = field.name
    if field.default_factory is not _MISSING:
        scope[f"__factory_{field.name}"] = field.default_factory
        made = f"__factory_{field.name}()"
        value = f"{made} if {field.name} is __missing else {field.name}" if field.init else made
    elif not field.init:
        if field.default is _MISSING:
            return ""
        scope[f"__default_{field.name}"] = field.default
        value = f"__default_{field.name}"
    return f"__set(self, {field.name!r}, {value})" if frozen else f"self.{field.name} = {value}"
