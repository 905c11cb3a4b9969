"""Jacobians and Hessians that keep their structure: sums of Kronecker deltas times small tensors.

    >>> H = tl.hessian(lambda U: np.sum((T - U @ V.T) ** 2), structured=True)(U)
    >>> H.structure
    '[a,b;c,d] = I[a,c] v0[b,d]'

The Hessian of a factorisation with U of 300 x 10 has 9,000,000 elements; stored are the 100 of v0.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.dense import spread
from ..ir.errors import ShapeError
from ..ir.jacobian import Delta, Form, Term
from ..ir.types import Type
from ..passes.algebra.eliminate import Reduced
from .zeros import nonzeros

Array = NDArray[Any]


@dataclass(frozen=True)
class StructuredTerm:
    """values[axes] * product of deltas: `axes` are the axes of the whole that the values run
    along, a delta a pair of axes along which everything off the diagonal is zero."""

    deltas: tuple[tuple[int, int], ...]
    axes: tuple[int, ...]
    values: Array


class StructuredJacobian:
    """A Jacobian of shape(out) + shape(in) (of a Hessian: shape(in) twice) as a sum of terms.

    shape, dtype    of the dense tensor
    terms           the `StructuredTerm`s it is the sum of
    structure       the same as text, in index notation: letters before `;` are axes of the
                    result, those after it axes of the argument, `I` is the Kronecker delta
    nnz             how many elements are not structurally zero
    nbytes          memory of what is stored
    """

    __array_ufunc__ = None  # so that `array @ jacobian` comes to __rmatmul__

    def __init__(
        self, shape: tuple[int, ...], rank: int, dtype: np.dtype, terms: Sequence[StructuredTerm]
    ) -> None:
        """`rank` is the number of axes of the result, the rest are the argument's."""
        self.shape = shape
        self.dtype = dtype
        self.terms = tuple(terms)
        self._rank = rank

    @property
    def structure(self) -> str:
        names = string.ascii_lowercase
        axes = [names[k] for k in range(len(self.shape))]
        header = f"[{','.join(axes[: self._rank])};{','.join(axes[self._rank :])}]"
        products = []
        for k, term in enumerate(self.terms):
            value = f"v{k}[{','.join(axes[x] for x in term.axes)}]"
            products.append(" ".join([*(f"I[{axes[i]},{axes[j]}]" for i, j in term.deltas), value]))
        return f"{header} = {' + '.join(products) or '0'}"

    @property
    def nnz(self) -> int:
        terms = tuple(Term(1.0, tuple(Delta(i, j) for i, j in term.deltas)) for term in self.terms)
        return nonzeros(Form(self._rank, len(self.shape) - self._rank, self.shape, terms))

    @property
    def nbytes(self) -> int:
        return sum(term.values.nbytes for term in self.terms)

    def dense(self) -> Array:
        """The whole tensor, zeros and all."""
        total = np.zeros(self.shape, self.dtype)
        letters = tuple(range(len(self.shape)))
        for term in self.terms:
            total += _embedded(term.values, term.axes, letters, term.deltas, self.shape)
        return total

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.dense(), dtype)

    def __matmul__(self, tangent: Any) -> Array:
        """The derivative along `tangent`, of the argument's shape: of the result's shape."""
        return self._applied(tangent, range(self._rank, len(self.shape)), "J @ v")

    def __rmatmul__(self, cotangent: Any) -> Array:
        """`cotangent` of the result's shape pulled back: of the argument's shape."""
        return self._applied(cotangent, range(self._rank), "v @ J")

    def _applied(self, vector: Any, summed: range, what: str) -> Array:
        """Sum over the axes `summed` against `vector`, term by term, deltas substituted."""
        x = np.asarray(vector)
        expected = tuple(self.shape[k] for k in summed)
        if x.shape != expected:
            raise ShapeError(f"{what}: v must have shape {expected}, it has {x.shape}")
        kept = tuple(k for k in range(len(self.shape)) if k not in summed)
        shape = tuple(self.shape[k] for k in kept)
        total = np.zeros(shape, np.result_type(self.dtype, x.dtype))
        for term in self.terms:
            letter = _merged(len(self.shape), term.deltas, kept)
            axes = [letter[k] for k in term.axes]
            against = [letter[k] for k in summed]
            out = [k for k in dict.fromkeys(letter[k] for k in kept) if k in (*axes, *against)]
            product: Any = np.einsum(x, against, term.values, axes, out)
            ties = tuple((letter[k], k) for k in kept if letter[k] != k)
            total += _embedded(product, out, kept, ties, shape)
        return total

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        return f"<{shape} {self.dtype}, {self.nnz:,} non-zero, {self.structure}>"


def _merged(
    rank: int, deltas: Sequence[tuple[int, int]], preferred: Sequence[int]
) -> dict[int, int]:
    """A letter for every axis, one for axes that deltas tie, taken from `preferred` if it can."""
    letter = {k: k for k in range(rank)}
    for i, j in deltas:
        old, new = sorted((letter[i], letter[j]), key=lambda k: (k in preferred, -k))
        letter = {k: new if x == old else x for k, x in letter.items()}
    return letter


def _embedded(
    values: Array,
    axes: Sequence[int],
    letters: Sequence[int],
    deltas: Sequence[tuple[int, int]],
    shape: tuple[int, ...],
) -> Array:
    """`values` along the axes named `axes` of a tensor whose axes are named `letters`, zero off
    the diagonals of `deltas`."""
    place = {letter: k for k, letter in enumerate(letters)}
    laid = np.broadcast_to(spread(values, [place[k] for k in axes], shape), shape)
    for i, j in deltas:
        eye = np.eye(shape[place[i]], dtype=bool)
        laid = np.where(spread(eye, (place[i], place[j]), shape), laid, 0)
    return laid


def structured_jacobian(
    whole: Type, rank: int, terms: Sequence[Reduced], values: Iterator[Any]
) -> StructuredJacobian:
    """From the terms of the pass `jacobian-free` and the computed values of those that have one."""
    found = [_term(t, values, whole.dtype) for t in terms]
    return StructuredJacobian(whole.shape, rank, whole.dtype, found)


def _term(term: Reduced, values: Iterator[Any], dtype: np.dtype) -> StructuredTerm:
    value = np.ones((), dtype) if term.value is None else next(values)
    scaled = value if term.coef == 1.0 else (term.coef * value).astype(dtype)
    order = sorted(range(len(term.letters)), key=term.letters.__getitem__)
    axes = tuple(term.letters[k] for k in order)
    return StructuredTerm(tuple((d.i, d.j) for d in term.deltas), axes, scaled.transpose(order))
