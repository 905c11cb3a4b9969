"""Linear equations between bounded indices: where slices, reshapes and deltas put an axis.

A slice says big = start + step small, a flip is a step of -1, a reshape says that two mixed-radix
numbers agree (4 i + j = m), a delta that two indices do. All of them together are a system of
equations in whole numbers, and its solution writes every index as an affine function of a few free
ones, each with a range of its own:

    a = 2 + 2 s,  a = 3 t        =>   a = 6 + 6 u, s = 2 + 3 u, t = 2 + 2 u
    m = 4 p + q,  m = 4 r + s    =>   p = r, q = s

Two unknowns are solved by the extended Euclidean algorithm; more by comparing digits. A system
whose solutions do not fill a box (a slice that cuts a row of a reshape in two) is `Unaligned`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ...ir.jacobian import Delta, Letter, Map, Place
from ...ir.record import dataclass


class Nowhere(Exception):
    """No index satisfies the equations."""


class Unaligned(Exception):
    """The solutions of the equations do not fill a box."""


@dataclass(frozen=True, slots=True)
class Affine:
    """start + the sum of steps[x] * x."""

    start: int
    steps: Mapping[Letter, int]

    def plus(self, other: Affine, factor: int = 1) -> Affine:
        """self + factor * other."""
        steps = dict(self.steps)
        for x, step in other.steps.items():
            steps[x] = steps.get(x, 0) + factor * step
        found = {x: step for x, step in steps.items() if step}
        return Affine(self.start + factor * other.start, found)


def letter(x: Letter) -> Affine:
    """The index itself."""
    return Affine(0, {x: 1})


def equations(factor: Delta | Map | Place, extent: Mapping[Letter, int]) -> Iterator[Affine]:
    """What is zero where a delta, a slice, a reshape or a place holds."""
    match factor:
        case Delta(i, j):
            yield letter(i).plus(letter(j), -1)
        case Place(axis, start, steps):
            yield letter(axis).plus(Affine(start, {x: step for x, step, _ in steps}), -1)
        case Map("reshape", src=src, dst=dst):
            yield _number(src, extent).plus(_number(dst, extent), -1)
        case Map("slice", src=src, dst=dst):
            for big, small, (start, _, step) in zip(
                src, dst, dict(factor.attrs)["spec"], strict=True
            ):
                yield letter(big).plus(Affine(start, {small: step}), -1)


def _number(digits: tuple[Letter, ...], extent: Mapping[Letter, int]) -> Affine:
    steps, step = {}, 1
    for x in reversed(digits):
        steps[x] = step
        step *= extent[x]
    return Affine(0, steps)


class System:
    """Equations taken in one by one; indices are solved for as they come."""

    def __init__(self, extent: Mapping[Letter, int]) -> None:
        """`extent` has the range of every index, from 0 on."""
        self.extent = dict(extent)
        self.known: dict[Letter, Affine] = {}
        if 0 in self.extent.values():
            raise Nowhere

    def copy(self) -> System:
        """A system of its own that knows the same."""
        system = System(self.extent)
        system.known = dict(self.known)
        return system

    def __getitem__(self, x: Letter) -> Affine:
        """The index in terms of free ones."""
        return self.resolved(letter(x))

    def resolved(self, e: Affine) -> Affine:
        """The expression in terms of free indices of more than one value."""
        found = Affine(e.start, {})
        for x, step in e.steps.items():
            if x in self.known:
                found = found.plus(self.resolved(self.known[x]), step)
            elif self.extent[x] > 1:
                found = found.plus(letter(x), step)
        return found

    def equate(self, zero: Affine) -> None:
        """Take in `zero == 0`; nothing has changed when it raises `Unaligned`."""
        extent, known = dict(self.extent), dict(self.known)
        pending = [zero]
        try:
            while pending:
                pending += self.step(self.resolved(pending.pop()))
        except Unaligned:
            self.extent, self.known = extent, known
            raise

    def step(self, e: Affine) -> list[Affine]:
        """Solve one equation, or break it up into others."""
        low, high = self.bounds(e)
        common = math.gcd(*e.steps.values())
        if low > 0 or high < 0 or (common and e.start % common):
            raise Nowhere
        if not e.steps:
            return []
        e = Affine(e.start // common, {x: step // common for x, step in e.steps.items()})
        if len(e.steps) == 1:
            ((x, step),) = e.steps.items()
            self.known[x] = Affine(-e.start * step, {})
            return []
        if len(e.steps) == 2:
            self.diophantine(e)
            return []
        if self.substitute(e):
            return []
        return self.digits(e) or self.split(e)

    def bounds(self, e: Affine) -> tuple[int, int]:
        """The least and the greatest value."""
        reach = [step * (self.extent[x] - 1) for x, step in e.steps.items()]
        return (
            e.start + sum(r for r in reach if r < 0),
            e.start + sum(r for r in reach if r > 0),
        )

    def diophantine(self, e: Affine) -> None:
        """p x + q y + c = 0 with p, q coprime: x = x0 + |q| u and y = y0 -+ p u."""
        (x, p), (y, q) = e.steps.items()
        x0 = -e.start * pow(p, -1, abs(q)) % abs(q)
        y0, dy = -(e.start + p * x0) // q, -p if q > 0 else p
        spans = [_span(x0, abs(q), self.extent[x]), _span(y0, dy, self.extent[y])]
        low, high = max(s[0] for s in spans), min(s[1] for s in spans)
        if low > high:
            raise Nowhere
        u = self.fresh(high - low + 1)
        self.known[x] = Affine(x0 + abs(q) * low, {u: abs(q)})
        self.known[y] = Affine(y0 + dy * low, {u: dy})

    def substitute(self, e: Affine) -> bool:
        """Solve for an index that has room for all the others can come to."""
        for x, step in e.steps.items():
            if abs(step) == 1:
                value = Affine(0, {}).plus(e, -step).plus(letter(x))
                low, high = self.bounds(value)
                if low >= 0 and high < self.extent[x]:
                    self.known[x] = value
                    return True
        return False

    def digits(self, e: Affine) -> list[Affine]:
        """high + low = 0, where all steps of `high` are multiples of m: `low` must be one too,
        and where it can be only one, there are two equations."""
        for m in sorted({abs(step) for step in e.steps.values()} - {1}, reverse=True):
            high = {x: step for x, step in e.steps.items() if step % m == 0}
            rest = Affine(e.start, {x: s for x, s in e.steps.items() if x not in high})
            least, most = self.bounds(rest)
            first, last = -(-least // m), most // m
            if first > last:
                raise Nowhere
            if first == last and rest.steps:
                return [Affine(rest.start - first * m, rest.steps), Affine(first * m, high)]
        return []

    def split(self, e: Affine) -> list[Affine]:
        """x = k y + z, so that the equation has a digit more."""
        for m in sorted({abs(step) for step in e.steps.values()} - {1}, reverse=True):
            for x, step in e.steps.items():
                k, rest = divmod(m, abs(step))
                if k > 1 and not rest and self.extent[x] > k and self.extent[x] % k == 0:
                    y, z = self.fresh(self.extent[x] // k), self.fresh(k)
                    self.known[x] = Affine(0, {y: k, z: 1})
                    return [e]
        raise Unaligned

    def fresh(self, extent: int) -> Letter:
        """A new index."""
        x = max(self.extent, default=-1) + 1
        self.extent[x] = extent
        return x


def _span(start: int, step: int, n: int) -> tuple[int, int]:
    """The first and last u with 0 <= start + step u < n."""
    if step < 0:
        return -((n - 1 - start) // -step), start // -step
    return -(start // step), (n - 1 - start) // step
