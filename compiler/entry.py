"""An outline as lists of numbers and strings, for a later process with the same key (`early.py`).

    fields, numbers = pack(outline, content)       UnpackableError if it holds what has no such form
    outline = unpack(fields, described, {number: content.numbered(number) for number in numbers})

Numbers, strings and tuples of them stand for themselves, containers are lists with a letter in
front. A class, a function or another object of the user's is a number: the place it has in the
description of the step, which is the same in both processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..ir import location
from ..ir.types import DTYPES, Type, dtype_name
from .content import Content
from .outline import OUTPUT, Input, Outline, ResultTree
from .replay import Attribute, Extra, Made, Original, Rebinds, Slot, Slots, Static
from .signature import Described
from .treedef import Shared, TreeDef

_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})
_KINDS: Final[tuple[Any, ...]] = (None, type(None), dict, list, tuple, Shared)


class UnpackableError(Exception):
    """A value that only this process has."""


class _Packer:
    def __init__(self, content: Content) -> None:
        self.content = content
        self.numbers: set[int] = set()

    def outline(self, outline: Outline) -> list[Any]:
        rebinds = outline.rebinds
        return [
            [[dtype_name(i.type.dtype), i.type.shape, i.updated] for i in outline.inputs],
            self.treedef(outline.result_tree.treedef),
            [self.value(leaf) for leaf in outline.result_tree.leaves],
            [self.slots(slots) for slots in rebinds.slots],
            self.treedef(rebinds.made),
            [self.value(leaf) for leaf in rebinds.leaves],
            [[k, dtype_name(dtype)] for k, dtype in outline.int_ranges],
            [[k, loc and [loc.file, loc.line]] for k, loc in outline.asked.items()],
        ]

    def treedef(self, treedef: TreeDef) -> list[Any]:
        return [
            _KINDS.index(treedef.kind) if treedef.kind in _KINDS else [self.number(treedef.kind)],
            self.value(treedef.keys),
            [self.treedef(child) for child in treedef.children],
            self.value(treedef.static),
        ]

    def slots(self, slots: Slots) -> list[Any]:
        pairs = [[self.value(key), self.value(recipe)] for key, recipe in slots.content]
        return [self.value(slots.path), pairs, slots.whole, slots.removed]

    def value(self, value: Any) -> Any:
        """What stands for itself is itself, a list is something else."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if value is OUTPUT:
            return ["output"]
        match value:
            case Slot() | Attribute():
                return [kind.__name__, str(value)]
            case Original(path):
                return ["Original", self.value(path)]
            case Extra(index, form):
                return ["Extra", index, form]
            case Static(held):
                return ["Static", self.value(held)]
            case Made(index):
                return ["Made", index]
        if kind is tuple:
            return ["tuple", *map(self.value, value)]
        return ["known", self.number(value)]

    def number(self, value: Any) -> int:
        found = self.content.number(value)
        if found is None:
            raise UnpackableError(type(value).__name__)
        self.numbers.add(found)
        return found


class _Unpacker:
    def __init__(self, known: Mapping[int, Any]) -> None:
        self.known = known

    def outline(self, fields: Any, described: Described) -> Outline:
        inputs, result, leaves, slots, made, parts, ranges, asked = fields
        return Outline(
            described,
            tuple(Input(Type(DTYPES[d], tuple(shape)), updated) for d, shape, updated in inputs),
            ResultTree(self.treedef(result), tuple(map(self.value, leaves))),
            Rebinds(
                tuple(map(self.slots, slots)), self.treedef(made), tuple(map(self.value, parts))
            ),
            tuple((k, DTYPES[dtype]) for k, dtype in ranges),
            {k: loc and location.Loc(*loc) for k, loc in asked},
        )

    def treedef(self, fields: Any) -> TreeDef:
        kind, keys, children, static = fields
        found = _KINDS[kind] if isinstance(kind, int) else self.known[kind[0]]
        return TreeDef(
            found, self.value(keys), tuple(map(self.treedef, children)), self.value(static)
        )

    def slots(self, fields: Any) -> Slots:
        path, pairs, whole, removed = fields
        content = tuple((self.value(key), self.value(recipe)) for key, recipe in pairs)
        return Slots(self.value(path), content, whole, tuple(removed))

    def value(self, packed: Any) -> Any:
        if type(packed) is not list:
            return packed
        letter, *rest = packed
        return _MAKERS[letter](self, *rest)


_MAKERS: Final[Mapping[str, Callable[..., Any]]] = {
    "output": lambda own: OUTPUT,
    "Slot": lambda own, name: Slot(name),
    "Attribute": lambda own, name: Attribute(name),
    "Original": lambda own, path: Original(own.value(path)),
    "Extra": lambda own, index, form: Extra(index, form),
    "Static": lambda own, held: Static(own.value(held)),
    "Made": lambda own, index: Made(index),
    "tuple": lambda own, *items: tuple(map(own.value, items)),
    "known": lambda own, number: own.known[number],
}


def pack(outline: Outline, content: Content) -> tuple[list[Any], list[int]]:
    """The outline as lists of what `marshal` takes, and the numbers of the objects it names;
    UnpackableError, see above."""
    packer = _Packer(content)
    return packer.outline(outline), sorted(packer.numbers)


def unpack(fields: Any, described: Described, known: Mapping[int, Any]) -> Outline:
    """The outline that was packed, for such arguments; `known` are the objects it names."""
    return _Unpacker(known).outline(fields, described)
