"""A compiled step bound to its memory: one native call, nothing allocated but the results.

    executable = Executable(module, layout, scratch)
    outputs = executable.call((W1, b1, x, y, 0.1))      None if these are not its arguments

The pointer table, the arena, the constants and a cell for every number argument live as long as the
executable. A call takes a set of cells, writes the numbers into them, makes the output arrays and
enters native code once (`callpath.Entry`), which checks the arguments, fills the table and runs
the step under the GIL. So threads cannot mix their calls, and a forked child finds no lock held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..ir.errors import ScalarRangeError
from ..ir.record import dataclass
from ..ir.types import Type
from .callpath import Entry, Item
from .commit import commit
from .store import Store

Array = NDArray[Any]
Cells = tuple[tuple[int, Array], ...]
Prepare = Callable[[Sequence[Array]], Callable[[], None]]

ALIGNMENT: Final = 64


@dataclass(frozen=True, slots=True)
class Argument:
    """An input of the native step."""

    name: str | None
    type: Type
    updated: bool


@dataclass(frozen=True)
class Layout:
    """The pointer table: arguments, outputs, constants, then one entry per slot of the arena (at
    these offsets) and one for scratch memory. `table` maps a place to its position."""

    arguments: tuple[Argument, ...]
    outputs: tuple[Type, ...]
    constants: tuple[Array, ...]
    slots: tuple[int, ...]
    arena: int
    table: Mapping[str, int]


def aligned_bytes(count: int) -> Array:
    """Uninitialised bytes that start on a 64-byte boundary."""
    raw = np.empty(count + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count]


class Step(Protocol):
    """Native code, alive as long as this object; `address` is `int64_t step(void **table)`."""

    @property
    def address(self) -> int: ...


class Executable:
    """A step ready to run. `scratch` is the bytes of memory behind the arena that kernels use while
    they run, `failed` makes the error for a status that is not 0, `store` may hold code that all
    steps share."""

    def __init__(
        self,
        step: Step,
        layout: Layout,
        scratch: int = 0,
        failed: Callable[[int], Exception] = lambda status: IndexError(f"check {status} failed"),
        *,
        native: bool = True,
        store: Store | None = None,
    ) -> None:
        self.layout = layout
        self._step = step
        self._failed = failed
        self._outputs = tuple((t.shape, t.dtype) for t in layout.outputs)
        self._arena: Array = self._allocate(max(layout.arena, 1))
        self._scratch: Array = self._allocate(max(scratch, 1))
        self._constants = [np.array(c, order="C") for c in layout.constants]
        self._table = np.zeros(len(layout.table), np.uintp)
        self._entry = Entry(_items(layout), self._table, step.address, native=native, store=store)
        self._enter: Callable[[tuple[Any, ...]], int] = self._entry
        if not self._entry.is_native:
            self._lock = threading.Lock()
            self._enter = self._one_at_a_time
        self._numbers = tuple(
            k for k, a in enumerate(layout.arguments) if a.type.shape == () and not a.updated
        )
        self._cells: list[Cells] = [self._new_cells()]
        self._fill_table()

    _allocate: Any = staticmethod(aligned_bytes)
    _empty: Any = staticmethod(np.empty)

    @property
    def arena_bytes(self) -> int:
        """Memory the executable keeps between calls, beside constants."""
        return self._arena.nbytes + self._scratch.nbytes

    def call(
        self, leaves: tuple[Any, ...], prepare: Prepare | None = None
    ) -> tuple[Array, ...] | None:
        """Run the step on one array or number per argument; updated arrays are written in place.

        Returns fresh arrays, or None, with nothing written, when an argument is not exactly what
        the step was compiled for: another dtype or shape, not C-contiguous, not aligned, read-only
        or overlapping another one where the step writes. Raises BoundsError for an index out of
        range, LinAlgError for a singular or indefinite matrix, again with nothing written.

        `prepare(outputs)` is called before anything is written; what it returns is called once
        everything is. An interrupt comes before both or after both.
        """
        if len(leaves) != len(self.layout.arguments):
            return None
        try:
            cells = self._cells.pop()
        except IndexError:  # another thread is in the middle of a call
            cells = self._new_cells()
        try:
            arrays = list(leaves)
            for k, cell in cells:
                if not _store(cell, leaves[k]):
                    return None
                arrays[k] = cell
            empty = self._empty
            outputs = tuple([empty(shape, dtype) for shape, dtype in self._outputs])
            if prepare is None:
                status = self._enter((*arrays, *outputs))
            else:
                status = commit(self._steps((*arrays, *outputs)), prepare(outputs))
        finally:
            self._cells.append(cells)
        if status > 0:
            raise self._failed(status)
        return outputs if status == 0 else None

    def _steps(self, arrays: tuple[Any, ...]) -> Iterable[int]:
        """Running the step, as the one item of an iterator in C."""
        if self._entry.is_native:
            return self._entry.calls(arrays)
        return map(self._one_at_a_time, (arrays,))

    def _one_at_a_time(self, arrays: tuple[Any, ...]) -> int:
        """The Python form of the entry fills the table in several steps."""
        with self._lock:
            return self._entry(arrays)

    def _new_cells(self) -> Cells:
        return tuple((k, np.zeros((), self.layout.arguments[k].type.dtype)) for k in self._numbers)

    def _fill_table(self) -> None:
        """The addresses that no call changes."""
        places = {f"const{k}": constant for k, constant in enumerate(self._constants)}
        places |= {f"arena+{offset}": self._arena[offset:] for offset in self.layout.slots}
        places["scratch"] = self._scratch
        for place, array in places.items():
            self._table[self.layout.table[place]] = array.ctypes.data


def _items(layout: Layout) -> list[Item]:
    """What the entry checks: the arguments (numbers in their cells), then the fresh outputs."""
    items = [
        Item(a.type.dtype, a.type.shape, layout.table[f"in{k}"], a.updated)
        for k, a in enumerate(layout.arguments)
    ]
    return items + [
        Item(t.dtype, t.shape, layout.table[f"out{k}"]) for k, t in enumerate(layout.outputs)
    ]


def _store(cell: Array, number: Any) -> bool:
    """Write a number into its cell; False for an array that is not such a number.

    ScalarRangeError if a Python integer does not fit the cell's dtype.
    """
    if isinstance(number, np.ndarray) and (number.shape or number.dtype != cell.dtype):
        return False
    try:
        cell[()] = number
    except OverflowError as error:
        raise ScalarRangeError(str(error)) from None
    return True
