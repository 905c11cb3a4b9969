"""From the arguments of a call to the native step and its outputs, in one native call.

    forms = [Group(dict, (Array(0), Array(1)), ("W", "b")), Array(2), Number(3, float)]
    entry = Entry(forms, items, outputs, target)
    entry.call({"W": W, "b": b}, x, 0.1)            the outputs, or MISS: nothing ran
    entry.run(entry.outputs(), p, x, 0.1)           the same in two steps, with the status

A form says what an argument must be. A group is exactly of its kind, with these keys in this order
or so many members. An array passes if it is exactly an `ndarray` (no subclass) of the item's dtype
(NumPy's own singleton), shape, C-contiguous and aligned; writeable and apart in memory from all
others if it is updated. A number is exactly of its kind, an int within its limits. Whatever does
not pass is for the slow path, which converts it (a strided input) or explains (AliasError).

The native form (`callpath_native.py`) does all of that, makes the outputs and runs the step without
a way back into Python: it holds the GIL from the first check to the end of the step, so threads
cannot mix their pointers and Ctrl-C waits. Where it does not work (another Python implementation,
no llvmlite), the Python form is used (`callpath_python.py`), which says the same.
"""

from __future__ import annotations

import math
from _thread import RLock
from collections.abc import Callable, Mapping, Sequence
from itertools import starmap
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..ir.record import dataclass
from .commit import commit
from .store import Store

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray

    Outputs = tuple[NDArray[Any], ...]
    Returns = Literal["all", "only", "none"]
    """What a call returns: the tuple of the outputs, the only one itself, or None."""


@dataclass(frozen=True)
class Item:
    """What one array must be, the table slot its address goes to, and whether it is written."""

    dtype: np.dtype
    shape: tuple[int, ...]
    slot: int
    updated: bool = False

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Array:
    """The array of an item, by number."""

    index: int


@dataclass(frozen=True)
class Number:
    """The number that is an item: exactly a `float`, `int`, `bool` or NumPy scalar type. An int is
    least to greatest."""

    index: int
    kind: type
    least: int = -(2**63)
    greatest: int = 2**63 - 1


@dataclass(frozen=True)
class Group:
    """A dict with these keys, a list or tuple of so many members, or None."""

    kind: type
    members: tuple[Form, ...] = ()
    keys: tuple[str, ...] = ()


Form = Array | Number | Group


@dataclass(frozen=True)
class Parameters:
    """What the arguments are called: `least` to `most` come by position, the others by name."""

    names: tuple[str, ...]
    least: int
    most: int

    @staticmethod
    def positional(count: int) -> Parameters:
        """So many arguments, by position only."""
        return Parameters(("",) * count, count, count)

    def arrange(
        self, arguments: tuple[Any, ...], named: Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        """The arguments of a call in order, None if they are not so many or called so."""
        names = self.names[len(arguments) :]
        if not self.least <= len(arguments) <= self.most or len(names) != len(named):
            return None
        try:
            return (*arguments, *map(named.__getitem__, names))
        except KeyError:
            return None


class Target:
    """The step and its pointer table: `int64_t step(void **table)`, 0 to check and fill the table
    only. `keeps` must live as long as they do. The step writes to memory of its own, so it runs
    under `lock` where Python has no global one."""

    def __init__(self, step: int, table: NDArray[np.uintp], keeps: object = None) -> None:
        self.step, self.table, self.keeps = step, table, keeps
        self.lock = RLock()


class Miss:
    """The type of `MISS`."""

    def __repr__(self) -> str:
        return "MISS"


MISS: Final = Miss()
"""What a call returns when it did not run, having written nothing."""

SHARED: Final = "call path"
"""The name of the native form's code among what programs share."""


@dataclass(frozen=True, eq=False)
class Contract:
    """What a call must be and what it gives: the forms of its arguments and what these are called,
    the items that arguments and outputs are, what runs, and what is returned."""

    forms: tuple[Form, ...]
    items: tuple[Item, ...]
    outputs: tuple[Item, ...]
    target: Target
    parameters: Parameters
    returns: Returns = "all"


class Entry:
    """The entry of one compiled step for arguments of these forms.

    `call(*arguments, **named)` returns fresh outputs as `returns` says; `MISS` if a check failed or
    the step has a status that is not 0. What arguments are called is `parameters`, positional ones
    without it. `outputs()` are fresh outputs that have no values yet, for `run(outputs,
    *arguments)`, which returns 0, the step's own status, or a `Reason`, negative. MemoryError comes
    before anything is written.
    """

    call: Callable[..., Any]
    run: Callable[..., int]
    outputs: Callable[[], Outputs]

    def __init__(
        self,
        forms: Sequence[Form],
        items: Sequence[Item],
        outputs: Sequence[Item],
        target: Target,
        *,
        returns: Returns = "all",
        parameters: Parameters | None = None,
        native: bool = True,
        store: Store | None = None,
    ) -> None:
        """`native=False` takes the Python form, for tests. `store` may hold the native one."""
        made: Any = None
        called = parameters or Parameters.positional(len(forms))
        parts = tuple(forms), tuple(items), tuple(outputs)
        contract = Contract(*parts, target, called, returns)
        if native:
            from .callpath_native import native_form  # lazily: it imports this module

            made = native_form(contract, store)
        self.is_native = made is not None
        if made is None:
            from .callpath_python import PythonForm  # lazily: it imports this module

            made = PythonForm(contract)
        self.call, self.run, self.outputs = made.call, made.run, made.outputs

    def commit(self, finish: Callable[[], None], outputs: Outputs, *arguments: Any) -> int:
        """`run`, then `finish()` if its status is 0. An interrupt comes before both or after
        both; see `commit.py`."""
        return commit(starmap(self.run, ((outputs, *arguments),)), finish)


def returned(outputs: Outputs, returns: Returns) -> Any:
    """The outputs as `returns` says."""
    if returns == "none":
        return None
    return outputs[0] if returns == "only" else outputs
