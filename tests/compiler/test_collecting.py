"""Garbage collection while a program is made: less often, and afterwards as before."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tapeless as tl


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    gc.set_threshold(800, 9, 8)
    yield (800, 9, 8)
    gc.set_threshold(*before)


def test_while_a_step_is_traced_objects_are_searched_less_often(
    thresholds: tuple[int, int, int],
) -> None:
    seen = []

    def step(x: Any) -> Any:
        seen.append(gc.get_threshold())
        return x + 1

    tl.compile(step, cache=False)(np.ones(3))
    assert all(during[1] == thresholds[1] for during in seen)
    assert all(during[k] > thresholds[k] for during in seen for k in (0, 2))
    assert seen and gc.get_threshold() == thresholds


def test_a_step_that_is_refused_leaves_it_as_it_was(thresholds: tuple[int, int, int]) -> None:
    def step(x: Any) -> Any:
        return float(x)

    with pytest.raises(tl.errors.TraceError):
        tl.compile(step, cache=False)(np.ones(()))
    assert gc.get_threshold() == thresholds


def test_what_the_step_itself_sets_stays() -> None:
    def step(x: Any) -> Any:
        gc.set_threshold(500, 5, 5)
        return x + 1

    tl.compile(step, cache=False)(np.ones(3))
    assert gc.get_threshold() == (500, 5, 5)


def test_where_nothing_is_searched_nothing_will_be() -> None:
    gc.set_threshold(0, 9, 8)
    seen = []

    def step(x: Any) -> Any:
        seen.append(gc.get_threshold()[0])
        return x + 1

    tl.compile(step, cache=False)(np.ones(3))
    assert seen and not any(seen)
