"""Local Jacobians as index expressions: sums of terms, each a coefficient times factors.

The Jacobian of a result z with respect to an operand has the shape of the operand followed by
the shape of z (denominator layout). Almost all of its elements are zero, and *where* they are is
known: an expression such as

    [a,b;i] = I[a,i] %x[b]            (z = W @ x, with respect to W)

says it with index letters. The letters before `;` name the operand's axes, those after it the
result's, a letter that appears only on the right is summed. Factors:

- `Delta(i, j)`            1 where i == j, else a structural zero;
- `Val(v, ix)`             an element of a tensor; `None` in `ix` marks an axis of extent 1;
- `Mask(v, ix)`            a Boolean that *selects*: where it is false there is a structural zero;
- `Map(op, attrs, operands, src, dst)`   a 0/1 or otherwise linear map between the axes `src` and
                           `dst`, known by its forward and its adjoint (`ir/maps.py`), acting as
                           the identity on all other letters;
- `Place(axis, start, steps)`   `axis` is an affine function of other letters, in open Jacobians.

A structural zero annihilates even inf and NaN; a numeric 0.0 does not.

Two layers use the same factors. While a rule builds terms, `v` is a graph `Value` and letters are
fresh integers from `Axes`. Stored on a `jacobian` node, the terms form a `Form`: `v` is the
position of the value among the node's operands, and letters are numbered canonically.

The algebra without masks and maps is that of Laue, Mitterreiter and Giesen, "Computing Higher
Order Derivatives of Matrix and Tensor Expressions", NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .record import dataclass
from .types import Type

if TYPE_CHECKING:
    from .graph import Value

Letter = int
Ref = Any  # a graph Value while building, an operand position in a stored Form


@dataclass(frozen=True, slots=True)
class Delta:
    """Kronecker delta of two letters of equal extent."""

    i: Letter
    j: Letter

    @property
    def letters(self) -> tuple[Letter, ...]:
        return (self.i, self.j)

    def rename(self, table: Mapping[Letter, Letter]) -> Delta:
        return Delta(table.get(self.i, self.i), table.get(self.j, self.j))


@dataclass(frozen=True, slots=True)
class Val:
    """The element `v[ix]`; `None` stands for index 0 of an axis of extent 1."""

    v: Ref
    ix: tuple[Letter | None, ...]

    @property
    def letters(self) -> tuple[Letter, ...]:
        return tuple(x for x in self.ix if x is not None)

    def rename(self, table: Mapping[Letter, Letter]) -> Val:
        return Val(self.v, tuple(None if x is None else table.get(x, x) for x in self.ix))


@dataclass(frozen=True, slots=True)
class Mask:
    """Selects where the Boolean `v[ix]` holds; elsewhere the term is a structural zero."""

    v: Ref
    ix: tuple[Letter | None, ...]

    @property
    def letters(self) -> tuple[Letter, ...]:
        return tuple(x for x in self.ix if x is not None)

    def rename(self, table: Mapping[Letter, Letter]) -> Mask:
        return Mask(self.v, tuple(None if x is None else table.get(x, x) for x in self.ix))


@dataclass(frozen=True, slots=True)
class Map:
    """A linear map M[src, dst] named by an op, e.g. `slice(2:8:2)[a;i]`.

    `attrs` is a tuple of (name, value) pairs so that it hashes; `operands` are further values
    (the indices of a gather). See `ir/maps.py` for what each name means.
    """

    op: str
    attrs: tuple[tuple[str, Any], ...]
    operands: tuple[Ref, ...]
    src: tuple[Letter, ...]
    dst: tuple[Letter, ...]

    @property
    def letters(self) -> tuple[Letter, ...]:
        return self.src + self.dst

    def rename(self, table: Mapping[Letter, Letter]) -> Map:
        return replace(
            self,
            src=tuple(table.get(x, x) for x in self.src),
            dst=tuple(table.get(x, x) for x in self.dst),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """1 where the index `axis` is start + the sum of step * index over `steps`, a triple (letter,
    step, extent) each: a part of an axis, reversed or cut into several.

    What is left of slices, reshapes and deltas together in an open Jacobian; rules do not build it.
    """

    axis: Letter
    start: int
    steps: tuple[tuple[Letter, int, int], ...] = ()

    @property
    def letters(self) -> tuple[Letter, ...]:
        return (self.axis, *(x for x, _, _ in self.steps))

    def rename(self, table: Mapping[Letter, Letter]) -> Place:
        steps = tuple((table.get(x, x), step, n) for x, step, n in self.steps)
        return Place(table.get(self.axis, self.axis), self.start, steps)


Factor = Delta | Val | Mask | Map | Place


@dataclass(frozen=True, slots=True)
class Term:
    """coef * product of the factors, summed over every letter that no header names."""

    coef: float
    factors: tuple[Factor, ...] = ()

    @property
    def letters(self) -> Iterator[Letter]:
        for factor in self.factors:
            yield from factor.letters

    def rename(self, table: Mapping[Letter, Letter]) -> Term:
        return Term(self.coef, tuple(f.rename(table) for f in self.factors))


class Axes:
    """The letters of one Jacobian while a rule builds it: `a` for the operand, `z` for the
    result, and `fresh` ones to sum over. Extents are kept in `extent`."""

    def __init__(self, wrt: Type, result: Type) -> None:
        self.extent: dict[Letter, int] = {}
        self.a = tuple(self.fresh(n) for n in wrt.shape)
        self.z = tuple(self.fresh(n) for n in result.shape)

    def fresh(self, extent: int) -> Letter:
        """A new letter of the given extent."""
        letter = len(self.extent)
        self.extent[letter] = extent
        return letter

    def deltas(self, pairs: Sequence[tuple[Letter, Letter]]) -> tuple[Delta, ...]:
        """Deltas for the pairs, without those of extent 1, which carry no information."""
        return tuple(Delta(i, j) for i, j in pairs if self.extent[i] != 1)

    def val(self, value: Value, letters: Sequence[Letter]) -> Val:
        """The element of `value` at `letters`, one per axis; extent-1 axes become None."""
        return indexed(value, letters)

    def mask(self, value: Value, letters: Sequence[Letter]) -> Mask:
        """Like `val`, as a selection."""
        return Mask(value, indexed(value, letters).ix)


def indexed(value: Value, letters: Sequence[Letter]) -> Val:
    """`value[letters]`, one letter per axis, with None on axes of extent 1."""
    return Val(value, _squeezed(value, letters))


def _squeezed(value: Value, letters: Sequence[Letter]) -> tuple[Letter | None, ...]:
    if len(letters) != value.type.rank:
        raise ValueError(f"{value!r} has rank {value.type.rank}, got {len(letters)} letters")
    return tuple(None if n == 1 else letter for letter, n in zip(letters, value.shape, strict=True))


@dataclass(frozen=True, slots=True)
class Form:
    """A stored Jacobian: canonical letters 0.. for the operand's axes, then the result's axes,
    then the summed ones; `extents[letter]`; value references are operand positions."""

    rank_a: int
    rank_z: int
    extents: tuple[int, ...]
    terms: tuple[Term, ...]

    @property
    def a(self) -> tuple[Letter, ...]:
        return tuple(range(self.rank_a))

    @property
    def z(self) -> tuple[Letter, ...]:
        return tuple(range(self.rank_a, self.rank_a + self.rank_z))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.extents[: self.rank_a + self.rank_z]

    def names(self) -> tuple[str, ...]:
        """A printable name for each letter: a.. for the operand, i.. for the result, s.. summed."""
        summed = len(self.extents) - self.rank_a - self.rank_z
        return (
            _series("abcdefgh", self.rank_a)
            + _series("ijklmnop", self.rank_z)
            + _series("stuvwxyz", summed)
        )


@dataclass(frozen=True, slots=True)
class DenseJacobian:
    """A Jacobian written out: `values` of shape(operand) + shape(result), and `support`, false at
    the structural zeros (which annihilate even inf and NaN)."""

    values: np.ndarray
    support: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


def _series(alphabet: str, count: int) -> tuple[str, ...]:
    n = len(alphabet)
    return tuple(alphabet[k % n] + (str(k // n) if k >= n else "") for k in range(count))


def map_refs(term: Term, table: Callable[[Ref], Ref]) -> Term:
    """The term with every value reference v replaced by table(v)."""
    return Term(term.coef, tuple(_map_factor(f, table) for f in term.factors))


def _map_factor(factor: Factor, table: Callable[[Ref], Ref]) -> Factor:
    match factor:
        case Val() | Mask():
            return replace(factor, v=table(factor.v))
        case Map():
            return replace(factor, operands=tuple(table(v) for v in factor.operands))
    return factor


def refs(term: Term) -> Iterator[Ref]:
    """The value references of a term, in order of appearance."""
    for factor in term.factors:
        match factor:
            case Val() | Mask():
                yield factor.v
            case Map():
                yield from factor.operands


def canonical(axes: Axes, terms: Sequence[Term]) -> tuple[Form, tuple[Value, ...]]:
    """Close a rule's terms into a `Form` and the values it refers to, in order of appearance.

    Positions in the form count from 2: a `jacobian` node's operands are (result, wrt, *values).
    Normal form: no delta holds a summed letter, and equal terms are added up (`x * x` has the one
    term 2 I[a,i] %x[i]).
    """
    terms = _collected([_without_summed_deltas(t, axes) for t in terms])
    values = list(dict.fromkeys(v for term in terms for v in refs(term)))
    position = {v: k + 2 for k, v in enumerate(values)}
    headers = (*axes.a, *axes.z)
    table = {letter: k for k, letter in enumerate(headers)}
    for term in terms:
        for letter in term.letters:
            table.setdefault(letter, len(table))
    extents = tuple(axes.extent[letter] for letter in table)
    stored = tuple(map_refs(t.rename(table), position.__getitem__) for t in terms)
    return Form(len(axes.a), len(axes.z), extents, stored), tuple(values)


def _without_summed_deltas(term: Term, axes: Axes) -> Term:
    """Substitute every summed letter that a delta ties to another, result letters first."""
    order = {letter: k for k, letter in enumerate((*axes.z, *axes.a))}
    while True:
        ties = [f for f in term.factors if isinstance(f, Delta)]
        loose = [d for d in ties if d.i not in order or d.j not in order]
        if not loose:
            return term
        delta = min(loose, key=lambda d: min(order.get(x, len(order)) for x in d.letters))
        kept, gone = sorted(delta.letters, key=lambda x: order.get(x, len(order)))
        rest = tuple(f for f in term.factors if f is not delta)
        renamed = Term(term.coef, rest).rename({gone: kept})
        term = Term(renamed.coef, tuple(f for f in renamed.factors if not _trivial(f)))


def _trivial(factor: Factor) -> bool:
    return isinstance(factor, Delta) and factor.i == factor.j


def _collected(terms: Sequence[Term]) -> list[Term]:
    coefs: dict[tuple[Factor, ...], float] = {}
    for term in terms:
        coefs[term.factors] = coefs.get(term.factors, 0.0) + term.coef
    return [Term(coef, factors) for factors, coef in coefs.items()]
