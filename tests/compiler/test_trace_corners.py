"""Corners in which a traced function could differ from NumPy's without an error."""

import numpy as np
import pytest
from conformance import conforms, run_traced
from tapeless import errors
from tapeless import numpy as tnp

A = np.arange(-10.0, 10.0).reshape(4, 5) / 4
CUBE = np.arange(24.0).reshape(2, 3, 4)
ROWS, COLUMNS = np.array([0, 2, 1]), np.array([1, 1, 0])
WIDE = np.array([1e8, 1, -1e8, 1], np.float32)


# --- concrete arrays that are updated ------------------------------------------------------------


def row_of_a_buffer(x):
    buffer = np.zeros((2, 3))
    row = buffer[0]
    row += x
    return buffer + 0 * x


def every_row(x):
    buffer = np.zeros((2, 3))
    for row in buffer:
        row += x
    return buffer + 0 * x


def one_of_two_views(x):
    head, tail = np.zeros((2, 3))
    tail -= x
    return head + tail


@pytest.mark.parametrize("step", [row_of_a_buffer, every_row, one_of_two_views])
def test_a_view_of_a_concrete_array_is_not_rebound(step):
    with pytest.raises(errors.TraceError, match=r"row \+= x|tail -= x"):
        run_traced(step, np.ones(3))


def test_the_only_view_of_an_array_is_rebound():
    def step(x):
        total = np.arange(6.0).reshape(2, 3)
        total += x
        return total

    conforms(step, np.ones(3))


# --- writes --------------------------------------------------------------------------------------


def second_reshape(x):
    y = x[ROWS[:, None], ROWS]
    one, other = y.reshape(-1), y.reshape(-1)
    one[0] = 99
    return other * 1


def reshape_of_a_fortran_copy(x):
    y = x.copy("F")
    y.reshape(-1)[0] = 99
    return y * 1


def reshape_of_a_gather(x):
    y = x[0][np.arange(4).reshape(2, 2).T]
    y.reshape(-1)[0] = 99
    return y * 1


def reshape_of_a_stack_of_products(x):
    batch = x[:4, :4].reshape(2, 2, 2, 2).transpose(1, 0, 2, 3)
    y = batch @ batch
    y.reshape(-1)[0] = 99
    return y * 1


UNKNOWN = [
    second_reshape, reshape_of_a_fortran_copy, reshape_of_a_gather, reshape_of_a_stack_of_products,
]  # fmt: skip


@pytest.mark.parametrize("step", UNKNOWN)
def test_what_may_share_memory_is_not_read_after_a_write(step):
    with pytest.raises(errors.TraceError, match="whether a reshape was a view or a copy"):
        run_traced(step, A.copy())


def write(make):
    def step(x):
        y = make(x)
        y[...] = 7
        return y * 1

    return step


FRESH = [
    lambda x: tnp.asarray(x, order="F"),
    lambda x: tnp.array(x, copy=None, order="F"),
    lambda x: x.astype(np.float64, order="F", copy=False),
    lambda x: tnp.asarray(x.T, order="C"),
    lambda x: tnp.asarray(x.T, order="F"),
    lambda x: tnp.asarray(x.T, order="A"),
    lambda x: tnp.asarray(x[:, ::2], order="A"),
    lambda x: tnp.ascontiguousarray(x.T),
    lambda x: np.clip(x, None, None),
    lambda x: np.block(x),
    lambda x: np.pad(x, 0, mode="edge"),
    lambda x: np.pad(x, 0, constant_values=3),
    lambda x: np.roll(x, (), axis=()),
    lambda x: np.trunc(x.astype(int)),
    lambda x: np.nan_to_num(x, copy=False),
]


@pytest.mark.parametrize("make", FRESH)
def test_a_result_is_a_view_or_a_copy_as_in_numpy(make):
    conforms(write(make), A.copy())


@pytest.mark.parametrize("fn", [np.trunc, np.fix, np.nan_to_num])
def test_a_function_that_leaves_integers_alone_copies_them(fn):
    conforms(write(fn), np.arange(5))


@pytest.mark.parametrize("part", [np.transpose, lambda x: x[:, ::2]])
def test_put_along_no_axis_needs_an_array_that_is_contiguous(part):
    def step(x):
        np.put_along_axis(part(x), np.array([0, 1]), 5.0, axis=None)

    with pytest.raises(errors.UnsupportedError, match="C-contiguous"):
        run_traced(step, A.copy())


def nan_to_num_in_place(x):
    x[0] = np.nan
    np.nan_to_num(x[:2], copy=False, nan=3.0)


def masked_reduction(x):
    out = x[0].copy()
    np.add.reduce(x, axis=0, out=out, where=x[1] > -1)
    x[0] = out


@pytest.mark.parametrize("step", [nan_to_num_in_place, masked_reduction])
def test_a_function_writes_what_numpy_writes(step):
    conforms(step, A.copy())


# --- indices -------------------------------------------------------------------------------------


def behind_ellipsis(x):
    x[:, ROWS[:2], ..., COLUMNS[:2]] = np.arange(4.0).reshape(2, 2)
    return x[:, ROWS, ..., COLUMNS], x[..., ROWS, COLUMNS], x[:, ROWS, COLUMNS, ...]


INDEXED = [
    behind_ellipsis,
    lambda x: x[0, :, x[0, 0] > 1].sum(0),
    lambda x: x[:, 0, x[0, 0] > 1].sum(1),
    lambda x: np.take(x, [True, False, True], axis=1),
    lambda x: np.take(x, x[0, 0] > 1),
]


@pytest.mark.parametrize("fn", INDEXED)
def test_indices_select_what_they_select_in_numpy(fn):
    conforms(fn, CUBE.copy())


# --- dtypes --------------------------------------------------------------------------------------


def add_up(x):
    running = x.astype(np.float64)
    total = running[:1].reshape(()).copy()
    np.sum(x, out=total)
    np.cumsum(x, out=running)
    return total, running


DTYPES = [
    (lambda x: x**2.0, np.array([2**40, 3])),
    (lambda x: x**2, np.array([2**40, 3])),
    (lambda x: np.sum(x, dtype=bool, where=~x), np.array([True, True])),
    (lambda x: np.sum(x, dtype=bool, initial=True), np.array([False, False])),
    (lambda x: np.prod(x, dtype=bool, where=x), np.array([True, False])),
    (lambda x: np.mean(x, dtype=np.int64), np.array([1.0, 2.0])),
    (lambda x: np.average(x, weights=2 * x), np.array([100_000, 300_000], np.int32)),
    (lambda x: np.isclose(x, -x), np.array([2**62, 0])),
    (lambda x: np.isclose(x, 0.1, rtol=0, atol=0), np.array([0.1, 0.2], np.float32)),
    (add_up, WIDE),
]


@pytest.mark.parametrize(("fn", "x"), DTYPES)
def test_sums_and_powers_are_computed_in_the_dtype_of_numpy(fn, x):
    conforms(fn, x)


NUMBERS = [
    lambda x, n: x * ((n > 0) * 1.5),
    lambda x, n: x * ((n > 0) + (n > 1)),
    lambda x, n: x + ~(n > 0),
    lambda x, n: np.where((n > 0) & (n > 5), x, -x),
    lambda x, n: n > 0,
    lambda x, n: x * (round(n) + round(n, 1)),
]


@pytest.mark.filterwarnings("ignore:Bitwise inversion")
@pytest.mark.parametrize("fn", NUMBERS)
def test_a_comparison_of_python_numbers_is_a_python_number(fn):
    conforms(fn, WIDE, 3)


def test_a_captured_identity_keeps_its_negative_zeros():
    signed = np.where(np.eye(5) == 0, -0.0, 1.0)
    assert np.signbit(run_traced(lambda x: x * signed, np.ones(5))).sum() == 20


def test_padding_keeps_a_negative_zero():
    padded = run_traced(lambda x: np.pad(x, 1, constant_values=-0.0), np.ones(3))
    assert np.signbit(padded).tolist() == [True, False, False, False, True]


def test_digits_of_a_python_float_are_not_rounded():
    with pytest.raises(errors.TraceError, match=r"use np\.round"):
        run_traced(lambda x, n: x * round(n, 1), WIDE, 2.35)


REFUSED = [
    (lambda x: np.add.reduce(x[:, :1], axis=0, out=x[0]), ValueError, "out= "),
    (lambda x: np.std(x, dtype=int), errors.UnsupportedError, "use a float one"),
]


@pytest.mark.parametrize(("fn", "kind", "why"), REFUSED)
def test_a_reduction_that_cannot_be_right_is_refused(fn, kind, why):
    with pytest.raises(kind, match=why):
        run_traced(fn, A.copy())


# --- piecewise -----------------------------------------------------------------------------------


def test_piecewise_refuses_what_mixes_elements():
    def centred(x):
        return np.piecewise(x, [x < 0, x >= 0], [lambda v: v - v.mean(), lambda v: v])

    with pytest.raises(errors.UnsupportedError, match=r"mixes elements \(sum\)"):
        run_traced(centred, A[0])


def test_piecewise_gives_its_functions_a_copy():
    def doubled(v):
        v *= 2
        return v

    conforms(lambda x: np.piecewise(x, [x < 0], [doubled, np.abs]), A[0].copy())
