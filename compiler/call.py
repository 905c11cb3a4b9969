"""One call of a step: its arguments bound, taken apart, and compared with other calls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any

import numpy as np

from ..ir import errors
from ..ir.record import dataclass, replace
from ..runtime.callpath import Parameters
from ..runtime.modes import DEFAULTS, RunOptions
from . import attributes, containers, tracing
from .objects import NONE, Hidden
from .signature import (
    ArraySpec,
    Described,
    RefusedSpec,
    ScalarSpec,
    Spec,
    StaticSpec,
    argument_name,
    bind,
    describe,
    parameters,
)


@dataclass(frozen=True)
class Options:
    """What `compile` was asked for."""

    static_argnames: tuple[str, ...] = ()
    optimize: bool = True
    cache: bool = True
    check: bool = False
    run: RunOptions = DEFAULTS


@dataclass(frozen=True)
class Call:
    """The arguments by name, and taken apart into typed leaves."""

    bound: inspect.BoundArguments
    described: Described
    static_argnames: tuple[str, ...] = ()
    hidden: Hidden = NONE

    def hiding(self, hidden: Hidden) -> Call:
        """This call, without the attributes that are hidden."""
        if hidden == self.hidden:
            return self
        described = describe(self.bound.arguments, self.static_argnames, hidden)
        return replace(self, described=described, hidden=hidden)


class Step:
    """The user's function with the options it is compiled with."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function = function
        self.options = options
        self.name: str = getattr(function, "__name__", type(function).__name__)
        self.signature = parameters(function)
        unknown = set(options.static_argnames) - set(self.signature.parameters)
        if unknown:
            raise ValueError(
                f"static_argnames: {self.name} has no parameter {min(unknown)!r}, it has"
                f" {', '.join(self.signature.parameters)}"
            )

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """TypeError as in a plain call, and the errors of `signature.describe`."""
        try:
            bound = bind(self.signature, args, kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None
        described = describe(bound.arguments, self.options.static_argnames)
        self._check_statics(described)
        self._check_functions(bound.arguments, described)
        return Call(bound, described, self.options.static_argnames)

    def _check_statics(self, described: Described) -> None:
        """UnsupportedError for a static that holds arrays. They would be constants of the program,
        and later calls would compute with the arrays of the first."""
        chosen = self.options.static_argnames
        for k, spec in enumerate(described.specs):
            if not isinstance(spec, StaticSpec) or isinstance(spec, RefusedSpec):
                continue
            held = attributes.held_array(spec.value)
            if held is None or described.treedef.key_paths[k][0].name in chosen:
                continue
            name = argument_name(described.treedef, k)
            raise errors.UnsupportedError(
                f"argument {name}: a {type(spec.value).__name__} is static, and what it holds in"
                f" {name}.{held} would be constant in {self.name}; keep the arrays in an object of"
                " a class of your own, or, if they never change, name the argument in"
                " static_argnames"
            )

    def _check_functions(self, arguments: Mapping[str, Any], described: Described) -> None:
        """UnsupportedError for a static function that reaches into the containers of the call by
        itself. It would see the arrays of the first call."""
        chosen = self.options.static_argnames
        statics = [
            (k, spec.value)
            for k, spec in enumerate(described.specs)
            if isinstance(spec, StaticSpec) and callable(spec.value)
        ]
        reached = [(k, [id(x) for x in reach(value)]) for k, value in statics]
        if not any(ids for _, ids in reached):
            return
        places = containers.identities({k: v for k, v in arguments.items() if k not in chosen})
        for k, ids in reached:
            if not places.isdisjoint(ids):
                name = argument_name(described.treedef, k)
                raise errors.UnsupportedError(
                    f"argument {name} is a function that holds another part of the arguments, and"
                    f" would go on with its present value in {self.name}; write it as a method, or"
                    " let it take that part as a parameter"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in order."""
        return tuple(self.signature.parameters)

    @property
    def plain(self) -> bool:
        """Whether every parameter takes one argument."""
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return all(p.kind not in several for p in self.signature.parameters.values())

    def parameters(self, names: tuple[str, ...]) -> Parameters:
        """How these arguments, the others being left to their defaults, may be given."""
        kinds = {name: p.kind for name, p in self.signature.parameters.items()}
        by_position = [n for n, kind in kinds.items() if kind != inspect.Parameter.KEYWORD_ONLY]
        pairs = zip(names, by_position, strict=False)
        most = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        least = sum(kinds[name] == inspect.Parameter.POSITIONAL_ONLY for name in names)
        return Parameters(names, least, most)


def reach(function: Any) -> Iterator[Any]:
    """What a function holds: variables it closes over, the parts of a partial, the object of a
    built-in method."""
    if isinstance(function, FunctionType):
        yield from (value for _, value in tracing.reachable.reachable(function))
    elif isinstance(function, functools.partial):
        yield from (*function.args, *function.keywords.values(), *reach(function.func))
    elif isinstance(function, (BuiltinMethodType, MethodType)):
        yield function.__self__


def copied(leaf: Any) -> Any:
    """A copy of an array; anything else is immutable and passes."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def copy_arrays(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same containers and objects with a copy of every array."""
    leaves, treedef = containers.flatten((tuple(args), dict(kwargs)))
    copies: tuple[tuple[Any, ...], dict[str, Any]] = treedef.unflatten(map(copied, leaves))
    return copies


def difference(old: Described, new: Described) -> str:
    """What distinguishes two calls, for a reader: `x: f32[32,784] -> f32[16,784]`; "" if one
    program serves both."""
    new = new.pinned_like(old)
    if old.key == new.key:
        return ""
    if old.treedef != new.treedef or old.treedef.exact_keys != new.treedef.exact_keys:
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
        case ScalarSpec(type, weak, pinned):
            value = "" if pinned is None else f" {pinned}"
            return f"{'Python' if weak else 'NumPy'} {type.dtype}{value}"
    return repr(spec.value)
