"""The arguments of a step as containers: those of `tree.py`, and objects of their attributes.

What an object holds keeps its identity: a list, dict, object or array that is reached twice is one
place of the structure, and `Shared` everywhere else. So two names for one array stay two names for
one array in the trace, and an object may refer to itself. Without objects nothing is shared: an
array passed twice is two arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import attributes, objects, treedef
from .treedef import LEAF, NONE, Container, Shared, TreeDef, static

if TYPE_CHECKING:
    Stop = Callable[[Any], bool]


def flatten(
    x: Any, stop: Stop = lambda x: False, hidden: Collection[tuple[type, str]] = ()
) -> tuple[list[Any], TreeDef]:
    """Like `tree.flatten`, objects taken apart. What `stop` is true of is a leaf; attributes that
    are `hidden`, by class and name, are passed over."""
    walk = _Walk(stop, hidden)
    return walk.found, walk.visit(x, held=False)


def flatten_apart(items: Sequence[Any], stop: Stop) -> tuple[list[Any], TreeDef]:
    """`flatten` of a tuple whose items share nothing: an object that two of them hold is two."""
    walk = _Walk(stop)
    return walk.found, walk.visit_apart(items)


def flatten_held(items: Sequence[Any], stop: Stop) -> tuple[list[Any], TreeDef]:
    """`flatten` of a tuple whose items share what they share, objects or not."""
    walk = _Walk(stop)
    return walk.found, walk.visit(tuple(items), held=True)


def leaves(x: Any) -> list[Any]:
    """The leaves of `flatten`, without those in a place reached before."""
    return flatten(x)[0]


def everything(x: Any, without: Stop = lambda x: False) -> Iterator[Any]:
    """`x` and all that is in it, taken apart once; `without` what that is true of."""
    seen: set[int] = set()
    pending = [x]
    while pending:
        found = pending.pop()
        if without(found):
            continue
        yield found
        if id(found) not in seen and is_container(found):
            seen.add(id(found))
            pending += [child for _, child in children(found)]


def identities(x: Any) -> set[int]:
    """`id` of everything in `x` that can be changed."""
    walk = _Walk(lambda x: False)
    walk.visit(x, held=False)
    return set(walk.known)


def is_container(x: Any) -> bool:
    """Whether `x` has children. (A dict, list or tuple with attributes of its own is a leaf, which
    `signature.spec_of` refuses.)"""
    if isinstance(x, Container):
        return True
    if isinstance(x, (dict, list, tuple)):
        return not has_attributes(x)
    return objects.is_object(x)


def has_attributes(x: Any) -> bool:
    """Whether a dict, list or tuple holds something besides its items."""
    return bool(getattr(x, "__dict__", None))


def children(x: Any) -> list[tuple[Hashable, Any]]:
    """The (key, child) pairs of a container: dict keys, indices, or attribute names."""
    return (
        treedef.children(x)
        if isinstance(x, (dict, list, tuple, Container))
        else list(attributes.state(x).items())
    )


def _is_mutable(x: Any, container: bool) -> bool:
    """Whether a change of `x` is seen under its other names. Traced arrays are arrays too."""
    if container:
        return not isinstance(x, (tuple, objects.Method, Container))
    return hasattr(type(x), "__array_ufunc__") and not isinstance(x, np.generic)


class _Walk:
    """Collects leaves and remembers the place of everything that can be changed."""

    def __init__(self, stop: Stop, hidden: Collection[tuple[type, str]] = ()) -> None:
        self.found: list[Any] = []
        self._hidden = hidden
        self._stop = stop
        self._places = 0
        self.known: dict[int, tuple[int, bool, Any]] = {}

    def visit_apart(self, items: Sequence[Any]) -> TreeDef:
        self._places += 1
        below = []
        for item in items:
            self.known.clear()
            below.append(self.visit(item, held=False))
        return TreeDef(tuple, tuple(range(len(below))), tuple(below))

    def visit(self, x: Any, *, held: bool) -> TreeDef:
        if x is None:
            return NONE
        inner = not self._stop(x) and is_container(x)
        held = held or (inner and not isinstance(x, (dict, list, tuple, Container)))
        if _is_mutable(x, inner):
            place, before, _ = self.known.setdefault(id(x), (self._places, held, x))
            if place != self._places and (held or before):
                return TreeDef(Shared, (place,))
        self._places += 1
        if not inner:
            self.found.append(x)
            return LEAF
        pairs = children(x)
        if self._hidden:
            pairs = [(key, y) for key, y in pairs if (type(x), key) not in self._hidden]
        below = tuple(self.visit(child, held=held) for _, child in pairs)
        return TreeDef(type(x), tuple(key for key, _ in pairs), below, static(x))
