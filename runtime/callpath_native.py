"""The native form of a call: three functions of Python's own kind, in front of machine code.

`callpath*.ll` is compiled once per process, not once per signature: it reads what a call must be
from memory that `describe` fills. Its functions become built-in functions of Python, bound to that
memory. They read the fields of arrays and numbers as CPython and NumPy lay them out, and make and
count objects by C functions of both. At first use they prove themselves against the Python form on
this interpreter.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..ir.record import dataclass
from .callpath import (
    MISS,
    Array,
    Contract,
    Form,
    Group,
    Item,
    Number,
)
from .callpath import SHARED as CALL_PATH
from .loading import Made, assemble, assemble_ahead, is_assembled, shared
from .store import Store, recall

if TYPE_CHECKING:
    from .callpath import Returns

_TEXTS: Final = ("callpath.ll", "callpath_checks.ll", "callpath_overlap.ll")
_FUNCTIONS: Final = {"call": 0x82, "run": 0x80, "outputs": 0x04}
"""Of the text, by name, with the way Python calls them: METH_FASTCALL | METH_KEYWORDS,
METH_FASTCALL, METH_NOARGS."""
_PYTHON: Final = (
    "Py_IncRef", "Py_DecRef", "PyLong_FromLongLong", "PyLong_AsLongLongAndOverflow", "PyDict_Size",
    "PyDict_Next", "PyUnicode_Compare", "PyTuple_New", "PyTuple_Size", "PyTuple_GetItem",
    "PyTuple_SetItem",
)  # fmt: skip
_NEW_FROM_DESCR: Final = 94  # its place in NumPy's table
_HEADER: Final = object.__basicsize__
_DATA, _ND, _DIMENSIONS, _DESCR, _FLAGS = 16, 24, 32, 56, 64
_C_CONTIGUOUS_ALIGNED, _WRITEABLE = 0x101, 0x400
_HAS_GC: Final = 1 << 14
_ENTRY_WORDS, _OUTPUT_WORDS = 17, 4
_RETURNS: Final[dict[Returns, int]] = {"all": 0, "only": 1, "none": id(None)}
_ARRAY, _VALUE, _INTEGER, _DICT, _SEQUENCE, _TYPE_ONLY = range(6)


@dataclass(frozen=True)
class NativeForm:
    """Three built-in functions: see `Entry`."""

    call: Any
    run: Any
    outputs: Any


class Words(np.ndarray):
    """The memory that native code reads, and `keeps`: what its addresses refer to."""

    keeps: object


class Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def native_form(contract: Contract, store: Store | None) -> NativeForm | None:
    """The functions of an entry, or None where they do not work."""
    methods = _methods(store)
    if methods is None:
        return None
    words = describe(contract)
    words.keeps = (words.keeps, methods)
    return bound(methods, words)


def bound(methods: Sequence[Method], words: Words) -> NativeForm:
    # Python reads the method while the function lives, whose `self` keeps it.
    new = ctypes.pythonapi["PyCFunction_NewEx"]
    new.restype = ctypes.py_object
    new.argtypes = ctypes.c_void_p, ctypes.py_object, ctypes.py_object
    return NativeForm(*(new(ctypes.addressof(m), words, "tapeless") for m in methods))


# --- the memory that native code reads ---------------------------------------------------------


def describe(contract: Contract) -> Words:
    """The records of `callpath.ll`, one part behind the other in an array of 64-bit words."""
    forms, outputs = contract.forms, contract.outputs
    target, parameters = contract.target, contract.parameters
    writer = _Writer(contract.items)
    for form in forms:
        writer.form(form)
    count = len(writer.spans)
    parts = {
        "entry": [0] * _ENTRY_WORDS,
        "outputs": [0] * _OUTPUT_WORDS * len(outputs),
        "forms": writer.words,
        "names": [*map(id, parameters.names)],
        "shapes": [extent for item in outputs for extent in item.shape],
        "starts": [0] * count,
        "ends": [0] * count,
        "updated": writer.spans,
        "order": [*range(count)],
    }
    words = np.array([word for part in parts.values() for word in part], np.int64).view(Words)
    starts = accumulate((8 * len(part) for part in parts.values()), initial=words.ctypes.data)
    at = dict(zip(parts, starts, strict=False))
    head = [id(MISS), _RETURNS[contract.returns], target.table.ctypes.data, target.step]
    head += [len(forms), at["forms"], len(outputs), at["outputs"]]
    head += [count, at["starts"], at["ends"], at["updated"], at["order"], id(np.ndarray)]
    head += [parameters.least, parameters.most, at["names"]]
    head += _records(outputs, at["shapes"])
    words[: len(head)] = head
    words.keeps = contract
    return words


def _records(outputs: Sequence[Item], shape: int) -> Iterator[int]:
    """Of each output: its slot, dtype, rank, and the address of its extents, which lie one behind
    the other."""
    for item in outputs:
        yield from (item.slot, id(item.dtype), len(item.shape), shape)
        shape += 8 * len(item.shape)


class _Writer:
    """The words of forms; `spans` says of each array that is not empty whether it is updated. None
    is listed where none is updated."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.updates = any(item.updated for item in items)
        self.words: list[int] = []
        self.spans: list[int] = []

    def form(self, form: Form) -> None:
        match form:
            case Array(index):
                self.array(self.items[index])
            case Number(index, kind, least, greatest):
                slot = self.items[index].slot
                limits = [least, greatest, 0] if kind in (int, bool) else []
                self.words += [_INTEGER if limits else _VALUE, id(kind), slot, *limits]
            case Group(kind, members, keys):
                self.words += _group(kind, keys, len(members))
                for member in members:
                    self.form(member)

    def array(self, item: Item) -> None:
        span = -1
        if item.nbytes and self.updates:
            span = len(self.spans)
            self.spans.append(item.updated)
        flags = _C_CONTIGUOUS_ALIGNED | (_WRITEABLE if item.updated else 0)
        self.words += [_ARRAY, id(np.ndarray), item.slot, id(item.dtype), flags, item.nbytes]
        self.words += [span, len(item.shape), *item.shape]


def _group(kind: type, keys: tuple[str, ...], count: int) -> list[int]:
    if kind is dict:
        return [_DICT, id(kind), count, *map(id, keys)]
    if kind is type(None):
        return [_TYPE_ONLY, id(kind)]
    name = "PyList" if issubclass(kind, list) else "PyTuple"
    functions = [_address(f"{name}_Size"), _address(f"{name}_GetItem")]
    return [_SEQUENCE, id(kind), count, *functions]


# --- the functions, and whether they work here -------------------------------------------------


def _read(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name)) as file:
        return file.read()


def has_native_form(store: Store | None) -> bool:
    """Whether calls go through native code on this interpreter."""
    return _methods(store) is not None


def native_ahead(store: Store | None) -> bool:
    """Say that `native_form` will be called: another process may compile the functions. Whether
    they are to be compiled: they were not before, and may work here."""
    if _methods.cache_info().currsize or is_assembled(_text(), store) or not _layout_is_known():
        return False
    assemble_ahead(_text(), store)
    return True


@cache
def _text() -> str:
    return "\n".join(map(_read, _TEXTS))


@cache
def _methods(store: Store | None = None) -> tuple[Method, ...] | None:
    """The compiled functions, or None where they do not work."""
    if not _layout_is_known():
        return None
    imports = {name: _address(name) for name in _PYTHON}
    imports["PyArray_NewFromDescr"] = _numpy_address(_NEW_FROM_DESCR)
    known = store is not None and CALL_PATH in store.shared  # hence proven
    try:
        linked = shared(CALL_PATH, store, lambda: _made(store), lambda symbols: imports)
    except ImportError:
        return None
    methods = tuple(
        Method(name.encode(), linked.addresses[_symbol(name)], flags, None)
        for name, flags in _FUNCTIONS.items()
    )
    methods[0].keep_alive = linked
    if known or _is_proven(methods, store):
        return methods
    if store is not None:
        store.shared.pop(CALL_PATH, None)
    return None


def _made(store: Store | None) -> Made:
    return Made([assemble(_text(), store)], map(_symbol, _FUNCTIONS))


def _symbol(name: str) -> str:
    return f"tapeless_{name}"


def _address(name: str) -> int:
    """The address of a function of CPython's."""
    found = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    assert found is not None
    return found


def _numpy_address(place: int) -> int:
    """The address of a function in NumPy's table."""
    capsule = import_module("numpy._core._multiarray_umath")._ARRAY_API
    pointer = ctypes.pythonapi["PyCapsule_GetPointer"]  # a new object, not everybody's
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return _word(pointer(capsule, None) + 8 * place)


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _layout_is_known() -> bool:
    """Whether arrays and numbers are laid out as the native code reads them. Only memory of the
    objects' own is read."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if _HEADER != 16 or sys.byteorder != "little" or not _has_gil():
        return False
    array = np.zeros((2, 3), np.float32)
    base = id(array)
    return (
        np.ndarray.__basicsize__ >= _FLAGS + 4
        and not np.ndarray.__flags__ & _HAS_GC  # making one collects no garbage
        and _word(base + 8) == id(np.ndarray)
        and _word(base + _DATA) == array.ctypes.data
        and ctypes.c_int32.from_address(base + _ND).value == 2
        and _word(base + _DESCR) == id(array.dtype)
        and [_word(_word(base + _DIMENSIONS) + 8 * i) for i in range(2)] == [2, 3]
        and ctypes.c_int32.from_address(base + _FLAGS).value & 0x501 == 0x501
        and all(map(_value_is_known, _samples()))
    )


def _has_gil() -> bool:
    enabled = getattr(sys, "_is_gil_enabled", None)  # since Python 3.13
    return enabled is None or bool(enabled())


def _value_is_known(number: Any) -> bool:
    expected = np.asarray(number).tobytes()
    fits = type(number).__basicsize__ >= _HEADER + len(expected)
    return fits and ctypes.string_at(id(number) + _HEADER, len(expected)) == expected


def _samples() -> Iterator[Any]:
    """A float and a scalar of every dtype a step can have."""
    yield 1.7
    for code in "?bhilqBHILQfd":
        yield np.dtype(code).type(1.7)


def _is_proven(methods: Sequence[Method], store: Store | None) -> bool:
    """Whether the native form agrees with the Python form: tried now, or by an earlier process of
    the same Python, NumPy and machine that kept it."""
    text = _text()
    if recall(store, "call path agrees", text) is not None:
        return True
    from .callpath_proof import agree  # lazily: it imports this module, and runs once per machine

    agrees = agree(methods)
    if agrees and store is not None:
        store.put(store.key("call path agrees", text), b"agrees")
    return agrees
