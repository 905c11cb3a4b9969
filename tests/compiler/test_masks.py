"""x[mask] of a traced mask: computed with, written under the same mask, and reduced."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms
from tapeless import errors


def arrays(dtype):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((5, 4)).astype(dtype) for _ in range(3)]


def assigned(x, y, n):
    mask = x > 0
    y[mask] = x[mask] / n[mask]
    n[x < 0] = -x[x < 0]
    x[mask] = y[mask] > 0.5


def in_place(x, y, n):
    x[x < -0.5] *= 0.01
    x[x > 1] -= y[x > 1] + 1
    y[y > 0] **= 2
    chosen = n[n > 0]
    chosen += 1
    return chosen.sum()


def converted(x, y, n):
    counts = np.zeros(x.shape, np.int64, like=x)
    counts[x > 0] = x[x > 0] * 10
    counts[x < 0] += 3
    return counts, x[x > 0].astype(np.float64).sum()


def rows(x, y, n):
    good = x[:, 0] > 0
    y[good] = 2 * x[good] - 1
    n[:, x[0] > 0] = np.sqrt(np.abs(x[:, x[0] > 0]))
    return x[good].sum(axis=0), y[good].mean(axis=0), x[good].std(), np.mean(y[:, n[0] > 0], axis=1)


def reduced(x, y, n):
    mask = x > 0
    hits = x[mask] == np.maximum(x[mask], y[mask])
    return (
        x[mask].sum(), np.mean(x[mask]), x[mask].var(ddof=1), np.prod(x[mask]), hits.mean(),
        np.any(y[mask] > 1), (y[mask] < 9).all(), np.count_nonzero(x[mask] > 0.5), x[mask].std(),
    )  # fmt: skip


def none_chosen(x, y, n):
    mask = x > 100
    x[mask] = np.log(y[mask])
    return x[mask].sum(), np.mean(x[mask]), (x[mask] > 0).all()


def functions(x, y, n):
    mask = x > 0
    y[mask] = np.where(x[mask] > 0.5, np.clip(x[mask], 0.6, 0.9), np.exp(-x[mask]))
    n[mask] = np.logaddexp(x[mask], np.float32(1.5)).copy()
    return -np.abs(x[mask] - x[mask].mean()).sum()


def snapshot(x, y, n):
    old = x[x > 0]
    mask = x > 0
    x += 1
    y[mask] = old * 2
    mask[...] = False
    return y


PROGRAMS = [assigned, in_place, converted, rows, reduced, none_chosen, functions, snapshot]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_program(program, dtype):
    conforms(program, *arrays(dtype), exact=False)


@pytest.mark.parametrize("program", [assigned, rows, functions], ids=lambda f: f.__name__)
def test_compiled(program):
    expected, actual = arrays(np.float32), arrays(np.float32)
    results = program(*expected), tl.compile(program)(*actual)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-6)
    assert (results[0] is None) == (results[1] is None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_has_no_part_of_other_elements(dtype):
    """log and sqrt are not finite at the elements that are not chosen."""

    def loss(x):
        mask = x > 0
        y = np.zeros_like(x)
        y[mask] = np.log(x[mask]) + np.sqrt(x[mask])
        return np.sum(y) + (x[mask] ** 2).mean()

    x = np.array([-1.0, 0.0, 0.5, 2.0], dtype)
    expected = np.where(x > 0, 1 / np.abs(x + (x == 0)) + 0.5 / np.sqrt(np.abs(x) + (x == 0)), 0)
    expected += np.where(x > 0, x, 0)
    np.testing.assert_allclose(tl.grad(loss)(x), expected, rtol=1e-6)
    np.testing.assert_allclose(tl.compile(tl.grad(loss))(x), expected, rtol=1e-6)
    tl.check_grads(loss, (np.array([-1.0, 0.5, 2.0]),), order=2)


def test_masks_of_equal_expressions_are_one_mask():
    def program(x, y):
        y[(x > 0) & (y < 1)] = x[(x > 0) & (y < 1)]

    conforms(program, *arrays(np.float64)[:2])


REFUSED = {
    "returned": lambda x, y: x[x > 0],
    "largest": lambda x, y: np.max(x[x > 0]),
    "length": lambda x, y: len(x[x > 0]),
    "size": lambda x, y: x[x > 0].size,
    "with an array": lambda x, y: x[x > 0] + y,
    "array with": lambda x, y: y * x[x > 0],
    "other masks": lambda x, y: x[x > 0] + x[x > 1],
    "masks before and after": lambda x, y: x[x > 0] + x.__iadd__(1)[x > 0],
    "loop": lambda x, y: [v for v in x[x > 0]],  # noqa: C416
    "product": lambda x, y: x[x > 0] @ y[x > 0],
    "joined": lambda x, y: np.concatenate([x[x > 0], y[0]]),
    "index": lambda x, y: x[x > 0][0],
    "as an index": lambda x, y: x[0][(x[0] > 0).astype(int)[x[0] > 0]],
    "number": lambda x, y: float(x[x > 0]),
    "truth": lambda x, y: 1 if x[x > 0] else 2,
    "written elsewhere": lambda x, y: y.__setitem__(y > 0, x[x > 0]),
    "written to all": lambda x, y: y.__setitem__(..., x[x > 0]),
    "one axis": lambda x, y: x[x[:, 0] > 0].sum(axis=1),
    "no axis": lambda x, y: x[x > 0].sum(axis=1),
    "option": lambda x, y: np.sum(x[x > 0], keepdims=True),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_the_number_of_elements_is_refused(case):
    with pytest.raises(errors.TraceError, match=r"depends on the data.*np\.where.*test_masks"):
        tl.compile(REFUSED[case]).lower(*arrays(np.float64)[:2])


def test_an_object_cannot_keep_chosen_elements():
    class Layer:
        def step(self, x):
            self.kept = x[x > 0]

    with pytest.raises(errors.TraceError, match="depends on the data"):
        tl.compile(Layer.step).lower(Layer(), np.ones(3))


def test_in_place_keeps_numpys_casting_rule():
    def program(n):
        n[n > 0] += 0.5

    with pytest.raises(TypeError):
        program(np.arange(3))
    with pytest.raises(errors.DTypeError, match="same_kind"):
        tl.compile(program).lower(np.arange(3))
