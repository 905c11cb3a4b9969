"""P1. What the optimised graph and native code compute is what the graph as written computes in
f64, up to the uncertainty of the arguments.

The margin is measured: how far the results move when every argument moves within half a unit of
its last place. A program may be off by a few times that, and a few units of the largest result.
"""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from soak.functions import ALL, GROUPS, matrices, together

MOVES, FACTOR = 6, 16


def reference(step, *args):
    """The results in f64, of the graph that was not optimised."""
    wide = [a.astype(np.float64) for a in args]
    return tl.tree.leaves(step.lower(*wide).interpret("jacobian-free", *wide))


def margins(step, args, dtype):
    """The exact results, and how far each may be off."""
    exact = reference(step, *args)
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    moved = [np.zeros(np.shape(e)) for e in exact]
    for _ in range(MOVES):
        near = [a * (1 + eps * rng.uniform(-0.5, 0.5, a.shape)) for a in map(np.float64, args)]
        found = reference(step, *near)
        moved = [np.maximum(m, np.abs(f - 1.0 * e)) for m, f, e in zip(moved, found, exact,
                                                                        strict=True)]  # fmt: skip
    return exact, [
        FACTOR * (np.max(m, initial=0) + eps * np.max(np.abs(1.0 * e), initial=0))
        for m, e in zip(moved, exact, strict=True)
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_results_are_those_of_the_graph_as_written(names, dtype):
    step, args = tl.compile(together(names)), matrices(dtype)
    exact, allowed = margins(step, args, dtype)
    for run in (step.interpret, step):
        for name, value, e, margin in _named(names, run(*args), exact, allowed):
            if value.dtype.kind == "f":
                assert value.dtype == dtype
                np.testing.assert_allclose(value, e, rtol=0, atol=margin, err_msg=name)
            else:
                np.testing.assert_array_equal(value, e, err_msg=name)


def _named(names, results, *others):
    spread = [name for name, r in zip(names, results, strict=True) for _ in tl.tree.leaves(r)]
    return zip(spread, tl.tree.leaves(results), *others, strict=True)


def test_margins_tell_a_wrong_result():
    """They are small: of f32 results none may be off by more than 1e-4 of the largest."""
    for names in GROUPS:
        step, args = tl.compile(together(names)), matrices(np.float32)
        exact, allowed = margins(step, args, np.float32)
        for e, margin in zip(exact, allowed, strict=True):
            assert margin <= 1e-4 * max(1, np.max(np.abs(1.0 * e)))
    assert len(ALL) >= 30
