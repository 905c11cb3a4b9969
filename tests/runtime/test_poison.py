"""The poisoned executable: it sees what is read too early and what is written beside."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from tapeless.ir.errors import VerifyError
from tapeless.ir.types import F64, I64, Type
from tapeless.runtime.executable import Argument, Executable, Layout, make_executable
from tapeless.runtime.poison import PoisonedExecutable

LAYOUT = Layout(
    arguments=(Argument("x", Type(F64, (4,)), False),),
    outputs=(Type(F64, (4,)), Type(I64, (2,))),
    constants=(np.arange(3.0),),
    slots=(0, 64),
    arena=96,
    table={n: k for k, n in enumerate(["in0", "out0", "out1", "const0", "arena+0", "arena+64",
                                       "scratch"])},
)  # fmt: skip
STEP = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


class Native:
    """A step written in Python: `body(table)` with the addresses of the table."""

    def __init__(self, body):
        self.function = STEP(lambda table: body((ctypes.c_int64 * 7).from_address(table)) or 0)
        self.address = ctypes.cast(self.function, ctypes.c_void_p).value


def executable(body):
    return PoisonedExecutable(Native(body), LAYOUT, 40)


def fill(address, count, value=0):
    (ctypes.c_uint8 * count).from_address(address)[:] = [value] * count


def writes_results(table):
    fill(table[1], 32)
    fill(table[2], 16)


def test_what_is_not_written_is_nan_in_every_call():
    seen = []

    def body(table):
        seen.append([ctypes.c_double.from_address(table[k]).value for k in (4, 5, 6)])
        fill(table[4], 96)
        fill(table[6], 40)

    run = executable(body)
    for _ in range(2):
        x, n = run.call((np.ones(4),))
        assert np.isnan(x).all() and n.tolist() == [-1, -1]
    assert np.isnan(seen).all() and len(seen) == 2


def test_what_lies_inside_may_be_written():
    def body(table):
        writes_results(table)
        fill(table[4], 96)
        fill(table[6], 40)

    x, n = executable(body).call((np.ones(4),))
    assert not x.any() and not n.any()


RESULTS = [(1, -1, "result 0"), (1, 32, "result 0"), (2, -8, "result 1"), (2, 16, "result 1")]
KEPT = [
    (4, -1, "the arena"), (4, 96, "the arena"), (6, -1, "scratch"), (6, 40, "scratch"),
    (3, 8, "constant 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("slot", "offset", "what", "status"),
    [(*place, 0) for place in RESULTS + KEPT] + [(*place, 1) for place in KEPT],
)
def test_what_lies_beside_may_not(slot, offset, what, status):
    def body(table):
        writes_results(table)
        fill(table[slot] + offset, 1, 77)
        return status

    with pytest.raises(VerifyError, match=what):
        executable(body).call((np.ones(4),))


def test_where_arrays_lie():
    areas = []
    executable(lambda table: areas.extend(table)).call((np.ones(4),))
    assert [areas[k] % 64 for k in (4, 5, 6)] == [0, 0, 0]
    assert [areas[k] % 32 for k in (1, 2)] == [16, 16]


def test_the_variable_chooses(monkeypatch):
    native = Native(lambda table: 0)
    for value, kind in (("1", PoisonedExecutable), ("0", Executable), ("", Executable)):
        monkeypatch.setenv("TAPELESS_POISON", value)
        assert type(make_executable(native, LAYOUT, 0, IndexError, None)) is kind
