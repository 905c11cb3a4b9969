"""Writing all or nothing, whatever comes in between."""

import numpy as np
import pytest
from tapeless.runtime.commit import commit, writes


def test_arrays_are_written_and_then_the_rest_is_done():
    a, b, seen = np.zeros(2), np.zeros(3), []
    assert commit(writes([a, b], [np.ones(2), np.ones(3)]), lambda: seen.append(a.sum())) == 0
    assert seen == [2] and b.sum() == 3


def test_without_arrays_the_rest_is_done():
    seen = []
    assert commit(writes([], []), lambda: seen.append(1)) == 0
    assert seen == [1]


@pytest.mark.parametrize("status", [3, -5])
def test_a_step_that_did_not_run_is_not_finished(status):
    assert commit(iter([status]), pytest.fail) == status


def test_an_interrupt_lets_the_rest_come_to_its_end():
    ran = []

    def finish():
        ran.append(len(ran))
        if len(ran) < 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit(iter([0]), finish)
    assert ran == [0, 1, 2, 3]


def test_a_write_that_fails_is_not_finished():
    a, b = np.zeros(2), np.zeros(3)
    with pytest.raises(ValueError, match="broadcast"):
        commit(writes([a, b], [np.ones(2), np.ones(2)]), pytest.fail)
