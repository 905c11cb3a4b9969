"""Slices and reshapes that stay in an open Jacobian, as places.

    slice(0:3)[a;s] slice(1:4)[c;s] %v[s]      stays: a band of a matrix
    slice(2:8:2)[a;s] %v[a]                    => slice(2:8:2)[a;s] of %v[2:8:2][s]
    reshape[a,b;c] %v[c]                       => I[c,4a+b] of %v reshaped

All ties of a term are one system of linear equations (`affine.py`). Its solution says which part
of each value is needed, and how every axis of the result follows from a few free letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

import numpy as np

from ...ir.builder import Builder
from ...ir.graph import Value
from ...ir.jacobian import Delta, Factor, Letter, Map, Place, Term, Val
from ...ir.record import dataclass
from .affine import Affine, System, Unaligned, equations
from .products import Letters, lay

Tie = Delta | Map | Place

MAX_PARTS = 4
"""What is left beside a region of larger steps is not cut into parts."""


def placeable(map_: Map, extent: Mapping[Letter, int]) -> bool:
    """Whether a map alone has the form of places: a slice, or a reshape whose axes line up."""
    if map_.op == "slice":
        return True
    if map_.op != "reshape":
        return False
    try:
        system = System({x: max(extent[x], 1) for x in map_.letters})
        for equation in equations(map_, extent):
            system.equate(equation)
    except Unaligned:
        return False
    return True


def apart(term: Term, extent: dict[Letter, int]) -> list[Term]:
    """A term with an erased region as the sum over the regular parts around it, with a roll as the
    sum of its two parts; the letters of parts are entered into `extent`."""
    rolled = next((f for f in term.factors if isinstance(f, Map) and f.op == "roll"), None)
    if rolled is not None:
        rest = tuple(f for f in term.factors if f is not rolled)
        both = (Term(term.coef, (*pair, *rest)) for pair in _rolled(rolled, extent))
        return [part for each in both for part in apart(each, extent)]
    erased = next((f for f in term.factors if isinstance(f, Map) and f.op == "erase"), None)
    spec = () if erased is None else dict(erased.attrs)["spec"]
    if erased is None or any(abs(step) > MAX_PARTS for _, _, step in spec):
        return [term]
    rest = tuple(f for f in term.factors if f is not erased)
    pairs = list(zip(erased.src, erased.dst, strict=True))
    found = []
    for k, (i, j) in enumerate(pairs):
        before = [
            t for p, s in zip(pairs[:k], spec, strict=False) for t in _both(*p, range(*s), extent)
        ]
        after = [Delta(*p) for p in pairs[k + 1 :]]
        for part in _around(range(*spec[k]), extent[i]):
            ties: list[Factor] = [*before, *_both(i, j, part, extent), *after]
            found += apart(Term(term.coef, (*ties, *rest)), extent)
    return found


def _rolled(map_: Map, extent: dict[Letter, int]) -> Iterator[tuple[Place, Place]]:
    """The two parts of a roll: what stays in order, and what comes from the end."""
    (i,), (j,), by = map_.src, map_.dst, dict(map_.attrs)["shift"]
    rest = extent[i] - by
    for at_i, at_j, n in ((0, by, rest), (rest, 0, by)):
        inner = len(extent)
        extent[inner] = n
        yield Place(i, at_i, ((inner, 1, n),)), Place(j, at_j, ((inner, 1, n),))


def _both(i: Letter, j: Letter, part: range, extent: dict[Letter, int]) -> tuple[Place, Place]:
    """The diagonal of two axes along a part of them."""
    inner = len(extent)
    extent[inner] = len(part)
    steps = ((inner, part.step, len(part)),)
    return Place(i, part.start, steps), Place(j, part.start, steps)


def _around(part: range, n: int) -> list[range]:
    """The parts of an axis outside one."""
    if not part:
        return [range(n)]
    low, high, step = min(part), max(part), abs(part.step)
    between = [range(low + k, high, step) for k in range(1, step)]
    return [r for r in (range(low), *between, range(high + 1, n)) if r]


def solved(ties: Sequence[Tie], extent: Mapping[Letter, int]) -> tuple[System, list[Tie]]:
    """The solution of the ties that go together, and those left out. Raises Nowhere."""
    system = System(extent)
    left = _taken(system, ties, extent)
    return system, _taken(system, left, extent)


def _taken(system: System, ties: Sequence[Tie], extent: Mapping[Letter, int]) -> list[Tie]:
    left = []
    for tie in ties:
        try:
            for equation in equations(tie, extent):
                system.equate(equation)
        except Unaligned:
            left.append(tie)
    return left


@dataclass(frozen=True)
class Solution:
    """Letters for the free indices: an axis of the result where one is just that, else inner."""

    table: dict[Letter, Letter]
    extent: dict[Letter, int]
    deltas: tuple[Delta, ...]
    places: tuple[Place, ...]


def named(system: System, out: Letters, summed: Sequence[Letter], first: Letter) -> Solution:
    """Name the free indices of a system; inner letters, then those of `summed`, are numbered from
    `first` on."""
    table: dict[Letter, Letter] = {}
    at = {x: system[x] for x in out}
    deltas, tied = [], []
    for x in out:
        free = _alone(at[x])
        if free is None or system.extent[free] != system.extent[x]:
            if system.extent[x] > 1:
                tied.append(x)
        elif free in table:
            deltas.append(Delta(table[free], x))
        else:
            table[free] = x
    for e in (*(at[x] for x in tied), *(system[x] for x in summed)):
        for free in by_step(e):
            table.setdefault(free, first + len(table))
    extent = {table[free]: system.extent[free] for free in table}
    places = tuple(
        Place(
            x,
            at[x].start,
            tuple((table[u], at[x].steps[u], system.extent[u]) for u in by_step(at[x])),
        )
        for x in tied
    )
    return Solution(table, extent, tuple(deltas), places)


def _alone(e: Affine) -> Letter | None:
    """The letter, if the expression is nothing but one."""
    ((x, step),) = e.steps.items() if len(e.steps) == 1 else ((0, 0),)
    return x if step == 1 and e.start == 0 else None


def by_step(e: Affine) -> list[Letter]:
    """The letters of an expression, the coarsest first."""
    return sorted(e.steps, key=lambda x: -abs(e.steps[x]))


def moved(b: Builder, system: System, factor: Val) -> Val:
    """The part of a value that a solution needs, along the free indices."""
    value, ix = factor.v, factor.ix
    for axis in reversed(range(len(ix))):
        x = ix[axis]
        if x is None:
            continue
        e = system[x]
        if _alone(e) is None or value.shape[axis] != system.extent[next(iter(e.steps))]:
            value = _part(b, value, axis, e, [system.extent[u] for u in by_step(e)])
        inner: tuple[Letter | None, ...] = tuple(by_step(e)) or (None,)
        ix = (*ix[:axis], *inner, *ix[axis + 1 :])
    return Val(value, ix)


def _part(b: Builder, value: Value, axis: int, e: Affine, extents: Sequence[int]) -> Value:
    """value[start + steps . letters] along one axis, which becomes one for each letter."""
    steps = [e.steps[x] for x in by_step(e)]
    step = steps[-1] if steps else 1
    count = int(np.prod(extents, dtype=int))
    if steps != [step * int(np.prod(extents[k + 1 :], dtype=int)) for k in range(len(steps))]:
        return _gathered(b, value, axis, e.start, steps, extents)
    stop = e.start + (count - 1) * step + (1 if step > 0 else -1)
    spec = tuple(
        (e.start, stop, step) if k == axis else (0, n, 1) for k, n in enumerate(value.shape)
    )
    part = value if spec[axis] == (0, value.shape[axis], 1) else b.slice(value, spec=spec)
    if len(extents) < 2:
        return part
    return b.reshape(part, shape=(*value.shape[:axis], *extents, *value.shape[axis + 1 :]))


def _gathered(
    b: Builder, value: Value, axis: int, start: int, steps: Sequence[int], extents: Sequence[int]
) -> Value:
    """The same where the elements are not evenly spaced."""
    grid = np.indices(tuple(extents))
    at = start + sum(step * grid[k] for k, step in enumerate(steps))
    chosen = b.gather(value, b.constant(at), axes=(axis,))
    rank, new = value.type.rank - 1, len(extents)
    perm = (*range(new, new + axis), *range(new), *range(new + axis, new + rank))
    return b.transpose(chosen, perm=perm) if axis else chosen


def written(b: Builder, tie: Tie, extent: Mapping[Letter, int], dtype: np.dtype) -> Val:
    """A tie as a tensor of zeros and ones."""
    letters = tuple(dict.fromkeys(tie.letters))
    holds = [_zero(b, e, letters, extent) for e in equations(tie, extent)]
    both = reduce(lambda x, y: b.emit("and", (x, y)).result, holds)
    shape = tuple(extent[x] for x in letters)
    both = both if both.shape == shape else b.broadcast(both, shape=shape)
    return Val(b.cast(both, dtype=dtype), letters)


def _zero(b: Builder, e: Affine, letters: Letters, extent: Mapping[Letter, int]) -> Value:
    total = b.constant(e.start, np.dtype(np.int64))
    for x, step in e.steps.items():
        total = b.add(total, lay(b, b.mul(b.iota(n=extent[x]), step), (x,), letters))
    return b.eq(total, 0)
