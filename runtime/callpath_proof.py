"""Whether the native form of a call agrees with the Python form on this interpreter."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .callpath import MISS, Array, Contract, Form, Group, Item, Number, Parameters, Target
from .callpath_native import Method, bound, describe
from .callpath_python import PythonForm

if TYPE_CHECKING:
    from numpy.typing import NDArray


def agree(methods: Sequence[Method]) -> bool:
    """The native form against the Python form, on arguments that pass and arguments that do
    not."""
    f32, i64 = np.dtype(np.float32), np.dtype(np.int64)
    items = [Item(f32, (2, 3), 1, updated=True), Item(f32, (3,), 0), Item(f32, (), 2)]
    items += [Item(np.dtype(np.float64), (), 3), Item(i64, (), 4)]
    outputs = [Item(f32, (2,), 5), Item(i64, (), 6)]
    forms: list[Form] = [
        Group(dict, (Array(0), Group(tuple, (Array(1),))), ("W", "b")),
        Group(list, (Number(2, np.float32), Number(3, float), Group(type(None)))),
        Number(4, int, greatest=100),
    ]
    table = np.zeros(7, np.uintp)
    called = Parameters(("p", "numbers", "n"), 1, 3)
    contract = Contract(tuple(forms), tuple(items), tuple(outputs), Target(0, table), called)
    native, python = bound(methods, describe(contract)), PythonForm(contract)
    for case in _cases():
        status = native.run(native.outputs(), *case)
        named = dict(zip(("n", "numbers"), case[:0:-1], strict=False))
        results = native.call(*case), native.call(*case[:1], **named)
        expected = python.check(case)
        if status != -expected.reason or any((r is MISS) != (status != 0) for r in results):
            return False
        if status == 0 and _values(table) != _values(expected.table):
            return False
    return [(x.shape, x.dtype) for x in native.outputs()] == [(o.shape, o.dtype) for o in outputs]


def _values(table: NDArray[np.uintp]) -> list[bytes]:
    """What the arguments of `_agree` have in memory."""
    sizes = (12, 24, 4, 8, 8)
    return [ctypes.string_at(int(at), size) for at, size in zip(table, sizes, strict=False)]


def _cases() -> Iterator[tuple[Any, ...]]:
    W, b = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    read_only = W.copy()
    read_only.flags.writeable = False
    numbers = [np.float32(0.5), 2.5, None]
    yield {"W": W, "b": (b,)}, numbers, 7
    yield {"".join(("W", "")): W, "b": (b,)}, numbers, -7
    for other in (
        W.astype(np.float64), W.T.copy().T, W[:, :2], b, read_only, W.view(np.matrix), [1.0], W[0]
    ):  # fmt: skip
        yield {"W": other, "b": (b,)}, numbers, 7
    for second in ((W[1],), (b[:2],), (), (b, b), [b], None):
        yield {"W": W, "b": second}, numbers, 7
    for first in ({"b": (b,), "W": W}, {"W": W}, {"W": W, "c": (b,)}, {}, None, [W, (b,)]):
        yield first, numbers, 7
    for row in ([np.float64(0.5), 2.5, None], [np.float32(0.5), 2, None], numbers[:2], [b, 2.5, 0]):
        yield {"W": W, "b": (b,)}, row, 7
    for integer in (101, 2**70, -(2**70), True, 7.0):
        yield {"W": W, "b": (b,)}, numbers, integer
    yield {"W": W, "b": (b,)}, numbers
