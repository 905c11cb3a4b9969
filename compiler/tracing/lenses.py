"""Views: what NumPy does with strides, done with pairs of functions on values.

A view is a chain of lenses on a base array. `get` reads the view out of the base; `put` returns
the base with the view replaced (the base's shape is known, its old value is computed only if
needed); `strides` follows the memory layout (in elements; None where it is not known), which
decides whether a later reshape is a view or a copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

from ...ir.builder import Builder
from ...ir.diagonal import diagonal
from ...ir.graph import Value
from ...ir.ops.move import SliceSpec, full_slice, reshape_groups, slice_extent
from ...ir.record import dataclass

Shape = tuple[int, ...]
Strides = tuple[int, ...] | None
Base = Callable[[], Value]


class Lens(Protocol):
    """One step from an array to a view of it."""

    writable: bool

    def shape(self, base: Shape) -> Shape: ...

    def strides(self, base: Shape, strides: Strides) -> Strides: ...

    def get(self, b: Builder, base: Value) -> Value: ...

    def put(self, b: Builder, shape: Shape, base: Base, view: Value) -> Value: ...


@dataclass(frozen=True)
class Permute:
    """The axes in another order."""

    perm: tuple[int, ...]
    writable = True

    def shape(self, base: Shape) -> Shape:
        return tuple(base[k] for k in self.perm)

    def strides(self, base: Shape, strides: Strides) -> Strides:
        return strides and tuple(strides[k] for k in self.perm)

    def get(self, b: Builder, base: Value) -> Value:
        return b.transpose(base, perm=self.perm)

    def put(self, b: Builder, shape: Shape, base: Base, view: Value) -> Value:
        inverse = tuple(self.perm.index(k) for k in range(len(self.perm)))
        return b.transpose(view, perm=inverse)


@dataclass(frozen=True)
class Reshape:
    """Another shape over the same memory. Make one only where `reshape_kind` says "view"."""

    to: Shape
    writable = True

    def shape(self, base: Shape) -> Shape:
        return self.to

    def strides(self, base: Shape, strides: Strides) -> Strides:
        return strides if strides is None else _reshaped_strides(base, strides, self.to)

    def get(self, b: Builder, base: Value) -> Value:
        return b.reshape(base, shape=self.to)

    def put(self, b: Builder, shape: Shape, base: Base, view: Value) -> Value:
        return b.reshape(view, shape=shape)


@dataclass(frozen=True)
class Slice:
    """A regular part, one normalised (start, stop, step) per axis."""

    spec: SliceSpec
    writable = True

    def shape(self, base: Shape) -> Shape:
        return tuple(slice_extent(*s) for s in self.spec)

    def strides(self, base: Shape, strides: Strides) -> Strides:
        return strides and tuple(n * s[2] for n, s in zip(strides, self.spec, strict=True))

    def get(self, b: Builder, base: Value) -> Value:
        return b.slice(base, spec=self.spec)

    def put(self, b: Builder, shape: Shape, base: Base, view: Value) -> Value:
        return b.update(base(), view, spec=self.spec)


@dataclass(frozen=True)
class Broadcast:
    """Repeated along new or size-1 axes; read-only, as NumPy's."""

    to: Shape
    writable = False

    def shape(self, base: Shape) -> Shape:
        return self.to

    def strides(self, base: Shape, strides: Strides) -> Strides:
        if strides is None:
            return None
        lead = len(self.to) - len(base)
        tail = zip(strides, base, self.to[lead:], strict=True)
        return (0,) * lead + tuple(s if n == m else 0 for s, n, m in tail)

    def get(self, b: Builder, base: Value) -> Value:
        return b.broadcast(base, shape=self.to)

    def put(self, b: Builder, shape: Shape, base: Base, view: Value) -> Value:
        raise AssertionError("a broadcast view is never written")


@dataclass(frozen=True)
class Windows:
    """Every window of `sizes` along `axes`, its elements on new last axes; read-only."""

    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    writable = False

    def shape(self, base: Shape) -> Shape:
        found = [*base, *self.sizes]
        for axis, size in zip(self.axes, self.sizes, strict=True):
            found[axis] -= size - 1
        return tuple(found)

    def strides(self, base: Shape, strides: Strides) -> Strides:
        return strides and (*strides, *(strides[k] for k in self.axes))

    def get(self, b: Builder, base: Value) -> Value:
        ones = (1,) * len(self.axes)
        return b.windows(base, axes=self.axes, sizes=self.sizes, strides=ones, dilations=ones)

    def put(self, b: Builder, shape: Shape, base: Base, view: Value) -> Value:
        raise AssertionError("a view of windows is never written")


@dataclass(frozen=True)
class Pick:
    """One position along `axes`, given by run-time integers of shape ()."""

    axes: tuple[int, ...]
    indices: tuple[Value, ...]
    writable = True

    def shape(self, base: Shape) -> Shape:
        return tuple(n for k, n in enumerate(base) if k not in self.axes)

    def strides(self, base: Shape, strides: Strides) -> Strides:
        return strides and tuple(n for k, n in enumerate(strides) if k not in self.axes)

    def get(self, b: Builder, base: Value) -> Value:
        return b.gather(base, *self.indices, axes=self.axes)

    def put(self, b: Builder, shape: Shape, base: Base, view: Value) -> Value:
        return b.scatter(base(), view, *self.indices, axes=self.axes)


@dataclass(frozen=True)
class Diagonal:
    """The diagonal of two axes, as a new last axis; read-only, as NumPy's."""

    axis1: int
    axis2: int
    offset: int
    writable = False

    def shape(self, base: Shape) -> Shape:
        rows, columns = base[self.axis1], base[self.axis2]
        length = min(rows + min(self.offset, 0), columns - max(self.offset, 0))
        return (*(base[k] for k in self._rest(base)), max(length, 0))

    def strides(self, base: Shape, strides: Strides) -> Strides:
        if strides is None:
            return None
        return (*(strides[k] for k in self._rest(base)), strides[self.axis1] + strides[self.axis2])

    def get(self, b: Builder, base: Value) -> Value:
        return diagonal(b, base, self.axis1, self.axis2, self.offset)

    def put(self, b: Builder, shape: Shape, base: Base, view: Value) -> Value:
        raise AssertionError("a diagonal view is never written")

    def _rest(self, base: Shape) -> tuple[int, ...]:
        return tuple(k for k in range(len(base)) if k not in (self.axis1, self.axis2))


def whole(spec: SliceSpec, shape: Shape) -> bool:
    """Whether a slice takes everything, in order."""
    return all(s == full_slice(n) for s, n in zip(spec, shape, strict=True))


def c_strides(shape: Shape) -> tuple[int, ...]:
    """Strides of a C-contiguous array."""
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


def reshape_kind(old: Shape, strides: Strides, new: Shape) -> str:
    """What NumPy's reshape makes here: a "view", a "copy", or "unknown" without strides.

    Axes may be merged where they lie behind one another in memory, and split anywhere.
    """
    if math.prod(old) <= 1:
        return "view"
    kinds = set()
    for merged, _ in reshape_groups(old, new):
        pairs = pairwise(merged)
        if len(merged) > 1 and strides is None:
            return "unknown"
        if strides is not None and any(strides[i] != strides[j] * old[j] for i, j in pairs):
            kinds.add("copy")
    return "copy" if kinds else "view"


def _reshaped_strides(old: Shape, strides: Sequence[int], new: Shape) -> tuple[int, ...]:
    if math.prod(old) <= 1:
        return c_strides(new)
    found = [0] * len(new)
    for merged, split in reshape_groups(old, new):
        inner = strides[merged[-1]]
        for k in reversed(split):
            found[k] = inner
            inner *= new[k]
    return tuple(found)
