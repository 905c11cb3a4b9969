"""The cache: whatever lies in it and whatever fails, a step computes the same bits, with one
warning at most, and the next process finds everything in order. A few of the faults of
`python -m tests.soak faults`."""

from __future__ import annotations

import os

import pytest
from soak.faults import KILLS, campaign, faults

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="processes of Linux")


def test_faults_of_the_cache():
    made = campaign(24, seed=2)
    assert not made.wrong
    assert made.counts.total() == 23


def test_a_thousand_faults_have_all_kinds_in_them():
    """Of each kind at least ten, and processes killed at every operation."""
    chosen = [fault for _, fault in faults(1000, 0)]
    names = [fault.name for fault in chosen]
    assert min(names.count(name) for name in set(names)) >= 10
    assert sum(fault.name.startswith("killed") for fault in chosen) > KILLS
