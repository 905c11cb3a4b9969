"""P15. Ctrl-C finds the arrays and containers of a step between two steps."""

from __future__ import annotations

import os

import pytest
from soak.interrupts import WAYS, at_instructions, at_random_times
from soak.stepping import CASES


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_an_interrupt_at_an_instruction_leaves_the_state_between_two_steps(name, way):
    before, after = at_instructions(name, way, most=150)
    assert before > 10 and after > 1


@pytest.mark.skipif(os.name != "posix", reason="no signals")
@pytest.mark.parametrize("way", WAYS)
def test_a_signal_at_a_random_time_leaves_the_state_between_two_steps(way):
    assert at_random_times("rebound-copied", way, 40) > 40
