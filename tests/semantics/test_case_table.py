"""The corner cases, row by row: what NumPy decides about values, and what derivatives must be.

Every row runs through every executor: the graph with dense Jacobians, the same without Jacobians,
the optimised graph, native code. A row is one function as a user would write it, its arguments, and
what comes out. Lists of numbers are arrays of the tested dtype, in results as in arguments; arrays
and numbers are taken as they are. A row that is not a plain value is a check, which calls the
function itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pytest
import tapeless as tl
from tapeless import errors, nn

INF, NAN = np.inf, np.nan
I32, I64, F32, F64 = np.int32, np.int64, np.float32, np.float64
EITHER, F32_ONLY, F64_ONLY, ANY = (F32, F64), (F32,), (F64,), (None,)

Run = Callable[..., Any]


class Case(NamedTuple):
    """`fn(*args)` gives `gives`: values, an error class, or a check that is handed the function
    and the arguments."""

    row: int
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    gives: Any
    dtypes: tuple[Any, ...] = EITHER


def g(fn, argnums=0):
    """The derivative of the sum of all results."""
    return tl.grad(lambda *args: np.sum(fn(*args)), argnums)


# --- functions of the table that need more than an expression --------------------------------


def x_log_x(x):
    return x * np.log(x)


def guarded_log(x):
    return np.where(x > 0, np.log(x), 0)


def sinc(x):
    return np.where(x != 0, np.sin(x) / x, 1)


def masked_log(x):
    """The same guard written as an assignment."""
    y = np.log(x)
    y[x <= 0] = 0
    return y


def first_probability(z):
    return nn.softmax(z)[0]


def bce(z, y):
    return nn.binary_cross_entropy_with_logits(z, y, reduction="none")


def bce_of_probabilities(p, y):
    return nn.binary_cross_entropy(p, y, reduction="none")


def scaled_rows(x, w):
    return x * w


def x_times_n(x, n):
    return np.sum(x * n)


def shifted(a):
    a[1:] += a[:-1]
    return a


def counted(a):
    a[[0, 0]] += 1
    return a


def accumulated(a):
    np.add.at(a, [0, 0], 1)
    return a


def add_into(a, b):
    a += b
    return a


def store_at(a, history, i):
    history += 1
    a[i] = 5
    return a[i]


CAPTURED = np.array([1.0, 2.0])


def plus_captured(x):
    return x + CAPTURED


# --- checks ---------------------------------------------------------------------------------


def all_nan(run, x):
    assert np.isnan(run(x)).all()


def zero_of_either_sign(run, *args):
    assert run(*args).tolist() == [0, 0]


def nan_with_a_warning(run, x):
    """The length is known, so the warning comes when the step is traced."""
    with pytest.warns(RuntimeWarning, match="[Mm]ean of empty slice"):
        tl.compile(np.mean).lower(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(run(x))


def arrays_of_shape_nothing(run, x):
    for found in run(x):
        assert type(found) is np.ndarray and found.shape == ()


def same_array_twice(run, a):
    with pytest.raises(errors.AliasError, match=r"argument a .* argument b"):
        run(a, a)
    np.testing.assert_array_equal(a, [1, 2])


def same_array_only_read(run, a):
    np.testing.assert_array_equal(run(a, a), [2, 4])


def fresh_and_distinct(run, x):
    first, second, third = run(x)
    for a, b in ((first, second), (first, third), (second, third), (first, x), (third, x)):
        assert not np.shares_memory(a, b)
    for found in (first, second):
        np.testing.assert_array_equal(found, x)


def old_value_of_the_capture(run, x):
    try:
        np.testing.assert_array_equal(run(x), [1, 2])
        CAPTURED[:] = 7
        np.testing.assert_array_equal(run(x), [1, 2])
    finally:
        CAPTURED[:] = 1, 2


def out_of_range_at_the_call(run, x, n):
    np.testing.assert_array_equal(run(x, 2), x + I32(2))
    with pytest.raises(OverflowError):
        run(x, n)


def index_error_before_any_write(run, a, history, i):
    with pytest.raises(IndexError):
        run(a, history, i)
    assert not a.any() and not history.any()


def names_the_argument(run, x, n):
    with pytest.raises(TypeError, match="with respect to n of dtype"):
        run(x, n)


# --- the table ------------------------------------------------------------------------------

MIN32, MAX32 = np.iinfo(I32).min, np.iinfo(I32).max
TAIL = 1.9287498479639178e-22
PAIR = I32([-7, 7])

CASES = [
    Case(1, g(np.maximum, (0, 1)), ([2], [2]), ([0.5], [0.5])),
    Case(1, g(np.minimum, (0, 1)), ([2], [2]), ([0.5], [0.5])),
    Case(2, g(np.max), ([1, 3, 3, 2],), [0, 0.5, 0.5, 0]),
    Case(2, g(lambda x: np.min(x, axis=1)), ([[1, 3, 1], [2, 3, 4]],), [[0.5, 0, 0.5], [1, 0, 0]]),
    Case(3, g(nn.relu), ([0, -1, 1],), [0, 0, 1]),
    Case(4, g(lambda x: np.maximum(x, 0)), ([0, -1, 1],), [0.5, 0, 1]),
    Case(4, g(lambda x: np.maximum(0, x)), ([0, -1, 1],), [0.5, 0, 1]),
    Case(5, g(lambda x: np.clip(x, -1, 2)), ([-1, 0, 2, 3],), [0.5, 1, 0.5, 0]),
    Case(6, g(np.abs), ([0, -2, 3],), [0, -1, 1]),
    Case(7, np.sign, ([NAN, -2, 0],), [NAN, -1, 0]),
    Case(7, g(np.sign), ([NAN, -2, 0],), [0, 0, 0]),
    Case(8, g(lambda x: nn.leaky_relu(x, 0.25)), ([0, -1, 1],), [0.25, 0.25, 1]),
    Case(9, nn.relu, ([NAN],), [NAN]),
    Case(9, g(nn.relu), ([NAN],), [0]),
    Case(10, np.maximum, ([-0.0, 0.0], [0.0, -0.0]), zero_of_either_sign),
    Case(11, g(np.sqrt), ([0, 4],), [INF, 0.25]),
    Case(11, g(lambda x: x**0.5), ([0, 4],), [INF, 0.25]),
    Case(12, g(np.linalg.norm), ([0, 0],), [0, 0]),
    Case(12, g(np.linalg.norm), ([3, 4],), [0.6, 0.8]),
    Case(12, g(lambda x: np.linalg.norm(x, axis=1)), ([[0, 0], [3, 4]],), [[0, 0], [0.6, 0.8]]),
    Case(13, g(np.std), ([3, 3, 3],), [0, 0, 0]),
    Case(13, g(np.var), ([3, 3, 3],), [0, 0, 0]),
    Case(14, np.log, ([0, -1],), [-INF, NAN]),
    Case(14, g(np.log), ([0, -1],), [INF, -1]),
    Case(15, x_log_x, ([0],), [NAN]),
    Case(15, nn.xlogy, ([0], [0]), [0]),
    Case(16, g(guarded_log), ([0, -1, 2],), [0, 0, 0.5]),
    Case(16, g(masked_log), ([0, -1, 2],), [0, 0, 0.5]),
    Case(16, tl.hessian(lambda x: np.sum(guarded_log(x))), ([0, 2],), [[0, 0], [0, -0.25]]),
    Case(17, g(sinc), ([0],), [0]),
    Case(17, g(g(sinc)), ([0],), [0]),
    Case(18, nn.softmax, ([1e4, -1e4, 0],), [1, 0, 0]),
    Case(19, nn.softmax, ([-INF, -INF],), all_nan),
    Case(19, nn.softmax, ([INF, 0],), all_nan),
    Case(19, nn.softmax, ([0, -INF],), [1, 0]),
    Case(19, g(first_probability), ([0, -INF],), [0, 0]),
    Case(20, nn.logsumexp, ([1e4, 1e4],), 10000.693147180560),
    Case(20, g(nn.logsumexp), ([1e4, 1e4],), [0.5, 0.5]),
    Case(20, nn.logsumexp, ([-INF, -INF],), -INF),
    Case(21, bce, ([50, -50, 1000, -1000], [0, 0, 0, 0]), [50, TAIL, 1000, 0]),
    Case(22, g(bce), ([50, 50, -50], [1, 0, 0]), [-TAIL, 1, TAIL]),
    Case(23, bce_of_probabilities, ([0, 1], [1, 1]), [INF, 0]),
    Case(24, nn.softplus, ([25, 1000, -1000],), [25.000000000013888, 1000, 0]),
    Case(25, nn.logsigmoid, ([1000, -1000],), [0, -1000]),
    Case(25, g(nn.logsigmoid), ([1000, -1000],), [0, 1]),
    Case(26, np.tanh, ([1e4, -1e4, INF, -INF, NAN],), [1, -1, 1, -1, NAN]),
    Case(26, g(np.tanh), ([1e4, -1e4, INF, -INF],), [0, 0, 0, 0]),
    Case(27, lambda x: x**0, ([0, 2, NAN],), [1, 1, 1]),
    Case(27, g(lambda x: x**0), ([0, 2, NAN],), [0, 0, 0]),
    Case(28, g(lambda x: x**0.0), ([0],), [0]),
    Case(29, g(np.power), ([0], [0]), [0]),
    Case(29, g(np.power, 1), ([-2], [2]), [NAN]),
    Case(30, g(np.prod), ([0, 2, 3],), [6, 0, 0]),
    Case(30, g(np.prod), ([0, 0, 3],), [0, 0, 0]),
    Case(31, g(np.arctan2, (0, 1)), ([0], [0]), ([NAN], [NAN])),
    Case(32, g(lambda x: x[[0, 0]]), ([3, 5],), [2, 0]),
    Case(33, np.sum, ([],), 0),
    Case(33, np.prod, ([],), 1),
    Case(33, np.mean, ([],), nan_with_a_warning),
    Case(33, np.max, ([],), ValueError),
    Case(33, np.argmax, ([],), ValueError),
    Case(34, np.matmul, (np.zeros((2, 0)), np.zeros((0, 3))), np.zeros((2, 3)), ANY),
    Case(34, np.add, ([], [1]), []),
    Case(35, np.max, ([1, NAN, 2],), NAN),
    Case(35, np.argmax, ([1, NAN, 2, NAN],), I64(1)),
    Case(35, g(np.max), ([1, NAN, 2],), [0, 1, 0]),
    Case(35, lambda x: np.max(x, axis=1), ([[1, NAN], [2, 3]],), [NAN, 3]),
    Case(36, np.argmax, ([1, 3, 3],), I64(1)),
    Case(36, np.argmin, ([3, 1, 1],), I64(1)),
    Case(37, lambda x: (np.sum(x), x[0], x @ x), ([1, 2],), arrays_of_shape_nothing),
    Case(38, g(scaled_rows, (0, 1)), ([[2], [3]], [[5, 7, 9]]), ([[21], [21]], [[5, 5, 5]])),
    Case(39, add_into, ([1, 2],), same_array_twice),
    Case(39, lambda a, b: a + b, ([1, 2],), same_array_only_read),
    Case(40, shifted, ([1, 1, 1, 1, 1],), [1, 2, 2, 2, 2]),
    Case(41, counted, ([0, 0],), [1, 0]),
    Case(41, accumulated, ([0, 0],), [2, 0]),
    Case(42, lambda x: (x, x, x[1:]), ([1, 2],), fresh_and_distinct),
    Case(43, g(lambda x, y: 2 * x, (0, 1)), ([1, 2], [3, 4, 5]), ([2, 2], [0, 0, 0])),
    Case(44, plus_captured, (np.zeros(2),), old_value_of_the_capture, ANY),
    Case(45, lambda a: (a // 2, a // -2, a % 2, a % -2), (PAIR,),
         (I32([-4, 3]), I32([3, -4]), I32([1, 1]), I32([-1, -1])), ANY),
    Case(45, lambda a, b: (a // b, a % b), (PAIR, I32([0, 0])), (I32([0, 0]), I32([0, 0])), ANY),
    Case(45, lambda a, b: a // b, (I32([MIN32]), I32([-1])), I32([MIN32]), ANY),
    Case(46, lambda a: a + 1, (I32([MAX32]),), I32([MIN32]), ANY),
    Case(46, lambda a: a + 2**31, (I32([0]),), OverflowError, ANY),
    Case(46, lambda a, n: a + n, (I32([1]), 2**31), out_of_range_at_the_call, ANY),
    Case(47, lambda a: a + 1.0, (F32([1]),), F32([2]), ANY),
    Case(47, lambda a: a + F64(1), (F32([1]),), F64([2]), ANY),
    Case(47, lambda a: a * 1e300, (F32([1]),), F32([INF]), ANY),
    Case(48, lambda a, b: a / b, (I32([1]), I32([2])), F64([0.5]), ANY),
    Case(48, lambda a, b: a + b, (I32([1]), F32([2])), F64([3]), ANY),
    Case(48, lambda a, b: a + b, (I64([1]), F32([2])), F64([3]), ANY),
    Case(48, lambda a, b: a + b, (np.array([True]), np.array([True])), np.array([True]), ANY),
    Case(48, lambda a, b: a - b, (np.array([True]), np.array([True])), TypeError, ANY),
    Case(49, np.sum, (I32([MAX32, 1]),), I64(2**31), ANY),
    Case(49, np.sum, (np.array([True, True]),), I64(2), ANY),
    Case(49, np.sum, (np.uint8([255, 1]),), np.uint64(256), ANY),
    Case(49, np.mean, (F32([1, 2]),), F32(1.5), ANY),
    Case(50, tl.grad(x_times_n, 1), ([1], 2), names_the_argument),
    Case(50, tl.grad(x_times_n, 1), ([1], I64([2])), names_the_argument),
    Case(50, tl.grad(x_times_n, 1), ([1], np.array([True])), names_the_argument),
    Case(50, tl.grad(lambda x: x * 2), ([1, 2],), TypeError),
    Case(51, np.round, ([0.5, 1.5, 2.5, -0.5],), [0, 2, 2, 0]),
    Case(51, np.rint, ([0.5, 1.5, 2.5, -0.5],), [0, 2, 2, 0]),
    Case(52, lambda x: x * 0.5, (F32([1e-40]),), F32([1e-40]) / 2, ANY),
    Case(53, np.var, ([1e8 + 1, 1e8 + 2, 1e8 + 3],), 2 / 3, F64_ONLY),
    Case(53, np.var, ([10001, 10002, 10003],), 2 / 3, F32_ONLY),
    Case(54, lambda x: x[5], ([1, 2, 3],), IndexError),
    Case(54, lambda x: x[[0, 5]], ([1, 2, 3],), IndexError),
    Case(54, store_at, ([0, 0, 0], [0], I64([1, 3])), index_error_before_any_write),
    Case(54, store_at, ([0, 0, 0], [0], I64([1, -4])), index_error_before_any_write),
]  # fmt: skip


# --- running it -----------------------------------------------------------------------------

compiled = cache(tl.compile)


def dense(fn):
    return lambda *args: compiled(fn).lower(*args).interpret("autodiff", *args)


def naive(fn):
    return lambda *args: compiled(fn).lower(*args).interpret("jacobian-free", *args)


def optimised(fn):
    return lambda *args: compiled(fn).interpret(*args)


def native(fn):
    return lambda *args: compiled(fn)(*args)


def typed(argument, dtype):
    return np.array(argument, dtype) if isinstance(argument, list) else np.copy(argument)


def assert_gives(found, expected, dtype):
    """Equal to the last few places; exactly, where the expectation is an array or its element."""
    if isinstance(expected, (np.ndarray, np.generic)):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, strict=found.shape != ())
        return
    expected = np.array(expected, dtype)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=8 * np.finfo(dtype).eps, atol=0)


def rows():
    """One parameter set per case and dtype, named `16b-float32`: row, case in it, dtype."""
    cases = [(c, d) for c in CASES for d in c.dtypes]
    letters = {
        id(c): chr(ord("a") + k)
        for _, row in groupby(CASES, lambda c: c.row)
        for k, c in enumerate(row)
    }
    names = [f"{c.row}{letters[id(c)]}" + (f"-{np.dtype(d)}" if d else "") for c, d in cases]
    return [pytest.param(c, d, id=name) for (c, d), name in zip(cases, names, strict=True)]


@pytest.mark.parametrize("executor", [dense, naive, optimised, native])
@pytest.mark.parametrize(("case", "dtype"), rows())
def test_case_table(case, dtype, executor):
    run = executor(case.fn)
    args = [typed(a, dtype) if isinstance(a, (list, np.ndarray)) else a for a in case.args]
    if isinstance(case.gives, type):
        with pytest.raises(case.gives):
            run(*args)
    elif callable(case.gives):
        case.gives(run, *args)
    elif isinstance(case.gives, tuple):
        for found, expected in zip(run(*args), case.gives, strict=True):
            assert_gives(found, expected, dtype)
    else:
        assert_gives(run(*args), case.gives, dtype)
