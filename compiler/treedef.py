"""The structure of nested containers, without what is in them.

A `TreeDef` is hashable, comparable, and able to put other leaves in the place of those it was found
with (`tree.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..ir import late
from ..ir.record import dataclass
from . import tree

if TYPE_CHECKING:
    import dataclasses
else:
    dataclasses = late.standard("dataclasses")


@dataclass(frozen=True)
class Key:
    """One step into a container: its label in IR names, and as the user writes it."""

    name: str
    access: str


Path = tuple[Key, ...]


class Container(ABC):
    """A container with a structure of its own: everything but its children is `tree_static`."""

    @property
    @abstractmethod
    def tree_static(self) -> Hashable:
        """What distinguishes it from others with as many children."""

    @property
    @abstractmethod
    def tree_children(self) -> tuple[Any, ...]:
        """The children, in order."""

    @classmethod
    @abstractmethod
    def tree_build(cls, static: Any, children: Sequence[Any]) -> Self:
        """The container with this structure and these children."""


def static(x: Any) -> Hashable:
    """What a container says of itself besides its type, keys and children."""
    return x.tree_static if isinstance(x, Container) else None


class Shared:
    """The `kind` of a place that holds what another place holds already: its one key is the number
    of that place, counting containers and leaves from left to right, the outer ones first."""


@dataclass(frozen=True)
class TreeDef:
    """A structure: a leaf (`kind` None), a None, or a container of type `kind` with `keys`."""

    kind: type | None
    keys: tuple[Hashable, ...] = ()
    children: tuple[TreeDef, ...] = ()
    static: Hashable = None

    @cached_property
    def size(self) -> int:
        """Number of leaves."""
        return 1 if self.kind is None else sum(child.size for child in self.children)

    @cached_property
    def key_paths(self) -> tuple[Path, ...]:
        """The path of every leaf, in order."""
        return tuple(tree.paths(self))

    @property
    def exact_keys(self) -> Hashable:
        """What is `exact` about the keys, where any of them is not a string; `keys` that are equal
        can be others. (No `cached_property`: before Python 3.12 one lock is that of all structures,
        and calls of all threads would wait for it.)"""
        below = tuple(child.exact_keys for child in self.children)
        return (exact(self.keys), below) if has_exact_keys(self) or any(below) else None

    @cached_property
    def held(self) -> tuple[bool, ...]:
        """Whether each leaf is an attribute of an object, or inside one."""
        return tuple(_held(self, False))

    @property
    def paths(self) -> tuple[str, ...]:
        """The leaves as the user reaches them from the root: `['layers'][0].W`."""
        return tuple(tree.access(path) for path in self.key_paths)

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The container with these leaves, new at every level; ValueError on a wrong count."""
        return tree.unflatten(self, leaves)


def has_exact_keys(treedef: TreeDef) -> bool:
    """Whether it is a dict with keys that can equal others."""
    kind = treedef.kind
    is_dict = kind is not None and issubclass(kind, dict)
    return is_dict and any(type(key) is not str for key in treedef.keys)


def exact(value: Any) -> Hashable:
    """What distinguishes a value from equal ones that a step can tell from it, in tuples, sets and
    dataclasses too: 1, 1.0 and True, 0.0 and -0.0. None for a string; else its type, alone or
    first."""
    kind: Any = type(value)
    if kind is str or value is None:
        return None
    if isinstance(value, (float, complex, np.generic)):
        return kind, repr(value)
    if isinstance(value, tuple):
        return kind, tuple(map(exact, value))
    if isinstance(value, (set, frozenset)):
        return kind, frozenset((item, exact(item)) for item in value)
    if hasattr(kind, "__dataclass_fields__") and kind.__eq__ is not object.__eq__:
        names = [field.name for field in dataclasses.fields(kind) if field.compare]
        return kind, tuple(exact(getattr(value, name, None)) for name in names)
    alone: Hashable = kind
    return alone


LEAF = TreeDef(None)
NONE = TreeDef(type(None))


def children(x: Any) -> list[tuple[Hashable, Any]]:
    """The (key, child) pairs of a container: dict keys, indices, or field names."""
    if isinstance(x, dict):
        return list(x.items())
    if isinstance(x, (list, tuple)):
        return list(enumerate(x))
    if isinstance(x, Container):
        return list(enumerate(x.tree_children))
    return [(field.name, getattr(x, field.name)) for field in dataclasses.fields(x)]


def _held(treedef: TreeDef, held: bool) -> Iterator[bool]:
    if treedef.kind is None:
        yield held
        return
    inside = held or not issubclass(treedef.kind, (dict, list, tuple))
    for child in treedef.children:
        yield from _held(child, inside)
