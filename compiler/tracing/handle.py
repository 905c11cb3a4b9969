"""Handles: what a name in the step refers to, a buffer seen through lenses.

Reading folds `get` over the lenses, writing folds `put` back into the buffer, so that every view
of an array sees what is written through any other, as in NumPy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from ...ir.errors import ReadOnlyError, TraceError
from ...ir.graph import Value
from ...ir.types import Type
from .lenses import (
    Lens,
    Permute,
    Reshape,
    Shape,
    Slice,
    Strides,
    c_strides,
    reshape_kind,
    whole,
)
from .recorder import Buffer, Recorder

if TYPE_CHECKING:
    from .traced import TracedArray

Kind = Literal["array", "scalar", "python"]
"""What NumPy would have here: an array, an immutable NumPy scalar, or a Python number (weak)."""


class Unshaped:
    """Something read whose shape the trace does not know; using it raises its `error`."""

    error: TraceError


class Handle:
    """A view of a buffer. `TracedArray` adds NumPy's operators and functions."""

    __slots__ = ("_memo", "_shape", "buffer", "kind", "lenses", "recorder")

    def __init__(
        self, recorder: Recorder, buffer: Buffer, lenses: tuple[Lens, ...], kind: Kind
    ) -> None:
        self.recorder = recorder
        self.buffer = buffer
        self.lenses = lenses
        self.kind = kind
        self._memo: tuple[int, Value] | None = None
        self._shape = buffer.value.shape
        for lens in lenses:
            self._shape = lens.shape(self._shape)

    @property
    def type(self) -> Type:
        return Type(self.buffer.value.type.dtype, self._shape)

    @property
    def weak(self) -> bool:
        """Whether this is a Python number, which takes the dtype of what it meets."""
        return self.kind == "python"

    @property
    def writable(self) -> bool:
        return self.kind == "array" and all(lens.writable for lens in self.lenses)

    @property
    def strides_known(self) -> Strides:
        """The strides in elements, None if the memory layout is not known."""
        shape = self.buffer.value.shape
        strides: Strides = c_strides(shape) if self.buffer.contiguous else None
        for lens in self.lenses:
            shape, strides = lens.shape(shape), lens.strides(shape, strides)
        return strides

    @property
    def contiguous(self) -> bool:
        """Whether the memory is known to be C-contiguous."""
        strides, shape = self.strides_known, self._shape
        if strides is None:
            return False
        dense = c_strides(shape)
        return math.prod(shape) <= 1 or all(
            n == 1 or s == d for n, s, d in zip(shape, strides, dense, strict=True)
        )

    @property
    def value(self) -> Value:
        """The current value, as an SSA value."""
        buffer = self.buffer
        if buffer.lost:
            raise TraceError(buffer.lost)
        if self._memo is None or self._memo[0] != buffer.version:
            value = buffer.value
            for lens in self.lenses:
                value = lens.get(self.recorder.builder, value)
            self._memo = buffer.version, value
        return self._memo[1]

    def read(self) -> Value:
        """`value`, as a function."""
        return self.value

    def write(self, value: Value) -> None:
        """Replace the whole content of this view."""
        self.check_writable()
        b = self.recorder.builder
        for k in reversed(range(len(self.lenses))):
            base = self._prefix(k)
            value = self.lenses[k].put(b, base._shape, base.read, value)
        self.buffer.write(value)

    def _prefix(self, k: int) -> Handle:
        """The view that the k-th lens looks at."""
        return Handle(self.recorder, self.buffer, self.lenses[:k], "array")

    def check_writable(self) -> None:
        """ReadOnlyError or TraceError when this view must not be written."""
        if not all(lens.writable for lens in self.lenses):
            raise ReadOnlyError(
                "a view made by np.broadcast_to, np.diagonal or sliding_window_view is read-only;"
                " write to a .copy()"
            )
        if self.kind != "array":
            raise TraceError(
                "a scalar is immutable and cannot be written in place; assign it, s = v"
            )
        if self.buffer.lost:
            raise TraceError(self.buffer.lost)
        if self.buffer.borrowed:
            raise TraceError(
                "a concrete array from outside the step is changed inside it; pass it as an"
                " argument, or change a copy, np.array(C)"
            )
        if self.buffer.differentiated:
            raise TraceError(
                f"{self.buffer.label or 'an argument'} is being differentiated and must not be"
                " changed inside the differentiated function; change a .copy()"
            )

    def through(self, lens: Lens) -> TracedArray:
        """The same memory through one more lens. (A view of a scalar is a new array.)"""
        if self.kind != "array":
            return self.recorder.fresh(self.value, scalar=False).through(lens)
        chain = self.lenses if self._is_identity(lens) else (*self.lenses, lens)
        return self.recorder.array_type(self.recorder, self.buffer, chain, "array")

    def _is_identity(self, lens: Lens) -> bool:
        match lens:
            case Permute(perm):
                return perm == tuple(range(len(perm)))
            case Slice(spec):
                return whole(spec, self._shape)
            case Reshape(to):
                return to == self._shape
        return False

    def reshaped(self, to: Shape) -> TracedArray:
        """NumPy's reshape: a view where the layout allows one, else a copy."""
        match reshape_kind(self._shape, self.strides_known, to):
            case "view":
                return self.through(Reshape(to))
            case "copy":
                return self.reshaped_copy(to)
        copy = self.reshaped_copy(to)
        self.buffer.link(copy.buffer)
        return copy

    def reshaped_copy(self, to: Shape) -> TracedArray:
        """A new array of another shape."""
        b = self.recorder.builder
        return self.recorder.fresh(b.reshape(self.value, shape=to), scalar=False)

    def same_place(self, other: object) -> bool:
        """Whether `other` is a handle on exactly this memory."""
        return (
            isinstance(other, Handle)
            and other.buffer is self.buffer
            and other.lenses == self.lenses
        )
