"""A compiled step bound to its memory: one native call, nothing allocated but the results.

    executable = Executable(module, layout, scratch)
    outputs = executable.call((W1, b1, x, y, 0.1))      None if these are not its arguments

The pointer table, the arena, the constants and a cell for every scalar argument live as long as the
executable. A call checks the arguments, writes their addresses into the table, makes the output
arrays, and calls the step once. The arena is shared: two threads that call the same executable run
one after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..ir.types import Type

Array = NDArray[Any]

ALIGNMENT = 64


class Argument(Protocol):
    """An input of the step."""

    @property
    def type(self) -> Type: ...
    @property
    def updated(self) -> bool: ...


class Layout(Protocol):
    """What stands where in the pointer table."""

    @property
    def arguments(self) -> Sequence[Argument]: ...
    @property
    def outputs(self) -> Sequence[Type]: ...
    @property
    def constants(self) -> Sequence[Array]: ...
    @property
    def slots(self) -> Sequence[int]: ...
    @property
    def arena(self) -> int: ...
    @property
    def table(self) -> Mapping[str, int]: ...


class Module(Protocol):
    """Native code: `call` runs the step on a table, given by its address."""

    @property
    def call(self) -> Callable[[int], int]: ...


def aligned_bytes(count: int) -> Array:
    """Uninitialised bytes that start on a 64-byte boundary."""
    raw = np.empty(count + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count]


class Memory:
    """What a step needs besides its arguments: arena, constants, scalar cells, and the table."""

    def __init__(self, layout: Layout, scratch: int) -> None:
        self.arena = aligned_bytes(layout.arena + max(scratch, 1))
        self.constants = [np.array(c, order="C") for c in layout.constants]
        self.cells = {
            k: np.zeros((), argument.type.dtype)
            for k, argument in enumerate(layout.arguments)
            if argument.type.shape == ()
        }
        self.table = np.zeros(len(layout.table), np.uintp)
        for k, constant in enumerate(self.constants):
            self._point(layout, f"const{k}", constant)
        for offset in layout.slots:
            self._point(layout, f"arena+{offset}", self.arena[offset:])
        self._point(layout, "scratch", self.arena[layout.arena :])

    def _point(self, layout: Layout, place: str, array: Array) -> None:
        self.table[layout.table[place]] = array.ctypes.data


class Executable:
    """A step ready to run. `failed` makes the error for a non-zero status."""

    def __init__(
        self,
        module: Module,
        layout: Layout,
        scratch: int = 0,
        failed: Callable[[int], Exception] = lambda status: IndexError(f"check {status} failed"),
    ) -> None:
        self.layout = layout
        self._module = module
        self._failed = failed
        self._lock = threading.Lock()
        self._memory = Memory(layout, scratch)
        self._outputs = tuple((t.shape, t.dtype) for t in layout.outputs)

    def call(self, leaves: tuple[Any, ...]) -> tuple[Array, ...] | None:
        """Run the step on one array or number per argument; updated arrays are written in place.

        Returns fresh arrays, or None, with nothing written, when an argument is not exactly what
        the step was compiled for: another dtype or shape, not C-contiguous, not aligned, read-only
        or overlapping another one where the step writes. Raises BoundsError for an index out of
        range, again with nothing written.
        """
        with self._lock:
            if not self._fill(leaves):
                return None
            outputs = tuple(np.empty(shape, dtype) for shape, dtype in self._outputs)
            first = len(leaves)
            for k, output in enumerate(outputs):
                self._memory.table[first + k] = output.ctypes.data
            status = self._module.call(self._memory.table.ctypes.data)
        if status:
            raise self._failed(status)
        return outputs

    def _fill(self, leaves: tuple[Any, ...]) -> bool:
        """Write the arguments' addresses into the table; False if one does not fit."""
        if len(leaves) != len(self.layout.arguments):
            return False
        ranges: list[tuple[int, int, bool]] = []
        for k, (leaf, argument) in enumerate(zip(leaves, self.layout.arguments, strict=True)):
            cell = self._memory.cells.get(k)
            if cell is not None and not argument.updated:
                if isinstance(leaf, np.ndarray) and (leaf.shape or leaf.dtype != cell.dtype):
                    return False
                cell[()] = leaf
                leaf = cell
            elif not _fits(leaf, argument):
                return False
            address = leaf.ctypes.data
            self._memory.table[k] = address
            ranges.append((address, address + leaf.nbytes, argument.updated))
        return not any(
            a[2] and a[0] < b[1] and b[0] < a[1]
            for i, a in enumerate(ranges)
            for j, b in enumerate(ranges)
            if i != j
        )


def _fits(leaf: Any, argument: Argument) -> bool:
    if type(leaf) is not np.ndarray or leaf.shape != argument.type.shape:
        return False
    flags = leaf.flags
    return (
        leaf.dtype == argument.type.dtype
        and flags.c_contiguous
        and flags.aligned
        and (flags.writeable or not argument.updated)
    )
