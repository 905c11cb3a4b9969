"""What is left of a term: a coefficient, values, and what ties the axes of the result together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from ...ir.jacobian import Delta, Factor, Letter, Place, Val
from ...ir.record import dataclass
from .products import Letters, Products


@dataclass(frozen=True)
class Reduced:
    """coef * product of values * product of deltas and places; no value stands for 1.

    Deltas tie letters of the result. A place ties one to letters of others, or to inner letters,
    which are no axis of the result but part of one; values have letters of both kinds. Several
    values only of an open expression.
    """

    coef: float
    deltas: tuple[Delta, ...]
    vals: tuple[Val, ...]
    places: tuple[Place, ...] = ()

    @property
    def letters(self) -> Letters:
        """The letters of the values, each once."""
        return tuple(dict.fromkeys(x for v in self.vals for x in v.letters))

    @property
    def ties(self) -> tuple[Delta | Place, ...]:
        """What makes structural zeros."""
        return (*self.deltas, *self.places)

    @property
    def extents(self) -> dict[Letter, int]:
        """The extent of every letter that a place names besides its axis."""
        return {x: n for place in self.places for x, _, n in place.steps}

    @property
    def pattern(self) -> tuple[frozenset[Factor], frozenset[Letter]]:
        """What terms that can be added up have in common."""
        return frozenset(self.ties), frozenset(self.letters)

    def rename(self, table: Mapping[Letter, Letter]) -> Reduced:
        """The term under other letters."""
        return replace(
            self,
            deltas=tuple(d.rename(table) for d in self.deltas),
            vals=tuple(v.rename(table) for v in self.vals),
            places=tuple(p.rename(table) for p in self.places),
        )

    def numbered(self, out: Letters) -> Reduced:
        """The term with the letters `out` numbered from 0 and the inner ones after them."""
        return self.rename({x: k for k, x in enumerate(dict.fromkeys((*out, *self.extents)))})


def merged(products: Products, terms: Sequence[Reduced]) -> list[Reduced]:
    """Add up terms of equal pattern: otherwise a chain of n softmaxes has 2**n."""
    groups: dict[Hashable, list[Reduced]] = {}
    for term in terms:
        groups.setdefault(term.pattern, []).append(term)
    return [g[0] if len(g) == 1 else _sum(products, g) for g in groups.values()]


def _sum(products: Products, group: Sequence[Reduced]) -> Reduced:
    """One term for several of equal pattern: x y + x z = x (y + z), what differs multiplied out."""
    products = replace(products, extent={**products.extent, **group[0].extents})
    common = tuple(v for v in group[0].vals if all(v in term.vals for term in group))
    rests = [tuple(v for v in term.vals if v not in common) for term in group]
    if len({frozenset(x for v in rest for x in v.letters) for rest in rests}) > 1:
        common, rests = (), [term.vals for term in group]
    total: Val | None = None
    for term, rest in zip(group, rests, strict=True):
        product = products.product(rest, set(term.letters))
        total = products.added(total, product, term.coef)
    assert total is not None
    vals = products.factors((*common, total), {*group[0].letters})
    return replace(group[0], coef=1.0, vals=tuple(vals))
