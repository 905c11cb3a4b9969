"""Small arrays that are made of numbers and taken apart again are numbers.

    %0:f64[1] = reshape %dx [shape=(1)]
    %1:f64[1] = reshape %dy [shape=(1)]
    %k:f64[2] = concatenate %0, %1 [axis=0]
    %h:f64[2] = mul %k, 0.1
    %z1:f64[2] = add %z, %h                              the next state of (x, y)
    %2:f64[1] = slice %z1 [0:1]
    %x:f64[] = reshape %2 [shape=()]
 =>
    %0:f64[] = mul %dx, 0.1
    %1:f64[1] = slice %z [0:1]
    %2:f64[] = reshape %1 [shape=()]
    %x:f64[] = add %2, %0                                and %y alike

The state of a small system (an oscillator, two species, a filter) is stacked of a few expressions,
takes a step, and is taken apart in the next one; its derivatives are put into zeros, and added up.
Loops over two elements fill no vector, and each is a call between the expressions, which as numbers
run in a few straight lines of code. An array in between is only made where something reads it as a
whole. It is the "scalar replacement of aggregates" of compilers. Results do not change, but for the
sign of a zero in what is added to zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Final

import numpy as np

from ..ir.builder import Builder, keep
from ..ir.graph import Graph, Node, Value
from ..ir.ops.constant import scalar_constant
from ..ir.ops.move import to_slices
from ..ir.record import dataclass
from ..ir.region import reduced_axes
from ..ir.types import F64
from .dce import dce

MOST: Final = 8
"""Elements of an array that is small."""

MOVES: Final = frozenset({"concatenate", "slice", "reshape", "transpose", "broadcast", "update"})
JOINS: Final = frozenset({"concatenate", "update", "add_at"})

WORTH: Final = 2
"""Operations on numbers, beside those on arrays that they replace, for every move that is saved."""


def replace_small_arrays(graph: Graph) -> Graph:
    """Compute on numbers where that saves enough moves of them."""
    if not any(node.op.name in JOINS and _is_small(node.results[0]) for node in graph.nodes):
        return graph
    replaced = _replaced(graph)
    return dce(_Rewriting(graph, replaced).run()) if replaced else graph


def _is_small(value: Value) -> bool:
    """Whether it is an array of a few elements, more than one."""
    return 1 < value.type.size <= MOST


def _goes_by_numbers(node: Node) -> bool:
    """Whether each number of a node's result is one of its operands', or computed from them."""
    if node.op.name in ("add_at", "sum"):
        return node.results[0].type.is_float
    return node.op.kind == "elementwise" or node.op.name in MOVES


@dataclass
class _Group:
    """Arrays that are computed from each other: how often numbers are put in and taken out, and how
    many operations more there are on numbers."""

    values: list[Value]
    joins: int = 0
    takes: int = 0
    more: int = 0

    @property
    def pays(self) -> bool:
        enough = self.more <= WORTH * (self.joins + self.takes)
        return self.joins > 0 and self.takes > 0 and enough


def _replaced(graph: Graph) -> set[Value]:
    """The arrays whose numbers are computed one by one."""
    group: dict[Value, _Group] = {}
    for node in graph.nodes:
        made = node.results[0]
        within = [v for v in node.operands if v in group]
        if not _goes_by_numbers(node):
            for value in node.operands:
                _is_read(group, value)
        elif _is_small(made) and all(0 < v.type.size <= MOST for v in node.operands):
            own = group[made] = _Group([made])
            for value in within:
                own = _united(group, own, group[value])
            computed = max(v.type.size for v in (made, *node.operands))
            own.more += computed - 1 if node.op.name not in MOVES else 0
            own.joins += node.op.name in JOINS and any(v.type.size == 1 for v in node.operands)
        elif made.type.size == 1 and within:
            group[within[0]].takes += 1
            group[within[0]].more += within[0].type.size - 1 if node.op.name == "sum" else 0
        else:
            for value in within:
                _is_read(group, value)
    for value in graph.results:
        _is_read(group, value)
    return {value for value, own in group.items() if own.pays}


def _is_read(group: dict[Value, _Group], value: Value) -> None:
    """Something reads an array as a whole: it is put together for it."""
    if value in group:
        group[value].more += value.type.size


def _united(group: dict[Value, _Group], one: _Group, two: _Group) -> _Group:
    """Two groups as one, the larger of them."""
    if one is two:
        return one
    small, large = sorted((one, two), key=lambda g: len(g.values))
    group.update(dict.fromkeys(small.values, large))
    large.values += small.values
    large.joins, large.takes = large.joins + small.joins, large.takes + small.takes
    large.more += small.more
    return large


class _Rewriting:
    """What stands for the values of a graph in the new one: a value, or, in order, its numbers."""

    def __init__(self, graph: Graph, replaced: set[Value]) -> None:
        self.graph = graph
        self.replaced = replaced
        self.whole: dict[Value, Value] = {v: v for v in graph.inputs}
        self.numbers: dict[Value, Sequence[Value]] = {}
        self.nothing: set[Value] = set()
        self.b = Builder()

    def run(self) -> Graph:
        for node in self.graph.nodes:
            self.b.loc, self.b.origin = node.loc, "replace_small_arrays"
            if self._is_replaced(node):
                self.numbers[node.result] = self._numbers_of(node)
            else:
                operands = tuple(map(self._whole, node.operands))
                self.whole.update(zip(node.results, keep(self.b, node, operands), strict=True))
        outputs = tuple(map(self._whole, self.graph.outputs))
        updates = tuple((target, self._whole(v)) for target, v in self.graph.updates)
        return Graph(self.graph.name, self.graph.inputs, tuple(self.b.nodes), outputs, updates)

    def _is_replaced(self, node: Node) -> bool:
        """Whether numbers stand for a node's result: that of a group, or one number known alone."""
        made = node.results[0]
        if made in self.replaced:
            return True
        known = node.operands and (node.operands[0] in self.numbers or node.operands[0].shape == ())
        moves = node.op.name in MOVES - JOINS or (node.op.name == "sum" and made.type.is_float)
        return bool(known) and made.type.size == 1 and moves

    def _numbers_of(self, node: Node) -> Sequence[Value]:
        """The numbers of a node's result."""
        if node.op.name == "add_at":
            return self._put(node)
        if node.op.name == "sum":
            return self._sums(node)
        places = [np.arange(v.type.size).reshape(v.shape) for v in node.operands]
        read = [self._numbers(v) for v in node.operands]
        if node.op.kind == "elementwise":
            along = [np.broadcast_to(place, node.result.shape).flat for place in places]
            rows = zip(*along, strict=True)
            of = [[own[k] for own, k in zip(read, row, strict=True)] for row in rows]
            return [self._computed(node, operands) for operands in of]
        starts = [sum(map(len, read[:k])) for k in range(len(read))]
        every = [number for own in read for number in own]
        shifted = [place + start for place, start in zip(places, starts, strict=True)]
        return [every[k] for k in np.asarray(node.op.evaluate(*shifted, **node.attrs)).flat]

    def _computed(self, node: Node, operands: Sequence[Value]) -> Value:
        """One number of an elementwise result; nothing is added where nothing was put."""
        if node.op.name == "add" and not self.nothing.isdisjoint(operands):
            return operands[operands[0] in self.nothing]
        return self.b.emit(node.op, operands, node.attrs).result

    def _put(self, node: Node) -> Sequence[Value]:
        """The numbers of an `add_at`; where it adds to zeros, those left are `nothing`."""
        array, part = node.operands
        found = list(self._numbers(array))
        if all(scalar_constant(self.b.producer, number) == 0 for number in found):
            nothing = self.b.constant(0, array.type.dtype)
            self.nothing.add(nothing)
            found = [nothing] * len(found)
        places = np.arange(len(found)).reshape(array.shape)[to_slices(node.attrs["spec"])]
        for k, number in zip(places.flat, self._numbers(part), strict=True):
            found[k] = number if found[k] in self.nothing else self.b.add(found[k], number)
        return found

    def _sums(self, node: Node) -> Sequence[Value]:
        """The numbers of a sum, which as in a loop adds in f64."""
        (array,) = node.operands
        axes, dtype = reduced_axes(node), node.result.type.dtype
        kept = [k for k in range(array.type.rank) if k not in axes]
        places = np.arange(array.type.size).reshape(array.shape).transpose(*kept, *axes)
        rows = places.reshape(node.result.type.size, -1)
        if rows.shape[1] == 1:
            return [self._numbers(array)[k] for k in map(int, rows.flat)]
        read = [self._cast(number, F64) for number in self._numbers(array)]
        return [self._cast(reduce(self.b.add, (read[k] for k in row)), dtype) for row in rows]

    def _cast(self, number: Value, dtype: np.dtype) -> Value:
        return number if number.type.dtype == dtype else self.b.cast(number, dtype=dtype)

    def _numbers(self, value: Value) -> Sequence[Value]:
        """The numbers of a value, read from it where it is made as a whole."""
        if value not in self.numbers:
            self.numbers[value] = list(self._read(self._whole(value)))
        return self.numbers[value]

    def _read(self, value: Value) -> Iterator[Value]:
        node = self.b.producer.get(value)
        if node is not None and node.op.name == "constant" and value.shape:
            yield from (self.b.constant(x) for x in node.attrs["value"].flat)
        elif value.type.size == 1:
            yield value if value.shape == () else self.b.reshape(value, shape=())
        else:
            for index in np.ndindex(value.shape):
                part = self.b.slice(value, spec=tuple((k, k + 1, 1) for k in index))
                yield self.b.reshape(part, shape=())

    def _whole(self, value: Value) -> Value:
        """The value, put together of its numbers where only those are known."""
        if value not in self.whole:
            found = self.whole[value] = self._joined(value, self.numbers[value])
            found.name = found.name or value.name
        return self.whole[value]

    def _joined(self, value: Value, numbers: Sequence[Value]) -> Value:
        if value.shape == ():
            return numbers[0]
        if len(set(numbers)) == 1 < math.prod(value.shape):
            return self.b.broadcast(numbers[0], shape=value.shape)
        parts = [self.b.reshape(number, shape=(1,)) for number in numbers]
        joined = self.b.concatenate(*parts, axis=0) if len(parts) > 1 else parts[0]
        return joined if joined.shape == value.shape else self.b.reshape(joined, shape=value.shape)
