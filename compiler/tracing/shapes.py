"""Views: functions whose result shares memory with their argument, in NumPy and here."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ...ir.ops.move import slice_along
from .elementwise import copied
from .handle import Handle
from .lenses import Broadcast, Diagonal, Permute, Reshape, Shape, Slice, Windows
from .promotion import as_array
from .reductions import normal_axes, normal_axis
from .registry import implements

if TYPE_CHECKING:
    from .traced import TracedArray


def shape_of(shape: Any, *rest: Any) -> Shape:
    """A shape argument: an int, a sequence, or several ints."""
    given = (shape, *rest) if rest or not isinstance(shape, (tuple, list)) else tuple(shape)
    return tuple(int(n) for n in given)


@implements(np.reshape)
def reshape(a: Any, shape: Any, order: str = "C", *, copy: bool | None = None) -> TracedArray:
    """np.reshape: a view where NumPy makes one."""
    x = as_array(a)
    to = _solve(x, shape_of(shape))
    if _is_fortran(x, order, "reshape"):  # the first axis runs fastest: all axes the other way
        result = transpose(transpose(x).reshaped(to[::-1]))
    else:
        result = x.reshaped(to)
    return copied(result, scalar=False) if copy else result


def _is_fortran(x: TracedArray, order: str, name: str) -> bool:
    """Whether elements are taken in Fortran's order; in order A or K memory decides."""
    if order in ("C", "F"):
        return order == "F"
    if order in ("A", "K") and (x.contiguous or x.ndim < 2):
        return False
    if order in ("A", "K") and transpose(x).contiguous:
        return True
    raise UnsupportedError(f"np.{name}: order {order!r} depends on the layout; write 'C' or 'F'")


def _solve(x: TracedArray, shape: Shape) -> Shape:
    """The shape with its -1 replaced; ShapeError if it does not hold the elements of x."""
    known = math.prod(n for n in shape if n != -1)
    if shape.count(-1) == 1 and known and x.size % known == 0:
        shape = tuple(x.size // known if n == -1 else n for n in shape)
    if any(n < 0 for n in shape) or math.prod(shape) != x.size:
        raise ShapeError(f"cannot reshape array of size {x.size} and shape {x.shape} into {shape}")
    return shape


@implements(np.ravel, method="ravel")
def ravel(a: Any, order: str = "C") -> TracedArray:
    """np.ravel: a view of a C-contiguous array, else a copy (also where reshape makes a view)."""
    x = as_array(a)
    if _is_fortran(x, order, "ravel"):
        return ravel(transpose(x))
    if x.contiguous:
        return x.reshaped((x.size,))
    copy = x.reshaped_copy((x.size,))
    if x.strides_known is None:
        x.buffer.link(copy.buffer)
    return copy


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Sequence[int] | None = None) -> TracedArray:
    """np.transpose."""
    x = as_array(a)
    perm = tuple(reversed(range(x.ndim))) if axes is None else tuple(axes)
    perm = tuple(normal_axis(k, x.ndim) for k in perm)
    if sorted(perm) != list(range(x.ndim)):
        raise ShapeError(f"axes {tuple(axes or ())} do not match array of shape {x.shape}")
    return x.through(Permute(perm))


@implements(np.swapaxes, method="swapaxes")
def swapaxes(a: Any, axis1: int, axis2: int) -> TracedArray:
    """np.swapaxes."""
    x = as_array(a)
    i, j = normal_axis(axis1, x.ndim), normal_axis(axis2, x.ndim)
    perm = list(range(x.ndim))
    perm[i], perm[j] = j, i
    return x.through(Permute(tuple(perm)))


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any) -> TracedArray:
    """The last two axes swapped."""
    return swapaxes(x, -1, -2)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> TracedArray:
    """np.moveaxis."""
    x = as_array(a)
    left = [normal_axis(k, x.ndim) for k in many(source)]
    right = [normal_axis(k, x.ndim) for k in many(destination)]
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ShapeError(f"np.moveaxis: {source} and {destination} do not pair")
    perm = [k for k in range(x.ndim) if k not in left]
    for target, k in sorted(zip(right, left, strict=True)):
        perm.insert(target, k)
    return x.through(Permute(tuple(perm)))


def many(axis: Any) -> Sequence[int]:
    """One axis or several, as a sequence."""
    return axis if isinstance(axis, Sequence) else (axis,)


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any) -> TracedArray:
    """np.broadcast_to: a read-only view."""
    x, to = as_array(array), shape_of(shape)
    try:
        fits = np.broadcast_shapes(x.shape, to) == to
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"cannot broadcast shape {x.shape} to {to}")
    return x.through(Broadcast(to))


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> TracedArray:
    """np.lib.stride_tricks.sliding_window_view: a read-only view."""
    name, array = "sliding_window_view", as_array(x)
    if writeable:
        raise UnsupportedError(f"{name}: windows overlap and are read-only; write to a .copy()")
    sizes = shape_of(window_shape)
    given = tuple(range(array.ndim)) if axis is None else tuple(many(axis))
    axes = tuple(normal_axis(k, array.ndim) for k in given)
    if len(sizes) != len(axes):
        raise ShapeError(f"{name}: window_shape {sizes} and axes {axes} differ in number")
    for k in dict.fromkeys(axes):
        own = [n for n, a in zip(sizes, axes, strict=True) if a == k]
        if min(own) < 1 or sum(own) - len(own) >= array.shape[k]:
            raise ShapeError(f"{name}: a window {sizes} does not fit axes {axes} of {array.shape}")
    if len(set(axes)) == len(axes):
        return array.through(Windows(axes, sizes))
    for k, size in zip(axes, sizes, strict=True):
        array = array.through(Windows((k,), (size,)))
    return array


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any) -> tuple[TracedArray, ...]:
    """np.broadcast_arrays."""
    arrays = [as_array(x) for x in args]
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple(broadcast_to(x, shape) for x in arrays)


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> TracedArray:
    """np.expand_dims."""
    x = as_array(a)
    rank = x.ndim + len(many(axis))
    added = normal_axes(axis if hasattr(axis, "__index__") else tuple(axis), rank)
    rest = iter(x.shape)
    return x.through(Reshape(tuple(1 if k in added else next(rest) for k in range(rank))))


@implements(np.squeeze, method="squeeze")
def squeeze(a: Any, axis: Any = None) -> TracedArray:
    """np.squeeze."""
    x = as_array(a)
    ones = [k for k, n in enumerate(x.shape) if n == 1]
    gone = ones if axis is None else normal_axes(axis, x.ndim)
    if not set(gone) <= set(ones):
        raise ShapeError(f"cannot squeeze axis {axis} of shape {x.shape}: its size is not one")
    return x.through(Reshape(tuple(n for k, n in enumerate(x.shape) if k not in gone)))


@implements(np.atleast_1d)
def atleast_1d(*arrays: Any) -> Any:
    """np.atleast_1d."""
    found = tuple(x if x.ndim else x.through(Reshape((1,))) for x in map(as_array, arrays))
    return found[0] if len(found) == 1 else found


@implements(np.atleast_2d)
def atleast_2d(*arrays: Any) -> Any:
    """np.atleast_2d."""
    found = tuple(
        x if x.ndim > 1 else x.through(Reshape((1, x.size))) for x in map(as_array, arrays)
    )
    return found[0] if len(found) == 1 else found


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[TracedArray]:
    """np.split: views."""
    x = as_array(ary)
    n = x.shape[normal_axis(axis, x.ndim)]
    if hasattr(indices_or_sections, "__index__"):
        sections = int(indices_or_sections)
        if sections > 0 and n % sections:
            raise ShapeError(
                f"np.split cannot cut {n} elements into {sections} equal parts; "
                "np.array_split makes unequal ones"
            )
    return array_split(x, indices_or_sections, axis)


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[TracedArray]:
    """np.array_split: views."""
    x = as_array(ary)
    k = normal_axis(axis, x.ndim)
    n = x.shape[k]
    if hasattr(indices_or_sections, "__index__"):
        sections = int(indices_or_sections)
        if sections <= 0:
            raise ShapeError(f"np.split: the number of parts must be positive, not {sections}")
        small, larger = divmod(n, sections)
        cuts = [j * small + min(j, larger) for j in range(sections + 1)]
    else:
        cuts = [0, *(int(j) for j in indices_or_sections), n]
    return [part(x, k, slice(a, b)) for a, b in pairwise(cuts)]


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[TracedArray]:
    """np.vsplit."""
    if as_array(ary).ndim < 2:
        raise ShapeError("np.vsplit needs an array of two axes or more; np.split cuts one of one")
    return split(ary, indices_or_sections, 0)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[TracedArray]:
    """np.hsplit."""
    return split(ary, indices_or_sections, 1 if as_array(ary).ndim > 1 else 0)


def part(x: TracedArray, axis: int, region: slice) -> TracedArray:
    """A slice of one axis."""
    start, stop, step = region.indices(x.shape[axis])
    stop = max(stop, start) if step > 0 else stop
    return x.through(Slice(slice_along(x.shape, axis, (start, stop, step))))


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> TracedArray:
    """np.flip: a view."""
    x = as_array(m)
    for k in normal_axes(axis, x.ndim):
        if x.shape[k]:
            x = part(x, k, slice(None, None, -1))
    return x.through(Permute(tuple(range(x.ndim))))


@implements(np.flipud)
def flipud(m: Any) -> TracedArray:
    """np.flipud."""
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: Any) -> TracedArray:
    """np.fliplr."""
    return flip(m, 1)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> TracedArray:
    """np.rot90: a view."""
    x = as_array(m)
    first, second = (normal_axis(j, x.ndim) for j in axes)
    if first == second:
        raise ShapeError("np.rot90: axes must be different")
    match k % 4:
        case 0:
            return x.through(Permute(tuple(range(x.ndim))))
        case 1:
            return swapaxes(flip(x, second), first, second)
        case 2:
            return flip(x, (first, second))
    return flip(swapaxes(x, first, second), second)


@implements(np.meshgrid)
def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[TracedArray, ...]:
    """np.meshgrid."""
    if indexing not in ("xy", "ij"):
        raise ShapeError(f"np.meshgrid: indexing must be 'xy' or 'ij', not {indexing!r}")
    axes = list(range(len(xi)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    grids = [
        reshape(x, tuple(-1 if j == k else 1 for j in range(len(xi))))
        for x, k in zip(xi, axes, strict=True)
    ]
    found = tuple(grids) if sparse else broadcast_arrays(*grids)
    return tuple(copied(x, scalar=False) for x in found) if copy else found


@implements(np.diagonal, method="diagonal")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> TracedArray:
    """np.diagonal: a read-only view."""
    x = as_array(a)
    i, j = normal_axis(axis1, x.ndim), normal_axis(axis2, x.ndim)
    if i == j:
        raise ShapeError("np.diagonal: axis1 and axis2 cannot be the same")
    return x.through(Diagonal(i, j, operator.index(offset)))


@implements(np.shape)
def shape(a: Any) -> Shape:
    """np.shape."""
    return as_array(a).shape


@implements(np.ndim)
def ndim(a: Any) -> int:
    """np.ndim."""
    return as_array(a).ndim


@implements(np.size)
def size(a: Any, axis: Any = None) -> int:
    """np.size."""
    x = as_array(a)
    return math.prod(x.shape[k] for k in normal_axes(axis, x.ndim))


@implements(np.isscalar)
def isscalar(element: Any) -> bool:
    """Whether NumPy would have a scalar or a Python number here."""
    return isinstance(element, Handle) and element.kind != "array"
