"""A compiled step bound to its memory: one native call, nothing allocated but the results.

    executable = Executable(module, layout, scratch)
    outputs = executable.call((W1, b1, x, y, 0.1))      None if these are not its arguments
    entry = executable.entry(forms)                     for arguments in containers, at speed

The pointer table, the arena and the constants live as long as the executable. A call enters native
code once (`callpath.Entry`), which checks the arguments, fills the table, makes the outputs and
runs the step under the GIL. So threads cannot mix their calls, and a forked child finds no lock
held.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..ir import errors
from ..ir.record import dataclass
from ..ir.types import Type
from . import callpath, poison
from .callpath import Entry, Form, Item, Parameters, Target
from .store import Store

if TYPE_CHECKING:
    from typing import Protocol

    from numpy.typing import NDArray

    from .callpath import Returns

    Array = NDArray[Any]
    Prepare = Callable[[Sequence[Array]], Callable[[], None]]

    class Step(Protocol):
        """Native code, alive as long as this object; `address` is `int64_t step(void **table)`."""

        @property
        def address(self) -> int: ...


ALIGNMENT: Final = 64
POISONED: Final = "TAPELESS_POISON"


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
        self._failed = failed
        self._native, self._store = native, store
        self._arena: Array = self._allocate(max(layout.arena, 1))
        self._scratch: Array = self._allocate(max(scratch, 1))
        self._constants = [np.array(c, order="C") for c in layout.constants]
        self._table = np.zeros(len(layout.table), np.uintp)
        self._fill_table()
        keeps = step, self._arena, self._scratch, self._constants
        self._target = Target(step.address, self._table, keeps)

    def entry(
        self,
        forms: Sequence[Form],
        *,
        returns: Returns = "all",
        parameters: Parameters | None = None,
    ) -> Entry:
        """The entry for arguments of these forms, whose numbers are those of the step's arguments;
        see `Entry`. It does not need this object to live."""
        return Entry(
            forms,
            *self.items(),
            self._target,
            returns=returns,
            parameters=parameters,
            native=self._native,
            store=self._store,
        )

    _allocate: Any = staticmethod(aligned_bytes)

    def prepare(self) -> None:
        """Load what the first call would load."""
        _ = self._plain

    @cached_property
    def _plain(self) -> Entry:
        """The entry for one array or number per argument."""
        return self.entry([callpath.Array(k) for k in range(len(self.layout.arguments))])

    @property
    def arena_bytes(self) -> int:
        """Memory the executable keeps between calls, beside constants."""
        return self._arena.nbytes + self._scratch.nbytes

    def items(self) -> tuple[list[Item], list[Item]]:
        """What an entry must know of the arguments and of the outputs."""
        arguments, outputs, table = self.layout.arguments, self.layout.outputs, self.layout.table
        inputs = [
            Item(a.type.dtype, a.type.shape, table[f"in{k}"], a.updated)
            for k, a in enumerate(arguments)
        ]
        return inputs, [Item(t.dtype, t.shape, table[f"out{k}"]) for k, t in enumerate(outputs)]

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
        arrays = map(_plain, leaves, self.layout.arguments)
        outputs = self._plain.outputs()
        finish = _nothing if prepare is None else prepare(outputs)
        status = self._plain.commit(finish, outputs, *arrays)
        if status > 0:
            raise self._failed(status)
        return outputs if status == 0 else None

    def _fill_table(self) -> None:
        """The addresses that no call changes."""
        places = {f"const{k}": constant for k, constant in enumerate(self._constants)}
        places |= {f"arena+{offset}": self._arena[offset:] for offset in self.layout.slots}
        places["scratch"] = self._scratch
        for place, array in places.items():
            self._table[self.layout.table[place]] = array.ctypes.data


def _nothing() -> None:
    pass


def _plain(leaf: Any, argument: Argument) -> Any:
    """A number as an array; whatever else the entry checks.

    ScalarRangeError if a Python integer does not fit the dtype.
    """
    if isinstance(leaf, np.ndarray) or argument.type.shape or argument.updated:
        return leaf
    cell = np.empty((), argument.type.dtype)
    try:
        cell[()] = leaf
    except OverflowError as error:
        raise errors.ScalarRangeError(str(error)) from None
    return cell


def make_executable(
    step: Step,
    layout: Layout,
    scratch: int,
    failed: Callable[[int], Exception],
    store: Store | None,
) -> Executable:
    """The executable of a step, poisoned where the environment asks for it."""
    poisoned = os.environ.get(POISONED, "").lower() not in ("", "0", "off")
    kind = poison.PoisonedExecutable if poisoned else Executable
    return kind(step, layout, scratch, failed, store=store)
