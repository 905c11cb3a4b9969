"""Containers a step changes: `p["W"] = p["W"] - g`, `self.t += 1`, `history.append(x)`.

The step runs on rebuilt containers, so the caller's see nothing of it. They are compared before
and after the trace; what differs becomes a recipe that is replayed into the caller's containers
after each call.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import numpy as np

from ..ir.errors import TraceError
from ..ir.graph import Value
from . import containers, objects, tree
from .tracing.handle import Handle
from .tracing.promotion import as_array
from .tracing.reachable import reachable
from .tracing.refused import is_refused

Path = tuple[Hashable, ...]
Content = list[tuple[Hashable, Any]]


class Attribute(str):
    """A step of a path into an object; any other key is one into a dict, list or tuple."""


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


@dataclass(frozen=True, eq=False)
class Built:
    """A container the step made, with recipes for its leaves."""

    treedef: tree.TreeDef
    leaves: tuple[Recipe, ...]


Recipe = Original | Extra | Static | Built


@dataclass(frozen=True)
class Slots:
    """What a container holds after the step; of an object, only the attributes that changed, and
    the names of those that are gone."""

    path: Path
    content: tuple[tuple[Hashable, Recipe], ...]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rebinds:
    """How to bring the caller's containers to where the step left its own."""

    slots: tuple[Slots, ...] = ()

    def replay(self, arguments: Mapping[str, Any], extra: Sequence[Any]) -> None:
        """Change the containers in `arguments`, given the graph's extra outputs."""
        made: dict[Recipe, Any] = {}
        plans = [
            (at(arguments, s.path), [(k, _make(r, arguments, extra, made)) for k, r in s.content])
            for s in self.slots
        ]
        for slots, (container, content) in zip(self.slots, plans, strict=True):
            _fill(container, content, slots.removed)


def at(arguments: Mapping[str, Any], path: Path) -> Any:
    """The caller's object at a path."""
    found: Any = arguments
    for key in path:
        slots: Any = found
        keyed = isinstance(found, (Mapping, list, tuple))
        found = slots[key] if keyed else objects.state(slots)[str(key)]
    return found


def _make(
    recipe: Recipe, arguments: Mapping[str, Any], extra: Sequence[Any], made: dict[Recipe, Any]
) -> Any:
    """What a recipe stands for; `made` keeps one container of the step's one container."""
    match recipe:
        case Original(path):
            return at(arguments, path)
        case Extra(index, kind):
            array = np.asarray(extra[index])
            return array if kind == "array" else array[()] if kind == "scalar" else array.item()
        case Static(value):
            return value
        case Built(treedef, leaves):
            if recipe not in made:
                parts = [_make(leaf, arguments, extra, made) for leaf in leaves]
                made[recipe] = treedef.unflatten(parts)
            return made[recipe]


def _fill(container: Any, content: list[tuple[Hashable, Any]], removed: Sequence[str]) -> None:
    """Give a container this content, touching only what differs."""
    if isinstance(container, list):
        values = [value for _, value in content]
        if len(values) != len(container) or any(
            a is not b for a, b in zip(values, container, strict=True)
        ):
            container[:] = values
    elif isinstance(container, dict):
        if list(container) != [key for key, _ in content]:
            container.clear()
        container.update(content)
    else:
        for name in removed:
            objects.remove(container, name)
        for key, value in content:
            objects.write(container, str(key), value)


# --- comparing -----------------------------------------------------------------------------


class Snapshot:
    """The containers among the arguments of a trace, and what they held at its start."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._containers: dict[int, tuple[Path, Any, list[tuple[Hashable, Any]]]] = {}
        self._paths: dict[int, Path] = {}
        for name, argument in arguments.items():
            self._visit((name,), argument)

    def _visit(self, path: Path, x: Any) -> None:
        if id(x) in self._containers:
            return
        self._paths[id(x)] = path
        if not is_refused(x) and containers.is_container(x):
            content = _content(x)
            self._containers[id(x)] = path, x, content
            for key, child in content:
                self._visit((*path, key), child)

    def is_object(self, x: Any) -> bool:
        """Whether `x` stands for an object of the caller's."""
        known = id(x) in self._containers and not isinstance(x, (dict, list, tuple))
        return is_refused(x) or known

    def original(self, x: Any) -> Original:
        """The place of what `is_object` is true of."""
        return Original(self._paths[id(x)])

    def changes(self) -> tuple[Rebinds, list[Value]]:
        """What differs now, and the values it needs as extra outputs of the graph."""
        outputs = _Outputs()
        built: dict[int, Built] = {}
        slots = []
        for path, before, now in self.modified():
            gone: tuple[str, ...] = ()
            if any(isinstance(key, Attribute) for key, _ in (*before, *now)):
                old, new = dict(before), dict(now)
                gone = tuple(str(key) for key in old if key not in new)
                now = [(k, x) for k, x in now if k not in old or old[k] is not x]
            content = [(key, self._recipe(x, (*path, key), outputs, built)) for key, x in now]
            slots.append(Slots(path, tuple(content), gone))
        return Rebinds(tuple(slots)), outputs.values

    def modified(self) -> Iterator[tuple[Path, Content, Content]]:
        """The containers whose content is not what it was: what they held, and hold now."""
        for path, container, before in self._containers.values():
            now = _content(container)
            if len(now) != len(before) or any(
                k != j or x is not y for (k, x), (j, y) in zip(before, now, strict=True)
            ):
                yield path, before, now

    def _recipe(self, x: Any, place: Path, outputs: _Outputs, built: dict[int, Built]) -> Recipe:
        if is_refused(x):
            return self.original(x)
        if isinstance(x, Handle):
            return self._array(x, place, outputs)
        if id(x) in self._containers:
            return Original(self._paths[id(x)])
        if isinstance(x, np.ndarray):
            return outputs.add(as_array(x))
        if not containers.is_container(x):
            return Static(_without_arrays(x, place))
        if id(x) not in built:
            leaves, treedef = containers.flatten(x, self._is_known)
            parts = tuple(self._recipe(leaf, place, outputs, built) for leaf in leaves)
            built[id(x)] = Built(treedef, parts)
        return built[id(x)]

    def _is_known(self, x: Any) -> bool:
        return is_refused(x) or id(x) in self._containers

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


def _content(x: Any) -> Content:
    """Children of a container, attributes marked."""
    pairs = containers.children(x)
    return pairs if isinstance(x, (dict, list, tuple)) else [(Attribute(k), v) for k, v in pairs]


def _without_arrays(x: Any, place: Path) -> Any:
    """`x`, unless it is a function that would take traced arrays along."""
    for name, value in reachable(x) if isinstance(x, FunctionType) else ():
        if any(isinstance(leaf, Handle) for leaf in containers.leaves(value)):
            raise TraceError(
                f"{spell(place)} keeps a function of the step, and its {name} holds a traced array;"
                " keep the array itself and write the function as a method"
            )
    return x


def spell(path: Path) -> str:
    """A path as the user writes it: `p['W1']`."""
    first, *rest = path
    steps = (f".{key}" if isinstance(key, Attribute) else f"[{key!r}]" for key in rest)
    return f"{first}{''.join(steps)}"
