"""Containers a step changes: `p["W"] = p["W"] - g`, `state.t += 1`, `history.append(x)`.

The step runs on rebuilt containers, so the caller's see nothing of it. They are compared before
and after the trace; what differs becomes a recipe that is replayed into the caller's containers
after each call.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..ir.errors import TraceError
from ..ir.graph import Value
from . import tree
from .tracing.handle import Handle
from .tracing.promotion import as_array

Path = tuple[Hashable, ...]


@dataclass(frozen=True)
class Original:
    """The caller's own object at a path of the arguments, as it was before the call."""

    path: Path


@dataclass(frozen=True)
class Extra:
    """An extra output of the graph: as an array, a NumPy scalar or a Python number."""

    index: int
    kind: Literal["array", "scalar", "python"]


@dataclass(frozen=True)
class Static:
    """A value that does not depend on the call."""

    value: Any


@dataclass(frozen=True)
class Built:
    """A container the step made, with recipes for its leaves."""

    treedef: tree.TreeDef
    leaves: tuple[Recipe, ...]


Recipe = Original | Extra | Static | Built


@dataclass(frozen=True)
class Slots:
    """What a container holds after the step."""

    path: Path
    content: tuple[tuple[Hashable, Recipe], ...]


@dataclass(frozen=True)
class Rebinds:
    """How to bring the caller's containers to where the step left its own."""

    slots: tuple[Slots, ...] = ()

    def replay(self, arguments: Mapping[str, Any], extra: Sequence[Any]) -> None:
        """Change the containers in `arguments`, given the graph's extra outputs."""
        plans = [
            (_at(arguments, s.path), [(k, _make(r, arguments, extra)) for k, r in s.content])
            for s in self.slots
        ]
        for container, content in plans:
            _fill(container, content)


def _at(arguments: Mapping[str, Any], path: Path) -> Any:
    """The caller's object at a path."""
    found: Any = arguments
    for key in path:
        slots: Any = found
        keyed = isinstance(found, (Mapping, list, tuple))
        found = slots[key] if keyed else getattr(slots, str(key))
    return found


def _make(recipe: Recipe, arguments: Mapping[str, Any], extra: Sequence[Any]) -> Any:
    match recipe:
        case Original(path):
            return _at(arguments, path)
        case Extra(index, kind):
            array = np.asarray(extra[index])
            return array if kind == "array" else array[()] if kind == "scalar" else array.item()
        case Static(value):
            return value
        case Built(treedef, leaves):
            return treedef.unflatten(_make(leaf, arguments, extra) for leaf in leaves)


def _fill(container: Any, content: list[tuple[Hashable, Any]]) -> None:
    """Give a container this content, touching only what differs."""
    if isinstance(container, list):
        values = [value for _, value in content]
        if len(values) != len(container) or any(
            a is not b for a, b in zip(values, container, strict=True)
        ):
            container[:] = values
        return
    if isinstance(container, dict) and list(container) != [key for key, _ in content]:
        container.clear()
        container.update(content)
        return
    for key, value in content:
        if isinstance(container, dict):
            container[key] = value
        elif getattr(container, str(key), None) is not value:
            setattr(container, str(key), value)


# --- comparing -----------------------------------------------------------------------------


class Snapshot:
    """The containers among the arguments of a trace, and what they held at its start."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._containers: dict[int, tuple[Path, Any, list[tuple[Hashable, Any]]]] = {}
        self._paths: dict[int, Path] = {}
        for name, argument in arguments.items():
            self._visit((name,), argument)

    def _visit(self, path: Path, x: Any) -> None:
        self._paths[id(x)] = path
        if tree.is_container(x):
            content = _content(x)
            self._containers[id(x)] = path, x, content
            for key, child in content:
                self._visit((*path, key), child)

    def changes(self) -> tuple[Rebinds, list[Value]]:
        """What differs now, and the values it needs as extra outputs of the graph."""
        outputs = _Outputs()
        slots = []
        for path, now in self.modified():
            content = tuple((key, self._recipe(x, (*path, key), outputs)) for key, x in now)
            slots.append(Slots(path, content))
        return Rebinds(tuple(slots)), outputs.values

    def modified(self) -> Iterator[tuple[Path, list[tuple[Hashable, Any]]]]:
        """The containers whose content is not what it was, with what they hold now."""
        for path, container, before in self._containers.values():
            now = _content(container)
            if len(now) != len(before) or any(
                k != j or x is not y for (k, x), (j, y) in zip(before, now, strict=True)
            ):
                yield path, now

    def _recipe(self, x: Any, place: Path, outputs: _Outputs) -> Recipe:
        if isinstance(x, Handle):
            return self._array(x, place, outputs)
        if id(x) in self._containers:
            return Original(self._paths[id(x)])
        if isinstance(x, np.ndarray):
            return outputs.add(as_array(x))
        if tree.is_container(x):
            leaves, treedef = tree.flatten(x)
            return Built(treedef, tuple(self._recipe(leaf, place, outputs) for leaf in leaves))
        return Static(x)

    def _array(self, x: Handle, place: Path, outputs: _Outputs) -> Recipe:
        if id(x) in self._paths:
            return Original(self._paths[id(x)])
        if x.kind == "array" and x.buffer.label:
            raise TraceError(
                f"a view of argument {x.buffer.label} is stored in {spell(place)}; it would share"
                " memory with it from then on. Store a .copy()"
            )
        return outputs.add(x)


class _Outputs:
    """Extra outputs: one per array, so that an array stored twice stays one array."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._seen: list[tuple[Handle, Extra]] = []

    def add(self, x: Handle) -> Extra:
        for other, recipe in self._seen:
            if x.kind == "array" == other.kind and other.buffer is x.buffer:
                if other.same_place(x):
                    return recipe
                raise TraceError(
                    "two views of one array are stored in the arguments' containers; store copies"
                )
        recipe = Extra(len(self.values), x.kind)
        self.values.append(x.value)
        self._seen.append((x, recipe))
        return recipe


def _content(x: Any) -> list[tuple[Hashable, Any]]:
    """Children of a container; of a dataclass also attributes that are not fields."""
    content = tree.children(x)
    if not isinstance(x, (dict, list, tuple)):
        fields = {key for key, _ in content}
        content += [(k, v) for k, v in getattr(x, "__dict__", {}).items() if k not in fields]
    return content


def spell(path: Path) -> str:
    """A path as the user writes it: `p['W1']`."""
    first, *rest = path
    return f"{first}{''.join(f'[{key!r}]' for key in rest)}"
