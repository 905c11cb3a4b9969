"""A call in Python, where native code cannot check it: the meaning of `callpath.py`, spelt out."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from enum import IntEnum
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from .callpath import MISS, Array, Contract, Form, Group, Item, Number, returned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .callpath import Outputs


class Reason(IntEnum):
    """Why a call did not run. Its status is the negative."""

    COUNT = 1  # not as many arguments as forms
    TYPE = 2  # not exactly of the kind
    DTYPE = 3
    RANK = 4
    SHAPE = 5
    LAYOUT = 6  # not C-contiguous or not aligned
    READ_ONLY = 7  # and the step updates it
    KEYS = 8  # another number of members, or other keys
    RANGE = 9  # an int beyond its limits
    OVERLAP = 10  # an updated array shares memory with another


class PythonForm:
    """The three functions of an entry in Python. Every call has a table and cells for numbers of
    its own, since Python may come to another call between any two instructions."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        target = contract.target
        step = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
        self._step = step(target.step) if target.step else lambda table: 0

    def call(self, *arguments: Any, **named: Any) -> Any:
        given = self._contract.parameters.arrange(arguments, named)
        outputs = self.outputs()
        if given is None or self.run(outputs, *given):
            return MISS
        return returned(outputs, self._contract.returns)

    def run(self, outputs: Outputs, *arguments: Any) -> int:
        checked = self.check(arguments)
        if checked.reason:
            return -checked.reason
        for item, output in zip(self._contract.outputs, outputs, strict=True):
            checked.table[item.slot] = output.ctypes.data
        with self._contract.target.lock:
            return self._step(checked.table.ctypes.data)

    def outputs(self) -> Outputs:
        return tuple(np.empty(item.shape, item.dtype) for item in self._contract.outputs)

    def check(self, arguments: tuple[Any, ...]) -> Checked:
        """The arguments checked, and in the table what passed."""
        contract = self._contract
        return Checked(contract.items, contract.target.table.copy(), contract.forms, arguments)


class Checked:
    """The checks of one call: `reason` is 0 or a `Reason`."""

    def __init__(
        self,
        items: Sequence[Item],
        table: NDArray[np.uintp],
        forms: Sequence[Form],
        arguments: tuple[Any, ...],
    ) -> None:
        self._items, self.table = items, table
        self._cells: list[NDArray[Any]] = []
        self._spans: list[tuple[int, Item]] = []
        self.reason: int = Reason.COUNT
        if len(arguments) == len(forms):
            failed = next(filter(None, map(self._visit, forms, arguments)), 0)
            self.reason = failed or self._overlap()

    def _visit(self, form: Form, x: Any) -> int:
        match form:
            case Array(index):
                return self._array(self._items[index], x)
            case Number():
                return self._number(form, x)
            case Group():
                return self._group(form, x)

    def _group(self, form: Group, x: Any) -> int:
        kind: Any = form.kind
        if type(x) is not kind:
            return Reason.TYPE
        if x is None:
            return 0
        if len(x) != len(form.members) or (kind is dict and not _has_keys(x, form.keys)):
            return Reason.KEYS
        values = x.values() if kind is dict else x
        return next(filter(None, map(self._visit, form.members, values)), 0)

    def _array(self, item: Item, x: Any) -> int:
        reason = _mismatch(item, x)
        if reason:
            return reason
        self.table[item.slot] = x.ctypes.data
        if item.nbytes:
            self._spans.append((x.ctypes.data, item))
        return 0

    def _number(self, form: Number, x: Any) -> int:
        kind: Any = form.kind
        if type(x) is not kind:
            return Reason.TYPE
        if kind in (int, bool) and not form.least <= x <= form.greatest:
            return Reason.RANGE
        item = self._items[form.index]
        self._cells.append(np.array(x, item.dtype))
        self.table[item.slot] = self._cells[-1].ctypes.data
        return 0

    def _overlap(self) -> int:
        for (x, item), (y, other) in combinations(self._spans, 2):
            apart = x + item.nbytes <= y or y + other.nbytes <= x
            if not apart and (item.updated or other.updated):
                return Reason.OVERLAP
        return 0


def _has_keys(x: dict[Any, Any], keys: tuple[str, ...]) -> bool:
    return tuple(x) == keys and all(type(key) is str for key in x)


def _mismatch(item: Item, array: Any) -> int:
    if type(array) is not np.ndarray:
        return Reason.TYPE
    if array.dtype is not item.dtype:
        return Reason.DTYPE
    if array.ndim != len(item.shape):
        return Reason.RANK
    if array.shape != item.shape:
        return Reason.SHAPE
    if not (array.flags.c_contiguous and array.flags.aligned):
        return Reason.LAYOUT
    if item.updated and not array.flags.writeable:
        return Reason.READ_ONLY
    return 0
