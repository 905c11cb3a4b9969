"""P6. Captured arrays are copied when the step is traced, and are part of the program's key."""

from __future__ import annotations

import numpy as np
import tapeless as tl
from conformance import both_ways


@both_ways
def test_captured_arrays_are_copied(how):
    table, nested = np.arange(3.0), {"scale": np.array(2.0)}

    @tl.compile
    def step(x):
        return x * table * nested["scale"]

    assert how(step)(np.ones(3)).tolist() == [0, 2, 4]
    table[:] = -1
    nested["scale"][...] = 100
    assert how(step)(np.ones(3)).tolist() == [0, 2, 4]
    assert how(step)(np.ones((2, 3))).tolist() == [[-100] * 3] * 2  # a new trace, the new value
