"""A warning when one place of the arguments makes one program after the other."""

import warnings

import numpy as np
import pytest
import tapeless as tl
from conformance import Box

X = np.arange(3.0)


def train(change, calls, **attributes):
    """The warnings of a step called `calls` times, and where they point; `change(box, k)` after
    each call."""
    box = Box(w=np.zeros(3), **attributes)
    step = tl.compile(lambda box, x: (np.sum(box.w * x), vars(box) and None), optimize=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(calls):
            step.interpret(box, X)
            change(box, k)
    assert all(w.category is RuntimeWarning and w.filename == __file__ for w in caught)
    return [str(w.message).partition(" had ")[0] for w in caught]


GROWING = {
    "history": lambda box, k: box.history.append(float(k)),
    "seen": lambda box, k: setattr(box, "seen", np.append(box.seen, k)),
    "phase": lambda box, k: setattr(box, "phase", f"phase {k}"),
    "log['loss']": lambda box, k: box.log["loss"].append(k),
}


@pytest.mark.parametrize("name", GROWING)
def test_what_grows_is_named_at_every_eighth_program(name):
    start = {"history": [], "seen": X[:0], "phase": "", "log": {"loss": []}}
    message = f"<lambda> has been compiled 8 times because box.{name}"
    assert train(GROWING[name], 7, **start) == []
    assert train(GROWING[name], 16, **start) == [message] * 2


def test_a_changing_batch_is_no_reason():
    step = tl.compile(lambda box, x: np.sum(box.w) * x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(1, 17):
            step.interpret(Box(w=X), np.ones(n))


def test_networks_of_other_forms_are_no_reason():
    step = tl.compile(lambda box: np.sum(box.w) * np.sum(box.v))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(1, 17):
            step.interpret(Box(w=np.ones(n), v=np.ones(n + 1)))


def test_one_program_serves_what_keeps_its_form():
    assert train(lambda box, k: setattr(box, "t", box.t + 1), 16, t=0) == []
