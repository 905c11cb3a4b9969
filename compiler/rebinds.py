"""Containers a step changes: `p["W"] = p["W"] - g`, `self.t += 1`, `history.append(x)`.

The step runs on rebuilt containers, so the caller's see nothing of it. They are compared before
and after the trace; what differs becomes a recipe that is replayed into the caller's containers
after each call.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np

from ..ir.errors import TraceError
from ..ir.graph import Value
from . import attributes, containers, objects
from .replay import Attribute, Extra, Made, Original, Path, Rebinds, Recipe, Slot, Slots, Static
from .tracing.handle import Handle, Unshaped
from .tracing.promotion import as_array
from .tracing.reachable import reachable
from .tracing.refused import is_refused
from .treedef import Container

Content = list[tuple[Hashable, Any]]


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
        changed = [_Change(path, x, before, now) for path, x, before, now in self.modified()]
        places = {id(x): ((*c.path, key), x) for c in changed for key, x in c.content}
        fresh = {k: (place, x) for k, (place, x) in places.items() if self._is_fresh(x)}
        leaves, made = containers.flatten_held([x for _, x in fresh.values()], self._is_known)
        place = next((place for place, _ in fresh.values()), ())
        parts = tuple(self._recipe(leaf, place, outputs, {}) for leaf in leaves)
        order = {k: n for n, k in enumerate(fresh)}
        slots = tuple(
            Slots(
                c.path,
                tuple((k, self._recipe(x, (*c.path, k), outputs, order)) for k, x in c.content),
                c.whole,
                c.removed,
            )
            for c in changed
        )
        return Rebinds(slots, made, parts), outputs.values

    def modified(self) -> Iterator[tuple[Path, Any, Content, Content]]:
        """The containers whose content is not what it was: what they held, and hold now."""
        for path, container, before in self._containers.values():
            now = _content(container)
            if len(now) != len(before) or any(
                k != j or x is not y for (k, x), (j, y) in zip(before, now, strict=True)
            ):
                yield path, container, before, now

    def _recipe(self, x: Any, place: Path, outputs: _Outputs, made: Mapping[int, int]) -> Recipe:
        if id(x) in made:
            return Made(made[id(x)])
        if not is_refused(x) and isinstance(x, Handle):
            return self._array(x, place, outputs)
        if self._is_known(x):
            return self.original(x)
        if isinstance(x, (np.ndarray, Unshaped)):  # the latter raises
            return outputs.add(as_array(x))
        return Static(_without_arrays(x, place))

    def _is_fresh(self, x: Any) -> bool:
        """Whether `x` is a container the step made."""
        return not self._is_known(x) and containers.is_container(x)

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


class _Change:
    """What a container at `path` holds after the step that it did not hold before."""

    def __init__(self, path: Path, container: Any, before: Content, now: Content) -> None:
        self.path = path
        self.removed: tuple[str, ...] = ()
        self.whole = isinstance(container, (dict, list)) and [k for k, _ in before] != [
            k for k, _ in now
        ]
        self.content = now
        if not self.whole:
            old, new = dict(before), dict(now)
            self.removed = tuple(str(key) for key in old if key not in new)
            self.content = [(k, x) for k, x in now if k not in old or old[k] is not x]


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
    """Children of a container, attributes marked; of one that cannot change, none."""
    if isinstance(x, Container):
        return []
    pairs = containers.children(x)
    if isinstance(x, (dict, list, tuple)):
        return pairs
    kind: Any = type(x)
    slots = ("__func__", "__self__") if kind is objects.Method else attributes.slots(kind)
    return [(Slot(key) if key in slots else Attribute(key), child) for key, child in pairs]


def _without_arrays(x: Any, place: Path) -> Any:
    """`x`, unless it is a function that would take traced arrays along."""
    for name, value in reachable(x) if isinstance(x, FunctionType) else ():
        if any(isinstance(found, Handle) for found in containers.everything(value)):
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
