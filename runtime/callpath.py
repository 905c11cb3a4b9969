"""From a tuple of arrays to the native step: every check, every call, in one native call.

    items = [Item(F32, (784, 128), slot=3, updated=True), ...]     one per array, in order
    table = np.zeros(12, np.uintp)      the pointer table; slots that no item fills are the caller's
    entry = Entry(items, table, module.address)
    status = entry((w, x, out))         0: done; > 0: the step's own status; < 0: a check failed,
                                        nothing ran, and failure(status) says which one

An array passes if it is exactly an `ndarray` (no subclass) of the item's dtype (NumPy's own
singleton), shape, C-contiguous and aligned; writeable and apart in memory from all others if it is
updated. Fresh output arrays are items like any other. Whatever does not pass is for the slow
path, which converts it (a strided input) or explains (AliasError).

The native entry reads the fields of the array objects as NumPy's C API lays them out. It is one
data-driven function, compiled once per process from the LLVM text in `callpath.ll` and not once per
signature. At first use it proves itself against the Python form below on this interpreter; where it
cannot (another Python implementation, no llvmlite), the Python form is used. Both hold the GIL from
the first check to the end of the step, so threads cannot mix their pointers and Ctrl-C waits.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.record import dataclass
from .loading import assemble, link
from .store import Store


class Reason(IntEnum):
    """Why a call did not run."""

    COUNT = 1  # not as many arrays as items
    TYPE = 2  # not exactly an ndarray
    DTYPE = 3
    RANK = 4
    SHAPE = 5
    LAYOUT = 6  # not C-contiguous or not aligned
    READ_ONLY = 7  # and the step updates it
    OVERLAP = 8  # an updated array shares memory with another


@dataclass(frozen=True)
class Item:
    """What one array must be, the table slot its address goes to, and whether it is written."""

    dtype: np.dtype
    shape: tuple[int, ...]
    slot: int
    updated: bool = False

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class Failure:
    """A failed check: `other` is the array that `item` overlaps (only for OVERLAP)."""

    reason: Reason
    item: int
    other: int


_ITEM_STEP, _OTHER_STEP = 2**4, 2**24  # how a failure is packed into one number


def failure(status: int) -> Failure:
    """Unpack a negative status."""
    code = -status
    item, reason = divmod(code % _OTHER_STEP, _ITEM_STEP)
    return Failure(Reason(reason), item, code // _OTHER_STEP)


def _status(reason: Reason, item: int = 0, other: int = 0) -> int:
    return -(reason + item * _ITEM_STEP + other * _OTHER_STEP)


class Entry:
    """The entry of one compiled step, which fills `table`, an array of addresses."""

    def __init__(
        self,
        items: Sequence[Item],
        table: NDArray[np.uintp],
        step: int,
        *,
        native: bool = True,
        store: Store | None = None,
    ) -> None:
        """`step` is the address of `int64_t step(void **table)`; 0 only checks and fills the table.
        `native=False` takes the Python form, for tests. `store` may hold the native one."""
        self.items = tuple(items)
        self.table = table
        call = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
        self._step = call(step) if step else lambda table: 0
        self._descriptor = describe(self.items, table.ctypes.data, step)
        self._address = self._descriptor.ctypes.data
        enter = native_entry(store) if native else None
        self.is_native = enter is not None
        if enter is not None:
            self._enter = enter

    def __call__(self, arrays: tuple[Any, ...]) -> int:
        """Check, fill the table, run."""
        if self.is_native:
            return self._enter(arrays, self._address)
        return self.check(arrays) or self._step(self.table.ctypes.data)

    def calls(self, arrays: tuple[Any, ...]) -> Iterator[int]:
        """The native entry's one call, as an iterator in C."""
        return map(self._enter, (arrays,), (self._address,))

    def check(self, arrays: tuple[Any, ...]) -> int:
        """The checks in Python: fills the table and returns 0, or the first failure."""
        if len(arrays) != len(self.items):
            return _status(Reason.COUNT)
        for i, (item, array) in enumerate(zip(self.items, arrays, strict=True)):
            reason = _mismatch(item, array)
            if reason is not None:
                return _status(reason, i)
            self.table[item.slot] = array.ctypes.data
        return self._overlap()

    def _overlap(self) -> int:
        spans = [(int(self.table[item.slot]), item.nbytes) for item in self.items]
        for i, (start, size) in enumerate(spans):
            if not self.items[i].updated:
                continue
            for j, (other, extent) in enumerate(spans):
                apart = start + size <= other or other + extent <= start
                if i != j and size and extent and not apart:
                    return _status(Reason.OVERLAP, i, j)
        return 0


def _mismatch(item: Item, array: Any) -> Reason | None:
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
    return None


# --- the native form ---------------------------------------------------------------------------

_HEADER_WORDS, _ITEM_WORDS = 5, 7
_C_CONTIGUOUS_ALIGNED, _WRITEABLE = 0x101, 0x400
_OB_TYPE, _DATA, _ND, _DIMENSIONS, _DESCR, _FLAGS = 8, 16, 24, 32, 56, 64


def describe(items: Sequence[Item], table: int, step: int) -> np.ndarray:
    """The items as 64-bit words for the native entry.

    Header: item count, address of the ndarray type, offset of a tuple's first item, table, step.
    Item: slot, dtype address, rank, flags, bytes, updated, word at which its shape starts.
    """
    words = [len(items), id(np.ndarray), tuple.__basicsize__, table, step]
    shapes: list[int] = []
    start = _HEADER_WORDS + _ITEM_WORDS * len(items)
    for item in items:
        flags = _C_CONTIGUOUS_ALIGNED | (_WRITEABLE if item.updated else 0)
        place = start + len(shapes)
        words += [item.slot, id(item.dtype), len(item.shape), flags, item.nbytes, item.updated]
        words.append(place)
        shapes += item.shape
    return np.array(words + shapes, np.int64)


@cache
def native_entry(store: Store | None = None) -> Callable[[tuple[Any, ...], int], int] | None:
    """The compiled entry, or None where it does not work."""
    if sys.implementation.name != "cpython" or not _layout_is_known():
        return None
    text = Path(__file__).with_suffix(".ll").read_text()
    try:
        linked = link([assemble(text, store)], ("tapeless_enter",), {})
    except ImportError:
        return None
    kind = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.py_object, ctypes.c_void_p)
    function = kind(linked.addresses["tapeless_enter"])
    function.keep_alive = linked  # type: ignore[attr-defined]
    return function if _proves_itself(function) else None


def _layout_is_known() -> bool:
    """Whether the fields of an array and a tuple lie where the native code reads them. Only the
    objects' own memory is read."""
    array = np.zeros((2, 3), np.float32)
    base = id(array)

    holder = (array,)

    def word(address: int) -> int:
        return ctypes.c_int64.from_address(address).value

    return (
        ctypes.sizeof(ctypes.c_void_p) == 8
        and np.ndarray.__basicsize__ >= _FLAGS + 4
        and word(base + _OB_TYPE) == id(np.ndarray)
        and word(base + _DATA) == array.ctypes.data
        and ctypes.c_int32.from_address(base + _ND).value == 2
        and word(base + _DESCR) == id(array.dtype)
        and [word(word(base + _DIMENSIONS) + 8 * i) for i in range(2)] == [2, 3]
        and ctypes.c_int32.from_address(base + _FLAGS).value & 0x501 == 0x501
        and word(id(holder) + tuple.__basicsize__) == base
    )


def _proves_itself(function: Callable[[tuple[Any, ...], int], int]) -> bool:
    """The native entry against the Python form, on arrays that pass and arrays that do not."""
    dtype = np.dtype(np.float32)
    items = [Item(dtype, (2, 3), 1, updated=True), Item(dtype, (3,), 0)]
    entry = Entry(items, np.zeros(2, np.uintp), 0, native=False)
    good, vector = np.zeros((2, 3), dtype), np.zeros(3, dtype)
    read_only = good.copy()
    read_only.flags.writeable = False
    cases = [
        (good, vector), (good.astype(np.float64), vector), (good.T.copy().T, vector),
        (good[:, :2], vector), (vector, vector), (read_only, vector), (good, good[0]),
        (good, [1.0]), (good,), (good, vector[:2]), (good.view(np.matrix), vector),
    ]  # fmt: skip
    for case in cases:
        expected = entry.check(case)
        table = entry.table.copy()
        filled = function(case, entry._address) == expected and (
            expected != 0 or np.array_equal(table, entry.table)
        )
        if not filled:
            return False
    return True
