"""What a step did to containers, done again to the caller's after each call.

`Rebinds` lists which slots of which containers get what. It is run as a generated function; for
`self.t += 1` and `self.layers[0].h = h` that is

    def prepare(arguments, outputs):
        v0 = arguments[C0]
        v1 = v0.__dict__[C1]
        v2 = v1[C2]
        def replay():
            v3 = outputs[0].item()
            v4 = outputs[1]
            v0.__dict__[C3] = v3
            v2.__dict__[C4] = v4
        return replay

Everything is read before the first write, so that what it leaves does not depend on the order of
the writes, and `replay` may run twice (`runtime/commit.py`). No user string enters the source; keys
and values are constants `C<i>`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal

from ..ir.record import dataclass
from . import attributes
from .treedef import TreeDef

Path = tuple[Hashable, ...]


class Attribute(str):
    """A step of a path into an object; any other key is one into a dict, list or tuple."""


class Slot(Attribute):
    """An attribute that is not in `__dict__`."""


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
class Made:
    """One of the containers the step made."""

    index: int


Recipe = Original | Extra | Static | Made

Prepare = Callable[[Mapping[str, Any], Sequence[Any]], Callable[[], None]]


@dataclass(frozen=True)
class Slots:
    """What to put into a container. `whole`: that is all it holds after the step, in this order;
    `removed` are attributes that are gone."""

    path: Path
    content: tuple[tuple[Hashable, Recipe], ...]
    whole: bool = False
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rebinds:
    """How to bring the caller's containers to where the step left its own. The containers the step
    made are the items of the tuple `made`, with recipes for its leaves."""

    slots: tuple[Slots, ...]
    made: TreeDef
    leaves: tuple[Recipe, ...]

    @cached_property
    def prepare(self) -> Prepare:
        """A function of the arguments by parameter name and the graph's extra outputs, which may
        not have their values yet. It returns the function that changes the containers."""
        scope: dict[str, Any] = dict(HELPERS)

        def constant(value: Any) -> str:
            name = f"C{len(scope)}"
            scope[name] = value
            return name

        lines = replay_lines(self, constant, {(): "arguments"})
        source = "\n    ".join(["def prepare(arguments, outputs):", *lines, "return replay"])
        exec(compile(source, "<tapeless replay>", "exec"), scope)
        made: Prepare = scope["prepare"]
        return made


def replay_lines(
    rebinds: Rebinds,
    constant: Callable[[Any], str],
    places: Mapping[Path, str],
    first: int = 0,
) -> list[str]:
    """The lines that define `replay`: they name `HELPERS`, the list `outputs`, the extra ones from
    `first` on, and what `constant` makes of a value. `places` are names of the caller's objects."""
    writer = _Writer(constant, places, first)
    if rebinds.made.children:
        leaves = "".join(f"{writer.recipe(leaf)}, " for leaf in rebinds.leaves)
        writer.values.append(f"made = {constant(rebinds.made)}.unflatten(({leaves}))")
    writes = [line for slots in rebinds.slots for line in writer.writes(slots)]
    body = [*writer.values, *writes, "return"]
    return [*writer.reads, "def replay():", *(f"    {line}" for line in body)]


def at(arguments: Mapping[str, Any], path: Path) -> Any:
    """The caller's object at a path."""
    found: Any = arguments
    for key in path:
        found = attributes.state(found)[str(key)] if isinstance(key, Attribute) else found[key]
    return found


def _refill(container: Any, content: Sequence[tuple[Hashable, Any]]) -> None:
    """Make this all that a list or dict holds."""
    if isinstance(container, list):
        container[:] = [value for _, value in content]
    else:
        container.clear()
        container.update(content)


HELPERS: Final = {
    "read": attributes.state,
    "write": attributes.write,
    "remove": attributes.remove,
    "refill": _refill,
}
_EXTRA: Final = {"array": "", "scalar": "[()]", "python": ".item()"}


class _Writer:
    """Collects the lines of one `replay`: what is read before it, and the values that it makes."""

    def __init__(
        self, constant: Callable[[Any], str], places: Mapping[Path, str], first: int
    ) -> None:
        self.constant, self.first = constant, first
        self.reads: list[str] = []
        self.values: list[str] = []
        self.places = dict(places)

    def writes(self, slots: Slots) -> list[str]:
        """The lines that change one container."""
        container = self.place(slots.path)
        pairs = [(key, self.recipe(recipe)) for key, recipe in slots.content]
        if slots.whole:
            content = "".join(f"({self.constant(key)}, {value}), " for key, value in pairs)
            return [f"refill({container}, ({content}))"]
        gone = [f"remove({container}, {self.constant(name)})" for name in slots.removed]
        return gone + [self.store(container, key, value) for key, value in pairs]

    def store(self, container: str, key: Hashable, value: str) -> str:
        name = self.constant(str(key) if isinstance(key, Attribute) else key)
        if isinstance(key, Slot):
            return f"write({container}, {name}, {value})"
        keyed = f"{container}.__dict__" if isinstance(key, Attribute) else container
        return f"{keyed}[{name}] = {value}"

    def place(self, path: Path) -> str:
        """The name of the object at a path, read once."""
        if path not in self.places:
            outer, key = self.place(path[:-1]), path[-1]
            name = self.constant(str(key) if isinstance(key, Attribute) else key)
            keyed = f"{outer}.__dict__" if isinstance(key, Attribute) else outer
            keyed = f"read({outer})" if isinstance(key, Slot) else keyed
            self.places[path] = self.local(self.reads, f"{keyed}[{name}]")
        return self.places[path]

    def recipe(self, recipe: Recipe) -> str:
        match recipe:
            case Original(path):
                return self.place(path)
            case Extra(index, kind):
                return self.local(self.values, f"outputs[{self.first + index}]{_EXTRA[kind]}")
            case Static(value):
                return self.constant(value)
            case Made(index):
                return f"made[{index}]"

    def local(self, lines: list[str], expression: str) -> str:
        name = f"v{len(self.reads) + len(self.values)}"
        lines.append(f"{name} = {expression}")
        return name
