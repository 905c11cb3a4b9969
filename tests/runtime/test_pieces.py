"""Tables of polynomials: how near they are, and that their coefficients are numbers in f32."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tapeless.runtime.pieces import pieces

FUNCTIONS = {
    "exp": (math.exp, [(-0.1, 0.1), (0.9, 1.0)], 1e-6),
    "reciprocal": (lambda x: 1 / x, [(1.0, 1.1), (1.5, 1.6), (-3.1, -3.0)], 1e-6),
    "a cubic": (lambda x: 1 + x * (0.5 - x * (0.25 + 2 * x)), [(0.0, 0.4)], 1e-15),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_polynomials_are_near_the_function(name):
    f, spans, bound = FUNCTIONS[name]
    tables = np.array(pieces(f, spans, 3))
    assert tables.shape == (4, len(spans))
    np.testing.assert_array_equal(tables, tables.astype(np.float32))
    for coefficients, (low, high) in zip(tables.T, spans, strict=True):
        x = np.linspace(low, high, 101)
        expected = [f(v) for v in x]
        actual = np.polynomial.polynomial.polyval(x, coefficients)
        np.testing.assert_allclose(actual, expected, rtol=bound)
