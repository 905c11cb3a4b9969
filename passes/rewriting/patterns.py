"""Patterns over IR expressions, written as the builder would build them.

    p.div(1.0, p.add(1.0, p.exp(x)))

matches `1 / (1 + exp(%v))` and binds `x` to `%v`. A number matches a value all of whose elements
equal it; a variable that stands twice must be the same value twice; the operands of a commutative
op match in either order. Attributes are not part of a pattern: a rule that cares reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from ...ir import ops  # fills the registry
from ...ir.graph import Node, Value
from ...ir.op import OPS, Op
from ...ir.record import dataclass


@dataclass(frozen=True)
class Var:
    """Any value, bound to `name`."""

    name: str


@dataclass(frozen=True)
class Number:
    """A value with equal elements known at compile time; `name` is bound to the NumPy scalar."""

    name: str


@dataclass(frozen=True)
class Call:
    """The result of an op on operands that match; `name`, if given, is bound to that result."""

    op: str
    operands: tuple[Pattern, ...]
    name: str | None = None


Pattern = Var | Number | Call | float
Bindings = Mapping[str, Any]
Producers = Mapping[Value, Node]


class _Patterns:
    """`p.exp(x)` is the pattern of a call of `exp`; `p.sum(x, name="s")` also binds the sum."""

    def __getattr__(self, op: str) -> Any:
        if op not in OPS:
            raise AttributeError(f"no op {op!r}")

        def call(*operands: Pattern, name: str | None = None) -> Call:
            return Call(op, operands, name)

        return call


p: Final = _Patterns()
x, y, z, u, c = Var("x"), Var("y"), Var("z"), Var("u"), Var("c")
n, k = Number("n"), Number("k")

_EMPTY: Final[Bindings] = {}


class Made(NamedTuple):
    """How a value comes about: the op that makes it ("" for an input), and whether every element
    is one number known at compile time."""

    op: str
    known: bool


def made_by(producers: Producers, value: Value) -> Made:
    """How a value comes about."""
    node = producers.get(value)
    if node is None:
        return Made("", False)
    return Made(node.op.name, ops.uniform_value(producers, value) is not None)


def may_match(pattern: Call, op: Op, operands: tuple[Made, ...]) -> bool:
    """Whether the pattern may match an op on operands that come about like this."""
    if op.name != pattern.op or len(operands) != len(pattern.operands):
        return False
    orders = (operands, operands[::-1])[: 1 + op.commutative]
    return any(all(map(_may_be, pattern.operands, order)) for order in orders)


def _may_be(pattern: Pattern, made: Made) -> bool:
    match pattern:
        case Call():
            return made.op == pattern.op
        case Var():
            return True
    return made.known


def match_node(producers: Producers, pattern: Call, node: Node) -> Iterator[Bindings]:
    """Every way in which `pattern` matches the application `node`, as bindings of its names."""
    if node.op.name != pattern.op or len(node.operands) != len(pattern.operands):
        return
    found = {pattern.name: node.results[0]} if pattern.name else _EMPTY
    swaps = node.op.commutative and node.operands[0] is not node.operands[1]
    for values in (node.operands, node.operands[::-1])[: 1 + swaps]:
        if _may_match(producers, pattern.operands, values):
            yield from _match_operands(producers, pattern.operands, values, found)


def _may_match(
    producers: Producers, patterns: tuple[Pattern, ...], values: tuple[Value, ...]
) -> bool:
    """Whether values are results of the ops that patterns ask for: cheap, and mostly not."""
    for pattern, value in zip(patterns, values, strict=True):
        if isinstance(pattern, Call):
            node = producers.get(value)
            if node is None or node.op.name != pattern.op:
                return False
    return True


def _match_operands(
    producers: Producers,
    patterns: tuple[Pattern, ...],
    values: tuple[Value, ...],
    found: Bindings,
) -> Iterator[Bindings]:
    if not patterns:
        yield found
        return
    for bound in _match(producers, patterns[0], values[0], found):
        yield from _match_operands(producers, patterns[1:], values[1:], bound)


def _match(
    producers: Producers, pattern: Pattern, value: Value, found: Bindings
) -> Iterator[Bindings]:
    match pattern:
        case Var(name):
            if found.get(name, value) is value:
                yield {**found, name: value}
        case Number(name):
            number = ops.uniform_value(producers, value)
            if number is not None:
                yield {**found, name: number}
        case Call():
            node = producers.get(value)
            if node is not None:
                for bound in match_node(producers, pattern, node):
                    yield from _merge(found, bound)
        case _:
            number = ops.uniform_value(producers, value)
            if number is not None and same_number(number, pattern):
                yield found


def _merge(found: Bindings, bound: Bindings) -> Iterator[Bindings]:
    """Both sets of bindings, if they agree on the names they share."""
    if all(bound.get(name, value) is value for name, value in found.items()):
        yield {**found, **bound}


def same_number(number: Any, wanted: float) -> bool:
    """Equality that tells -0.0 from 0.0 (an integer zero equals both)."""
    if number != wanted:
        return False
    is_float = np.asarray(number).dtype.kind == "f"
    return wanted != 0 or not is_float or bool(np.signbit(number) == np.signbit(wanted))
