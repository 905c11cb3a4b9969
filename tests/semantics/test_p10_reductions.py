"""P10. Sums, means, variances and products of f32 have a relative error of at most 1e-6, however
long. The long version, `python -m tests.soak reductions`, has a hundred million elements."""

from __future__ import annotations

import pytest
from soak.reductions import (
    LAYOUTS,
    errors_by_axis,
    errors_of_contractions,
    errors_of_totals,
    numbers,
)

MANY = 10_000_000


@pytest.fixture(scope="module")
def many():
    return numbers(MANY)


def test_whole_sums_of_ten_million_numbers(many):
    assert max(errors_of_totals(many)) <= 1e-6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_along_axes_of_ten_million_numbers(many, layout):
    assert max(errors_by_axis(many, layout)) <= 1e-6


def test_contractions_over_a_million_rows(many):
    assert max(errors_of_contractions(many)) <= 1e-6
