"""The cache: whatever lies in it and whatever fails, a step computes the same bits, with one
warning at most, and the next process finds everything in order. A few of the faults of
`python -m tests.soak faults`."""

from __future__ import annotations

import os

import pytest
from soak.faults import campaign, faults

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="processes of Linux")


def test_faults_of_the_cache():
    made = campaign(24, seed=2)
    assert not made.wrong
    assert made.counts.total() == 23


def test_a_thousand_faults_have_all_kinds_in_them():
    """Of each kind of damage at least ten, and processes killed at 180 points."""
    names = [fault.name for _, fault in faults(1000, 0)]
    kills = {name for name in names if name.startswith("killed before") or "killed after" in name}
    assert len(kills) == 180
    assert min(names.count(name) for name in set(names) - kills) >= 10
