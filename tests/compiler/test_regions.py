"""The size of a union of regions, against a tensor in which they are marked one by one."""

import numpy as np
import pytest
from tapeless.compiler import regions
from tapeless.compiler.regions import union_size
from tapeless.ir.jacobian import Delta, Place


def marked(shape, chosen):
    whole = np.zeros(shape, bool)
    axes = np.indices(shape)
    for region in chosen:
        steps = {x: n for t in region if isinstance(t, Place) for x, _, n in t.steps}
        inner = {x: n for x, n in steps.items() if x >= len(shape)}
        for at in np.ndindex(*inner.values()):
            index = dict(enumerate(axes)) | dict(zip(inner, at, strict=True))
            holds = np.ones(shape, bool)
            for tie in region:
                if isinstance(tie, Delta):
                    holds &= index[tie.i] == index[tie.j]
                else:
                    place = tie.start + sum(step * index[x] for x, step, _ in tie.steps)
                    holds &= (index[tie.axis] == place) & np.logical_and.reduce(
                        [index[x] < n for x, _, n in tie.steps], initial=True
                    )
            whole |= holds
    return int(whole.sum())


def draw(rng, shape):
    region = []
    if rng.random() < 0.4:
        region.append(Delta(0, 2))
    else:
        n = int(rng.integers(1, 4))
        region += [Place(k, int(rng.integers(0, 6 - n)), ((4, 1, n),)) for k in (0, 2)]
    if rng.random() < 0.5:
        step = int(rng.choice([-2, -1, 1, 2]))
        region.append(Place(1, 4 if step < 0 else 0, ((5, step, 3),)))
    if rng.random() < 0.3:
        region.append(Place(3, int(rng.integers(0, 4))))
    return tuple(region)


@pytest.mark.parametrize("limit", [1000, 0])
@pytest.mark.parametrize("seed", range(25))
def test_random_regions(seed, limit, monkeypatch):
    monkeypatch.setattr(regions, "MAX_MEETINGS", limit)
    rng = np.random.default_rng(seed)
    shape = (5, 5, 5, 4)
    chosen = [draw(rng, shape) for _ in range(rng.integers(0, 7))]
    assert union_size(shape, chosen) == marked(shape, chosen)


def test_simple_ones():
    assert union_size((), [()]) == 1
    assert union_size((3, 4), []) == 0
    assert union_size((3, 0), [()]) == 0
    assert union_size((3, 3, 3), [(Delta(0, 1),), (Delta(1, 2),), (Delta(0, 2),)]) == 21
    assert union_size((10**6, 10**6), [(Delta(0, 1),), (Place(0, 7),)]) == 2 * 10**6 - 1


def test_beyond_the_limits_it_is_an_upper_bound(monkeypatch):
    monkeypatch.setattr(regions, "MAX_MEETINGS", 0)
    monkeypatch.setattr(regions, "MAX_LISTED", 0)
    crossed: list[regions.Region] = [(Delta(0, 1),), (Place(0, 2),)]
    assert union_size((3, 3), crossed) == 6
    assert union_size((3, 3), [*crossed, (Place(1, 0),), (Place(1, 1),)]) == 9
