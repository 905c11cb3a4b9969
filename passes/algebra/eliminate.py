"""Elimination: a sum of products over index letters becomes ordinary ops.

For one term, with `out` the letters of the result:

1. a uniform value becomes part of the coefficient, a uniform mask vanishes or kills the term;
2. a delta with a letter outside `out` is substituted away: this is where dz/dW disappears;
3. a map whose one side is summed is applied, forward or adjoint, to what it is summed with;
4. values are multiplied and summed pair by pair, least work first, ties by operand order;
   masks select once, after the product and before the sums over their letters;
5. a summed letter that no factor mentions multiplies the coefficient by its extent.

What remains of a term is a coefficient, deltas between letters of `out`, and one value: a
`Reduced`. Surviving deltas are the structure of an open Jacobian; `materialise` writes them out.
Where places are asked for, slices and reshapes survive too (`places.py`), in place of step 3.

The same steps run in the Boolean semiring (product = and, sum = any) to find where a cotangent is
structurally non-zero.

    sum_i I[a,i] %x[b] %g[i]   =>   outer %g, %x
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...ir.builder import Builder
from ...ir.graph import Value
from ...ir.jacobian import Delta, Factor, Letter, Map, Mask, Place, Term, Val, indexed
from ...ir.maps import MAPS
from ...ir.ops import uniform_value
from ...ir.ops.move import full_slice
from .affine import Nowhere
from .expression import Expression
from .places import moved, named, placeable, solved, written
from .products import Letters, Products, diagonal, lay
from .reduced import Reduced, merged


def eliminate(
    b: Builder, expression: Expression, dtype: np.dtype, dense: list[str] | None = None
) -> list[Reduced]:
    """Reduce every term of the expression; terms of equal pattern are merged. The names of maps
    that had to become dense blocks of the result are appended to `dense`."""
    reduced = []
    for term in expression.terms:
        elimination = _Elimination(b, expression, dtype, term)
        found = elimination.run()
        if found is not None:
            reduced.append(found)
            if dense is not None:
                dense += elimination.dense
    return merged(Products(b, expression.extent, expression.out, dtype), reduced)


class _Elimination:
    """The elimination of one term."""

    def __init__(self, b: Builder, expression: Expression, dtype: np.dtype, term: Term) -> None:
        self.b, self.dtype, self.coef = b, dtype, term.coef
        self.extent = dict(expression.extent)
        self.out, self.open = expression.out, expression.open
        self.products = Products(b, self.extent, self.out, dtype)
        self.deltas = [f for f in term.factors if isinstance(f, Delta)]
        self.vals = [f for f in term.factors if isinstance(f, Val)]
        self.masks = [f for f in term.factors if isinstance(f, Mask)]
        self.maps = [f for f in term.factors if isinstance(f, Map)]
        self.ties: list[Map | Place] = [f for f in term.factors if isinstance(f, Place)]
        if expression.placed or self.ties:
            self.ties += [m for m in self.maps if placeable(m, self.extent)]
            self.maps = [m for m in self.maps if m not in self.ties]
        self.inner = max(self.extent, default=-1) + 1
        self.keep = set(self.out)
        self.dense: list[str] = []
        self.unmentioned = {x for x in term.letters if x not in self.out}

    def run(self) -> Reduced | None:
        if not self.absorb_uniform():
            return None
        self.substitute_deltas()
        self.apply_maps()
        places: tuple[Place, ...] = ()
        if self.ties:
            try:
                places = self.place()
            except Nowhere:
                return None
        self.clean()
        vals = self.factored() if self.open else self.combined(self.vals, self.masks)
        for letter in self.unmentioned:
            self.coef *= 1 if self.products.boolean else self.extent[letter]
        return Reduced(self.coef, tuple(self.deltas), vals, places)

    # --- 1: uniform values -------------------------------------------------------------------

    def absorb_uniform(self) -> bool:
        """Move constants into the coefficient; false when a mask is false everywhere."""
        vals, masks = [], []
        for val in self.vals:
            scalar = None if self.products.boolean else uniform_value(self.b.producer, val.v)
            if scalar is None:
                vals.append(val)
            else:
                self.coef *= float(scalar)
        for mask in self.masks:
            known = uniform_value(self.b.producer, mask.v)
            if known is not None and not known:
                return False
            if known is None:
                masks.append(mask)
        self.vals, self.masks = vals, masks
        return True

    # --- 2: deltas ---------------------------------------------------------------------------

    def substitute_deltas(self) -> None:
        kept: list[Delta] = []
        while self.deltas:
            delta = self.deltas.pop(0)
            i, j = delta.i, delta.j
            if i == j or self.extent[i] == 1:
                continue
            if i in self.out and j in self.out:
                first, second = sorted((i, j), key=self.out.index)
                kept.append(Delta(first, second))
                self.rename(second, first)
            else:
                old, new = (j, i) if i in self.out else (i, j)
                self.unmentioned.discard(old)
                self.rename(old, new)
                kept = [d.rename({old: new}) for d in kept]
        self.deltas = list(dict.fromkeys(kept))

    def rename(self, old: Letter, new: Letter) -> None:
        table = {old: new}
        self.deltas = [d.rename(table) for d in self.deltas]
        self.vals = [v.rename(table) for v in self.vals]
        self.masks = [m.rename(table) for m in self.masks]
        self.maps = [m.rename(table) for m in self.maps]
        self.ties = [t.rename(table) for t in self.ties]

    # --- 3: maps -----------------------------------------------------------------------------

    def apply_maps(self) -> None:
        while self.maps:
            choice = next((c for m in self.maps if (c := self.applicable(m)) is not None), None)
            if choice is None:
                self.write_out(self.maps.pop(0))
            else:
                self.apply(*choice)

    def applicable(self, map_: Map) -> tuple[Map, bool] | None:
        """(map, forward?) when all letters of one side are summed and no other map holds them."""
        if len(set(map_.letters)) < len(map_.letters):
            return None
        elsewhere = {x for m in self.maps if m is not map_ for x in m.letters} | self.kept()
        if elsewhere.isdisjoint(map_.dst):
            return map_, False
        return (map_, True) if elsewhere.isdisjoint(map_.src) else None

    def apply(self, map_: Map, forward: bool) -> None:
        """Multiply everything that depends on the summed side, apply the map."""
        here, there = (map_.src, map_.dst) if forward else (map_.dst, map_.src)
        self.maps.remove(map_)
        if map_.op != "reshape" and not self.kept().isdisjoint(there):
            self.dense.append(map_.op)
        self.clean()
        vals, masks = self.touched(self.summed_with(here), True)
        if not (vals or masks or forward or self.open) and map_.op in ("gather", "slice"):
            # one element: what it is multiplied by moves with it, no factor of zeros and a one
            vals, masks = self.touched(set(there), False)
        self.vals = [v for v in self.vals if v not in vals]
        self.masks = [m for m in self.masks if m not in masks]
        keep = {*here, *there, *self.out, *(x for f in self.factors() for x in f.letters)}
        usual, self.products = self.products, replace(self.products, out=self.before(map_, forward))
        merged = self.combine(vals, masks, keep)
        self.products = usual
        self.unmentioned.difference_update(here)
        if map_.op == "reshape" and merged is not None and self.reshaped(merged, here, there):
            return
        if map_.op in ("gather", "slice", "erase"):
            apply = self.gathered if map_.op == "gather" else self.cut
            self.vals.append(apply(merged, map_, forward))
            return
        batch: Letters = () if merged is None else tuple(x for x in merged.letters if x not in here)
        value = self.extended(merged, (*batch, *here))
        rule = MAPS[map_.op]
        emit = rule.forward if forward else rule.adjoint
        src, dst = self.products.extents(map_.src), self.products.extents(map_.dst)
        result = emit(self.b, value, dict(map_.attrs), map_.operands, src, dst)
        self.vals.append(indexed(result, (*batch, *there)))

    def reshaped(self, val: Val, here: Letters, there: Letters) -> bool:
        """Apply a reshape where its axes lie, if side by side; moving them to the end may be a
        copy."""
        letters = val.letters
        first = letters.index(here[0]) if here[0] in letters else len(letters)
        last = first + len(here)
        if letters[first:last] != here:
            return False
        letters = (*letters[:first], *there, *letters[last:])
        value = self.b.reshape(val.v, shape=self.products.extents(letters))
        self.vals.append(indexed(value, letters))
        return True

    def before(self, map_: Map, forward: bool) -> Letters:
        """The order of axes from which the map leads to that of the result: its axes in place of
        those it makes; of a gather, what is gathered stands in front."""
        here, there = (map_.src, map_.dst) if forward else (map_.dst, map_.src)
        if map_.op == "gather":
            return (*here, *(x for x in self.out if x not in there))
        if len(here) == len(there):
            table = dict(zip(there, here, strict=True))
            return tuple(table.get(x, x) for x in self.out)
        return tuple(y for x in self.out for y in (here if x == there[0] else (x,)))

    def gathered(self, val: Val | None, map_: Map, forward: bool) -> Val:
        """Apply a gather, or its adjoint, to axes where they lie: in the value read from, or in the
        result where that is what is added to. What is gathered has its own axes in front."""
        letters: Letters = () if val is None else val.letters
        if forward:
            whole = (*(x for x in map_.src if x not in letters), *letters)
        else:
            rest = [x for x in letters if x not in map_.dst]
            whole = _sorted((*map_.src, *rest), self.out)
        part = (*map_.dst, *(x for x in whole if x not in map_.src))
        value = self.extended(val, whole if forward else part)
        axes = tuple(whole.index(x) for x in map_.src)
        if forward:
            return indexed(self.b.gather(value, *map_.operands, axes=axes), part)
        zeros = self.b.full(self.products.extents(whole), 0, value.type.dtype)
        added = self.b.scatter_add(zeros, value, *map_.operands, axes=axes)
        return indexed(added, whole)

    def cut(self, val: Val | None, map_: Map, forward: bool) -> Val:
        """Apply a slice, or an erasure, or its adjoint, to axes where they lie: as one of all axes
        of the value, whole along the others."""
        here, there = (map_.src, map_.dst) if forward else (map_.dst, map_.src)
        letters: Letters = () if val is None else val.letters
        letters = (*(x for x in here if x not in letters), *letters)
        if not forward:
            letters = _sorted(letters, self.before(map_, forward))
        table = dict(zip(here, there, strict=True))
        result = tuple(table.get(x, x) for x in letters)
        src, dst = (letters, result) if forward else (result, letters)
        parts = dict(zip(map_.src, dict(map_.attrs)["spec"], strict=True))
        spec = tuple(parts.get(x, full_slice(self.extent[x])) for x in src)
        rule = MAPS[map_.op]
        emit = rule.forward if forward else rule.adjoint
        extents = self.products.extents(src), self.products.extents(dst)
        value = self.extended(val, letters)
        return indexed(emit(self.b, value, {"spec": spec}, (), *extents), result)

    def summed_with(self, here: Letters) -> set[Letter]:
        """`here`, and the letters to sum over that no map holds and that factors tie to it: summed
        before the map is applied, they need not become columns of what it is applied to."""
        held = {x for m in self.maps for x in m.letters} | self.kept()
        factors: list[Val | Mask] = [*self.vals, *self.masks]
        reached, before = set(here), 0
        while len(reached) > before:
            before = len(reached)
            for factor in factors:
                if not reached.isdisjoint(factor.letters):
                    reached.update(x for x in factor.letters if x not in held)
        return reached

    def touched(self, letters: set[Letter], by: bool) -> tuple[list[Val], list[Mask]]:
        """The values and masks that have some of the letters, or none."""
        vals = [v for v in self.vals if letters.isdisjoint(v.letters) != by]
        return vals, [m for m in self.masks if letters.isdisjoint(m.letters) != by]

    def extended(self, val: Val | None, letters: Letters) -> Value:
        """The value with exactly these axes, repeated along letters it does not mention."""
        shape = self.products.extents(letters)
        if val is None:
            coef, self.coef = self.coef, 1.0
            return self.b.full(shape, coef, self.dtype)
        value = lay(self.b, val.v, val.letters, letters)
        return value if value.shape == shape else self.b.broadcast(value, shape=shape)

    def write_out(self, map_: Map) -> None:
        """A map between letters that are both kept has to be written out as a matrix."""
        self.dense.append(map_.op)
        src, dst = self.products.extents(map_.src), self.products.extents(map_.dst)
        size = int(np.prod(src, dtype=int))
        counter = self.b.iota(n=size)
        eye = self.b.eq(self.b.reshape(counter, shape=(size, 1)), counter)
        identity = self.b.reshape(self.b.cast(eye, dtype=self.dtype), shape=(size, *src))
        rule = MAPS[map_.op]
        rows = rule.forward(self.b, identity, dict(map_.attrs), map_.operands, src, dst)
        self.vals.append(indexed(self.b.reshape(rows, shape=src + dst), map_.letters))

    def factors(self) -> list[Factor]:
        return [*self.vals, *self.masks, *self.maps, *self.ties]

    def kept(self) -> set[Letter]:
        """The letters of the result, and those of what will place its axes."""
        return {*self.out, *(x for t in self.ties for x in t.letters)}

    def place(self) -> tuple[Place, ...]:
        """Solve deltas, slices and reshapes together; take the parts of the values they need."""
        letters = {*self.out, *(x for f in self.factors() for x in f.letters), *self.unmentioned}
        extent = {x: self.extent[x] for x in letters}
        system, left = solved([*self.deltas, *self.ties], extent)
        for tie in left:
            self.dense.append(tie.op if isinstance(tie, Map) else "slice")
            self.vals.append(written(self.b, tie, extent, self.dtype))
        self.vals = [moved(self.b, system, v) for v in self.vals]
        parts = [moved(self.b, system, Val(m.v, m.ix)) for m in self.masks]
        self.masks = [Mask(part.v, part.ix) for part in parts]
        found = named(system, self.out, sorted(letters), self.inner)
        self.vals = [v.rename(found.table) for v in self.vals]
        self.masks = [m.rename(found.table) for m in self.masks]
        self.deltas = list(found.deltas)
        self.extent.update(found.extent)
        self.keep.update(x for p in found.places for x in p.letters)
        self.unmentioned = {*found.extent} - self.keep
        return found.places

    # --- 4: masks and products --------------------------------------------------------------------

    def clean(self) -> None:
        """Drop axes of extent 1 and take diagonals, so that letters name axes one to one."""
        self.vals = [Val(v, ix) for v, ix in map(self.plain, self.vals)]
        self.masks = [Mask(v, ix) for v, ix in map(self.plain, self.masks)]

    def plain(self, factor: Val | Mask) -> tuple[Value, Letters]:
        value, letters = factor.v, factor.letters
        if len(letters) < value.type.rank:
            shape = tuple(n for n, x in zip(value.shape, factor.ix, strict=True) if x is not None)
            value = self.b.reshape(value, shape=shape)
        for letter in [x for k, x in enumerate(letters) if x in letters[:k]]:
            value, letters = diagonal(self.b, value, letters, letter)
        return value, letters

    def factored(self) -> tuple[Val, ...]:
        """The values summed over the letters that are not kept, and multiplied where that makes
        none larger: what has letters of its own may meet a cheaper partner later."""
        held = {x for m in self.masks for x in m.letters}
        if not held <= self.keep:
            return self.combined(self.vals, self.masks)
        self.unmentioned -= {x for v in self.vals for x in v.letters}
        vals = self.products.factors(self.vals, self.keep)
        chosen = [_smallest(vals, mask) for mask in self.masks]
        if any(k is None for k in chosen):
            return self.combined(vals, self.masks)
        of_each = [
            [m for m, c in zip(self.masks, chosen, strict=True) if c == k] for k in range(len(vals))
        ]
        return tuple(self.products.select(v, ms) for v, ms in zip(vals, of_each, strict=True))

    def combined(self, vals: Sequence[Val], masks: Sequence[Mask]) -> tuple[Val, ...]:
        value = self.combine(list(vals), list(masks), self.keep)
        return () if value is None else (value,)

    def combine(self, vals: list[Val], masks: list[Mask], keep: set[Letter]) -> Val | None:
        """The product of the factors summed over every letter outside `keep`; None for 1."""
        self.unmentioned -= {x for v in vals for x in v.letters}
        self.unmentioned -= {x for m in masks for x in m.letters}
        if not masks:
            return self.products.product(vals, keep)
        held = {x for m in masks for x in m.letters}
        if not held <= keep and self.mixes(vals):
            vals, masks = self.mask_early(vals, masks)
            held = {x for m in masks for x in m.letters}
        product = self.products.product(vals, keep | held)
        selected = self.products.select(product, masks)
        return self.products.product([selected], keep)

    def mixes(self, vals: Sequence[Val]) -> bool:
        """Whether the product of the values is larger than each of them: a true contraction."""
        every = {x for v in vals for x in v.letters}
        return all(set(v.letters) != every for v in vals)

    def mask_early(self, vals: list[Val], masks: list[Mask]) -> tuple[list[Val], list[Mask]]:
        """Apply each mask to the smallest value that has its letters, so that a contraction
        stays one; exact as long as the other factors are finite."""
        left: list[Mask] = []
        for mask in masks:
            fitting = [v for v in vals if set(mask.letters) <= set(v.letters)]
            if not fitting:
                left.append(mask)
                continue
            target = min(fitting, key=lambda v: len(v.letters))
            vals = [self.products.select(v, [mask]) if v is target else v for v in vals]
        return vals, left


def _sorted(letters: Letters, order: Letters) -> Letters:
    """The letters in that order, any others last."""
    where = {x: k for k, x in enumerate(order)}
    return tuple(sorted(letters, key=lambda x: where.get(x, len(order))))


def _smallest(vals: Sequence[Val], mask: Mask) -> int | None:
    """Which value has all letters of the mask and the fewest others."""
    fitting = (k for k, v in enumerate(vals) if set(mask.letters) <= set(v.letters))
    return min(fitting, key=lambda k: len(vals[k].letters), default=None)
