"""Indexing: an index expression is parsed once into a `Selection`, then read or written.

The basic part (ints, slices, Ellipsis, newaxis, traced scalar integers) is a chain of lenses, so
its result is a view. Integer arrays become `gather` and `scatter`, a Boolean mask becomes
`select`; where the indexed axes end up follows NumPy's rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...ir.errors import BoundsError, DTypeError, ShapeError, TraceError, UnsupportedError
from ...ir.graph import Value
from ...ir.ops.move import full_slice
from ...ir.record import dataclass
from ...ir.types import BOOL, I64
from . import misuse
from .handle import Handle
from .known import asked, known
from .lenses import Permute, Pick, Reshape, Shape, Slice
from .masked import MaskedRead
from .promotion import as_array, as_value, lift, recorder_now

if TYPE_CHECKING:
    from .traced import TracedArray


@dataclass(frozen=True)
class Selection:
    """A parsed index. `lenses` lead to `view`; then `axes` of it are indexed by the integer
    arrays `indices`, whose common axes come at position `front` of the result; or `mask`
    (covering axes from `front` on) selects elements of it. `element` says that integers alone name
    one element, which reads as a scalar; `dense` that the memory of all indices is C-contiguous,
    whose order the result has."""

    view: TracedArray
    axes: tuple[int, ...] = ()
    indices: tuple[Value, ...] = ()
    front: int = 0
    mask: TracedArray | None = None
    element: bool = False
    dense: bool = True

    @property
    def basic(self) -> bool:
        """Whether the selection is a view."""
        return not self.axes and self.mask is None

    @property
    def shape(self) -> Shape:
        """The shape an integer-array selection has."""
        rest = [n for k, n in enumerate(self.view.shape) if k not in self.axes]
        return (*rest[: self.front], *self.batch, *rest[self.front :])

    @property
    def batch(self) -> Shape:
        return self.indices[0].shape

    def read(self) -> TracedArray:
        """What the index selects."""
        if self.mask is not None:
            whole = recorder_now().fresh(self.view.value, scalar=False)
            return MaskedRead(whole, self.mask.value, self.front)  # type: ignore[return-value]
        recorder = recorder_now()
        if self.element:
            return recorder.fresh(self.view.value)
        if self.basic:
            return self.view
        found = recorder.builder.gather(self.view.value, *self.indices, axes=self.axes)
        leading = self.axes == (0,) and self.view.contiguous and self.dense
        result = recorder.fresh(found, contiguous=leading, scalar=False)
        k, depth = self.front, len(self.batch)
        if k:
            perm = (*range(depth, depth + k), *range(depth), *range(depth + k, result.ndim))
            result = result.through(Permute(perm))
        return recorder.fresh(result.value, contiguous=leading)

    def write(self, new: Any) -> None:
        """Assign, converting to the array's dtype as NumPy's assignment does."""
        if isinstance(new, MaskedRead) and self.mask is not None:
            self.view.write(self._read_by_mask(new))
            return
        value = assigned(new, self.view)
        if self.mask is not None:
            self.view.write(self._masked(value))
        elif self.basic:
            self.view.write(spread(value, self.view.shape))
        else:
            self.view.write(self._scattered("scatter", value))

    def add(self, new: Any) -> None:
        """Accumulate: an element selected twice receives both."""
        value = assigned(new, self.view)
        if self.mask is not None or self.basic:
            raise TraceError("np.add.at needs integer indices; write x[index] += value")
        self.view.write(self._scattered("scatter_add", value))

    def _scattered(self, op: str, value: Value) -> Value:
        b = recorder_now().builder
        full = spread(value, self.shape)
        k, depth = self.front, len(self.batch)
        if k:
            perm = (*range(k, k + depth), *range(k), *range(k + depth, len(full.shape)))
            full = b.transpose(full, perm=perm)
        return b.emit(op, [self.view.value, full, *self.indices], {"axes": self.axes}).result

    def _read_by_mask(self, new: MaskedRead) -> Value:
        """The view with elements read by the same mask."""
        assert self.mask is not None
        if not MaskedRead(self.view, self.mask.value, self.front).alike(new):
            raise new.error
        return self._where_masked(as_value(new.whole, self.view.dtype))

    def _where_masked(self, value: Value) -> Value:
        """The view with `value` where the mask holds."""
        assert self.mask is not None
        rest = self.view.ndim - self.front - self.mask.ndim
        mask = _reshaped(self.mask.value, self.mask.shape + (1,) * rest)
        return recorder_now().builder.select(mask, value, self.view.value)

    def _masked(self, value: Value) -> Value:
        """The value stands for a row of unknown length along the masked axes, so it must be the
        same for each selected element."""
        assert self.mask is not None
        shape = self.view.shape
        first, last = self.front, self.front + self.mask.ndim
        row = (*shape[:first], 1, *shape[last:])
        if not _fits(value.shape, row):
            raise TraceError(
                f"x[mask] = value with a value of shape {value.shape} puts as many elements as the"
                " mask selects, which depends on the data; use x[...] = np.where(mask, value, x)"
            )
        lead = (1,) * (len(row) - len(value.shape)) + value.shape
        value = _reshaped(value, (*lead[:first], *(1,) * self.mask.ndim, *lead[first + 1 :]))
        return self._where_masked(value)


def _reshaped(value: Value, shape: Shape) -> Value:
    return value if value.shape == shape else recorder_now().builder.reshape(value, shape=shape)


def _fits(shape: Shape, target: Shape) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def spread(value: Value, shape: Shape) -> Value:
    """Broadcast for an assignment, which also drops leading axes of extent 1."""
    extra = max(len(value.shape) - len(shape), 0)
    if all(n == 1 for n in value.shape[:extra]):
        value = _reshaped(value, value.shape[extra:])
    if not _fits(value.shape, shape):
        raise ShapeError(f"could not broadcast input array from shape {value.shape} into {shape}")
    return value if value.shape == shape else recorder_now().builder.broadcast(value, shape=shape)


def assigned(new: Any, target: Handle) -> Value:
    """The value to store, in the dtype of the target."""
    return as_value(lift(new), target.type.dtype)


# --- parsing -------------------------------------------------------------------------------


@dataclass
class _Axes:
    """An index while it is parsed: a slice of every axis, the axes that are not dropped (None is
    a new one), and what selects from which of them."""

    spec: list[tuple[int, int, int]]
    order: list[int | None]
    picked: dict[int, Value]
    arrays: dict[int, Any]
    mask: tuple[int, TracedArray] | None = None

    @property
    def kept(self) -> list[int | None]:
        """The axes of the result of the basic part."""
        return [k for k in self.order if k not in self.picked or k is None]


def select(x: TracedArray, key: Any) -> Selection:
    """Parse an index. BoundsError for an int out of range or too many indices."""
    given = list(key) if isinstance(key, tuple) else [key]
    items = _expanded(given, x.ndim)
    axes = _Axes([full_slice(n) for n in x.shape], [], {}, {})
    axis = 0
    for item in items:
        axis += _take(x, axes, axis, item)
    view = _basic(x, axes)
    if axes.mask is not None:
        if axes.arrays or axes.picked:
            raise UnsupportedError("a traced mask cannot be combined with other index arrays")
        return _by_mask(view, *axes.mask, _front(items))
    if axes.arrays:
        where, arrays = tuple(axes.kept.index(k) for k in axes.arrays), list(axes.arrays.values())
        dense = all(map(_is_dense, arrays))
        return Selection(view, where, _common(arrays), _front(items), dense=dense)
    return Selection(view, element=not axes.kept and not any(k is Ellipsis for k in given))


def _is_dense(index: Any) -> bool:
    contiguous = index.contiguous if isinstance(index, Handle) else index.flags.c_contiguous
    return index.ndim < 2 or bool(contiguous)


def _by_mask(view: TracedArray, at: int, mask: TracedArray, front: int) -> Selection:
    """The selection by a mask of the axes from `at` on, which come at `front` of the result."""
    if front != at:
        masked = range(at, at + mask.ndim)
        rest = [k for k in range(view.ndim) if k not in masked]
        view = view.through(Permute((*rest[:front], *masked, *rest[front:])))
    return Selection(view, mask=mask, front=front)


def _front(items: list[Any]) -> int:
    """Where NumPy puts the axes of index arrays: at the first of them if all indices that are not
    slices stand side by side (ints count as arrays here), else in front."""
    advanced = [k for k, item in enumerate(items) if not _is_slice(item)]
    if advanced != list(range(advanced[0], advanced[-1] + 1)):
        return 0
    return sum(item is not Ellipsis for item in items[: advanced[0]])


def _is_slice(item: Any) -> bool:
    return item is None or item is Ellipsis or isinstance(item, slice)


def _expanded(items: list[Any], rank: int) -> list[Any]:
    """The items with Ellipsis spelled out, one slice per axis that none of them names. One that
    stands for no axis is kept: it separates index arrays."""
    items = [_normal(item) for item in items]
    flat: list[Any] = []
    for item in items:
        flat.extend(item) if isinstance(item, list) else flat.append(item)
    used = sum(_width(item) for item in flat)
    if used > rank:
        raise BoundsError(f"too many indices: array is {rank}-dimensional, but {used} were indexed")
    fill: list[Any] = [slice(None)] * (rank - used)
    dots = [k for k, item in enumerate(flat) if item is Ellipsis]
    if len(dots) > 1:
        raise ShapeError("an index can only have a single ellipsis ('...')")
    at = dots[0] if dots else len(flat)
    return flat[:at] + (fill or flat[at : at + len(dots)]) + flat[at + len(dots) :]


class _Chosen(NamedTuple):
    """Where a concrete mask is true along one of its axes, and how long that is."""

    positions: np.ndarray
    extent: int


def _width(item: Any) -> int:
    """How many axes an index item uses."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if _is_mask(item) else 1


def _is_mask(item: Any) -> bool:
    return isinstance(item, Handle) and item.type.is_bool


def _normal(item: Any) -> Any:
    """An index item as None, Ellipsis, slice, int, integer array or traced array. A concrete mask
    becomes the (list of) integer arrays of its true elements."""
    if isinstance(item, Handle) and item.type.is_bool and item.type.rank == 0:
        raise TraceError("an index of one traced bool makes the shape depend on the data")
    if isinstance(item, Handle) and item.kind != "array" and item.type.is_integer:
        number = known(item)
        return item if number is None else int(number)
    if item is None or item is Ellipsis or isinstance(item, (slice, Handle)):
        return item
    if isinstance(item, (bool, np.bool_)):
        raise UnsupportedError("an index of one True or False is not supported; write x[None]")
    if isinstance(item, (int, np.integer)):
        return int(item)
    array = np.asarray(item)
    if array.dtype == BOOL:
        pairs = zip(np.nonzero(array), array.shape, strict=True)
        return [_Chosen(positions, extent) for positions, extent in pairs]
    if array.size == 0 and not isinstance(item, np.ndarray):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"an index must be integers or bool, not {array.dtype}")
    return array


def _take(x: TracedArray, axes: _Axes, axis: int, item: Any) -> int:
    """Note what one item does to `axis`; returns how many axes it uses."""
    if item is None:
        axes.order.append(None)
        return 0
    if item is Ellipsis:
        return 0
    if _is_mask(item):
        if item.shape != x.shape[axis : axis + item.ndim] or axes.mask is not None:
            raise ShapeError(f"mask of shape {item.shape} does not fit axis {axis} of {x.shape}")
        axes.mask = (len(axes.order), item)
        axes.order.extend(range(axis, axis + item.ndim))
        return int(item.ndim)
    n = x.shape[axis]
    if isinstance(item, _Chosen):
        if item.extent != n:
            raise BoundsError(f"a mask of {item.extent} elements for axis {axis} with size {n}")
        item = item.positions
    if isinstance(item, int):
        axes.spec[axis] = _one(item, axis, n)
        return 1
    axes.order.append(axis)
    if isinstance(item, slice):
        axes.spec[axis] = _slice(item, n)
    elif isinstance(item, Handle) and item.kind != "array":
        axes.picked[axis] = _index_value(item)
    else:  # a 0-d array too: NumPy copies there
        _check_bounds(item, axis, n)
        axes.arrays[axis] = item
    return 1


def _slice(item: slice, n: int) -> tuple[int, int, int]:
    for bound in (item.start, item.stop, item.step):
        if isinstance(bound, Handle) and asked(bound) is None:
            raise TraceError(
                "a slice bound is traced, so the shape would depend on the data; make it a static"
                " argument, or read a fixed number of rows with x[start + np.arange(n)]"
            )
    start, stop, step = item.indices(n)
    length = len(range(start, stop, step))
    if length == 0:
        return (0, 0, 1)
    end = start + (length - 1) * step + (1 if step > 0 else -1)
    return (start, end, step) if length > 1 else (start, start + 1, 1)


def _one(index: int, axis: int, n: int) -> tuple[int, int, int]:
    if not -n <= index < n:
        raise BoundsError(f"index {index} is out of bounds for axis {axis} with size {n}")
    return (index % n, index % n + 1, 1)


def _check_bounds(item: Any, axis: int, n: int) -> None:
    if isinstance(item, np.ndarray) and item.size and not (-n <= item.min() and item.max() < n):
        worst = item.min() if item.min() < -n else item.max()
        raise BoundsError(f"index {worst} is out of bounds for axis {axis} with size {n}")


def _index_value(item: Any) -> Value:
    x = as_array(item)
    if not x.type.is_integer:
        raise DTypeError(f"an index must be integers or bool, not {x.dtype}")
    return as_value(x, I64)


def _basic(x: TracedArray, axes: _Axes) -> TracedArray:
    """Slice every axis, drop those of ints, insert new ones, pick traced positions."""
    lengths = [1 if k is None else len(range(*axes.spec[k])) for k in axes.order]
    view = x.through(Slice(tuple(axes.spec))).through(Reshape(tuple(lengths)))
    if not axes.picked:
        return view
    where = tuple(axes.order.index(k) for k in axes.picked)
    return view.through(Pick(where, tuple(axes.picked.values())))


def _common(arrays: Sequence[Any]) -> tuple[Value, ...]:
    """Index arrays as i64 values of one shape."""
    values = [_index_value(a) for a in arrays]
    try:
        shape = np.broadcast_shapes(*(v.shape for v in values))
    except ValueError:
        shapes = ", ".join(str(v.shape) for v in values)
        raise ShapeError(f"index arrays of shapes {shapes} do not broadcast together") from None
    b = recorder_now().builder
    return tuple(v if v.shape == shape else b.broadcast(v, shape=shape) for v in values)


def target_of(x: Any) -> TracedArray:
    """The array a function writes into; TraceError for a concrete one, which cannot hold it."""
    if not isinstance(x, Handle):
        raise misuse.dropped_output(np.asarray(x))
    return as_array(x)
