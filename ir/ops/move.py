"""Ops that move elements: reshape, transpose, broadcast, slice, concatenate, pad.

A slice `spec` has one (start, stop, step) per axis, normalised: 0 <= start <= n, step != 0, and
`stop` is -1 where a negative step runs through index 0. An untouched axis is (0, n, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import ShapeError
from ..graph import Node
from ..jacobian import Axes, Delta, Factor, Letter, Map, Term
from ..op import REQUIRED, Attrs, Op, Sample, define
from ..types import BOOL, F32, F64, I64, Type
from .elementwise import aligned_deltas, check_arity, common_dtype

SliceSpec = tuple[tuple[int, int, int], ...]


def full_slice(n: int) -> tuple[int, int, int]:
    """The slice that takes a whole axis of extent n."""
    return (0, n, 1)


def slice_along(shape: Sequence[int], axis: int, part: tuple[int, int, int]) -> SliceSpec:
    """The slice of an array of this shape that takes a part of one axis and all others whole."""
    return tuple(part if k == axis else full_slice(n) for k, n in enumerate(shape))


def slice_extent(start: int, stop: int, step: int) -> int:
    """Number of indices in a normalised slice."""
    return len(range(start, stop, step))


def to_slices(spec: SliceSpec) -> tuple[slice, ...]:
    """A spec as Python slices (a stop of -1 with a negative step means "through 0")."""
    return tuple(slice(a, None if b < 0 else b, s) for a, b, s in spec)


def check_slice(name: str, shape: tuple[int, ...], spec: SliceSpec) -> tuple[int, ...]:
    """The shape a spec selects from `shape`; ShapeError when the spec is not normalised."""
    if len(spec) != len(shape):
        raise ShapeError(f"{name}: {len(spec)} slices for rank {len(shape)}")
    for (start, stop, step), n in zip(spec, shape, strict=True):
        inside = 0 <= start <= n and (
            0 <= stop <= n if step > 0 else -1 <= stop <= n and start < max(n, 1)
        )
        if step == 0 or not inside:
            raise ShapeError(f"{name}: slice {start}:{stop}:{step} does not fit an axis of {n}")
    return tuple(slice_extent(*s) for s in spec)


def _reshape_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("reshape", types, 1)
    shape = attrs["shape"]
    if math.prod(shape) != types[0].size or any(n < 0 for n in shape):
        raise ShapeError(
            f"reshape: {types[0].shape} has {types[0].size} elements, {shape} does not"
        )
    return (types[0].with_shape(shape),)


def reshape_groups(
    old: tuple[int, ...], new: tuple[int, ...]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Minimal groups of axes (old, new) with equal products; axes of extent 1 are left out.

    A whole-array map would hide that most axes pass through a reshape unchanged: terms could not
    merge, and a chain of n softmaxes would have 2**n of them.
    """
    groups: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    i = j = 0
    while True:
        i, j = _skip_ones(old, i), _skip_ones(new, j)
        if i == len(old) or j == len(new):
            return groups
        left, right, size_left, size_right = [i], [j], old[i], new[j]
        while size_left != size_right:
            if size_left < size_right:
                i = _skip_ones(old, i + 1)
                left.append(i)
                size_left *= old[i]
            else:
                j = _skip_ones(new, j + 1)
                right.append(j)
                size_right *= new[j]
        groups.append((tuple(left), tuple(right)))
        i, j = i + 1, j + 1


def _skip_ones(shape: tuple[int, ...], k: int) -> int:
    while k < len(shape) and shape[k] == 1:
        k += 1
    return k


def _reshape_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    old, new = node.operands[0].shape, node.result.shape
    if 0 in old:
        return ()
    factors: list[Factor] = []
    for left, right in reshape_groups(old, new):
        src, dst = tuple(axes.a[k] for k in left), tuple(axes.z[k] for k in right)
        one_to_one = len(src) == len(dst) == 1
        factors.append(Delta(src[0], dst[0]) if one_to_one else Map("reshape", (), (), src, dst))
    return (Term(1.0, tuple(factors)),)


def _transpose_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("transpose", types, 1)
    perm = attrs["perm"]
    if sorted(perm) != list(range(types[0].rank)):
        raise ShapeError(f"transpose: {perm} does not permute the axes of {types[0].shape}")
    return (types[0].with_shape(tuple(types[0].shape[k] for k in perm)),)


def _transpose_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    pairs = [(axes.a[k], z) for k, z in zip(node.attrs["perm"], axes.z, strict=True)]
    return (Term(1.0, axes.deltas(pairs)),)


def _broadcast_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("broadcast", types, 1)
    old, new = types[0].shape, attrs["shape"]
    tail = new[len(new) - len(old) :]
    if len(old) > len(new) or any(a not in (1, n) for a, n in zip(old, tail, strict=True)):
        raise ShapeError(f"broadcast: {old} does not broadcast to {new}")
    return (types[0].with_shape(new),)


def _slice_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("slice", types, 1)
    return (types[0].with_shape(check_slice("slice", types[0].shape, attrs["spec"])),)


def slice_factors(
    axes: Axes, big: Sequence[Letter], small: Sequence[Letter], spec: SliceSpec
) -> tuple[Factor, ...]:
    """Deltas on whole axes and one slice map, from `big` to `small`, on the others."""
    cut = [k for k, s in enumerate(spec) if s != full_slice(axes.extent[big[k]])]
    whole = axes.deltas([(big[k], small[k]) for k in range(len(spec)) if k not in cut])
    if not cut:
        return whole
    attrs = (("spec", tuple(spec[k] for k in cut)),)
    src, dst = tuple(big[k] for k in cut), tuple(small[k] for k in cut)
    return (*whole, Map("slice", attrs, (), src, dst))


def _slice_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    return (Term(1.0, slice_factors(axes, axes.a, axes.z, node.attrs["spec"])),)


def _concatenate_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    if not types:
        raise ShapeError("concatenate needs at least one operand")
    common_dtype("concatenate", types)
    axis, first = attrs["axis"], types[0].shape
    if not 0 <= axis < len(first):
        raise ShapeError(f"concatenate: axis {axis} is out of range for rank {len(first)}")
    for t in types[1:]:
        if len(t.shape) != len(first) or any(
            m != n for k, (m, n) in enumerate(zip(t.shape, first, strict=True)) if k != axis
        ):
            raise ShapeError(f"concatenate along axis {axis}: {first} and {t.shape} do not fit")
    total = sum(t.shape[axis] for t in types)
    return (types[0].with_shape((*first[:axis], total, *first[axis + 1 :])),)


def _concatenate_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    axis = node.attrs["axis"]
    start = sum(v.shape[axis] for v in node.operands[:i])
    stop = start + node.operands[i].shape[axis]
    spec = slice_along(node.result.shape, axis, (start, stop, 1))
    return (Term(1.0, slice_factors(axes, axes.z, axes.a, spec)),)


def _roll_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("roll", types, 1)
    axis, rank = attrs["axis"], types[0].rank
    if not 0 <= axis < rank or not isinstance(attrs["shift"], int):
        raise ShapeError(f"roll: axis {axis} is out of range for rank {rank}, or no whole shift")
    return types


def _roll_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    axis, pairs = node.attrs["axis"], list(zip(axes.a, axes.z, strict=True))
    by = node.attrs["shift"] % max(axes.extent[axes.a[axis]], 1)
    if not by:
        return (Term(1.0, axes.deltas(pairs)),)
    a, z = pairs.pop(axis)
    return (Term(1.0, (*axes.deltas(pairs), Map("roll", (("shift", by),), (), (a,), (z,)))),)


def _pad_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("pad", types, 1)
    low, high, shape = attrs["low"], attrs["high"], types[0].shape
    if not len(low) == len(high) == len(shape) or min((*low, *high), default=0) < 0:
        raise ShapeError(f"pad: low {low} and high {high} do not fit {shape}")
    return (
        types[0].with_shape(tuple(a + n + b for a, n, b in zip(low, shape, high, strict=True))),
    )


def _pad_jacobian(b: Builder, node: Node, i: int, axes: Axes) -> Sequence[Term]:
    spec = tuple(
        (a, a + n, 1) for a, n in zip(node.attrs["low"], node.operands[0].shape, strict=True)
    )
    return (Term(1.0, slice_factors(axes, axes.z, axes.a, spec)),)


def _typed(*cases: tuple[tuple[int, ...], dict[str, Any]]) -> tuple[Sample, ...]:
    return tuple(Sample((Type(d, s),), a) for d in (F32, F64, I64, BOOL) for s, a in cases)


define(
    Op(
        "reshape",
        "move",
        _reshape_type,
        lambda x, shape: np.reshape(x, shape),
        "the same elements in C order under another shape",
        attrs={"shape": REQUIRED},
        jacobian=_reshape_jacobian,
        samples=_typed(
            ((3, 4), {"shape": (12,)}),
            ((6, 4), {"shape": (2, 3, 4)}),
            ((3,), {"shape": (1, 3, 1)}),
            ((2, 6), {"shape": (3, 4)}),
            ((1, 1), {"shape": ()}),
        ),
    )
)
define(
    Op(
        "transpose",
        "move",
        _transpose_type,
        lambda x, perm: np.transpose(x, perm),
        "permute the axes: axis k of the result is axis perm[k] of the operand",
        attrs={"perm": REQUIRED},
        jacobian=_transpose_jacobian,
        samples=_typed(((3, 4), {"perm": (1, 0)}), ((2, 3, 4), {"perm": (2, 0, 1)})),
    )
)
define(
    Op(
        "broadcast",
        "move",
        _broadcast_type,
        lambda x, shape: np.broadcast_to(x, shape),
        "repeat along new leading axes and axes of extent 1, as `np.broadcast_to`",
        attrs={"shape": REQUIRED},
        jacobian=lambda b, node, i, axes: (Term(1.0, aligned_deltas(axes)),),
        samples=_typed(
            ((), {"shape": (2, 3)}), ((3,), {"shape": (2, 3)}), ((2, 1), {"shape": (2, 4)})
        ),
    )
)
define(
    Op(
        "slice",
        "move",
        _slice_type,
        lambda x, spec: x[to_slices(spec)],
        "a regular part of each axis",
        attrs={"spec": REQUIRED},
        jacobian=_slice_jacobian,
        samples=_typed(
            ((9,), {"spec": ((2, 8, 2),)}),
            ((4, 5), {"spec": ((0, 4, 1), (1, 3, 1))}),
            ((4, 5), {"spec": ((3, -1, -1), (0, 5, 2))}),
            ((4,), {"spec": ((2, 2, 1),)}),
        ),
    )
)
define(
    Op(
        "concatenate",
        "move",
        _concatenate_type,
        lambda *xs, axis: np.concatenate(xs, axis=axis),
        "join along an existing axis",
        attrs={"axis": REQUIRED},
        jacobian=_concatenate_jacobian,
        samples=(
            *(
                Sample(tuple(Type(d, (n, 3)) for n in (2, 1, 4)), {"axis": 0})
                for d in (F32, F64, I64)
            ),
            Sample((Type(F64, (2, 3)), Type(F64, (2, 2))), {"axis": 1}),
        ),
    )
)
define(
    Op(
        "pad",
        "move",
        _pad_type,
        lambda x, low, high: np.pad(x, list(zip(low, high, strict=True))) if low else x,
        "add zeros (False) before and after each axis",
        attrs={"low": REQUIRED, "high": REQUIRED},
        jacobian=_pad_jacobian,
        samples=_typed(
            ((3,), {"low": (2,), "high": (0,)}),
            ((2, 3), {"low": (0, 1), "high": (1, 2)}),
            ((), {"low": (), "high": ()}),
        ),
    )
)
define(
    Op(
        "roll",
        "composite",
        _roll_type,
        lambda x, shift, axis: np.roll(x, shift, axis),
        "move along an axis, from its end to its beginning: result[i] = x[i - shift], as `np.roll`."
        " Becomes a `concatenate` of two slices once every derivative exists",
        attrs={"shift": REQUIRED, "axis": REQUIRED},
        jacobian=_roll_jacobian,
        samples=_typed(
            ((5,), {"shift": 2, "axis": 0}),
            ((4, 3), {"shift": -1, "axis": 0}),
            ((2, 3), {"shift": 7, "axis": 1}),
            ((2, 3), {"shift": 3, "axis": 1}),
            ((1, 3), {"shift": 1, "axis": 0}),
            ((0, 3), {"shift": 1, "axis": 0}),
        ),
    )
)
