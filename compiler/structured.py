"""Jacobians and Hessians that keep their structure: sums of Kronecker deltas times small tensors.

    >>> H = tl.hessian(lambda U: np.sum((T - U @ V.T) ** 2), structured=True)(U)
    >>> H.structure
    '[a,b;c,d] = I[a,c] v0[b,d]'

The Hessian of a factorisation with U of 300 x 10 has 9,000,000 elements; stored are the 100 of v0.
Inside a compiled step the values are traced arrays, everything else is known while tracing.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..ir.builder import Builder
from ..ir.errors import ShapeError, TraceError
from ..ir.graph import Graph, Value
from ..ir.jacobian import Delta, Form, Map, Term, Val, indexed
from ..ir.text import format_map
from ..ir.types import Type
from ..passes.algebra.eliminate import Reduced, eliminate, materialise
from ..passes.algebra.expression import Expression
from ..passes.jacobian_free import Forced
from ..runtime.interpreter import interpret
from . import tree
from .tracing.handle import Handle
from .tracing.promotion import as_array
from .tracing.recorder import active
from .zeros import nonzeros

Array = NDArray[Any]
Emit = Callable[[Builder, Sequence[Value]], Value]


class StructuredFactor(NamedTuple):
    """An array and the axes of the whole that its axes are."""

    axes: tuple[int, ...]
    values: Array


@dataclass(frozen=True)
class StructuredTerm:
    """A product of deltas, maps and arrays.

    deltas      pairs of axes of the whole along which everything off the diagonal is zero
    factors     the arrays, each with the axes it runs along; two of them make an outer product
    maps        `slice(0:3)[a;s]` ties an axis to another along a part of it
    inner       extents of axes that only this term has, numbered from the rank of the whole on,
                and that are summed over
    """

    deltas: tuple[tuple[int, int], ...]
    factors: tuple[StructuredFactor, ...]
    maps: tuple[Map, ...] = ()
    inner: tuple[int, ...] = ()

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes `values` runs along, in order."""
        return tuple(sorted({k for factor in self.factors for k in factor.axes}))

    @property
    def values(self) -> Array:
        """The product of the factors over `axes`."""
        if len(self.factors) == 1:
            return self.factors[0].values
        operands: list[Any] = [x for f in self.factors for x in (f.values, f.axes)]
        product: Array = np.einsum(*operands, self.axes)
        return product

    @property
    def ties(self) -> tuple[Delta | Map, ...]:
        """What makes structural zeros, as the algebra has it."""
        return (*(Delta(i, j) for i, j in self.deltas), *self.maps)

    def reduced(self, values: Sequence[Value]) -> Reduced:
        """The term as the algebra has it, with these values in the factors."""
        vals = (indexed(v, f.axes) for v, f in zip(values, self.factors, strict=True))
        deltas = tuple(Delta(i, j) for i, j in self.deltas)
        return Reduced(1.0, deltas, tuple(vals), self.maps, self.inner)


class StructuredJacobian(tree.Container):
    """A Jacobian of shape(out) + shape(in) (of a Hessian: shape(in) twice) as a sum of terms.

    shape, dtype    of the dense tensor
    terms           the `StructuredTerm`s it is the sum of
    structure       the same as text, in index notation: letters before `;` are axes of the
                    result, those after it axes of the argument, `I` is the Kronecker delta
    nnz             how many elements are not structurally zero
    nbytes          memory of what is stored
    forced          which linear maps without deltas (a slice, gather, cumsum, solve, ..) became
                    dense blocks, and at which line of the user's

    It is a container: the values of the terms are its leaves, in `tl.tree.map` and as arguments
    and results of compiled steps.
    """

    __array_ufunc__ = None  # so that `array @ jacobian` comes to __rmatmul__

    def __init__(
        self,
        shape: tuple[int, ...],
        rank: int,
        dtype: np.dtype,
        terms: Sequence[StructuredTerm],
        forced: Sequence[Forced] = (),
    ) -> None:
        """`rank` is the number of axes of the result, the rest are the argument's."""
        self.shape = shape
        self.dtype = dtype
        self.terms = tuple(terms)
        self.forced = tuple(forced)
        self._rank = rank

    # --- as a container ------------------------------------------------------------------------

    @property
    def tree_static(self) -> tuple[Any, ...]:
        patterns = tuple(
            (t.deltas, tuple(f.axes for f in t.factors), t.maps, t.inner) for t in self.terms
        )
        return self.shape, self._rank, self.dtype, patterns, self.forced

    @property
    def tree_children(self) -> tuple[Array, ...]:
        return tuple(f.values for t in self.terms for f in t.factors)

    @classmethod
    def tree_build(cls, static: Any, children: Sequence[Any]) -> Self:
        shape, rank, dtype, patterns, forced = static
        values = iter(children)
        terms = [
            StructuredTerm(deltas, tuple(StructuredFactor(x, next(values)) for x in axes), *rest)
            for deltas, axes, *rest in patterns
        ]
        return cls(shape, rank, dtype, terms, forced)

    # --- what is known ---------------------------------------------------------------------------

    @property
    def structure(self) -> str:
        header = [",".join(map(_letter, half)) for half in (self._out, self._in)]
        count = itertools.count()
        products = [self._product(term, count) for term in self.terms]
        return f"[{';'.join(header)}] = {' + '.join(products) or '0'}"

    def _product(self, term: StructuredTerm, count: Iterator[int]) -> str:
        letters = {x: _letter(x) for x in range(len(self.shape))}
        letters |= {len(self.shape) + n: _inner_letter(n) for n in range(len(term.inner))}
        ties = [f"I[{letters[i]},{letters[j]}]" for i, j in term.deltas]
        ties += [format_map(m, letters, ()) for m in term.maps]
        values = [f"v{next(count)}[{','.join(letters[x] for x in f.axes)}]" for f in term.factors]
        return " ".join(ties + values)

    @property
    def nnz(self) -> int:
        extents = list(self.shape)
        terms = [Term(1.0, t.ties).rename(self._inner(t, extents)) for t in self.terms]
        rank = len(self.shape)
        return nonzeros(Form(self._rank, rank - self._rank, tuple(extents), tuple(terms)))

    def _inner(self, term: StructuredTerm, extents: list[int]) -> dict[int, int]:
        """Letters of their own, entered into `extents`, for the inner axes of a term."""
        first, rank = len(extents), len(self.shape)
        extents += term.inner
        return {rank + k: first + k for k in range(len(term.inner))}

    @property
    def nbytes(self) -> int:
        return sum(values.nbytes for values in self.tree_children)

    @property
    def _out(self) -> tuple[int, ...]:
        return tuple(range(self._rank))

    @property
    def _in(self) -> tuple[int, ...]:
        return tuple(range(self._rank, len(self.shape)))

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        text = f"{shape} {self.dtype}, {self.nnz:,} non-zero, {self.structure}"
        return f"<{'; '.join([text, *(f'dense because of {f}' for f in self.forced)])}>"

    # --- values ----------------------------------------------------------------------------------

    def dense(self) -> Array:
        """The whole tensor, zeros and all."""

        def emit(b: Builder, values: Sequence[Value]) -> Value:
            axes = tuple(range(len(self.shape)))
            return materialise(b, self._reduced(values), axes, self.shape, self.dtype)

        whole: Array = _computed(emit, self.tree_children)
        return whole

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if any(isinstance(x, Handle) for x in self.tree_children):
            raise TraceError(
                "a structured Jacobian of a step that is being traced has no values yet; write"
                " J.dense() for the whole array"
            )
        return np.asarray(self.dense(), dtype)

    def __matmul__(self, tangent: Any) -> Array:
        """The derivative along `tangent`, of the argument's shape: of the result's shape."""
        return self._applied(tangent, self._in, self._out, "J @ v")

    def __rmatmul__(self, cotangent: Any) -> Array:
        """`cotangent` of the result's shape pulled back: of the argument's shape."""
        return self._applied(cotangent, self._out, self._in, "v @ J")

    def _applied(
        self, vector: Any, summed: tuple[int, ...], kept: tuple[int, ...], what: str
    ) -> Array:
        """Sum over the axes `summed` against `vector`, term by term, deltas substituted."""
        x: Any = vector if isinstance(vector, Handle) else np.asarray(vector)
        expected = tuple(self.shape[k] for k in summed)
        if x.shape != expected:
            raise ShapeError(f"{what}: v must have shape {expected}, it has {x.shape}")
        dtype = np.result_type(self.dtype, x.dtype)
        shape = tuple(self.shape[k] for k in kept)

        def emit(b: Builder, operands: Sequence[Value]) -> Value:
            *values, v = (_as(b, value, dtype) for value in operands)
            expression = self._expression(values, kept, indexed(v, summed))
            return materialise(b, eliminate(b, expression, dtype), kept, shape, dtype)

        product: Array = _computed(emit, (*self.tree_children, x))
        return product

    def _expression(self, values: Sequence[Value], out: tuple[int, ...], v: Val) -> Expression:
        """The sum of all terms times v[summed axes]."""
        extents = list(self.shape)
        terms = []
        for term, found in zip(self.terms, self._reduced(values), strict=True):
            product = Term(1.0, (*term.ties, *found.vals)).rename(self._inner(term, extents))
            terms.append(Term(1.0, (*product.factors, v)))
        return Expression(out, dict(enumerate(extents)), tuple(terms))

    def _reduced(self, values: Sequence[Value]) -> list[Reduced]:
        """The terms with these values in their factors."""
        found = iter(values)
        return [t.reduced([next(found) for _ in t.factors]) for t in self.terms]


def _letter(axis: int) -> str:
    return string.ascii_lowercase[axis]


def _inner_letter(k: int) -> str:
    return "stuvwxyz"[k % 8] + (str(k // 8) if k >= 8 else "")


def _as(b: Builder, value: Value, dtype: np.dtype) -> Value:
    return value if value.type.dtype == dtype else b.cast(value, dtype=dtype)


def _computed(emit: Emit, arrays: Sequence[Any]) -> Any:
    """What `emit` makes of the arrays: recorded if one of them is traced, else at once."""
    recorder = active()
    if recorder is not None and any(isinstance(x, Handle) for x in arrays):

        def record() -> Any:
            return recorder.fresh(emit(recorder.builder, [as_array(x).value for x in arrays]))

        return recorder.statement(record, (), {})
    b = Builder()
    inputs = tuple(Value(Type(x.dtype, x.shape)) for x in arrays)
    result = emit(b, inputs)
    return np.array(
        interpret(Graph("structured", inputs, tuple(b.nodes), (result,)), *arrays)[0][0]
    )
