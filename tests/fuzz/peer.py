"""A second opinion: random programs and their gradients, computed by another library.

    python -m tests.fuzz --n 0 --numpy 1000 --jax 1000 --torch 1000 --seed 1

A graph is evaluated node by node with the library's functions, its gradient is the library's own.
Both are held to the margins of `check.Reference`. Libraries follow other conventions where a
derivative does not exist, give NaN where a structural zero gives 0, and leave the order of equal
indices open: such elements and such programs say nothing. `jax_peer.py` and `torch_peer.py` say
what each op is there; they are imported only where the library is installed. `numpy_peer.py` says
what each op is in a step that tapeless traces.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from tapeless.compiler.pipeline import lower
from tapeless.ir.errors import RUN_TIME_ERRORS, UnsupportedError
from tapeless.ir.graph import Graph, Node
from tapeless.ir.ops.autodiff import REQUESTS

from .check import (
    Reference,
    indeterminate,
    is_subnormal,
    judge,
    meaning,
    occurs,
    otherwise,
    repaired,
)
from .gradients import differentiable, kinked, with_gradient
from .growing import Program
from .machine import Disagreement

LOOSER: Final = 16
"""How many margins a library may be away: it adds in another order, with other functions."""

NUMPY_NAMES: Final = {
    "sub": "subtract", "mul": "multiply", "div": "true_divide", "neg": "negative",
    "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "eq": "equal", "ne": "not_equal", "and": "logical_and",
    "or": "logical_or", "xor": "logical_xor", "not": "logical_not", "bit_and": "bitwise_and",
    "bit_or": "bitwise_or", "bit_xor": "bitwise_xor", "bit_not": "bitwise_not",
    "shift_left": "left_shift", "shift_right": "right_shift", "select": "where",
}  # fmt: skip
"""NumPy's names of elementwise ops, where they differ."""

Found = tuple[list[np.ndarray], list[np.ndarray]]
Call = Callable[[Sequence[np.ndarray]], Found]
Function = Callable[..., Any]


class Unknown(Exception):
    """The library has no such op, or none with the same meaning."""


@dataclass(frozen=True)
class Peer:
    """A library: what its functions for ops are, of operands and attributes; how it finds those
    for elementwise ops that are not in the table; how it converts to a dtype; what it makes of a
    program and its loss: a function of the arguments that gives all results (outputs, then every
    argument as the step leaves it) and the gradients with respect to floating arguments; whether
    it has other functions and conventions, so that margins are wide and what is infinite or NaN
    says nothing; and whether it takes subnormal numbers for zero."""

    name: str
    ops: dict[str, Function]
    elementwise: Callable[[str], Function | None]
    converted: Callable[[Any, np.dtype], Any]
    compiled: Callable[[Program, Program | None], Call]
    foreign: bool = True
    flushes: bool = False


def evaluated(peer: Peer, graph: Graph, arguments: Sequence[Any]) -> list[Any]:
    """Outputs, then every argument as the step leaves it, by the library."""

    def run(node: Node, operands: list[Any]) -> Any:
        op = node.op
        function = peer.ops.get(op.name)
        if function is None and op.kind == "elementwise":
            function = peer.elementwise(op.name)
        if function is None:
            raise Unknown(op.name)
        found = function(*operands, **node.attrs)
        several = found if isinstance(found, tuple) else (found,)
        for value, array in zip(node.results, several, strict=True):
            if tuple(array.shape) != value.shape:
                raise Disagreement(peer.name, f"{op.name} has shape {tuple(array.shape)}")
        return tuple(
            peer.converted(array, value.type.dtype)
            for value, array in zip(node.results, several, strict=True)
        )

    return otherwise(graph, arguments, run, lambda x: x)


def with_floats(program: Program, moving: Sequence[Any]) -> list[Any]:
    """The arguments of a program, these in the places of the floating ones."""
    floats = iter(moving)
    pairs = zip(program.graph.inputs, program.arguments, strict=True)
    return [next(floats) if v.type.is_float else a for v, a in pairs]


def floats_of(program: Program, arguments: Sequence[np.ndarray]) -> list[np.ndarray]:
    pairs = zip(program.graph.inputs, arguments, strict=True)
    return [a for v, a in pairs if v.type.is_float]


def slices(spec: Sequence[tuple[int, int, int]]) -> tuple[slice, ...]:
    return tuple(slice(a, None if b < 0 else b, step) for a, b, step in spec)


def cumsum(xp: Any, x: Any, axis: int, reverse: bool) -> Any:
    """Running totals, of a module with NumPy's names."""
    if not reverse:
        return xp.cumsum(x, axis, dtype=x.dtype)
    return xp.flip(xp.cumsum(xp.flip(x, axis), axis, dtype=x.dtype), axis)


def recurrence(xp: Any, a: Any, b: Any, axis: int, reverse: bool, exclusive: bool) -> Any:
    """A linear recurrence or its adjoint, row by row, of a module with NumPy's names."""
    a, b = (xp.moveaxis(x, axis, 0) for x in (a, b))
    a, b = (xp.flip(x, (0,)) for x in (a, b)) if reverse else (a, b)
    rows: list[Any] = []
    for k in range(len(b)):
        if not rows:
            rows.append(b[0] * 0 if exclusive else b[0])
        else:
            rows.append(b[k - exclusive] + a[k - (reverse or exclusive)] * rows[-1])
    found = xp.stack(rows) if rows else b
    return xp.moveaxis(xp.flip(found, (0,)) if reverse else found, 0, axis)


def solve(xp: Any, a: Any, b: Any, transposed: bool) -> Any:
    """A linear system, of a module with NumPy's names."""
    return xp.linalg.solve(xp.swapaxes(a, -1, -2) if transposed else a, b)


def once_each(indices: Sequence[np.ndarray], extents: Sequence[int]) -> None:
    """Unknown if two of the places are the same: which of them is written last is open."""
    places = [i % n for i, n in zip(indices, extents, strict=True)]
    flat = np.ravel_multi_index(np.broadcast_arrays(*places), tuple(extents))
    if len(np.unique(flat)) < flat.size:
        raise Unknown("which of equal indices wins")


def against(peer: Peer, program: Program, rng: random.Random) -> Counter[str]:
    """Disagreement if the library computes other values, or another gradient; how much was
    compared."""
    try:
        reference = judge(program, lower(program.graph))
        traced = any(node.op.name in REQUESTS for node in program.graph.nodes)
        loss = None if traced else differentiable(program, rng)
        if peer.flushes and occurs(is_subnormal, meaning(program.graph), program.arguments):
            return Counter(subnormal=1)
        if reference is None or (loss is not None and indeterminate(loss.graph, loss.arguments)):
            return Counter(indeterminate=1)
        call = peer.compiled(program, loss)
        agree(peer, reference, peer.name, call(program.arguments)[0])
        if loss is None:
            return Counter(values=1)
        return Counter(values=1, slopes=against_gradient(peer, loss, call, rng))
    except (Unknown, UnsupportedError, *RUN_TIME_ERRORS) as reason:
        return Counter({f"left out: {type(reason).__name__}": 1})


def against_gradient(peer: Peer, loss: Program, call: Call, rng: random.Random) -> int:
    """Whether the gradients of a loss could be compared."""
    if kinked(loss, rng):
        return 0
    traced = with_gradient(loss.graph)
    plain = lower(traced, optimize=False, until="jacobian-free").graphs["jacobian-free"]
    gradient = repaired(lower(traced), plain, loss.arguments)
    if gradient is None:
        return 0
    reference = Reference(Program(gradient, loss.arguments))
    agree(peer, reference, f"{peer.name} gradient", [*call(loss.arguments)[1], *loss.arguments])
    return 1


def agree(peer: Peer, reference: Reference, where: str, found: Sequence[Any]) -> None:
    """Compare what both executors have as numbers; all of it with a library that is not foreign."""
    if not peer.foreign:
        reference.compare(where, found)
        return
    for k, (expected, array) in enumerate(zip(reference.results, found, strict=True)):
        other = np.asarray(array)
        if other.dtype != expected.dtype:
            raise Disagreement(where, f"result {k} is {other.dtype}")
        both = np.isfinite(expected) & np.isfinite(other)
        if expected.dtype.kind != "f":
            away = float(np.any(expected != other))
        else:
            with np.errstate(invalid="ignore"):
                away = float(np.max(np.abs(expected - other), where=both, initial=0.0))
        if away > 0 and away > LOOSER * reference.margin[k]:
            raise Disagreement(where, f"result {k} is off by {away:.2e}: {reference.margin[k]:.1e}")


__all__ = ["NUMPY_NAMES", "Peer", "Unknown", "against", "evaluated"]
