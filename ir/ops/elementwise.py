"""What elementwise ops have in common: one record per function, its derivative on the same line.

The records are in `arithmetic.py`, `functions.py` and `logic.py`.

Operands broadcast as in NumPy and have equal dtypes (conversions are explicit `cast` nodes); only
the condition of `select` is bool. `scalar` is the expression generated code evaluates for one
element: `{0}`, `{1}` are the operands, `{t}` the operand dtype's short name.

A *partial* is the derivative with respect to one operand, a function of the builder, the operands
and the result that returns a number, a value (broadcastable to the result), a `Selected` or None
for zero. Conventions at corners follow JAX unless a comment says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import DTypeError, ShapeError
from ..graph import Node, Value
from ..jacobian import Axes, Factor, Term
from ..op import ZERO, Attrs, JacobianRule, Op, Sample, Samples
from ..record import dataclass
from ..types import BOOL, F32, F64, I32, I64, Type, dtype_name


@dataclass(frozen=True)
class Selected:
    """A partial derivative that is `value` where `mask` holds and structurally zero elsewhere."""

    mask: Value
    value: Value | float = 1.0


Partial = Callable[..., "Value | Selected | float | None"]


def broadcast_shapes(name: str, types: Sequence[Type]) -> tuple[int, ...]:
    """The common shape of the operands; ShapeError naming the shapes that do not fit."""
    first, *others = (t.shape for t in types)
    if all(shape == first for shape in others):
        return first
    try:
        return np.broadcast_shapes(*(t.shape for t in types))
    except ValueError:
        shapes = " and ".join(str(t.shape) for t in types)
        raise ShapeError(f"{name}: shapes {shapes} do not broadcast together") from None


def _type_rule(name: str, arity: int, accepts: str, returns: np.dtype | None) -> Any:
    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        check_arity(name, types, arity)
        dtype = common_dtype(name, types)
        if dtype.kind not in accepts:
            raise DTypeError(f"{name} is not defined for {dtype_name(dtype)}")
        return (Type(returns or dtype, broadcast_shapes(name, types)),)

    return infer


def check_arity(name: str, types: Sequence[Type], arity: int) -> None:
    """ShapeError unless there are `arity` operands."""
    if len(types) != arity:
        raise ShapeError(f"{name} takes {arity} operand(s), got {len(types)}")


def common_dtype(name: str, types: Sequence[Type]) -> np.dtype:
    """The one dtype of the operands; DTypeError when they differ."""
    first = types[0].dtype
    if any(t.dtype != first for t in types):
        names = ", ".join(dtype_name(t.dtype) for t in types)
        raise DTypeError(f"{name} needs operands of one dtype, got {names}")
    return first


def jacobian_rule(partials: Sequence[Partial]) -> JacobianRule:
    """The Jacobian of an elementwise op: deltas between aligned axes times the partial."""

    def jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
        partial = partials[i](b, *node.operands, node.result)
        if partial is None:
            return ()
        factors: tuple[Factor, ...] = aligned_deltas(axes)
        if isinstance(partial, Selected):
            factors += (axes.mask(partial.mask, _aligned(axes.z, partial.mask)),)
            partial = partial.value
        if isinstance(partial, Value):
            return (Term(1.0, (*factors, axes.val(partial, _aligned(axes.z, partial)))),)
        return (Term(float(partial), factors),)

    return jacobian


def aligned_deltas(axes: Axes) -> tuple[Factor, ...]:
    """Deltas between the operand's axes and the result's, aligned at the right; an operand axis
    of extent 1 that was broadcast has none."""
    pairs = zip(reversed(axes.a), reversed(axes.z), strict=False)
    return axes.deltas([(a, z) for a, z in pairs if axes.extent[a] == axes.extent[z]][::-1])


def _aligned(letters: tuple[int, ...], value: Value) -> tuple[int, ...]:
    return letters[len(letters) - value.type.rank :]


FLOAT, NUMERIC, ANY, INTEGER = "f", "fiu", "fiub", "iu"


def elementwise(
    name: str,
    evaluate: Callable[..., Any],
    scalar: str,
    partials: Sequence[Partial] | None,
    doc: str,
    *,
    accepts: str = FLOAT,
    returns: np.dtype | None = None,
    arity: int = 1,
    commutative: bool = False,
    low: float = -2.0,
    high: float = 2.0,
) -> Op:
    """The record of an elementwise op; `partials=None` marks a piecewise constant one."""
    return Op(
        name,
        "elementwise",
        _type_rule(name, arity, accepts, returns),
        evaluate,
        doc,
        jacobian=ZERO if partials is None else jacobian_rule(partials),
        scalar=scalar,
        commutative=commutative,
        samples=Samples(lambda: _samples(arity, accepts, low, high)),
    )


def _samples(arity: int, accepts: str, low: float, high: float) -> tuple[Sample, ...]:
    dtypes = [F32, F64] if "f" in accepts else [BOOL] if "b" in accepts else []
    shapes: list[tuple[tuple[int, ...], ...]] = [
        ((3, 5),) * arity,
        ((),) * arity,
        ((0, 4),) * arity,
    ]
    if arity == 2:
        shapes += [((3, 5), (5,)), ((3, 1), (1, 5)), ((4,), ())]
    if "i" in accepts:
        dtypes += [I32, I64]
    return tuple(
        Sample(tuple(Type(d, s) for s in group), {}, low, high) for d in dtypes for group in shapes
    )
