"""Products of indexed values: multiplied and summed pair by pair, masks as selects.

Which op a pair becomes follows from its letters: those summed here, those of both operands, and
those of one alone.

    summed    free letters      becomes
    none      of one at most    a multiplication (broadcasting)
    none      of both           an outer product, or a multiplication along shared letters
    some      none              multiply, then sum: it fuses
    some      some              one `dot`, whose result needs no transpose

The pair with the least work goes first, ties by operand order, so that texts are deterministic.
In the Boolean semiring the product is `and` and the sum is `any`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...ir.builder import Builder
from ...ir.diagonal import diagonal as strided_diagonal
from ...ir.dotspec import canonical_spec
from ...ir.graph import Value
from ...ir.jacobian import Letter, Mask, Val
from ...ir.record import dataclass

Letters = tuple[Letter, ...]


@dataclass(frozen=True)
class Products:
    """Emits products into `b`. Every `Val` here names the axes of its value one to one; letters
    of `out` come first, and in that order, in the results of contractions."""

    b: Builder
    extent: Mapping[Letter, int]
    out: Letters
    dtype: np.dtype

    @property
    def boolean(self) -> bool:
        return self.dtype == np.dtype(bool)

    def extents(self, letters: Iterable[Letter]) -> tuple[int, ...]:
        return tuple(self.extent[x] for x in letters)

    def product(self, vals: Sequence[Val], keep: set[Letter]) -> Val | None:
        """Pairwise contraction, least work first."""
        vals = [self.reduced(v, keep, [w for w in vals if w is not v]) for v in vals]
        while len(vals) > 1:
            pairs = [(k, n) for k in range(len(vals)) for n in range(k + 1, len(vals))]
            k, n = min(pairs, key=lambda p: (*self.work(vals[p[0]], vals[p[1]], vals, keep), p))
            rest = [v for i, v in enumerate(vals) if i not in (k, n)]
            joined = self.pair(vals[k], vals[n], keep | {x for v in rest for x in v.letters})
            vals = [joined, *rest]
        return vals[0] if vals else None

    def factors(self, vals: Sequence[Val], keep: set[Letter]) -> list[Val]:
        """Values whose product is that of `vals` summed over every letter outside `keep`: joined
        where a sum demands it and where one has all the letters of the other."""
        joined: list[Val] = []
        for group in _linked(vals, keep):
            product = self.product(group, keep)
            assert product is not None
            joined.append(product)
        joined.sort(key=lambda v: len(v.letters))
        found: list[Val] = []
        for k, small in enumerate(joined):
            into = next((n for n in range(k + 1, len(joined)) if _within(small, joined[n])), None)
            if into is None:
                found.append(small)
            else:
                joined[into] = self.multiply(small, joined[into])
        return found

    def added(self, total: Val | None, val: Val | None, coef: float) -> Val:
        """total + coef * val, in the order of axes of `total`; None as the value stands for 1."""
        if val is None:
            val = Val(self.b.constant(1.0, self.dtype), ())
        if total is None:
            return Val(scaled(self.b, val.v, coef), val.letters)
        value = val.v
        if val.letters != total.letters:
            perm = tuple(val.letters.index(x) for x in total.letters)
            value = self.b.transpose(value, perm=perm)
        return Val(add_scaled(self.b, total.v, value, coef), total.letters)

    def work(self, x: Val, y: Val, vals: Sequence[Val], keep: set[Letter]) -> tuple[int, int]:
        """(multiplications, elements of the result) of contracting a pair."""
        union = set(x.letters) | set(y.letters)
        others = {z for v in vals if v is not x and v is not y for z in v.letters}
        kept = union & (keep | others)
        return math.prod(self.extents(union)), math.prod(self.extents(kept))

    def reduced(self, val: Val, keep: set[Letter], others: Sequence[Val]) -> Val:
        """Sum over the letters that only this value has."""
        shared = keep | {x for v in others for x in v.letters}
        axes = tuple(k for k, x in enumerate(val.letters) if x not in shared)
        if not axes:
            return val
        total = self.b.any(val.v, axes=axes) if self.boolean else self.b.sum(val.v, axes=axes)
        return Val(total, tuple(x for x in val.letters if x in shared))

    def pair(self, x: Val, y: Val, keep: set[Letter]) -> Val:
        """Contract two values: multiply, outer product, multiply-reduce or dot, according to
        which letters are shared, kept and summed."""
        left, right = set(x.letters), set(y.letters)
        shared = left & right
        summed = shared - keep
        if (
            (summed and left == right)
            or (not summed and (shared or not left or not right))
            or self.boolean
        ):
            return self.reduced(self.multiply(x, y), keep, [])
        order = [*(k for k in self.out if k in keep), *x.letters, *y.letters]
        result = tuple(k for k in dict.fromkeys(order) if k in (left | right) - summed)
        return Val(self.dot(x, y, result), result)

    def multiply(self, x: Val, y: Val) -> Val:
        first, second = (y, x) if len(y.letters) > len(x.letters) else (x, y)
        order = self.extended(first.letters, second.letters)
        left, right = lay(self.b, x.v, x.letters, order), lay(self.b, y.v, y.letters, order)
        return Val(self.and_(left, right) if self.boolean else self.b.mul(left, right), order)

    def extended(self, letters: Letters, others: Iterable[Letter]) -> Letters:
        """The letters of a value as they are; with others that it lacks, in the order of the
        result, since it is copied anyway."""
        more = tuple(x for x in dict.fromkeys(others) if x not in letters)
        where = {x: k for k, x in enumerate(self.out)} if more else {}
        return tuple(sorted((*letters, *more), key=lambda x: where.get(x, len(where))))

    def dot(self, x: Val, y: Val, result: Letters) -> Value:
        """One `dot`; the operand whose free letters come first in the result stands first, so
        that an ordinary matrix product needs no transpose."""
        if result and result[0] not in x.letters:
            x, y = y, x
        first = next((k for k in result if (k in x.letters) != (k in y.letters)), None)
        if first is not None and first in y.letters:
            x, y = y, x
        names = {
            k: chr(ord("a") + n) for n, k in enumerate(dict.fromkeys((*x.letters, *y.letters)))
        }
        spec = ["".join(names[k] for k in letters) for letters in (x.letters, y.letters, result)]
        return self.b.dot(x.v, y.v, spec=canonical_spec(f"{spec[0]},{spec[1]}->{spec[2]}"))

    def select(self, val: Val | None, masks: Sequence[Mask]) -> Val:
        """`where(all masks, value, 0)`: one select for all of them."""
        if not masks:
            assert val is not None
            return val
        present = () if val is None else val.letters
        order = self.extended(present, [x for m in masks for x in m.letters])
        chosen = None
        for mask in masks:
            laid = lay(self.b, mask.v, mask.letters, order)
            chosen = laid if chosen is None else self.and_(chosen, laid)
        assert chosen is not None
        value = (
            self.b.constant(1, self.dtype)
            if val is None
            else lay(self.b, val.v, val.letters, order)
        )
        if self.boolean:
            return Val(self.and_(chosen, value), order)
        return Val(self.b.select(chosen, value, self.b.constant(0, self.dtype)), order)

    def and_(self, x: Value, y: Value) -> Value:
        return self.b.emit("and", (x, y)).result


def add_scaled(b: Builder, total: Value | None, value: Value, coef: float) -> Value:
    """total + coef * value, as a subtraction where the coefficient is negative."""
    if total is None:
        return scaled(b, value, coef)
    if coef < 0:
        return b.sub(total, scaled(b, value, -coef))
    return b.add(total, scaled(b, value, coef))


def scaled(b: Builder, value: Value, coef: float) -> Value:
    """coef * value, without the multiplication by 1 or -1."""
    if coef == 1.0:
        return value
    if coef == -1.0:
        return b.neg(value)
    return b.mul(value, coef)


def lay(b: Builder, value: Value, letters: Letters, order: Sequence[Letter]) -> Value:
    """Order the axes as in `order`, with extent 1 for absent letters after the first present."""
    present = [x for x in order if x in letters]
    perm = tuple(letters.index(x) for x in present)
    if perm != tuple(range(len(perm))):
        value = b.transpose(value, perm=perm)
    if not present:
        return value
    tail = list(order)[list(order).index(present[0]) :]
    extents = dict(zip(present, value.shape, strict=True))
    shape = tuple(extents.get(x, 1) for x in tail)
    return value if shape == value.shape else b.reshape(value, shape=shape)


def diagonal(b: Builder, value: Value, letters: Letters, letter: Letter) -> tuple[Value, Letters]:
    """The diagonal of the two axes named `letter`, which move to the end as one."""
    first, second = _twice(letters, letter)
    rest = tuple(x for k, x in enumerate(letters) if k not in (first, second))
    return strided_diagonal(b, value, first, second), (*rest, letter)


def _twice(letters: Letters, letter: Letter) -> tuple[int, int]:
    first = letters.index(letter)
    return first, letters.index(letter, first + 1)


def _linked(vals: Sequence[Val], keep: set[Letter]) -> list[list[Val]]:
    """The values in groups that letters outside `keep` hold together, in order."""
    groups: list[list[Val]] = []
    for val in vals:
        summed = set(val.letters) - keep
        touching = [g for g in groups if any(not summed.isdisjoint(v.letters) for v in g)]
        groups = [g for g in groups if g not in touching]
        groups.append([*(v for g in touching for v in g), val])
    return groups


def _within(small: Val, large: Val) -> bool:
    return set(small.letters) <= set(large.letters)
