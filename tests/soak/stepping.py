"""Steps whose state says how often they ran, for interrupts and for exhausted memory.

Every state counts in all its parts; after whatever happened all parts must say the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tapeless as tl
from tapeless.compiler import containers


class Case(NamedTuple):
    """A step, its arguments, and the numbers that the parts of its state say."""

    step: Any
    make: Callable[[], tuple[Any, ...]]
    counts: Callable[..., Iterator[float]]


class Model:
    """Attributes in `__dict__`, one of them a Python number."""

    def __init__(self) -> None:
        self.w, self.m, self.t = np.zeros(40), np.zeros(40), 0
        self.layers = [{"b": np.zeros(3)}, {"b": np.zeros(3)}]
        self.history = (np.zeros(()), 0)


class Slotted:
    """Attributes in slots."""

    __slots__ = ("m", "t", "w")

    def __init__(self) -> None:
        self.w, self.m, self.t = np.zeros(40), np.zeros(40), 0


@tl.compile
def in_place(p, d):
    for name in p:
        p[name] += d


@tl.compile
def rebound(p, d):
    """The first half in place, the second as new arrays."""
    for name in p:
        if name < "e":
            p[name] += d
        else:
            p[name] = p[name] + d


@tl.compile
def of_objects(model, d):
    model.t += 1
    model.w += d
    model.m = model.m + d
    for layer in model.layers:
        layer["b"] = layer["b"] + d
    model.history = (model.m[0], model.history[1] + 1)
    return np.sum(model.w)


@tl.compile
def of_slots(model, d):
    model.t += 1
    model.w += d
    model.m = model.m + d


@tl.compile
def swapped(p, d):
    """Two slots change places, and count how often."""
    p["a"], p["b"] = p["b"], p["a"]
    p["a"] += d
    p["b"] += d
    p["list"].append(p["list"].pop(0))
    p["n"] = p["n"] + 1


def contiguous() -> dict[str, Any]:
    return {name: np.zeros(50) for name in "abcdefgh"}


def mixed() -> dict[str, Any]:
    """Every second array needs a copy."""
    return {
        name: np.zeros(100)[::2] if k % 2 else np.zeros(50) for k, name in enumerate("abcdefgh")
    }


def swapping() -> dict[str, Any]:
    return {"a": np.zeros(3), "b": np.zeros(4), "list": [np.zeros(1), np.zeros(2)], "n": 0}


def numbers(p: Any, d: float) -> Iterator[float]:
    for leaf in containers.flatten(p)[0]:
        yield from np.ravel(leaf).tolist()


def numbers_swapped(p: dict[str, Any], d: float) -> Iterator[float]:
    yield p["n"]
    yield from np.concatenate([p["a"], p["b"]]).tolist()
    for first, odd in ((len(p["a"]) == 4, True), (len(p["list"][0]) == 2, True)):
        yield p["n"] if first == (p["n"] % 2 == odd) else -1


CASES = {
    "in-place": Case(in_place, lambda: (contiguous(), 1.0), numbers),
    "copied": Case(in_place, lambda: (mixed(), 1.0), numbers),
    "rebound": Case(rebound, lambda: (contiguous(), 1.0), numbers),
    "rebound-copied": Case(rebound, lambda: (mixed(), 1.0), numbers),
    "objects": Case(of_objects, lambda: (Model(), 1.0), numbers),
    "slots": Case(of_slots, lambda: (Slotted(), 1.0), numbers),
    "swapped": Case(swapped, lambda: (swapping(), 1.0), numbers_swapped),
}
