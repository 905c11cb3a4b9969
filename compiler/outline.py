"""What a step is to its caller: what it takes, returns and changes, without the graph of it.

A call needs no more than this and native code; it is what is left of a program in the cache
(`entry.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.record import dataclass
from ..ir.types import Type
from .replay import Original, Rebinds, at
from .signature import Described
from .treedef import LEAF, TreeDef

if TYPE_CHECKING:
    from ..ir.graph import Graph, Loc


class _Output:
    """Marks the place of an array in a `ResultTree`."""

    def __repr__(self) -> str:
        return "OUTPUT"


OUTPUT = _Output()


@dataclass(frozen=True)
class ResultTree:
    """What the step returns: its structure, with static values in their places.

    `leaves` has one entry per leaf: `OUTPUT` for an array of the graph, `Original` for an object
    of the caller's, anything else as it is.
    """

    treedef: TreeDef
    leaves: tuple[Any, ...]

    def unflatten(self, arguments: Mapping[str, Any], outputs: Sequence[Any]) -> Any:
        """The return value made of the graph's outputs (extra ones are left out)."""
        arrays = iter(outputs)
        return self.treedef.unflatten(
            next(arrays)
            if leaf is OUTPUT
            else at(arguments, leaf.path)
            if isinstance(leaf, Original)
            else leaf
            for leaf in self.leaves
        )

    @cached_property
    def arrays(self) -> int:
        """How many outputs the return value takes."""
        return sum(leaf is OUTPUT for leaf in self.leaves)

    @cached_property
    def single(self) -> bool:
        """Whether the return value is one array."""
        return self.treedef == LEAF and self.arrays == 1


@dataclass(frozen=True)
class Finish:
    """The result of a call, and what is left to do when the arrays are written; it may be done
    twice."""

    result: Any
    replay: Callable[[], None]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Input:
    """An input of the graph: its type, and whether the step writes to it."""

    type: Type
    updated: bool


def inputs_of(graph: Graph) -> tuple[Input, ...]:
    """The inputs of a graph."""
    updated = {target for target, _ in graph.updates}
    return tuple(Input(value.type, value in updated) for value in graph.inputs)


@dataclass(frozen=True)
class Outline:
    """A step for arguments of one kind.

    `described` are the arguments, `inputs` the array and number leaves of them in flatten order.
    `int_ranges` lists (input, dtype): Python ints that must fit a narrower dtype at the call.
    `asked` says by leaf where the step asked for the value of a number that is pinned.
    """

    described: Described
    inputs: tuple[Input, ...]
    result_tree: ResultTree
    rebinds: Rebinds
    int_ranges: tuple[tuple[int, np.dtype], ...]
    asked: Mapping[int, Loc | None]

    def typed(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves as arrays of the types the graph takes; Python numbers become 0-d arrays."""
        pairs = zip(leaves, self.inputs, strict=True)
        return [np.asarray(x, taken.type.dtype) for x, taken in pairs]

    def prepare(self, arguments: Mapping[str, Any], outputs: Sequence[Any]) -> Finish:
        """Before the arguments (by parameter name) are written: what the step returns, and how it
        changes the caller's containers. `outputs` need not have their values yet."""
        single = self.result_tree.single
        result = outputs[0] if single else self.result_tree.unflatten(arguments, outputs)
        if not self.rebinds.slots:
            return Finish(result, _nothing)
        return Finish(result, self.rebinds.prepare(arguments, outputs[self.result_tree.arrays :]))
