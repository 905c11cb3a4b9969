"""One call of a step: its arguments bound, taken apart, and compared with other calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..ir.errors import UnsupportedError
from . import tree
from .signature import (
    ArraySpec,
    Described,
    ScalarSpec,
    Spec,
    StaticSpec,
    bind,
    describe,
    parameters,
)


@dataclass(frozen=True)
class Options:
    """What `compile` was asked for."""

    static_argnames: tuple[str, ...] = ()
    optimize: bool = True
    threads: int | None = None
    cache: bool = True
    check: bool = False


@dataclass(frozen=True)
class Call:
    """The arguments by name, and taken apart into typed leaves."""

    bound: inspect.BoundArguments
    described: Described


class Step:
    """The user's function with the options it is compiled with."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function = function
        self.options = options
        self.name: str = getattr(function, "__name__", type(function).__name__)
        self.signature = parameters(function)
        unknown = set(options.static_argnames) - set(self.signature.parameters)
        if unknown:
            raise ValueError(f"{self.name} has no parameter {sorted(unknown)[0]!r}")

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """TypeError as in a plain call, and the errors of `signature.describe`."""
        try:
            bound = bind(self.signature, args, kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None
        described = describe(bound.arguments, self.options.static_argnames)
        self._check_statics(described)
        return Call(bound, described)

    def _check_statics(self, described: Described) -> None:
        """UnsupportedError for an ordinary object that holds arrays. They would be constants of
        the program, and later calls would compute with the arrays of the first."""
        chosen = self.options.static_argnames
        for path, spec in zip(described.treedef.key_paths, described.specs, strict=True):
            if not isinstance(spec, StaticSpec) or path[0].name in chosen:
                continue
            held = held_array(spec.value)
            if held is not None:
                name = path[0].name + tree.access(path[1:])
                raise UnsupportedError(
                    f"argument {name}: {type(spec.value).__name__} is an ordinary object, and"
                    f" what it holds in {name}.{held} would be constant in {self.name}; make the"
                    " class a @dataclass, whose fields are arguments, or, if its arrays never"
                    f" change, name {path[0].name} in static_argnames"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in order."""
        return tuple(self.signature.parameters)

    @property
    def positional(self) -> bool:
        """Whether a call can give every argument by position, one per parameter."""
        plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return all(p.kind in plain for p in self.signature.parameters.values())


def held_array(value: Any, seen: set[int] | None = None) -> str | None:
    """The first attribute of an object under which an array is found, in containers or further
    objects: `W`, `layers`. Modules, classes, and functions around others are not looked into."""
    seen = set() if seen is None else seen
    if isinstance(value, (type, ModuleType)) or hasattr(value, "__wrapped__") or id(value) in seen:
        return None
    seen.add(id(value))
    attributes: dict[str, Any] = getattr(value, "__dict__", {})
    for name, attribute in attributes.items():
        for leaf in tree.leaves(attribute):
            if isinstance(leaf, np.ndarray) or held_array(leaf, seen):
                return name
    return None


def copied(leaf: Any) -> Any:
    """A copy of an array; anything else is immutable and passes."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def copy_arrays(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same containers with a copy of every array."""
    copies: tuple[tuple[Any, ...], dict[str, Any]] = tree.map(copied, (tuple(args), dict(kwargs)))
    return copies


def difference(old: Described, new: Described) -> str:
    """What distinguishes two calls, for a reader: `x: f32[32,784] -> f32[16,784]`; "" if one
    program serves both."""
    if old.key == new.key:
        return ""
    if old.treedef != new.treedef:
        return f"structure {_structure(old)} -> {_structure(new)}"
    changed = [
        f"{name}: {_spec(a)} -> {_spec(b)}"
        for name, a, b in zip(new.names, old.specs, new.specs, strict=True)
        if a != b
    ]
    return ", ".join(changed[:4]) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")


def _structure(described: Described) -> str:
    return f"({', '.join(described.names)})"


def _spec(spec: Spec) -> str:
    match spec:
        case ArraySpec(type, contiguous):
            return str(type) if contiguous else f"strided {type}"
        case ScalarSpec(type, weak):
            return f"{'Python' if weak else 'NumPy'} {type.dtype}"
    return repr(spec.value)
