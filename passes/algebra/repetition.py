"""What was worked out once is copied where it comes again, as in a loop that is written out.

Derivatives of equal operations on values of equal types come to equal nodes. Working out a Jacobian
and its contraction takes many times as long as copying the nodes that they came to.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import count

from ...ir.builder import Builder
from ...ir.graph import Node, Value
from ...ir.ops import uniform_value
from ...ir.ops.constant import scalar_constant
from ...ir.record import dataclass

Places = tuple[int, ...]
"""Values by their positions: those given, then the results of the nodes, in order."""


@dataclass(frozen=True)
class _Fragment:
    """Nodes that were emitted, what their operands are, and what was made of them."""

    nodes: tuple[tuple[Node, Places, tuple[str | None, ...]], ...]
    made: Places


class Repetition:
    """Emits what a function emits, and copies that when it comes again."""

    def __init__(self) -> None:
        self._known: dict[Hashable, _Fragment] = {}

    def emit(
        self,
        b: Builder,
        key: Hashable,
        values: Sequence[Value],
        make: Callable[[], Sequence[Value]],
    ) -> Sequence[Value]:
        """What `make` returns; it emits nodes into `b`. All this may depend on `key`, and of the
        values on nothing but their types, which of them are the same, and numbers that fill them.
        """
        full = _full(b, key, values)
        known = self._known.get(full)
        if known is not None:
            return _copied(b, known, values)
        mark = len(b.nodes)
        made = make()
        self._known[full] = _fragment(values, b.nodes[mark:], made)
        return made

    def forget(self, b: Builder, key: Hashable, values: Sequence[Value]) -> None:
        """Do not copy what was emitted: there is more to it than nodes."""
        del self._known[_full(b, key, values)]


def _full(b: Builder, key: Hashable, values: Sequence[Value]) -> Hashable:
    return key, tuple(_what_counts(b, values))


def _what_counts(b: Builder, values: Sequence[Value]) -> Iterator[Hashable]:
    """Of each value its type, the place where it stands first, and the number that fills it, a
    constant or not."""
    first: dict[Value, int] = {}
    for value in values:
        number = uniform_value(b.producer, value)
        filled = number is not None and (
            number.tobytes(),
            scalar_constant(b.producer, value) is not None,
        )
        place = first.setdefault(value, len(first))
        yield value.type.dtype, value.type.shape, place, filled


def _fragment(values: Sequence[Value], nodes: Sequence[Node], made: Sequence[Value]) -> _Fragment:
    place: dict[Value, int] = {}
    numbers = count()
    for value in values:
        place.setdefault(value, next(numbers))
    found = []
    for node in nodes:
        operands = tuple([place[v] for v in node.operands])
        found.append((node, operands, tuple([v.name for v in node.results])))
        place.update(zip(node.results, numbers, strict=False))
    return _Fragment(tuple(found), tuple([place[v] for v in made]))


def _copied(b: Builder, fragment: _Fragment, values: Sequence[Value]) -> Sequence[Value]:
    env = list(values)
    for node, places, names in fragment.nodes:
        operands = tuple([env[k] for k in places])
        results = tuple([Value(v.type, name) for v, name in zip(node.results, names, strict=True)])
        b.append(Node(node.op, operands, results, node.attrs, b.loc, b.origin))
        env += results
    return [env[k] for k in fragment.made]
