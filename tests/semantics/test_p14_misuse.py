"""P14. What cannot be traced raises at the user's line, with the fix."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from tapeless import errors


def branches(x):
    if x.sum() > 0:
        return x
    return -x


def converts(x):
    return float(x[0])


def packs(x):
    return np.array([x, x])


def draws(x):
    return x + np.random.normal(size=2)


def looks_up(x):
    return np.eye(2)[x.astype(np.int64)]


def fills(x):
    buffer = np.zeros(2)
    buffer[0] = x[0]
    return buffer


@pytest.mark.parametrize(
    ("misuse", "line", "fix"),
    [
        (branches, "if x.sum() > 0:", "np.where"),
        (converts, "return float(x[0])", ""),
        (packs, "return np.array([x, x])", "np.stack"),
        (draws, "return x + np.random.normal(size=2)", "argument"),
        (looks_up, "return np.eye(2)[x.astype(np.int64)]", "like=x"),
        (fills, "buffer[0] = x[0]", "zeros_like"),
    ],
)
def test_misuse_raises_at_the_users_line_with_the_fix(misuse, line, fix):
    with pytest.raises(errors.TraceError) as caught:
        tl.compile(misuse)(np.ones(2))
    message = str(caught.value)
    assert "test_p14_misuse.py:" in message and line in message and fix in message
