"""Which contractions are matrix products, and of what.

    nbcd,ab->nacd       for n: C[n][a, cd] = B[a, b] A[n][b, cd]        a convolution
    nad,nbd->ab         for n: C[a, b] += A[n][a, d] B[n][b, d]^T       its weights' gradient
    ahd,bhd->hab        for h: C[h][a, b] = A[a, h][d] B[b, h][d]^T     attention, head by head

A letter that stands first in every place that has it may become a loop around the product: one
step along an operand that has it, none along one that lacks it. Where the result lacks it the
products add up. A letter that all three have may also be a loop where it stands between others,
since the rows of a matrix may lie apart; and so may any letter of the result that no place ends
with:

    ab,cbd->acd         for c: C[a, c][d] = A[a, b] B[c][b, d]              a layer for each of many
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

from .dotspec import DotSpec
from .record import dataclass

SMALL: Final = 512
"""A product of fewer multiplications than this takes longer to start than a loop takes to do it."""

SMALL_BATCH: Final = 4096
"""The same for products in loops, which are started one by one: for all of them together."""

SMALL_EACH: Final = 256
"""Products of fewer multiplications are no better than loops, each with a result of its own, when
there are many."""

MAX_SMALL: Final = 64
"""Most products of fewer multiplications than that which one contraction may become."""


@dataclass(frozen=True, slots=True)
class Loop:
    """`count` products, the operands and the result each so many elements further on."""

    count: int
    a: int
    b: int
    c: int


@dataclass(frozen=True, slots=True)
class Matmul:
    """C[m, n] = op(A) op(B) in row-major storage, once per step of every loop. `swap` exchanges
    the operands, for a result stored transposed. `rows` says how far apart the rows of A, B and C
    are as they are stored; without it they follow one another."""

    m: int
    n: int
    k: int
    ta: bool
    tb: bool
    swap: bool
    loops: tuple[Loop, ...] = ()
    rows: tuple[int, int, int] | None = None

    @property
    def dense(self) -> tuple[int, int, int]:
        """The lengths of the rows of A, B and C."""
        m, n, k = self.m, self.n, self.k
        return (m if self.ta else k), (k if self.tb else n), (m if self.swap else n)

    @property
    def strides(self) -> tuple[int, int, int]:
        """From one row of A, B and C to the next."""
        return self.rows or self.dense

    @property
    def work(self) -> int:
        """Multiplications of one product."""
        return self.m * self.n * self.k

    @property
    def products(self) -> int:
        """How many products there are."""
        return math.prod(loop.count for loop in self.loops)

    @property
    def outer(self) -> tuple[Loop, ...]:
        """The loops whose steps each have a result of their own."""
        return tuple(loop for loop in self.loops if loop.c)

    @property
    def adding(self) -> tuple[Loop, ...]:
        """The loops whose products add up."""
        return tuple(loop for loop in self.loops if not loop.c)

    @property
    def length(self) -> int:
        """How many products each element of the result is the sum of."""
        return self.k * math.prod(loop.count for loop in self.adding)


def as_matmul(spec: DotSpec, extents: Mapping[str, int]) -> Matmul | None:
    """The matrix product a contraction is, or None, as for one that multiplies nothing. Letters of
    extent 1 do not matter."""
    if 0 in extents.values():
        return None
    found = _looped(tuple(_place(letters, extents) for letters in spec), extents, {})
    if found is None:
        return None
    shared = all(loop.a and loop.b and loop.c for loop in found.loops)
    few = found.products <= MAX_SMALL and (shared or found.work >= SMALL_BATCH // MAX_SMALL)
    return found if few or found.work >= (SMALL_BATCH if found.adding else SMALL_EACH) else None


Place = dict[str, int]
"""The letters of an operand or of the result, in order, and the steps along them in memory."""

Known = dict[tuple[str, ...], Matmul | None]
"""The products found before, by the letters that are left of the places."""


def _place(letters: str, extents: Mapping[str, int]) -> Place:
    kept = [c for c in letters if extents[c] != 1]
    return {c: _size(kept[k + 1 :], extents) for k, c in enumerate(kept)}


def _single(places: tuple[Place, ...], extents: Mapping[str, int]) -> Matmul | None:
    """The one product a contraction is without loops."""
    lhs, rhs, out = ("".join(place) for place in places)
    spec = DotSpec(lhs, rhs, out)
    left, right, summed = spec.left, spec.right, spec.summed
    if not summed or out not in (left + right, right + left):
        return None
    ta, tb, swap = lhs != left + summed, rhs != summed + right, out != left + right
    pairs = [(left, summed), (summed, right), (left, right)]
    steps = []
    for (first, second), flip, place in zip(pairs, (ta, tb, swap), places, strict=True):
        step = _row_step(place, *((second, first) if flip else (first, second)), extents)
        if step is None:
            return None
        steps.append(step)
    m, n, k = (_size(letters, extents) for letters in (left, right, summed))
    product, (a, b, c) = Matmul(m, n, k, ta, tb, swap), steps
    return product if (a, b, c) == product.dense else replace(product, rows=(a, b, c))


def _row_step(place: Place, rows: str, columns: str, extents: Mapping[str, int]) -> int | None:
    """From one row to the next, if the letters of the rows and those of the columns are each one
    axis in memory, and columns follow one another."""
    letters = rows + columns
    if not letters:
        return 1
    if "".join(place) != letters or place[letters[-1]] != 1:
        return None
    joined = (pair for group in (rows, columns) for pair in pairwise(group))
    if any(place[c] != place[d] * extents[d] for c, d in joined):
        return None
    return place[rows[-1]] if rows else _size(columns, extents)


def _looped(places: tuple[Place, ...], extents: Mapping[str, int], known: Known) -> Matmul | None:
    """The product with loops around it: the fewest products, of several ways the first. Of the
    orders in which letters may become loops none is tried again: they are more than can be."""
    left = tuple("".join(place) for place in places)
    if left not in known:
        known[left] = _single(places, extents) or _in_loops(places, extents, known)
    return known[left]


def _in_loops(places: tuple[Place, ...], extents: Mapping[str, int], known: Known) -> Matmul | None:
    """The same where it takes a loop."""
    letters = dict.fromkeys(filter(None, (_leading(places), _shared(places), *_inner(places))))
    found = (_around_letter(letter, places, extents, known) for letter in letters)
    ways = [way for way in found if way is not None]
    return min(ways, key=lambda way: way.products, default=None)


def _around_letter(
    letter: str, places: tuple[Place, ...], extents: Mapping[str, int], known: Known
) -> Matmul | None:
    """The product with a loop along that letter around it."""
    loop = Loop(extents[letter], *(place.get(letter, 0) for place in places))
    rest = tuple({c: n for c, n in place.items() if c != letter} for place in places)
    inner = _looped(rest, extents, known)
    return None if inner is None else replace(inner, loops=_around(loop, inner.loops))


def _leading(places: tuple[Place, ...]) -> str | None:
    """A letter that stands first wherever it stands, in as many places as possible. The last
    letter that is summed stays: without it nothing is left of a product."""
    firsts = dict.fromkeys(next(iter(place)) for place in places if place)
    fitting = [c for c in firsts if all(c not in p or next(iter(p)) == c for p in places)]
    summed = (places[0].keys() & places[1].keys()) - places[2].keys()
    fitting = [c for c in fitting if summed - {c}]
    return max(fitting, key=lambda c: sum(c in p for p in places), default=None)


def _shared(places: tuple[Place, ...]) -> str | None:
    """A letter that all places have, and none at its end: rows stay rows."""
    return next((c for c in places[2] if all(p.get(c, 1) != 1 for p in places)), None)


def _inner(places: tuple[Place, ...]) -> list[str]:
    """The letters of the result that no place ends with."""
    return [c for c in places[2] if all(p.get(c, 0) != 1 for p in places)]


def _around(loop: Loop, loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
    """A loop around others, as one with the first where they walk on together."""
    if loops:
        first, n = loops[0], loops[0].count
        if (loop.a, loop.b, loop.c) == (n * first.a, n * first.b, n * first.c):
            return (replace(first, count=loop.count * n), *loops[1:])
    return (loop, *loops)


def _size(letters: Iterable[str], extents: Mapping[str, int]) -> int:
    return math.prod(extents[c] for c in letters)
