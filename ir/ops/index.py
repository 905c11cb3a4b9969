"""Writing into regular parts of an array, and reading and writing by index arrays.

Index operands are i64 tensors that broadcast to a common shape B; `axes` names the axes they
index. A gather has shape B followed by the axes that are not indexed. Negative indices count from
the end; an index out of range raises BoundsError when the program runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import BoundsError, DTypeError, ShapeError
from ..graph import Node, Value
from ..jacobian import Axes, Factor, Letter, Map, Term
from ..op import REQUIRED, Attrs, JacobianRule, Op, Sample, define
from ..types import BOOL, F32, F64, I64, Type
from .elementwise import check_arity, common_dtype
from .move import check_slice, full_slice, slice_factors, to_slices


def _region_type(name: str) -> Any:
    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        check_arity(name, types, 2)
        common_dtype(name, types)
        shape = check_slice(name, types[0].shape, attrs["spec"])
        if types[1].shape != shape:
            raise ShapeError(f"{name}: the region has shape {shape}, the value {types[1].shape}")
        return (types[0],)

    return infer


def _update(x: Any, v: Any, spec: Any) -> Any:
    out = x.copy()
    out[to_slices(spec)] = v
    return out


def _add_at(x: Any, v: Any, spec: Any) -> Any:
    out = x.copy()
    out[to_slices(spec)] += v
    return out


def _erased(axes: Axes, spec: Any) -> tuple[Factor, ...]:
    """The identity with structural zeros in the region `spec`."""
    cut = [k for k, s in enumerate(spec) if s != full_slice(axes.extent[axes.a[k]])]
    whole = axes.deltas([(axes.a[k], axes.z[k]) for k in range(len(spec)) if k not in cut])
    attrs = (("spec", tuple(spec[k] for k in cut)),)
    erase = Map("erase", attrs, (), tuple(axes.a[k] for k in cut), tuple(axes.z[k] for k in cut))
    return (*whole, erase)


def _update_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    spec = node.attrs["spec"]
    if i == 1:
        return (Term(1.0, slice_factors(axes, axes.z, axes.a, spec)),)
    if node.operands[1].shape == node.operands[0].shape and all(
        s == full_slice(n) for s, n in zip(spec, node.operands[0].shape, strict=True)
    ):
        return ()
    return (Term(1.0, _erased(axes, spec)),)


def _add_at_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    if i == 1:
        return (Term(1.0, slice_factors(axes, axes.z, axes.a, node.attrs["spec"])),)
    return (Term(1.0, axes.deltas(list(zip(axes.a, axes.z, strict=True)))),)


_REGIONS = (
    ((5,), (2,), ((1, 3, 1),)),
    ((4, 5), (4, 1), ((0, 4, 1), (2, 3, 1))),
    ((4, 5), (2, 3), ((3, -1, -2), (0, 5, 2))),
    ((4, 5), (4, 5), ((0, 4, 1), (0, 5, 1))),
)

for _name, _evaluate, _jacobian, _doc in (
    ("update", _update, _update_jacobian, "x with the region `spec` replaced by v"),
    (
        "add_at",
        _add_at,
        _add_at_jacobian,
        "x with v added to the region `spec`; of Booleans, as in NumPy, the or",
    ),
):
    define(
        Op(
            _name,
            "index",
            _region_type(_name),
            _evaluate,
            _doc,
            attrs={"spec": REQUIRED},
            jacobian=_jacobian,
            samples=tuple(
                Sample((Type(d, x), Type(d, v)), {"spec": spec})
                for d in (F32, F64, I64, BOOL)
                for x, v, spec in _REGIONS
            ),
        )
    )


def index_shape(
    name: str, indices: Sequence[Type], axes: Sequence[int], rank: int
) -> tuple[int, ...]:
    """The common shape B of the index operands, after checking them and `axes`."""
    if len(indices) != len(axes) or not axes:
        raise ShapeError(f"{name}: {len(indices)} index operands for axes {tuple(axes)}")
    if len(set(axes)) != len(axes) or not all(0 <= k < rank for k in axes):
        raise ShapeError(f"{name}: axes {tuple(axes)} are not distinct axes of rank {rank}")
    for t in indices:
        if t.dtype != I64:
            raise DTypeError(f"{name}: index operands must be i64, got {t}")
    try:
        return np.broadcast_shapes(*(t.shape for t in indices))
    except ValueError:
        shapes = [t.shape for t in indices]
        raise ShapeError(f"{name}: index shapes {shapes} do not broadcast together") from None


def _gathered_shape(
    name: str, x: Type, indices: Sequence[Type], axes: Sequence[int]
) -> tuple[int, ...]:
    batch = index_shape(name, indices, axes, x.rank)
    return (*batch, *(n for k, n in enumerate(x.shape) if k not in axes))


def _gather_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    if len(types) < 2:
        raise ShapeError("gather needs an array and index operands")
    return (types[0].with_shape(_gathered_shape("gather", types[0], types[1:], attrs["axes"])),)


def _scatter_type(name: str) -> Any:
    def infer(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
        if len(types) < 3:
            raise ShapeError(f"{name} needs an array, a value and index operands")
        common_dtype(name, types[:2])
        shape = _gathered_shape(name, types[0], types[2:], attrs["axes"])
        if types[1].shape != shape:
            raise ShapeError(f"{name}: the target has shape {shape}, the value {types[1].shape}")
        return (types[0],)

    return infer


def check_bounds(indices: Sequence[Any], extents: Sequence[int], axes: Sequence[int]) -> None:
    """BoundsError for the first index out of range."""
    for index, n, axis in zip(indices, extents, axes, strict=True):
        bad = (index < -n) | (index >= n)
        if np.any(bad):
            first = np.asarray(index)[bad].ravel()[0]
            raise BoundsError(f"index {first} is out of bounds for axis {axis} with size {n}")


def _front(x: Any, axes: Sequence[int], indices: Sequence[Any]) -> Any:
    """A view of x with the indexed axes in front."""
    check_bounds(indices, [x.shape[k] for k in axes], axes)
    return np.moveaxis(x, axes, range(len(axes)))


def _gather(x: Any, *indices: Any, axes: Sequence[int]) -> Any:
    return _front(x, axes, indices)[indices]


def _scatter(x: Any, v: Any, *indices: Any, axes: Sequence[int]) -> Any:
    out = x.copy()
    _front(out, axes, indices)[indices] = v
    return out


def _scatter_add(x: Any, v: Any, *indices: Any, axes: Sequence[int]) -> Any:
    out = x.copy()
    np.add.at(_front(out, axes, indices), indices, v)
    return out


def _index_map(
    name: str, node: Node, axes: Axes, whole: Sequence[Letter], part: Sequence[Letter], skip: int
) -> tuple[Factor, ...]:
    """The factors that tie an indexed array (`whole`) to what was gathered from it (`part`)."""
    indexed = node.attrs["axes"]
    batch = len(part) - (len(whole) - len(indexed))
    rest = [letter for k, letter in enumerate(whole) if k not in indexed]
    attrs = (("axes", tuple(range(len(indexed)))),)
    src = tuple(whole[k] for k in indexed)
    link = Map(name, attrs, node.operands[skip:], src, tuple(part[:batch]))
    return (*axes.deltas(list(zip(rest, part[batch:], strict=True))), link)


def _gather_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    if i > 0:
        return ()
    return (Term(1.0, _index_map("gather", node, axes, axes.a, axes.z, 1)),)


def _scatter_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    indexed = node.attrs["axes"]
    if i > 1:
        return ()
    if i == 0:
        rest = [
            (a, z) for k, (a, z) in enumerate(zip(axes.a, axes.z, strict=True)) if k not in indexed
        ]
        attrs = (("axes", tuple(range(len(indexed)))),)
        src, dst = tuple(axes.a[k] for k in indexed), tuple(axes.z[k] for k in indexed)
        erase = Map("erase_at", attrs, node.operands[2:], src, dst)
        return (Term(1.0, (*axes.deltas(rest), erase)),)
    batch = len(axes.a) - (len(axes.z) - len(indexed))
    winner = axes.mask(last_writers(b, node), axes.a[:batch])
    return (Term(1.0, (*_index_map("gather", node, axes, axes.z, axes.a, 2), winner)),)


def positions_along(b: Builder, shape: Sequence[int], axis: int) -> Value:
    """Where elements stand along an axis of this shape, i64; broadcasts to it."""
    n = shape[axis]
    return b.reshape(b.iota(n=n), shape=(n, *(1 for _ in shape[axis + 1 :])))


def taken_along(b: Builder, place: Value, axis: int, axes: Axes) -> Map:
    """The elements at places along an axis, one for each, as a map of the array."""
    rank = place.type.rank
    places = tuple(place if k == axis else positions_along(b, place.shape, k) for k in range(rank))
    return Map("gather", (("axes", tuple(range(rank))),), places, axes.a, axes.z)


def last_writers(b: Builder, node: Node) -> Value:
    """bool[B]: true for the index positions whose value survives a scatter with duplicates."""
    x, indices = node.operands[0], node.operands[2:]
    indexed = node.attrs["axes"]
    extents = tuple(x.shape[k] for k in indexed)
    batch = np.broadcast_shapes(*(v.shape for v in indices))
    order = b.reshape(b.iota(n=int(np.prod(batch, dtype=int))), shape=batch)
    axes = tuple(range(len(indexed)))
    marks = b.scatter(b.full(extents, -1, I64), order, *indices, axes=axes)
    return b.eq(b.gather(marks, *indices, axes=axes), order)


def _scatter_add_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    if i > 1:
        return ()
    if i == 0:
        return (Term(1.0, axes.deltas(list(zip(axes.a, axes.z, strict=True)))),)
    return (Term(1.0, _index_map("gather", node, axes, axes.z, axes.a, 2)),)


def _define_indexed(
    name: str, infer: Any, evaluate: Any, rule: JacobianRule, doc: str, value: bool
) -> None:
    rows, columns = np.array([0, 2, -1, 2]), np.array([1, 0, 2, 1])
    cases: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...], tuple[int, ...]], ...] = (
        ((3,), (4,), (rows,), (0,)),
        ((3, 4), (4, 4), (rows,), (0,)),
        ((2, 3), (4, 2), (rows,), (1,)),
        ((3, 3), (4,), (rows, columns), (0, 1)),
        ((3, 3), (4, 4), (rows[:, None], columns), (0, 1)),
        ((3, 2), (2,), (np.array(1),), (0,)),
    )
    samples = tuple(
        Sample((Type(d, x), *([Type(d, v)] if value else []), *indices), {"axes": axes})
        for d in (F32, F64, I64, BOOL)
        for x, v, indices, axes in cases
    )
    define(
        Op(
            name,
            "index",
            infer,
            evaluate,
            doc,
            attrs={"axes": REQUIRED},
            jacobian=rule,
            samples=samples,
        )
    )


_define_indexed(
    "gather",
    _gather_type,
    _gather,
    _gather_jacobian,
    "x[i0, i1, ...] on `axes`; shape B followed by the other axes",
    value=False,
)
_define_indexed(
    "scatter",
    _scatter_type("scatter"),
    _scatter,
    _scatter_jacobian,
    "x with x[i0, i1, ...] = v; of equal indices the last one wins",
    value=True,
)
_define_indexed(
    "scatter_add",
    _scatter_type("scatter_add"),
    _scatter_add,
    _scatter_add_jacobian,
    "x with v added (of Booleans the or) at x[i0, i1, ...]; equal indices accumulate",
    value=True,
)
