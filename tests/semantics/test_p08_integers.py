"""P8. Integers have NumPy's values at every edge, or raise."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from conformance import both_ways


@both_ways
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_integer_edges_have_numpys_values(how, dtype):
    limits = np.iinfo(dtype)
    edges = np.array([limits.min, limits.min + 1, -7, -1, 0, 1, 7, limits.max], dtype)
    a, b = (x.ravel() for x in np.meshgrid(edges, edges))

    def arithmetic(a, b):
        return (
            a + b, a - b, a * b, a // b, a % b, -a, abs(a), np.sign(a), np.maximum(a, b), a < b,
            a * 3, a // 3, a % 3, a // -1, a - 1, a**2,
            np.sum(a), np.max(a), np.min(b), a / b, a.astype(np.float32), a.astype(bool),
        )  # fmt: skip

    for found, expected in zip(how(tl.compile(arithmetic))(a, b), arithmetic(a, b), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**63, 2**100])
def test_a_python_integer_that_does_not_fit_raises(number):
    x = np.zeros(2, np.int32)
    for step, args in (
        (tl.compile(lambda x: x + number), (x,)),
        (tl.compile(lambda x, n: x + n), (x, number)),
    ):
        for run in (step, step.interpret):
            with pytest.raises(OverflowError):
                run(*args)
