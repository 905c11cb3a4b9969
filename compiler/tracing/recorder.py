"""One trace: the graph under construction and what belongs to it.

A `Buffer` is an array of the step: it holds the current SSA value of that array, and every write
gives it another one. Handles (`handle.py`) look at buffers through lenses. While a function is
recorded for its derivative, the arrays it is differentiated with respect to must not be written;
a write to any other array takes effect once, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...ir.builder import Builder
from ...ir.errors import ShapeError, TapelessError, TraceError, UnsupportedError
from ...ir.graph import Loc, Value
from ..active import ACTIVE, active
from ..signature import spec_of
from . import source
from .constants import constant

if TYPE_CHECKING:
    from .generators import RandomGuard
    from .traced import TracedArray

E = TypeVar("E", bound=TapelessError)


class Buffer:
    """An array: its current value, and how often it was written.

    `contiguous` says whether its memory is known to be C-contiguous. `twins` are buffers that may
    or may not share memory with this one (a reshape of unknown layout); a write to one makes the
    others unreadable, and `lost` then says why. `borrowed` buffers stand for concrete arrays
    outside the step, which it cannot change. `derivatives` counts the derivative calls in
    progress that differentiate with respect to it.
    """

    def __init__(self, value: Value, *, contiguous: bool, label: str = "") -> None:
        self.value = value
        self.version = 0
        self.contiguous = contiguous
        self.label = label
        self.derivatives = 0
        self.borrowed = False
        self.twins: list[Buffer] = []
        self.lost = ""

    def link(self, other: Buffer) -> None:
        """Note that the two may share memory."""
        self.twins.append(other)
        other.twins.append(self)

    @property
    def differentiated(self) -> bool:
        """Whether this array, or one that may share its memory, is being differentiated."""
        return any(buffer.derivatives for buffer in self.related())

    def related(self) -> list[Buffer]:
        """This buffer and all that may share memory with it, through others too."""
        found = [self]
        for buffer in found:
            found += [twin for twin in buffer.twins if twin not in found]
        return found

    def write(self, value: Value) -> None:
        """Give the array another value."""
        self.value = value
        self.version += 1
        for twin in self.related()[1:]:
            twin.lost = (
                "whether a reshape was a view or a copy depends on a memory layout the trace does"
                " not know, and one side of it was changed; write .copy() after the reshape"
            )


class Recorder:
    """Collects the nodes of one trace.

    `known` is what is known of values that depend on no argument. `numbers` are the inputs that
    are numbers of objects, `assumed` what is known given those, `pinned` the ones whose value was
    asked for, and where. `refused` is the first error that NumPy would not have raised.
    """

    def __init__(self, array_type: type[TracedArray], guard: RandomGuard) -> None:
        self.builder = Builder()
        self.alive = True
        self.array_type = array_type
        self.guard = guard
        self.weak_inputs: dict[Value, int] = {}
        self.numbers: set[Value] = set()
        self.assumed: dict[Value, np.ndarray | None] = {}
        self.pinned: dict[Value, Loc | None] = {}
        self.int_ranges: dict[tuple[int, np.dtype], None] = {}
        self.known: dict[Value, np.ndarray | None] = {}
        self.refused: TapelessError | None = None
        self._depth = 0
        self._tentative: tuple[object, Value] | None = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Make this the active trace; handles die when the block ends."""
        token = ACTIVE.set(self)
        try:
            yield
        finally:
            self.alive = False
            ACTIVE.reset(token)

    def statement(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Run one operation the user wrote: its nodes, its errors and its result get their line.

        Operations it consists of run inside it and get the same line.
        """
        if not self.alive:
            raise located(TraceError(_DEAD), source.user_frame())
        if self._depth:
            return function(*args, **kwargs)
        frame = source.user_frame()
        self.builder.loc = source.location(frame)
        self._depth += 1
        try:
            result = function(*args, **kwargs)
        except (TapelessError, ValueError) as error:
            found = located(_as_ours(error), frame)
            if isinstance(found, TraceError | UnsupportedError):
                remember(found)
            raise found from None
        finally:
            self._depth -= 1
        self._name(result, frame)
        return result

    def fresh(
        self, value: Value, *, contiguous: bool = True, scalar: bool | None = None
    ) -> TracedArray:
        """A handle on a new array. A result of shape () is a NumPy scalar unless said otherwise."""
        buffer = Buffer(value, contiguous=contiguous or value.type.rank < 2)
        immutable = value.shape == () if scalar is None else scalar
        return self.array_type(self, buffer, (), "scalar" if immutable else "array")

    def capture(self, array: Any) -> TracedArray:
        """A concrete array or NumPy scalar used in the step, copied into the graph."""
        spec_of(array)  # UnsupportedError for arrays of other kinds
        scalar = isinstance(array, np.generic)
        array = np.array(array, order="K")
        if self.guard.drawn():
            raise TraceError(self.guard.message)
        contiguous = bool(array.flags.c_contiguous)
        return self.fresh(constant(self.builder, array), contiguous=contiguous, scalar=scalar)

    def _name(self, result: object, frame: FrameType | None) -> None:
        """Name the value after the variable it is assigned to.

        A library function called by the user performs several operations inside one instruction;
        only the last of them computes what is assigned.
        """
        if not isinstance(result, self.array_type) or frame is None:
            return
        value = result.buffer.value
        name = source.assigned_name(frame)
        if name is None or result.lenses or value.name is not None:
            return
        value.name = name
        if source.called_by_library():
            here = (frame, frame.f_lasti)
            if self._tentative is not None and self._tentative[0] == here:
                self._tentative[1].name = None
            self._tentative = here, value


_DEAD = (
    "an array of a finished trace is used; return it from the step instead of keeping it in a"
    " global, a closure or an object"
)


def located(error: E, frame: FrameType | None) -> E:
    """The error with the user's line at the end of its message, once."""
    if getattr(error, "located", False):
        return error
    return _placed(error, source.location(frame))


def located_in(error: E, fn: object) -> E:
    """The error with the place of a function, where no line of it is known to be at fault."""
    return _placed(error, source.definition(fn))


def _placed(error: E, loc: Loc | None) -> E:
    fresh = type(error)(f"{error}, {source.place(loc)}")
    fresh.located = True  # type: ignore[attr-defined]
    return fresh


def remember(error: TapelessError) -> None:
    """Note an error that NumPy would not have raised. It fails the trace even where the step (or
    NumPy) catches it: what runs then is not what would run on values."""
    recorder = active()
    if recorder is not None and recorder.refused is None:
        recorder.refused = error


def _as_ours(error: Exception) -> TapelessError:
    return error if isinstance(error, TapelessError) else ShapeError(str(error))
