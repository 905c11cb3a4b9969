"""How LLVM vectorises loops full of elementary functions, of those it is left (`parallel.py`).

    for i in range(n):               for i in range(n - n % 64):      four vectors of 16 at once
        y0[i] = tanh_f32(x0[i])  =>      ..
                                     for i in range(n - n % 64, n):   one vector at a time, masked
                                         ..

LLVM by itself takes narrow vectors where the loop also adds in f64, one vector at a time, so that
each waits for the long chain of its own operations, and does what is left over number by number: a
row of ten costs as much as one of a hundred. So such a loop runs in two parts, and says how each is
to be vectorised. This pays with masked vectors and 32 registers, and is only said of loops that
LLVM can vectorise for certain: it complains about others.

Where a kernel has many functions, it calls them (`runtime/sharing.py`), and a loop of few consists
of the second part alone: the processor overlaps the calls of one vector with those of the next, and
the first part, the second and the numbers one by one would be three times as much to compile.
So does a loop over rows of few numbers, all of which its text names: the functions of one row
overlap.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from ..ir.record import dataclass
from .kernel import VECTOR_WORDS
from .syntax import names_in, nodes_of
from .vector_text import Registers

LONG_CHAIN: Final = 3
"""Elementary functions in a loop from which on four vectors at once are faster than two."""

DIVISIONS: Final = frozenset({"floor_divide", "remainder", "fmod"})
"""Of integers of 64 bits, these are done number by number; LLVM does so with all."""

MANY: Final = 15
"""Elementary functions times loops in a kernel from which on it calls them."""

OVERLAPPED: Final = 8
"""Calls in a loop up to which those of the next two vectors start before they end."""

FOLDS: Final = frozenset({"add_reassoc", "mul_reassoc", "maximum", "minimum"})
"""Words that a sum, a product or an extremum is accumulated with."""


@dataclass(frozen=True)
class Vectors:
    """The numbers in a vector, and the vectors that the first part of the loop takes at once; 0 if
    there is no first part. `masked` is what the second takes at once."""

    width: int
    count: int
    masked: int = 1

    @property
    def block(self) -> int:
        """Iterations at once; a power of two."""
        return self.width * self.count

    def first(self, number: int) -> str:
        """What LLVM is told of the first part of a loop, as metadata from this number on."""
        return _metadata(
            number,
            [("vectorize.width", f"i32 {self.width}"), ("interleave.count", f"i32 {self.count}")],
        )

    def rest(self, number: int) -> str:
        """What LLVM is told of the second part."""
        return _metadata(
            number,
            [
                ("vectorize.width", f"i32 {self.width}"),
                ("interleave.count", f"i32 {self.masked}"),
                ("vectorize.predicate.enable", "i1 true"),
            ],
        )


ALONE: Final = Vectors(1, 0)
"""One number at a time: LLVM makes vectors of the statements of an iteration, where it can."""

NEAR: Final = 4
"""Numbers from one iteration to the next up to which vectors of many iterations are shuffled; what
lies farther apart would be gathered, number by number."""


def _metadata(number: int, hints: list[tuple[str, str]]) -> str:
    names = [f"!{number + k}" for k in range(len(hints) + 1)]
    lines = [f"{names[0]} = distinct !{{{', '.join(names)}}}"]
    lines += [
        f'{n} = !{{!"llvm.loop.{key}", {value}}}'
        for n, (key, value) in zip(names[1:], hints, strict=True)
    ]
    return "\n".join(lines) + "\n"


def shares_functions(kernel: ast.FunctionDef, registers: Registers) -> bool:
    """Whether a kernel calls its elementary functions, instead of having a copy of each: if there
    are many, in loops that are vectorised (a call for one number takes as long as for a vector)."""
    loops = [_Loop(node) for node in nodes_of(kernel) if isinstance(node, ast.For)]
    inner = [loop for loop in loops if not loop.nests and loop.functions]
    if not registers.masked or sum(len(x.functions) for x in inner) * len(loops) <= MANY:
        return False
    return all(_vectors(loop, registers, shared=True) for loop in inner)


def vectors(
    loop: ast.For, registers: Registers, wanted: Collection[str] = (), *, shared: bool = False
) -> Vectors | None:
    """How a loop runs in parts, in a kernel that has a copy of each function or calls `shared`
    ones; None if it is left to LLVM, as it is if more than sums and extrema is `wanted` after it
    (`runtime/liveness.py`)."""
    found = _Loop(loop)
    if found.apart and not found.functions and not found.nests:
        return ALONE
    if not registers.masked or found.lets_out(wanted):
        return None
    return _vectors(found, registers, shared=shared)


class _Loop:
    """A loop, what its statements are made of, and the dtypes of its elementary functions."""

    def __init__(self, loop: ast.For) -> None:
        nodes = [node for statement in loop.body for node in nodes_of(statement)]
        self.loop = loop
        self.names = [node for node in nodes if isinstance(node, ast.Name)]
        self.places = [node for node in nodes if isinstance(node, ast.Subscript)]
        self.nests = any(isinstance(node, ast.For) for node in nodes)
        words = [node.id for node in self.names]
        self.functions = [word.rpartition("_")[2] for word in words if word in VECTOR_WORDS]
        others = [word for word in words if word not in VECTOR_WORDS]
        self.tabular = any(_row(place.slice)[1] for place in self.places)
        self.apart = any(_table(place.slice) > NEAR for place in self.places)
        self.slow = any(word.rpartition("_")[0] in DIVISIONS for word in others)

    def lets_out(self, wanted: Collection[str]) -> bool:
        """Whether one of these names is a variable of the loop that is not accumulated into."""
        statements = [s for s in self.loop.body if isinstance(s, ast.Assign)]
        folds = {
            name
            for s in statements
            if _is_fold(s.value)
            for name in names_in(s.targets[0]) & names_in(s.value)
        }
        assigned = {n.id for n in self.names if isinstance(n.ctx, ast.Store)}
        return bool((assigned | names_in(self.loop.target)).intersection(wanted) - folds)


def _vectors(loop: _Loop, registers: Registers, *, shared: bool) -> Vectors | None:
    functions = loop.functions
    if loop.slow or not (shared or functions) or not _is_parallel(loop):
        return None
    width = min((registers.lanes(dtype) for dtype in functions), default=registers.lanes("f32"))
    if shared and len(functions) <= OVERLAPPED:
        return Vectors(width, 0, 2 if len(functions) > 1 else 1)
    if loop.tabular:
        return Vectors(width, 0, 2 if len(functions) <= OVERLAPPED else 1)
    return Vectors(width, 4 if len(functions) >= LONG_CHAIN else 2)


def _is_parallel(loop: _Loop) -> bool:
    """Whether iterations depend on each other through sums and extrema alone."""
    single = all(
        isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name | ast.Subscript)
        for s in loop.loop.body
    )
    named = isinstance(loop.loop.target, ast.Name) and loop.loop.target.id
    return single and _folds_only(loop) and writes_apart(loop.places, str(named))


def _folds_only(loop: _Loop) -> bool:
    """Whether a variable that is read before it is assigned is only accumulated into."""
    reads = Counter(n.id for n in loop.names if isinstance(n.ctx, ast.Load))
    assigned = Counter(n.id for n in loop.names if isinstance(n.ctx, ast.Store))
    known: set[str] = set()
    for statement in loop.loop.body:
        assert isinstance(statement, ast.Assign)
        used = names_in(statement.value)
        (target,) = statement.targets
        name = target.id if isinstance(target, ast.Name) else ""
        carried = (used & assigned.keys()) - known
        once = reads[name] == assigned[name] == 1
        if carried and not (carried == {name} and once and _is_fold(statement.value)):
            return False
        known.add(name)
    return True


def _is_fold(value: ast.expr) -> bool:
    """add_reassoc_t(s, x), mul_reassoc_t(s, x), maximum_t(s, x), minimum_t(s, x)"""
    match value:
        case ast.Call(func=ast.Name(id=word), args=[ast.Name(), _]):
            return word.rpartition("_")[0] in FOLDS
    return False


def writes_apart(found: Sequence[ast.Subscript], counter: str) -> bool:
    """Whether every iteration writes elements of its own, and reads those alone of what it
    writes."""
    buffers = [(ast.dump(p.value), p) for p in found]
    changed = {buffer for buffer, place in buffers if isinstance(place.ctx, ast.Store)}
    rows = [(buffer, *_row(p.slice), p) for buffer, p in buffers if buffer in changed]
    places = [(buffer, ast.dump(row), column, p) for buffer, row, column, p in rows]
    written: dict[str, str] = {}
    stored: set[tuple[str, int]] = set()
    for buffer, row, column, place in places:
        if isinstance(place.ctx, ast.Store):
            if counter not in names_in(place.slice) or (buffer, column) in stored:
                return False
            if written.setdefault(buffer, row) != row:
                return False
            stored.add((buffer, column))
    return all(written.get(buffer, row) == row for buffer, row, _, _ in places)


def _row(index: ast.expr) -> tuple[ast.expr, int]:
    """The row of a table and the column in it, of an index `row * 4 + 3`; other indices are rows
    of one number."""
    match index:
        case ast.BinOp(
            ast.BinOp(_, ast.Mult(), ast.Constant(length)), ast.Add(), ast.Constant(column)
        ) if isinstance(column, int) and isinstance(length, int) and 0 <= column < length:
            return index.left, column
    return index, 0


def _table(index: ast.expr) -> int:
    """The numbers in a table of several rows of which an index is a place, 0 for others: 12 for
    `(i * 3 + 1) * 4 + 2`."""
    size, depth = 1, 0
    while isinstance(index, ast.BinOp):
        match index:
            case ast.BinOp(
                ast.BinOp(row, ast.Mult(), ast.Constant(int(length))),
                ast.Add(),
                ast.Constant(int()),
            ):
                index, size, depth = row, size * length, depth + 1
            case _:
                return 0
    return size if depth > 1 else 0
