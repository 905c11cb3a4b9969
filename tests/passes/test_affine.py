"""Systems of equations between bounded indices, against all index tuples tried one by one."""

import math

import numpy as np
import pytest
from tapeless.ir.jacobian import Delta, Map, Place
from tapeless.passes.algebra.affine import Affine, Nowhere, System, Unaligned, equations


def solutions(ties, extent):
    """Every tuple of indices that satisfies all equations."""
    grid = np.indices(tuple(extent.values())).reshape(len(extent), -1)
    at = dict(zip(extent, grid, strict=True))
    holds = np.ones(grid.shape[1], bool)
    for tie in ties:
        for e in equations(tie, extent):
            holds &= e.start + sum(step * at[x] for x, step in e.steps.items()) == 0
    return {tuple(int(k) for k in column) for column in grid[:, holds].T}


def generated(system, letters):
    """Every tuple of indices the solution gives, each once."""
    forms = [system[x] for x in letters]
    free = sorted({x for e in forms for x in e.steps})
    count = math.prod(system.extent[x] for x in free)
    grid = np.indices(tuple(system.extent[x] for x in free)).reshape(len(free), count)
    at = dict(zip(free, grid, strict=True))
    rows = [np.full(count, e.start) + sum(s * at[x] for x, s in e.steps.items()) for e in forms]
    found = [tuple(int(k) for k in column) for column in np.array(rows).T]
    assert len(set(found)) == len(found)
    return set(found)


def part(big, small, start, stop, step):
    return Map("slice", (("spec", ((start, stop, step),)),), (), (big,), (small,))


def reshape(src, dst):
    return Map("reshape", (), (), src, dst)


CASES = {
    "delta": ([Delta(0, 1)], {0: 4, 1: 4}),
    "slice": ([part(0, 1, 2, 8, 2)], {0: 9, 1: 3}),
    "flip": ([part(0, 1, 4, -1, -1)], {0: 5, 1: 5}),
    "two slices": ([part(0, 1, 2, 20, 2), part(0, 2, 0, 20, 3)], {0: 20, 1: 9, 2: 7}),
    "backwards and forwards": ([part(0, 1, 9, -1, -1), part(0, 2, 1, 10, 3)], {0: 10, 1: 10, 2: 3}),
    "slice of a slice": ([part(0, 1, 1, 9, 1), part(1, 2, 6, 0, -2)], {0: 9, 1: 8, 2: 3}),
    "split": ([reshape((0,), (1, 2))], {0: 12, 1: 3, 2: 4}),
    "split twice": ([reshape((0,), (1, 2)), reshape((0,), (3, 4))], {0: 6, 1: 3, 2: 2, 3: 3, 4: 2}),
    "refined": ([reshape((0, 1), (2, 3))], {0: 2, 1: 6, 2: 4, 3: 3}),
    "finer and coarser": (
        [reshape((0,), (1, 2)), reshape((0,), (3, 4))], {0: 24, 1: 3, 2: 8, 3: 6, 4: 4},
    ),
    "rows of a split": ([reshape((0,), (1, 2)), part(0, 3, 4, 12, 1)], {0: 12, 1: 3, 2: 4, 3: 8}),
    "flipped split": ([reshape((0,), (1, 2)), part(0, 3, 11, -1, -1)], {0: 12, 1: 3, 2: 4, 3: 12}),
    "diagonal of a slice": ([part(0, 1, 1, 4, 1), Delta(0, 1)], {0: 4, 1: 3}),
    "fixed point of a flip": ([part(0, 1, 4, -1, -1), Delta(0, 1)], {0: 5, 1: 5}),
    "place": ([Place(0, 3, ((1, 4, 2), (2, 1, 4)))], {0: 12, 1: 2, 2: 4}),
    "one index": ([Place(0, 3)], {0: 5}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_solution_gives_every_index_once(name):
    ties, extent = CASES[name]
    expected = solutions(ties, extent)
    for order in (ties, ties[::-1]):
        try:
            system = System(extent)
            for tie in order:
                for equation in equations(tie, extent):
                    system.equate(equation)
        except Nowhere:
            assert not expected
        else:
            assert generated(system, extent) == expected


@pytest.mark.parametrize("seed", range(150))
def test_random_systems(seed):
    rng = np.random.default_rng(seed)
    extent = {0: 12, 1: int(rng.integers(1, 7)), 2: 3, 3: 4, 4: int(rng.integers(1, 5)), 5: 6, 6: 2}
    ties = [reshape((0,), (2, 3)), reshape((0,), (5, 6))]
    for small in (1, 4):
        step = int(rng.choice([-2, -1, 1, 2]))
        reach = step * (extent[small] - 1)
        start = int(rng.integers(max(0, -reach), 12 - max(0, reach)))
        ties.append(Place(0, start, ((small, step, extent[small]),)))
    ties = [ties[k] for k in rng.permutation(4)[: rng.integers(1, 5)]]
    letters = sorted({x for tie in ties for x in tie.letters})
    extent = {x: extent[x] for x in letters}
    system, taken = System(extent), []
    try:
        for tie in ties:
            before = generated(system, letters)
            try:
                for equation in equations(tie, extent):
                    system.equate(equation)
                taken.append(tie)
            except Unaligned:
                assert generated(system, letters) == before
    except Nowhere:
        assert not solutions([*taken, tie], extent)
    else:
        assert generated(system, letters) == solutions(taken, extent)


def test_nothing_and_misfits():
    with pytest.raises(Nowhere):
        System({0: 3, 1: 0})
    with pytest.raises(Nowhere):
        System({0: 4, 1: 4}).equate(Affine(1, {0: 2, 1: -2}))
    with pytest.raises(Unaligned):
        (equation,) = equations(reshape((0, 1), (2, 3)), {0: 3, 1: 4, 2: 4, 3: 3})
        System({0: 3, 1: 4, 2: 4, 3: 3}).equate(equation)
