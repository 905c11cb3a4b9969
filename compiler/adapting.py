"""The fast way of calls whose arguments native code does not take as they are given.

A step of `(x, *rest)` takes a tuple in their place. Of an array that is not contiguous it takes a
copy, where the step writes to no argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.callpath import MISS
from .outline import Outline
from .signature import ArraySpec, Described
from .treedef import LEAF

if TYPE_CHECKING:
    from .callplan import Fast


def adapter(
    signature: inspect.Signature, described: Described, outline: Outline
) -> Callable[[Fast], Fast] | None:
    """What makes a function of arguments given by position of one that takes them adapted; None
    where that needs more care: `**kwargs`, arguments by keyword, and arrays that are not contiguous
    in a container or beside one that is written to."""
    kinds = [p.kind for p in signature.parameters.values()]
    names = tuple(map(str, described.treedef.keys))
    starred = inspect.Parameter.VAR_POSITIONAL in kinds
    by_name = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    if not by_name.isdisjoint(kinds) or names != tuple(signature.parameters)[: len(names)]:
        return None
    if starred and len(names) < len(kinds):
        return None
    places = list(_places(described, starred))
    copied = tuple(k for k, spec in enumerate(places) if _is_strided(spec))
    if sum(map(_is_strided, described.specs)) > len(copied):
        return None
    written = bool(outline.rebinds.slots) or any(i.updated for i in outline.inputs)
    if copied and written:
        return None
    return lambda fast: _adapted(fast, len(places), copied, len(kinds) - 1 if starred else None)


def _places(described: Described, starred: bool) -> Iterator[object]:
    """For each argument as it is given its spec, None for a container."""
    children = described.treedef.children
    if starred:
        children = (*children[:-1], *children[-1].children)
    position = 0
    for child in children:
        yield described.specs[position] if child == LEAF else None
        position += child.size


def _is_strided(spec: object) -> bool:
    return isinstance(spec, ArraySpec) and not spec.contiguous


def _adapted(fast: Fast, count: int, copied: tuple[int, ...], first: int | None) -> Fast:
    """`fast` of `count` arguments, some of them copied, those from `first` on in a tuple."""

    def call(*arguments: Any, **named: Any) -> Any:
        if named or len(arguments) != count:
            return MISS
        given = list(arguments)
        for k in copied:
            array = given[k]
            if type(array) is not np.ndarray or array.flags.c_contiguous:
                return MISS
            given[k] = array.copy()
        if first is None:
            return fast(*given)
        return fast(*given[:first], tuple(given[first:]))

    return call
