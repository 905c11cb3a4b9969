"""P15. An update of a read-only array raises before anything runs."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from conformance import both_ways


@both_ways
def test_an_update_of_a_read_only_array_raises_before_anything_runs(how):
    @tl.compile
    def step(p, x):
        p["a"] += x
        p["b"] += x

    writable, frozen = np.zeros(2), np.zeros(2)
    for warm in (False, True):
        if warm:
            how(step)({"a": writable, "b": frozen.copy()}, np.ones(2))
            writable[:] = 0
        frozen.flags.writeable = False
        with pytest.raises(ValueError, match=r"p\['b'\].*read-only"):
            how(step)({"a": writable, "b": frozen}, np.ones(2))
        assert not writable.any() and not frozen.any()
