"""Contractions that are no matrix product as they lie become one, of copies with axes in order.

    %y:f64[8,8,8,8] = dot %a, %b [abcd,defa->bcef]
 =>
    %0:f64[8,8,8,8] = transpose %a [perm=(1,2,0,3)]           what is summed last
    %1:f64[8,8,8,8] = transpose %b [perm=(3,0,1,2)]           and first, in one order
    %y:f64[8,8,8,8] = dot %0, %1 [abcd,cdef->abef]

Only where the work is a multiple of what is copied: a loop over all letters multiplies a few
elements at a time, a matrix product a tile of them. Results do not change, except that sums add in
another order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from ..ir.dotspec import DotSpec, canonical_spec, parse_spec
from ..ir.graph import Value
from ..ir.matmul import SMALL_BATCH, as_matmul
from ..ir.ops.dot import letter_extents
from .rewriting.patterns import p, x, y
from .rewriting.rules import RulePass, Site, rule

WORTH: Final = 8
"""Multiplications for each element copied from which on copies pay."""


@rule(p.dot(x, y))
def axes_in_order(site: Site, x: Value, y: Value) -> Value | None:
    """dot(x, y) = transpose(dot(transpose(x), transpose(y))) with the letters permuted likewise.
    Rounds differently."""
    spec = parse_spec(site.node.attrs["spec"])
    extents = letter_extents(str(spec), [x.type, y.type])
    work = math.prod(extents.values())
    if not x.type.is_float or work < SMALL_BATCH or as_matmul(spec, extents) is not None:
        return None
    orders = (new for new in _orders(spec) if as_matmul(new, extents) is not None)
    best = min(orders, key=lambda new: _copied(spec, new, extents), default=None)
    if best is None or _copied(spec, best, extents) * WORTH > work:
        return None
    laid = (_moved(site, *way) for way in zip((x, y), spec[:2], best[:2], strict=True))
    return _moved(site, site.b.dot(*laid, spec=canonical_spec(str(best))), best.out, spec.out)


def _orders(spec: DotSpec) -> Iterator[DotSpec]:
    """The orders of axes that make a matrix product: letters of all three in front, groups of
    letters in an order that one of their places has."""
    batches = _ways(spec.batch, spec.out, spec.lhs, spec.rhs)
    lefts, rights = _ways(spec.left, spec.lhs, spec.out), _ways(spec.right, spec.rhs, spec.out)
    sums = _ways(spec.summed, spec.lhs, spec.rhs)
    if {*spec.lhs, *spec.rhs} > {*spec.batch, *spec.left, *spec.right, *spec.summed}:
        return  # a sum over one operand alone
    for n, m, k, b in product(lefts, rights, sums, batches):
        for lhs, rhs, out in product((n + k, k + n), (k + m, m + k), (n + m, m + n)):
            yield DotSpec(b + lhs, b + rhs, b + out)


def _ways(letters: str, *places: str) -> list[str]:
    return list(dict.fromkeys("".join(c for c in place if c in letters) for place in places))


def _copied(old: DotSpec, new: DotSpec, extents: Mapping[str, int]) -> int:
    """How many elements change their places."""
    pairs = zip(old, new, strict=True)
    return sum(math.prod(extents[c] for c in a) for a, b in pairs if a != b)


def _moved(site: Site, value: Value, old: str, new: str) -> Value:
    """A value with its axes in another order."""
    return value if old == new else site.b.transpose(value, perm=tuple(map(old.index, new)))


order_axes: Final = RulePass("order_axes", (axes_in_order,))
