"""Extrema of long rows are found in blocks: the first of equals, the first NaN, any dtype."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms

ROWS = {  # lengths about those of blocks, and where the extremum is to be
    33: (0, 32), 256: (255,), 257: (256, 0), 600: (255, 256, 511), 16384: (2047, 2048, 16383),
}  # fmt: skip


def _rows(n: int, dtype: type) -> np.ndarray:
    """Rows with an extremum alone, twice, a NaN after it, two NaNs, and all equal."""
    rng = np.random.default_rng(n)
    rows = []
    for place in ROWS[n]:
        x = rng.integers(-50, 50, (5, n)).astype(dtype)
        x[0, place] = x[1, place] = 99
        x[1, -1] = 99
        if x.dtype.kind == "f":
            x[2, 0], x[2, place], x[3, [place, n // 2]] = np.inf, np.nan, np.nan
        x[4] = -np.inf if x.dtype.kind == "f" else np.iinfo(dtype).min
        rows += [x, ~x if x.dtype.kind == "i" else -x]
    return np.concatenate(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int64])
def test_rows(dtype: type) -> None:
    arrays = [_rows(n, dtype) for n in ROWS]

    def extrema(arrays):
        return [(np.argmax(x, 1), np.argmin(x, 1), np.argmax(x), x.max(1)) for x in arrays]

    for found, wanted in zip(tl.compile(extrema)(arrays), extrema(arrays), strict=True):
        for mine, own in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(mine, own)


@pytest.mark.parametrize("n", [9, 33, 257, 20000])
def test_rows_of_booleans(n: int) -> None:
    x = np.zeros((8, n), bool)
    for row, place in enumerate((0, n // 2, n - 1)):
        x[row, place:] = x[row + 3, place] = True
    x[6] = True

    def places(x):
        ends = np.argmax(x), np.argmin(~x), np.argmax(x[2]), np.argmin(x[6])
        columns = (
            np.argmin(x, 0),
            np.argmax(x.T, 0),
            np.argmin(~x.T[:300], 0),
            np.argmax(x[::-1], 0),
        )
        alike = np.argmax(x & ~x, 1), np.argmin(x | ~x, 0), np.argmin(x | ~x), np.argmax(x ^ x, 0)
        return np.argmax(x, 1), np.argmin(~x, 1), *columns, *alike, *ends, x[2].any(), x[6].all()

    conforms(places, x)
    for found, expected in zip(tl.compile(places)(x), places(x), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_other_work_in_the_same_loops() -> None:
    """A row that is overwritten by what is computed from it, and sums."""

    def step(x, y):
        h = np.exp(x) * y
        x[:] = np.tanh(h)
        return np.argmax(h, -1), np.argmin(y - x, -1), h.sum(-1), np.argmax(x[0])

    rng = np.random.default_rng(0)
    conforms(step, rng.standard_normal((3, 700)), rng.standard_normal((3, 700)), exact=False)
    step = tl.compile(step)
    x, y = rng.standard_normal((2, 3, 700))
    h = np.exp(x) * y
    own = x.copy()
    first, second, total, one = step(own, y)
    np.testing.assert_allclose(own, np.tanh(h), rtol=1e-13)
    np.testing.assert_array_equal(first, np.argmax(h, -1))
    np.testing.assert_array_equal(second, np.argmin(y - own, -1))
    np.testing.assert_allclose(total, h.sum(-1), rtol=1e-12)
    assert one == np.argmax(own[0])
