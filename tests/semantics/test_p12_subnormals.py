"""P12. Subnormal numbers are kept, and nobody's floating-point environment is touched."""

from __future__ import annotations

import ctypes
import platform

import numpy as np
import pytest
import tapeless as tl
from soak.functions import GROUPS, matrices, together

FLOATS = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", FLOATS)
def test_subnormals_are_kept(dtype):
    tiny = np.finfo(dtype).tiny
    x = np.linspace(tiny / 64, tiny, 37).astype(dtype)

    @tl.compile
    def step(x):
        return x * 0.5, x / 4 + x, np.sum(x), np.max(x), x @ np.ones(37, dtype), np.exp(np.log(x))

    found = step(x)
    np.testing.assert_array_equal(found[0], x * dtype(0.5))
    np.testing.assert_array_equal(found[1], x / 4 + x)
    total = np.sum(x, dtype=np.float64) if dtype == np.float32 else np.sum(x)
    for value, exact in ((found[2], total), (found[3], x.max()), (found[4], total)):
        np.testing.assert_allclose(value, exact, rtol=1e-6)
    np.testing.assert_allclose(found[5], x, rtol=1e-4)
    assert (x / 2)[0] > 0 and x[0] * dtype(0.5) > 0  # NumPy's own arithmetic is as before


# --- the control register -------------------------------------------------------------------

UPWARD = 0x800
CONTROL = 0xFFC0
"""Of the SSE register: all but the flags that say what has happened."""


def control():
    """The control bits of the SSE register and the x87 control word."""
    environment = (ctypes.c_uint16 * 16)()
    assert ctypes.CDLL(None).fegetenv(environment) == 0
    return environment[14] & CONTROL, environment[0]


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="x86-64's registers"
)
@pytest.mark.parametrize("rounding", [0, UPWARD])
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_the_control_register_is_never_touched(names, rounding):
    """Neither by compiling nor by calling, whatever the user has set it to."""
    before, (x, y) = control(), matrices(np.float32)
    step = tl.compile(lambda x, y: (together(names)(x, y), np.cos(x) * rounding))
    library = ctypes.CDLL(None)
    try:
        step.lower(x, y)
        library.fesetround(rounding)
        chosen = control()
        assert (chosen != before) == bool(rounding)
        step(x, y)
        step(x, y)
        assert control() == chosen
    finally:
        library.fesetround(0)
    assert control() == before
