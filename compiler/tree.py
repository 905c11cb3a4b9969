"""Nested containers of arrays: dicts, lists, tuples, named tuples, dataclasses, `Container`s.

Everything else is a leaf, except None, which is part of the structure. Dicts keep their insertion
order. A `TreeDef` is the structure without the leaves: hashable, comparable, and able to put
other leaves in their place. To `map`, `leaves`, `flatten` and `count` an object of any other class
is a leaf; only as an argument of a step is it a container of its attributes (`containers.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from . import attributes, objects
from .treedef import LEAF, NONE, Container, Key, Path, Shared, TreeDef, children, static


def dotted(path: Path) -> str:
    """`p.layers.0.W`, the name of a path in the IR."""
    return ".".join(key.name for key in path)


def access(path: Path) -> str:
    """`['layers'][0].W`, the path as it is written in Python after the container."""
    return "".join(key.access for key in path)


def flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """The leaves of `tree` from left to right, and its structure."""
    found: list[Any] = []
    return found, _structure(tree, found)


def unflatten(treedef: TreeDef, leaves: Iterable[Any]) -> Any:
    """The container with these leaves, new at every level; ValueError on a wrong count."""
    items = list(leaves)
    if len(items) != treedef.size:
        raise ValueError(f"the structure has {treedef.size} leaves, got {len(items)}")
    return _build(treedef, iter(items), [])


def leaves(tree: Any) -> list[Any]:
    """The leaves of `tree` from left to right."""
    return flatten(tree)[0]


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply `function` to each leaf (and to the corresponding leaves of `rest`).

    ValueError if the structures differ.
    """
    first, treedef = flatten(tree)
    columns = [first]
    for other in rest:
        found, structure = flatten(other)
        if structure != treedef:
            raise ValueError(
                f"tree.map: the structures differ, with leaves {', '.join(treedef.paths)} and"
                f" {', '.join(structure.paths)}; pass trees of the same keys and types"
            )
        columns.append(found)
    return treedef.unflatten(function(*row) for row in zip(*columns, strict=True))


def count(tree: Any) -> int:
    """Number of elements in all leaves: the parameter count of a network."""
    return sum(math.prod(np.shape(leaf)) for leaf in leaves(tree))


def is_container(x: object) -> bool:
    """Whether `x` has children (None has not, and is no leaf either)."""
    if isinstance(x, (dict, list, tuple, Container)):
        return True
    return hasattr(type(x), objects.FIELDS)


def step(kind: type, key: Hashable) -> Key:
    """How `key` of a container of type `kind` is named and written."""
    if issubclass(kind, dict):
        return Key(str(key), f"[{key!r}]")
    if issubclass(kind, (list, tuple)):
        fields = getattr(kind, "_fields", None)
        return Key(fields[key], f".{fields[key]}") if fields else Key(str(key), f"[{key}]")
    if issubclass(kind, Container):
        return Key(str(key), f".tree_children[{key}]")
    return Key(str(key), f".{key}")


def _structure(x: Any, found: list[Any]) -> TreeDef:
    if x is None:
        return NONE
    if not is_container(x):
        found.append(x)
        return LEAF
    pairs = children(x)
    below = tuple(_structure(child, found) for _, child in pairs)
    return TreeDef(type(x), tuple(key for key, _ in pairs), below, static(x))


def _build(treedef: TreeDef, items: Iterator[Any], places: list[Any]) -> Any:
    if treedef.kind is type(None):
        return None
    if treedef.kind is Shared:
        (place,) = treedef.keys
        return places[int(str(place))]
    here = len(places)
    places.append(next(items) if treedef.kind is None else _empty(treedef.kind))
    if treedef.kind is not None:
        values = [_build(child, items, places) for child in treedef.children]
        if issubclass(treedef.kind, Container):
            places[here] = treedef.kind.tree_build(treedef.static, values)
        else:
            places[here] = _filled(places[here], treedef.kind, treedef.keys, values)
    return places[here]


def _empty(kind: type) -> Any:
    """A container that exists before its children do, so that they may refer to it; None for a
    tuple or method, which cannot."""
    return None if issubclass(kind, (tuple, objects.Method, Container)) else kind.__new__(kind)


def _filled(made: Any, kind: Any, keys: Sequence[Hashable], values: Sequence[Any]) -> Any:
    """The container with its children. No __init__: a defaultdict's does not take pairs, a field
    may be init=False or converted there."""
    if issubclass(kind, tuple):
        return kind(*values) if hasattr(kind, "_fields") else kind(values)
    if kind is objects.Method:
        return kind(*values)
    if issubclass(kind, dict):
        made.update(zip(keys, values, strict=True))
    elif issubclass(kind, list):
        made.extend(values)
    else:
        for key, value in zip(keys, values, strict=True):
            attributes.write(made, str(key), value)
    return made


def paths(treedef: TreeDef, path: Path = ()) -> Iterator[Path]:
    """The path of every leaf, in order."""
    if treedef.kind is None:
        yield path
        return
    if treedef.kind is Shared:
        return
    for key, child in zip(treedef.keys, treedef.children, strict=True):
        yield from paths(child, (*path, step(treedef.kind, key)))
