"""Containers a step changes: the caller's end up as under NumPy, identities included."""

import copy
from collections import namedtuple
from dataclasses import dataclass, field

import numpy as np
import pytest
from conformance import run_traced, same
from tapeless import errors

Pair = namedtuple("Pair", "left right")


@dataclass
class State:
    m: np.ndarray
    t: int = 0
    log: list = field(default_factory=list)


def containers():
    return {
        "W": np.ones((2, 2)),
        "layers": [{"b": np.zeros(2)}, {"b": np.ones(2)}],
        "pair": Pair(np.ones(1), {"k": np.zeros(1)}),
        "none": None,
        "state": State(np.zeros(2)),
    }


def rebinding(p, lr):
    p["W"] = p["W"] - lr
    p["layers"][0]["b"] = p["layers"][1]["b"] + 1
    p["pair"].right["k"] = p["pair"].left * 2
    p["state"].m = p["state"].m + 1
    p["state"].t += 1
    return p["W"].sum()


def adding(p, lr):
    p["new"] = {"a": p["W"] * lr, "b": [lr, None, "text"]}
    p["layers"].append({"b": p["W"][0] * 1})
    p["state"].log.append(lr)
    p["none"] = p["W"].sum()


def removing(p, lr):
    del p["W"]
    p["layers"].pop(0)
    p["pair"].right.clear()
    p["state"].log = []


def moving(p, lr):
    p["W"], p["other"] = p["W"] * 1, p["W"]
    p["layers"].reverse()
    p["first"] = p["layers"][0]
    p["layers"][1]["b"] += 5


def sharing(p, lr):
    p["a"] = p["b"] = p["W"] * 2


@pytest.mark.parametrize(
    "program", [rebinding, adding, removing, moving, sharing], ids=lambda f: f.__name__
)
def test_containers_are_replayed(program):
    mine, theirs = containers(), containers()
    expected = program(theirs, 0.5)
    same(run_traced(program, mine, 0.5), expected, exact=False)
    assert list(mine) == list(theirs)
    same(mine, theirs)


def test_replay_keeps_object_identity_as_numpy_does():
    mine = containers()
    weight, layers = mine["W"], list(mine["layers"])
    run_traced(moving, mine, 0.5)
    assert mine["other"] is weight
    assert mine["first"] is mine["layers"][0] is layers[1]
    shared = containers()
    run_traced(sharing, shared, 0.5)
    assert shared["a"] is shared["b"]


def test_python_numbers_in_containers_stay_python_numbers():
    state = {"t": 1, "rate": 0.5, "scale": np.float32(2)}

    def program(s):
        s["t"] += 1
        s["rate"] = s["rate"] * 0.9
        s["scale"] = s["scale"] * 2

    theirs = copy.deepcopy(state)
    program(theirs)
    run_traced(program, state)
    assert state == theirs and [type(v) for v in state.values()] == [int, float, np.float32]


def test_containers_made_in_the_step_keep_their_identities():
    def program(p):
        p["a"] = {"w": p["W"] * 2}
        p["list"] = [p["a"], p["a"]["w"], p["layers"]]
        p["a"]["itself"] = p["a"]

    mine = containers()
    run_traced(program, mine)
    made = mine["a"]
    assert made["itself"] is made is mine["list"][0] and mine["list"][1] is made["w"]
    assert mine["list"][2] is mine["layers"]
    assert made["w"].tolist() == [[2, 2], [2, 2]]


def test_slots_that_do_not_change_are_not_touched():
    class Watched(dict):
        def __setitem__(self, key, value):
            written.append(key)
            super().__setitem__(key, value)

    def program(p):
        p["a"] = p["a"] + 1

    written: list[str] = []
    run_traced(program, Watched(a=np.ones(1), b=np.ones(1)))
    assert written[-1] == "a" and "b" not in written


def test_storing_a_view_of_an_argument_raises():
    with pytest.raises(errors.TraceError, match="memory"):
        run_traced(lambda p: p.update(first=p["W"][0]), {"W": np.ones((2, 2))})


def test_tuple_items_cannot_be_assigned():
    def program(t):
        t[0] = t[1]

    with pytest.raises(TypeError, match="item assignment"):
        run_traced(program, (np.ones(1), np.ones(1)))
