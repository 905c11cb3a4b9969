"""Which loops are written as vectors, and how.

    s = f64(0.0)
    for j in range(n1):                              a Plan: 16 iterations in a vector, two vectors
        v2 = exp_f32(x0[i * n1 + j] - v1)     =>     at once, then one with a mask, and s is a sum
        s = add_reassoc_f64(s, f64(v2))
        y0[i * n1 + j] = v2

LLVM can vectorise such loops too, but finding out that it may, and how, takes it six times as long
as all else it does for them. So this recognises the plain ones by their text: assignments whose
places in memory move on by one element per iteration or not at all (some that are read by a few, or
backwards), and which depend on each other through sums, extrema and bits alone. All others are
LLVM's.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Final, NamedTuple

from ..ir.record import dataclass
from .builder import BITS, MEMORY
from .emitters import EMITTERS, PREDICATES
from .expressions import literal
from .folds import Fold, fold_of
from .kernel import VECTOR_WORDS
from .syntax import names_in, nodes_of
from .vector_text import Registers
from .vectors import DIVISIONS, LONG_CHAIN, NEAR, writes_apart

MOST_LANES: Final = 32
"""Of bytes too: masks are made in 64 bits."""

_PLAIN: Final = (
    ast.Name, ast.Constant, ast.Subscript, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call,
    ast.Assign, ast.USub, ast.Not, ast.Invert,
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How a loop is written: the iterations in a vector, the vectors that the main loop takes at
    once (0 if there is none), those that the masked loop after it takes (0 if the iterations left
    are done one by one), and what is accumulated: "add", "maximum", "minimum", "and" or "or"."""

    lanes: int
    main: int
    rest: int
    folds: Mapping[str, Fold]


class Strided(NamedTuple):
    """An index: so many times the counter, plus the sum of the terms."""

    step: int
    terms: tuple[ast.expr, ...]


@dataclass(frozen=True)
class Context:
    """What decides beside a loop's own text: the kinds of parameters and of the variables there
    are before it, the names that are read after it (`runtime/liveness.py`), whether it lies in
    another loop, and whether elementary functions are called where they lie
    (`runtime/sharing.py`)."""

    kinds: Mapping[str, str]
    wanted: Collection[str]
    nested: bool
    shared: bool


def plans(loop: ast.For, context: Context, registers: Registers) -> tuple[Plan, ...]:
    """How a loop over `range(start, stop)` is written as vectors, each plan going on where the one
    before it ended; none if it is left to LLVM."""
    if not all(isinstance(statement, ast.Assign) for statement in loop.body):
        return ()
    body = _Body(loop, context.kinds)
    folds = body.folds()
    if folds is None or not body.is_plain():
        return ()
    if (body.assigned - folds.keys()) & set(context.wanted):
        return ()
    return body.plans(registers, folds, context)


class _Body:
    """A loop and what its statements are made of."""

    def __init__(self, loop: ast.For, kinds: Mapping[str, str]) -> None:
        self.loop, self.kinds = loop, kinds
        self.nodes = [node for statement in loop.body for node in nodes_of(statement)]
        self.counter = loop.target.id if isinstance(loop.target, ast.Name) else ""
        names = [node for node in self.nodes if isinstance(node, ast.Name)]
        self.reads = Counter(n.id for n in names if isinstance(n.ctx, ast.Load))
        self.writes = Counter(n.id for n in names if isinstance(n.ctx, ast.Store))
        self.assigned = {*self.writes, self.counter}
        self.places = [node for node in self.nodes if isinstance(node, ast.Subscript)]
        self.words = [x.func for x in self.nodes if isinstance(x, ast.Call)]

    def is_plain(self) -> bool:
        """Whether vectors can do all of it, each element for itself."""
        return (
            all(isinstance(node, _PLAIN) for node in self.nodes)
            and self.counter not in self.writes
            and all(isinstance(f, ast.Name) and is_lanewise(f.id) for f in self.words)
            and all(self._is_near(place) for place in self.places)
            and writes_apart(self.places, self.counter)
        )

    def folds(self) -> dict[str, Fold] | None:
        """How each variable that is carried on from iteration to iteration is accumulated; None if
        one is not, or if a statement does not assign to one place."""
        found: dict[str, Fold] = {}
        known = {self.counter}
        for statement in self.loop.body:
            match statement:
                case ast.Assign(targets=[ast.Name() | ast.Subscript() as target], value=value):
                    used = names_in(value)
                case _:
                    return None
            name = target.id if isinstance(target, ast.Name) else ""
            carried = (used & self.assigned) - known
            if carried:
                if carried != {name} or not self.reads[name] == self.writes[name] == 1:
                    return None
                kind = self.kinds.get(name, "")
                how = fold_of(value, name, kind, self.counter, self._defined, self._is_f32)
                if how is None:
                    return None
                found[name] = how
            known.add(name)
        return found

    def _defined(self, value: ast.expr) -> ast.expr:
        """What a variable is assigned, once, in every iteration; other expressions as they are."""
        if not isinstance(value, ast.Name) or self.writes[value.id] != 1:
            return value
        return next(
            s.value
            for s in self.loop.body
            if isinstance(s, ast.Assign)
            and isinstance(s.targets[0], ast.Name)
            and s.targets[0].id == value.id
        )

    def _is_f32(self, value: ast.expr) -> bool:
        """Whether an expression is surely one."""
        match self._defined(value):
            case ast.Name(id=name):
                return self.kinds.get(name) == "f32"
            case ast.Subscript(value=ast.Name(id=name)):
                return self.kinds.get(name) == "f32*"
            case ast.BinOp(left=left, right=right):
                return self._is_f32(left) and self._is_f32(right)
            case ast.Call(func=ast.Name(id=word)):
                op, _, dtype = word.rpartition("_")
                return dtype == "f32" and not op.endswith("_from") and op not in PREDICATES
        return False

    @cached_property
    def _moving(self) -> dict[ast.Subscript, Strided]:
        """How the places move on that are not the same in all iterations."""
        found = ((place, strided(place.slice, self.counter)) for place in self.places)
        return {place: index for place, index in found if index is not None}

    def _is_near(self, place: ast.Subscript) -> bool:
        """Whether a place is the same in all iterations, or moves on by one element."""
        if not isinstance(place.value, ast.Name):
            return False
        if not self.kinds.get(place.value.id, "").endswith("*"):
            return False
        index = self._moving.get(place)
        if index is None:
            return isinstance(place.ctx, ast.Load) and not names_in(place.slice) & self.assigned
        if index.step != 1 and not self._is_shuffled(place, place.value.id, index.step):
            return False
        return not any(names_in(term) & self.assigned for term in index.terms)

    def _is_shuffled(self, place: ast.Subscript, name: str, step: int) -> bool:
        """Whether a place that moves on by several elements, or backwards, is read by vectors that
        are shuffled. Where several such are neighbours, LLVM reads them together."""
        around = [p for p in self.places if isinstance(p.value, ast.Name) and p.value.id == name]
        read = isinstance(place.ctx, ast.Load) and self.kinds[name] != "bool*"
        return read and 0 < abs(step) <= NEAR and len(around) == 1

    def plans(
        self, registers: Registers, folds: Mapping[str, Fold], context: Context
    ) -> tuple[Plan, ...]:
        words = [f.id for f in self.words if isinstance(f, ast.Name)]
        functions = [word.rpartition("_")[2] for word in words if word in VECTOR_WORDS]
        sums = [
            "f32" if fold.how == "widened" else self.kinds[name]
            for name, fold in folds.items()
            if not fold.of_mask
        ]
        lanes = min(MOST_LANES, 8 * registers.bytes // self._bits(functions, sums))
        in_steps = any(index.step != 1 for index in self._moving.values())
        if in_steps and functions:
            return ()
        masked = registers.masked and not (context.nested and self._in_place() and not functions)
        masked = masked and not in_steps
        packed = registers.bytes // 2
        if lanes < packed and not (registers.masked or functions or folds) and self._stores_bytes():
            return (Plan(packed, 1, 0, folds),)
        if context.shared and functions:
            return (Plan(lanes, 0, 2 if len(functions) > 1 else 1, folds),)
        main = 4 if len(functions) >= LONG_CHAIN or (folds and not functions) else 2
        first = Plan(lanes, main, int(masked), folds)
        if masked or not registers.masked:
            return (first,)
        return first, Plan(lanes // 2, 1, 0, folds)

    def _stores_bytes(self) -> bool:
        """Whether numbers of a byte are written, half a register of which is packed at once."""
        stored = (p.value for p in self.places if isinstance(p.ctx, ast.Store))
        return any(isinstance(x, ast.Name) and BITS[self.kinds[x.id][:-1]] <= 8 for x in stored)

    def _in_place(self) -> bool:
        """Whether a buffer is read and written. Then the next row's loads would wait for the masked
        stores of this one, whose masks the processor does not look at to see what they overlap."""
        names = [(p.value.id, p.ctx) for p in self.places if isinstance(p.value, ast.Name)]
        stored = {name for name, context in names if isinstance(context, ast.Store)}
        return any(name in stored and isinstance(context, ast.Load) for name, context in names)

    def _bits(self, functions: Collection[str], sums: Collection[str]) -> int:
        """The width of what decides how many elements a vector has: of elementary functions, or of
        sums and what moves through memory."""
        if functions:
            return max(BITS[dtype] for dtype in functions)
        names = [p.value.id for p in self._moving if isinstance(p.value, ast.Name)]
        kinds = [self.kinds[name][:-1] for name in names]
        return max((max(8, BITS[kind]) for kind in (*kinds, *sums)), default=32)


def is_lanewise(word: str) -> bool:
    """Whether a word computes each element of a vector from those beside it in its operands, and
    not number by number."""
    op, _, dtype = word.rpartition("_")
    if word in VECTOR_WORDS or op == "select" or "_from_" in word:
        return True
    return (word in MEMORY and word != "bool") or (
        op in EMITTERS and not (op in DIVISIONS and dtype in ("i64", "u64"))
    )


def strided(index: ast.expr, counter: str) -> Strided | None:
    """An index as a multiple of the counter plus other terms; None for one that is not of this
    form."""
    match index:
        case ast.Name(id=name):
            return Strided(1, ()) if name == counter else None
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.Name(id=name)):
            step = literal(left)
            return Strided(step, ()) if name == counter and isinstance(step, int) else None
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for first, other in ((left, right), (right, left)):
                found = strided(first, counter)
                if found is not None:
                    moved = Strided(found.step, (*found.terms, other))
                    return None if counter in names_in(other) else moved
    return None
