"""P15. A step that gets no memory raises MemoryError, and leaves its arguments as they were."""

from __future__ import annotations

import os

import pytest
from soak.interrupts import WAYS
from soak.memory import LAYOUTS, STEPS, starve, starve_first_call

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="limits of Linux")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_too_little_memory_leaves_the_arguments_untouched(layout, way):
    too_little, ran = starve("grow", layout, way, 25, seed=0)
    assert too_little > 3 and ran > 3


@pytest.mark.parametrize("name", STEPS)
def test_interpreted_too(name):
    assert sum(starve(name, "contiguous", "interpreted", 10, seed=1)) == 10


def test_the_first_call_of_a_step_with_much_intermediate_memory():
    starve_first_call()
