"""Calls with `*args`, and with arrays that are not contiguous, take the fast way, too."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from tapeless.runtime.callpath import MISS

X = np.arange(12.0).reshape(3, 4)
VIEWS = {
    "columns": X[:, 1:3],
    "transposed": X.T,
    "reversed": X[::-1],
    "repeated": np.broadcast_to(X[0], (3, 4)),
    "Fortran": np.asfortranarray(X),
}


def only_program(step, *args):
    """The fast way of a step once it is compiled, after a check of its first result."""
    compiled = tl.compile(step)
    np.testing.assert_array_equal(compiled(*args), step(*args))
    (program,) = compiled.programs
    return compiled, program.fast


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_copied(name):
    view = VIEWS[name]
    compiled, fast = only_program(lambda x, y: 2 * x + y, view, 1.5)
    np.testing.assert_array_equal(fast(view, 2.0), 2 * view + 2)
    assert fast(view.copy("C"), 2.0) is MISS
    assert fast(view[1:], 2.0) is MISS
    assert fast(view.astype(np.float32), 2.0) is MISS
    assert fast(view) is MISS and fast(x=view, y=2.0) is MISS
    np.testing.assert_array_equal(compiled(x=view, y=2.0), 2 * view + 2)


@pytest.mark.parametrize(
    ("step", "args", "others"),
    [
        (lambda *rest: rest[0] - rest[1], (X, X + 1), [(X,), (X, X, X), (X, X.T)]),
        (lambda x, *rest: x + sum(rest), (X, 1.0, X), [(X,), (X, 1.0), (X, 1, X)]),
        (lambda x, *rest: x * len(rest), (X,), [(X, 1.0)]),
        (lambda x, *rest: x + rest[0], (X.T, X[:, 1:2].T), [(X.T, X[:1])]),
    ],
    ids=["rest", "first and rest", "no rest", "views"],
)
def test_arguments_by_star(step, args, others):
    _, fast = only_program(step, *args)
    np.testing.assert_array_equal(fast(*args), step(*args))
    assert all(fast(*other) is MISS for other in others)
    assert fast(*args, k=1) is MISS


def written(x, y):
    x += y
    return y.sum()


@pytest.mark.parametrize(
    ("step", "args"),
    [
        (written, (np.ones((4, 3)), X.T)),
        (written, (np.ones((3, 4)).T, X.T)),
        (lambda p: p["x"] + 1, ({"x": X.T},)),
        (lambda x, **more: x + more["y"], (X,)),
        (lambda x, *, y=2.0: x + y, (X.T,)),
    ],
    ids=["written beside", "written", "in a dict", "by name", "keyword only"],
)
def test_what_needs_more_care(step, args):
    compiled = tl.compile(step)
    named = {"y": 1.0} if "more" in step.__code__.co_varnames else {}
    expected, found = (f(*(_copy(a) for a in args), **named) for f in (step, compiled))
    np.testing.assert_array_equal(found, expected)
    assert compiled.programs[0].fast is None


def _copy(argument):
    return argument.copy("K") if isinstance(argument, np.ndarray) else dict(argument)
