"""What a call is specialised on: the structure of its arguments, and each leaf's type.

Arrays and numbers become inputs of the graph; a number's value is not part of the key. A Python
number is *weak*: it takes the dtype of the array it meets (NEP 50); a NumPy scalar is not. Strings,
callables, enums and other hashable objects are static: their value is part of the key.

Objects are containers of their attributes, and what they hold is configuration as well as state:
there a bool is static, a number is *pinned* to its value once the step's Python code has asked for
it (`range(self.depth)`), and what cannot be traced is an error only when it is used.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..ir import errors
from ..ir.record import dataclass, replace
from ..ir.types import BOOL, DTYPES, F64, I64, Type
from . import containers, tree
from .treedef import TreeDef, exact


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """An ndarray; `contiguous` says whether it is C-contiguous (it decides which reshapes are
    views)."""

    type: Type
    contiguous: bool


@dataclass(frozen=True, slots=True)
class ScalarSpec:
    """A number: a Python one (`weak`) or a NumPy scalar. `pinned` is what `pin` makes of its
    value, where the program is for that value only."""

    type: Type
    weak: bool
    pinned: Hashable = None


@dataclass(frozen=True, slots=True)
class StaticSpec:
    """A value the program is specialised on. Equal values of different types differ; `exact` is
    what distinguishes it from equal ones of its type, None if nothing can."""

    kind: type
    value: Hashable
    exact: Hashable = None


class RefusedSpec(StaticSpec):
    """An attribute of an object that cannot stand in a step; `value` says why."""


Spec = ArraySpec | ScalarSpec | StaticSpec

_WEAK = {bool: Type(BOOL), int: Type(I64), float: Type(F64)}
_GENERATORS = (("numpy.random", "Generator"), ("numpy.random", "RandomState"), ("random", "Random"))
_SUPPORTED = frozenset(DTYPES.values())


@dataclass(frozen=True)
class Described:
    """A call's arguments, taken apart.

    `treedef` is the structure of the dict {parameter: argument}; `specs` has one entry per leaf
    of it; `leaves` holds the arrays and numbers only, in the order of the graph's inputs.
    """

    treedef: TreeDef
    specs: tuple[Spec, ...]
    leaves: tuple[Any, ...]

    @property
    def key(self) -> Hashable:
        """Equal for calls that one program serves."""
        return self.treedef, self.treedef.exact_keys, self.specs

    def pinned_like(self, other: Described) -> Described:
        """These arguments with the numbers pinned that are pinned in `other`."""
        if self.treedef != other.treedef:
            return self
        values = iter(self.leaves)
        specs = []
        for mine, theirs in zip(self.specs, other.specs, strict=True):
            value = None if isinstance(mine, StaticSpec) else next(values)
            if isinstance(mine, ScalarSpec) and isinstance(theirs, ScalarSpec):
                mine = mine if theirs.pinned is None else replace(mine, pinned=pin(value))
            specs.append(mine)
        return replace(self, specs=tuple(specs))

    def pinning(self, places: Collection[int]) -> Described:
        """These arguments with the numbers pinned that are leaves of these numbers."""
        values = iter(self.leaves)
        specs = []
        for k, spec in enumerate(self.specs):
            value = None if isinstance(spec, StaticSpec) else next(values)
            if k in places and isinstance(spec, ScalarSpec):
                spec = replace(spec, pinned=pin(value))
            specs.append(spec)
        return replace(self, specs=tuple(specs)) if places else self

    @property
    def names(self) -> tuple[str, ...]:
        """The IR name of every leaf, statics included: `p.W1`, `x`, `lr`."""
        return tuple(tree.dotted(path) for path in self.treedef.key_paths)


def is_generator(kind: type) -> bool:
    """Whether instances draw other numbers in every call, which a trace would freeze. Who has one
    has imported its module."""
    loaded = ((sys.modules.get(module), name) for module, name in _GENERATORS)
    return any(issubclass(kind, vars(m)[name]) for m, name in loaded if m and name in vars(m))


_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def parameters(fn: Callable[..., Any]) -> inspect.Signature:
    """The signature of `fn`; `(*args, **kwargs)` for a callable without one, such as a ufunc."""
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):
        return _ANYTHING


def bind(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """Arguments by parameter name; TypeError as in a plain call.

    A default that is not overridden is a constant of the function, unless it is an array or a
    container, which the step could write to: those are arguments like any other.
    """
    bound = signature.bind(*args, **kwargs)
    given = set(bound.arguments)
    bound.apply_defaults()
    for name, value in list(bound.arguments.items()):
        if name not in given and not (
            isinstance(value, np.ndarray) or containers.is_container(value)
        ):
            del bound.arguments[name]
    return bound


def describe(
    arguments: Mapping[str, Any],
    static_argnames: Collection[str] = (),
    hidden: Collection[tuple[type, str]] = (),
) -> Described:
    """Take the arguments of a call apart (see `Described`), without the attributes of objects that
    are hidden from the program (`reads.py`).

    Raises UnsupportedError for an array tapeless cannot take (masked, object, structured,
    byte-swapped, np.matrix, complex), ScalarRangeError for an int beyond 64 bits and TraceError
    for a static value that is not hashable.
    """
    marked = {
        name: _Static(value) if name in static_argnames else value
        for name, value in arguments.items()
    }
    try:
        found, treedef = containers.flatten(marked, hidden=hidden)
    except RecursionError:
        raise errors.UnsupportedError(
            "the arguments are nested too deeply, or a list or dict contains itself"
        ) from None
    specs: list[Spec] = []
    for k, (leaf, held) in enumerate(zip(found, treedef.held, strict=True)):
        try:
            specs.append(_held_spec(leaf) if held else spec_of(leaf))
        except errors.TapelessError as error:
            raise type(error)(f"argument {argument_name(treedef, k)}: {error}") from None
    kept = [x for x, s in zip(found, specs, strict=True) if not isinstance(s, StaticSpec)]
    return Described(treedef, tuple(specs), tuple(kept))


def argument_name(treedef: TreeDef, leaf: int) -> str:
    """A leaf as the user writes it: `p['W1']`."""
    first, *rest = treedef.key_paths[leaf]
    return first.name + tree.access(tuple(rest))


class _Static:
    """Marks the value of a static argument: a leaf, whatever the value is."""

    def __init__(self, value: Any) -> None:
        self.value = value


def static_value(leaf: Any) -> Any:
    """The value behind a static leaf."""
    return leaf.value if isinstance(leaf, _Static) else leaf


def spec_of(leaf: Any) -> Spec:
    """The spec of one leaf; the errors of `describe`."""
    if isinstance(leaf, np.ndarray):
        return _array_spec(leaf)
    weak = _WEAK.get(type(leaf))
    if weak is not None:
        if weak.is_integer and not -(2**63) <= leaf < 2**63:
            raise errors.ScalarRangeError(f"{leaf} does not fit in 64 bits")
        return ScalarSpec(weak, weak=True)
    if isinstance(leaf, np.generic) and leaf.dtype in _SUPPORTED:
        return ScalarSpec(Type(leaf.dtype), weak=False)
    if isinstance(leaf, _Static) and isinstance(leaf.value, list | dict | set):
        raise errors.TraceError(
            f"a static argument must be hashable, and a {type(leaf.value).__name__} is not; pass a"
            " tuple, or leave it out of static_argnames"
        )
    return _static_spec(static_value(leaf))


def _held_spec(leaf: Any) -> Spec:
    """The spec of an attribute."""
    if isinstance(leaf, bool):
        return StaticSpec(bool, leaf)
    if isinstance(leaf, (set, frozenset)):
        return StaticSpec(type(leaf), frozenset(leaf), _exact(leaf))
    try:
        return spec_of(leaf)
    except errors.ScalarRangeError:
        return StaticSpec(int, leaf)
    except errors.TapelessError as error:
        return RefusedSpec(type(leaf), str(error))


def _exact(value: Any) -> Hashable:
    found = exact(value)
    return found if isinstance(found, tuple) else None  # or it is the type


def pin(number: Any) -> Hashable:
    """Equal for numbers that a trace cannot tell apart: NaN equals NaN, 0.0 is not -0.0."""
    return number if type(number) is int else repr(number)


def _is_masked(array: np.ndarray) -> bool:
    """Whether it is a masked array, without importing what makes them: that takes a while."""
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(array, masked.MaskedArray)


def _array_spec(array: np.ndarray) -> ArraySpec:
    if array.dtype not in _SUPPORTED:
        raise errors.UnsupportedError(
            f"dtype {array.dtype} is not supported; {_advice(array.dtype)}"
        )
    if isinstance(array, np.matrix) or _is_masked(array):
        kind = type(array).__name__
        raise errors.UnsupportedError(f"{kind} is not supported; pass a plain array, np.asarray(x)")
    return ArraySpec(Type(array.dtype, array.shape), array.flags.c_contiguous)


def _advice(dtype: np.dtype) -> str:
    if dtype.names:
        return "pass its fields as separate arrays"
    if dtype.newbyteorder("=") in _SUPPORTED:
        return "it is byte-swapped: convert it with x.astype(x.dtype.newbyteorder('='))"
    return f"convert it with astype to one of {', '.join(map(str, DTYPES.values()))}"


def _static_spec(value: Any) -> StaticSpec:
    if isinstance(value, complex):
        raise errors.UnsupportedError("complex is not supported; pass real and imaginary parts")
    if is_generator(type(value)):
        raise errors.UnsupportedError(
            f"{type(value).__name__} is not supported; draw with tl.random from a key, or outside"
            " the step and pass the array"
        )
    if isinstance(value, (dict, list, tuple)) and containers.has_attributes(value):
        raise errors.UnsupportedError(
            f"{type(value).__name__} has items and attributes, and only one kind is traced; make"
            " the items an attribute of a plain class"
        )
    if isinstance(value, Iterator):
        raise errors.UnsupportedError(
            f"a {type(value).__name__} gives its elements only once, to the trace; pass a list"
        )
    if isinstance(value, np.ndarray):
        raise errors.UnsupportedError(
            "an array cannot be static, since it can change; leave it out of static_argnames, or"
            " pass a tuple of numbers"
        )
    if hasattr(type(value), "__array__") and not isinstance(value, np.generic):
        raise errors.UnsupportedError(
            f"{type(value).__name__} is not a NumPy array; pass what np.asarray makes of it"
        )
    try:
        hash(value)
    except TypeError:
        raise errors.TraceError(
            f"{type(value).__name__} is neither an array, a number nor hashable; arguments are"
            " arrays and numbers in dicts, lists, tuples or objects, and hashable statics"
        ) from None
    return StaticSpec(type(value), value, _exact(value))
