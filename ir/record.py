"""`dataclass`, as in the standard library, for the many classes of a compiler.

    from .record import dataclass

`dataclasses.dataclass` compiles half a dozen functions for every class, which took more than half
of the time to import this package. Here comparison, hash and text share code between classes, and
`__init__` is compiled where instances are many. The fields are found by the standard library: at
once those of a class with bases, keywords or `field(...)`, those of any other when somebody asks.
To a type checker, to `fields`, `replace` and patterns, it is the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from reprlib import recursive_repr
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from . import late, record_fields

if TYPE_CHECKING:
    import dataclasses
    from typing import TypeVar

    _Record = TypeVar("_Record")
else:
    dataclasses = late.standard("dataclasses")

_set: Final = object.__setattr__

FEW: Final = 32
"""Fewer instances than these are not worth compiling for."""
_SPECIAL: Final = ("ClassVar", "InitVar", "KW_ONLY")
_FIELDS: Final = "__dataclass_fields__"


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
    if kw_only or not _is_plain(cls, slots):
        made, methods = record_fields.by_standard_library(
            cls, eq, frozen, kw_only=kw_only, slots=slots
        )
    else:
        made, methods = _plain(cls, eq, frozen, slots)
    methods["__repr__"] = _repr
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


def replace(record: _Record, **changes: Any) -> _Record:
    """A copy with other values, of a record whose fields are all parameters."""
    kind: Any = type(record)
    names = kind.__match_args__
    made: _Record = kind(**({name: getattr(record, name) for name in names} | changes))
    return made


# --- classes whose fields are what is annotated ---------------------------------------------------


def _is_plain(cls: Any, slots: bool) -> bool:
    """Whether every annotation is a parameter, with a value or without, and nothing else is."""
    scope = vars(cls)
    annotations = scope.get("__annotations__")
    if annotations is None or not _are_ordinary(annotations.values()):
        return False
    if cls.__bases__ != (object,) and any(_FIELDS in vars(base) for base in cls.__mro__[1:-1]):
        return False
    given = [name in scope for name in annotations]
    if True in given:
        values = [scope[name] for name in annotations if name in scope]
        if given != sorted(given) or not all(map(_is_value, values)):
            return False
    return not slots or (cls.__bases__ == (object,) and not any(map(_names_class, scope.values())))


def _are_ordinary(annotations: Iterable[Any]) -> bool:
    """Whether none of them means more to the standard library than a type."""
    try:
        text = " ".join([each for each in annotations if type(each) is not type])
    except TypeError:  # an annotation of another kind
        return False
    return not [word for word in _SPECIAL if word in text]


def _is_value(default: Any) -> bool:
    """Whether it is a default as it stands; one that can be changed is refused."""
    return type(default).__name__ != "Field" and type(default).__hash__ is not None


def _names_class(member: Any) -> bool:
    """Whether a function refers to the class that it is written in, as `super()` does."""
    return type(member) is FunctionType and "__class__" in member.__code__.co_freevars


def _plain(cls: Any, eq: bool, frozen: bool, slots: bool) -> tuple[Any, dict[str, Any]]:
    """The class, and methods for it."""
    annotations = vars(cls)["__annotations__"]
    names = tuple(annotations)
    defaults = {name: vars(cls)[name] for name in names if name in vars(cls)}
    made: Any = _slotted(cls, names) if slots else cls
    if "__match_args__" not in vars(cls):
        setattr(made, "__match_args__", names)  # noqa: B010  # mypy lets no one assign it
    for asked in (_FIELDS, "__dataclass_params__"):
        setattr(made, asked, _Later(asked, made, defaults | {"__annotations__": annotations}))
    methods: dict[str, Any] = {"__init__": _plain_init(made, names, defaults, frozen, slots)}
    if eq:
        methods |= comparison(names, names, frozen)
    return made, methods | (frozen_methods(made, names) if frozen else {})


def _slotted(cls: Any, names: tuple[str, ...]) -> Any:
    """The class again, with slots."""
    left_out = {*names, "__dict__", "__weakref__"}
    scope = {name: value for name, value in vars(cls).items() if name not in left_out}
    made: Any = type(cls)(cls.__name__, cls.__bases__, scope | {"__slots__": names})
    made.__qualname__ = cls.__qualname__
    return made


class _Later:
    """An attribute that the standard library gives a dataclass: it does when somebody asks."""

    def __init__(self, name: str, cls: Any, scope: dict[str, Any]) -> None:
        self._name, self._cls, self._scope = name, cls, scope

    def __get__(self, instance: Any, owner: Any) -> Any:
        scope = self._scope | {"__module__": self._cls.__module__, "__doc__": ""}
        twin: Any = type(self._cls.__name__, (), scope)
        dataclasses.dataclass(twin, init=False, repr=False, eq=False)
        setattr(self._cls, self._name, getattr(twin, self._name))
        return getattr(twin, self._name)


def _plain_init(
    cls: Any, names: tuple[str, ...], defaults: Mapping[str, Any], frozen: bool, slots: bool
) -> Callable[..., None]:
    """An `__init__` for the first instances. Then it puts a compiled one in its place and goes on
    there, and so it does with arguments that it does not expect. Two threads may both do that: what
    they compile is the same."""
    left, every = [FEW], set(names)
    store = _set if frozen else setattr
    goes_on = hasattr(cls, "__post_init__")
    usual = None if slots or goes_on else len(names)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        left[0] -= 1
        if len(args) == usual and not kwargs and left[0] > 0:
            self.__dict__.update(zip(names, args, strict=False))
            return
        values = dict(zip(names, args, strict=False)) | kwargs
        distinct = len(values) == len(args) + len(kwargs)
        if len(values) < len(names):
            values = {**defaults, **values}
        if left[0] <= 0 or goes_on or not distinct or values.keys() != every:
            compiled = record_fields.compiled_init(cls, frozen)
            cls.__init__ = compiled
            compiled(self, *args, **kwargs)
        elif slots:
            for name, value in values.items():
                store(self, name, value)
        else:
            self.__dict__.update(values)

    return __init__


# --- methods --------------------------------------------------------------------------------------


def comparison(compared: Iterable[str], hashed: Iterable[str], frozen: bool) -> dict[str, Any]:
    """Equal are instances of one class with equal fields; what can change has no hash."""
    compare, parts = _values(tuple(compared)), _values(tuple(hashed))

    def __eq__(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compare(self) == compare(other)

    def __hash__(self: Any) -> int:
        return hash(parts(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}


def _values(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
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


def frozen_methods(cls: Any, fields: Iterable[str]) -> dict[str, Any]:
    names = frozenset(fields)

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
