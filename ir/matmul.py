"""Which contractions are matrix products, and of what.

    nbcd,ab->nacd       for n: C[n][a, cd] = B[a, b] A[n][b, cd]        a convolution
    nad,nbd->ab         for n: C[a, b] += A[n][a, d] B[n][b, d]^T       its weights' gradient

A letter that stands first in every place that has it may become a loop around the product: one
step along an operand that has it, none along one that lacks it. Where the result lacks it the
products add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from .dotspec import DotSpec

SMALL: Final = 4096
"""A product with fewer multiplications than this costs a BLAS more to start than to do."""

MAX_SMALL: Final = 64
"""Most products of fewer multiplications that one contraction may become."""


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
    the operands, for a result stored transposed."""

    m: int
    n: int
    k: int
    ta: bool
    tb: bool
    swap: bool
    loops: tuple[Loop, ...] = ()

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
    places = tuple("".join(c for c in letters if extents[c] != 1) for letters in spec)
    loops: list[Loop] = []
    while (product := _single(DotSpec(*places), extents)) is None:
        letter = _leading(places)
        if letter is None:
            return None
        n = extents[letter]
        steps = (_size(p, extents) // n if letter in p else 0 for p in places)
        _append(loops, Loop(n, *steps))
        places = tuple(letters.removeprefix(letter) for letters in places)
    found = replace(product, loops=tuple(loops))
    shared = all(loop.a and loop.b and loop.c for loop in loops)
    few = found.products <= MAX_SMALL and (shared or found.work >= SMALL // MAX_SMALL)
    return found if few or found.work >= SMALL else None


def _single(spec: DotSpec, extents: Mapping[str, int]) -> Matmul | None:
    """The one product a contraction is without loops."""
    left, right, summed = spec.left, spec.right, spec.summed
    if not summed or spec.out not in (left + right, right + left):
        return None
    ta, tb = spec.lhs != left + summed, spec.rhs != summed + right
    if (ta and spec.lhs != summed + left) or (tb and spec.rhs != right + summed):
        return None
    m, n, k = (_size(letters, extents) for letters in (left, right, summed))
    return Matmul(m, n, k, ta, tb, spec.out != left + right)


def _leading(places: tuple[str, ...]) -> str | None:
    """A letter that stands first wherever it stands, in as many places as possible."""
    firsts = dict.fromkeys(letters[0] for letters in places if letters)
    fitting = [c for c in firsts if all(c not in p or p[0] == c for p in places)]
    return max(fitting, key=lambda c: sum(c in p for p in places), default=None)


def _append(loops: list[Loop], loop: Loop) -> None:
    """Add a loop inside the others, as one with the last where they walk on together."""
    if loops:
        last, n = loops[-1], loop.count
        if (last.a, last.b, last.c) == (n * loop.a, n * loop.b, n * loop.c):
            loops[-1] = Loop(last.count * n, loop.a, loop.b, loop.c)
            return
    loops.append(loop)


def _size(letters: str, extents: Mapping[str, int]) -> int:
    return math.prod(extents[c] for c in letters)
