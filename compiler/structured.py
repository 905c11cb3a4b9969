"""Jacobians and Hessians that keep their structure: sums of Kronecker deltas times small tensors.

    >>> H = tl.hessian(lambda U: np.sum((T - U @ V.T) ** 2), structured=True)(U)
    >>> H.structure
    '[a,b;c,d] = I[a,c] v0[b,d]'

The Hessian of a factorisation with U of 300 x 10 has 9,000,000 elements; stored are the 100 of v0.
Slices and reshapes stay as well, as places: of `lambda x: np.diff(x) ** 2` the Jacobian is the band

    '[a;b] = slice(0:7)[b;a] v0[a] + slice(1:8)[b;a] v1[a]'

Inside a compiled step the values are traced arrays, everything else is known while tracing.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..ir.builder import Builder
from ..ir.errors import ShapeError, TraceError
from ..ir.graph import Graph, Value
from ..ir.jacobian import Delta, Place, Term, Val, indexed
from ..ir.record import dataclass
from ..ir.text import format_place
from ..ir.types import Type
from ..passes.algebra.eliminate import eliminate
from ..passes.algebra.expression import Expression
from ..passes.algebra.materialise import materialise
from ..passes.algebra.reduced import Reduced
from ..passes.jacobian_free import Forced
from ..runtime.interpreter import interpret
from .active import active
from .regions import union_size
from .tracing.handle import Handle
from .tracing.promotion import as_array
from .treedef import Container

Array = NDArray[Any]
Emit = Callable[[Builder, Sequence[Value]], Value]


class StructuredFactor(NamedTuple):
    """An array and the axes of the whole that its axes are."""

    axes: tuple[int, ...]
    values: Array


@dataclass(frozen=True)
class StructuredTerm:
    """A product of deltas, places and arrays.

    deltas      pairs of axes of the whole along which everything off the diagonal is zero
    factors     the arrays, each with the axes it runs along; two of them make an outer product
    places      axes of the whole that other ones fill a part of: `axis` is at start + the sum of
                step * index over `steps`, (axis, step, extent) each; axes that are none of the
                whole's are numbered from its rank on
    """

    deltas: tuple[tuple[int, int], ...]
    factors: tuple[StructuredFactor, ...]
    places: tuple[Place, ...] = ()

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes `values` runs along, in order."""
        return tuple(sorted({k for factor in self.factors for k in factor.axes}))

    @property
    def values(self) -> Array:
        """The product of the factors over `axes`."""
        if len(self.factors) == 1:
            return self.factors[0].values
        letters = [_letters(f.axes) for f in self.factors]
        operands = [f.values for f in self.factors]
        product: Array = np.einsum(f"{','.join(letters)}->{_letters(self.axes)}", *operands)
        return product

    def reduced(self, values: Sequence[Value]) -> Reduced:
        """The term as the algebra has it, with these values in the factors."""
        vals = (indexed(v, f.axes) for v, f in zip(values, self.factors, strict=True))
        deltas = tuple(Delta(i, j) for i, j in self.deltas)
        return Reduced(1.0, deltas, tuple(vals), self.places)


class StructuredJacobian(Container):
    """A Jacobian of shape(out) + shape(in) (of a Hessian: shape(in) twice) as a sum of terms.

    shape, dtype    of the dense tensor
    terms           the `StructuredTerm`s it is the sum of
    structure       the same as text, in index notation: letters before `;` are axes of the
                    result, those after it axes of the argument, `I` is the Kronecker delta
    nnz             how many elements are not structurally zero
    nbytes          memory of what is stored
    forced          which ops became dense blocks (a gather, cumsum, solve, ..), at which line of
                    the user's, and why

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
        patterns = tuple((t.deltas, tuple(f.axes for f in t.factors), t.places) for t in self.terms)
        return self.shape, self._rank, self.dtype, patterns, self.forced

    @property
    def tree_children(self) -> tuple[Array, ...]:
        return tuple(f.values for t in self.terms for f in t.factors)

    @classmethod
    def tree_build(cls, static: Any, children: Sequence[Any]) -> Self:
        shape, rank, dtype, patterns, forced = static
        values = iter(children)
        terms = [
            StructuredTerm(deltas, tuple(StructuredFactor(x, next(values)) for x in axes), places)
            for deltas, axes, places in patterns
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
        ties = [f"I[{_letter(i)},{_letter(j)}]" for i, j in term.deltas]
        names = {x: _letter(x) for x in range(len(self.shape))}
        inner = {x for p in term.places for x in p.letters if x not in names}
        names |= {x: _inner_letter(x - len(self.shape)) for x in inner}
        ties += [format_place(p, names) for p in term.places]
        values = [f"v{next(count)}[{','.join(names[x] for x in f.axes)}]" for f in term.factors]
        return " ".join(ties + values)

    @property
    def nnz(self) -> int:
        return union_size(self.shape, [(*map(_delta, t.deltas), *t.places) for t in self.terms])

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
        extent = dict(enumerate(self.shape))
        terms = []
        for found in self._reduced(values):
            inner = [x for x in found.extents if x >= len(self.shape)]
            table = {x: len(extent) + k for k, x in enumerate(inner)}
            extent |= {table[x]: found.extents[x] for x in inner}
            product = Term(1.0, (*found.ties, *found.vals)).rename(table)
            terms.append(Term(1.0, (*product.factors, v)))
        return Expression(out, extent, tuple(terms))

    def _reduced(self, values: Sequence[Value]) -> list[Reduced]:
        """The terms with these values in their factors."""
        found = iter(values)
        return [t.reduced([next(found) for _ in t.factors]) for t in self.terms]


def _delta(axes: tuple[int, int]) -> Delta:
    return Delta(*axes)


def _letters(axes: Sequence[int]) -> str:
    return "".join(map(_letter, axes))


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
