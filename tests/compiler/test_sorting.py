"""Sorting in a step: NumPy's order, its methods, its updates, and derivatives through it."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, run_traced, sample
from tapeless.compiler.codegen import generate
from tapeless.compiler.pipeline import lower
from tapeless.compiler.trace import trace

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.bool_, np.uint8]
SPECIAL = np.array([3.0, np.nan, -0.0, 1.0, np.inf, 0.0, 3.0, -np.inf, np.nan, 1.0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_sort_and_argsort(dtype, axis):
    x = sample(dtype, 3, 4, 5)
    conforms(lambda x: np.argsort(x, axis=axis, kind="stable"), x)
    conforms(lambda x: x.argsort(axis, stable=True), x)
    conforms(lambda x: np.sort(x, axis), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (3, 0), (1,), (1, 4)])
def test_few_elements(dtype, shape):
    conforms(lambda x: (np.sort(x), np.argsort(x)), np.ones(shape, dtype))


def test_a_number_is_one_element_to_argsort_and_has_no_axis_to_sort():
    conforms(lambda x: np.argsort(x), np.array(3.0))
    with pytest.raises(ValueError, match=r"axis -1 is out of bounds"):
        run_traced(lambda x: np.sort(x), np.array(3.0))


def test_a_partition_has_the_element_kth_in_its_place():
    x = sample(np.float64, 4, 9)

    def step(x):
        y = np.partition(x, 3)
        z = np.take_along_axis(x, np.argpartition(x, (1, 2), axis=0), 0)
        x.partition(-1, axis=0)
        return y, z, x

    y, z, left = run_traced(step, x.copy())
    np.testing.assert_array_equal(y, np.sort(x))
    np.testing.assert_array_equal(z, np.sort(x, 0))
    np.testing.assert_array_equal(left, np.sort(x, 0))


@pytest.mark.parametrize("axis", [0, -1])
def test_lexsort(axis):
    x = np.random.default_rng(0).integers(0, 3, (3, 5, 6))
    conforms(lambda x: np.lexsort(x, axis), x)
    conforms(lambda x: np.lexsort((x[0], x[1] * 0.5), axis=axis), x)
    conforms(lambda x: np.lexsort(x[0, 0][None]), x)


def in_place(x):
    x.sort()
    x[0].sort(kind="stable")
    x[::2, 1:] = 0.5
    x.T.sort()


def of_a_view(x):
    x[1:, ::-1].sort(0)
    x.reshape(-1).sort()
    return x[0]


@pytest.mark.parametrize("fn", [in_place, of_a_view])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_sorting_in_place(fn, dtype):
    conforms(fn, sample(dtype, 4, 5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_compiled(dtype):
    @tl.compile
    def step(x, special):
        order = np.argsort(x, axis=0)
        found = np.sort(x)
        x.sort(axis=0)
        return order, found, np.sort(special), np.argsort(special)

    x = (sample(dtype, 50, 70) * 8).round().astype(dtype)  # many equals
    special = SPECIAL if dtype is np.int64 else np.tile(SPECIAL.astype(dtype), 9)
    mine = x.copy()
    order, found, ordered, positions = step(mine, special)
    np.testing.assert_array_equal(order, np.argsort(x, axis=0, kind="stable"))
    np.testing.assert_array_equal(found, np.sort(x))
    np.testing.assert_array_equal(mine, np.sort(x, axis=0))
    np.testing.assert_array_equal(ordered, np.sort(special))
    np.testing.assert_array_equal(positions, np.argsort(special, kind="stable"))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: np.sort(x, 0),
        lambda x: x[np.argsort(x[:, 0])[::-1]],
        lambda x: np.take(x, x.argmax(0), 0),
    ],
)
def test_positions_of_a_sort_or_an_extremum_need_no_bounds_check(fn):
    source = tl.compile(fn).lower(np.ones((3, 4))).source()
    assert "return 1" not in str(source)


def test_a_row_of_too_many_elements_is_refused():
    graph = tl.ir.parse(
        "f(%x:u8[4294967296]) {\n  %a:i64[4294967296] = argsort %x [axis=0]\n} -> %a"
    )
    with pytest.raises(tl.errors.UnsupportedError, match=r"4294967296 elements are too many; sort"):
        generate(lower(graph).graphs["planned"])


def test_many_rows_are_sorted_in_chunks_with_memory_of_their_own():
    x = sample(np.float32, 200, 90, 2)
    step = tl.compile(lambda x: (np.sort(x, 1), np.argsort(x[..., 0], 0), np.median(x[0], 0)))
    assert str(step.lower(x).source()).count("split(") >= 2
    found, order, middle = step(x)
    np.testing.assert_array_equal(found, np.sort(x, 1))
    np.testing.assert_array_equal(order, np.argsort(x[..., 0], 0, kind="stable"))
    np.testing.assert_array_equal(middle, np.median(x[0], 0))


def test_positions_in_a_longer_array_need_one():
    source = tl.compile(lambda x: x[0][np.argsort(x[:, 0])]).lower(np.ones((4, 3))).source()
    assert "return 1" in str(source)


def test_derivatives_follow_the_elements():
    weights = np.arange(12.0).reshape(3, 4)
    x = sample(np.float64, 3, 4)
    found = tl.grad(lambda x: np.sum(np.sort(x, axis=0) * weights))(x)
    expected = np.empty_like(x)
    np.put_along_axis(expected, np.argsort(x, axis=0), weights, 0)
    np.testing.assert_array_equal(found, expected)
    tl.check_grads(lambda x: np.sort(x) ** 2, (x,), order=2)
    tl.check_grads(lambda x: np.partition(x, 1, axis=None) * x.ravel(), (x,), order=2)


def test_nothing_flows_through_positions():
    x = sample(np.float64, 4)
    assert not tl.grad(lambda x: np.sum(np.argsort(x).astype(x.dtype)))(x).any()


@pytest.mark.parametrize(
    ("fn", "error", "words"),
    [
        (lambda x: np.sort(x, order="a"), TypeError, "names fields of a structured array"),
        (lambda x: np.partition(x, 7), ValueError, r"kth\(=7\) out of bounds \(4\)"),
        (lambda x: np.lexsort((x, x[0])), ValueError, "needs keys of one shape"),
        (lambda x: np.sort(x, axis=2), ValueError, "axis 2 is out of bounds"),
    ],
)
def test_errors(fn, error, words):
    with pytest.raises(error, match=words):
        trace(fn, (np.ones((3, 4)),), {})
