"""Attributes that are no arrays or numbers: static ones, and those a step cannot use."""

import collections
import copy
import pathlib
import random
import sys
import types

import numpy as np
import pytest
import tapeless as tl
from conformance import Box, Mode, Value, interpreted

X = np.arange(6.0).reshape(2, 3)


class Items(dict):
    """A dict that can have attributes."""


def in_b(box):
    box.a += 1


@pytest.mark.parametrize(
    ("first", "second"),
    [(True, False), ("a", "b"), (np.exp, np.tanh), (Mode.TRAIN, None), ({1}, {2}),
     (Value(1), Value(2)), (pathlib.Path("a"), pathlib.Path("b")), (Box, Value), (2**70, 2**71)],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_static_attributes_are_part_of_the_key(first, second):
    step = tl.compile(lambda box, x: (x * 2, box.a == first))
    assert step.interpret(Box(a=first), X)[1]
    assert not step.interpret(Box(a=second), X)[1]
    assert step.interpret(Box(a=first), X)[1]
    assert len(step.programs) == 2


def test_bools_are_python_bools():
    step = tl.compile(lambda box, x: x * 2 if box.training is True and not box.off else x)
    assert step.interpret(Box(training=True, off=False), X)[0, 1] == 2
    assert step.interpret(Box(training=False, off=False), X)[0, 1] == 1


REFUSED = {
    "generator": (np.random.default_rng(0), lambda rng, x: x + rng.normal(), "TraceError",
                  "random numbers were drawn inside the step; they would be the same in every call."
                  " Instead draw with tl.random from a key that is an argument"),
    "state": (np.random.RandomState(0), lambda rng, x: x + rng.normal(), "TraceError", "random"),
    "random": (random.Random(0), lambda rng, x: x * rng.random(), "TraceError", "random"),
    "deque": (collections.deque([1]), lambda d, x: d.append(x), "UnsupportedError",
              "deque is neither an array, a number nor hashable"),
    "item": (bytearray(b"a"), lambda d, x: x * d[0], "UnsupportedError", "bytearray is neither"),
    "text": (np.array(["a"]), lambda a, x: a[0], "UnsupportedError", "dtype <U1 is not supported"),
    "objects": (np.array([None]), lambda a, x: x * a, "UnsupportedError", "dtype object"),
    "masked": (np.ma.array([1.0]), lambda a, x: x + a, "UnsupportedError", "MaskedArray is not"),
    "items": (Items(W=X), lambda d, x: d["W"], "UnsupportedError",
              "Items has items and attributes, and only one kind is traced"),
}  # fmt: skip
REFUSED["items"][0].name = "n"


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_refused_when_it_is_used(name):
    value, use, error, message = REFUSED[name]
    box = Box(layers=[Box(a=value)])
    assert (
        interpreted(lambda box, x: np.sum(x) + isinstance(box.layers[0].a, type(value)), box, X)
        == 16
    )

    def step(box, x):
        return use(box.layers[0].a, x)

    with pytest.raises(tl.errors.TapelessError) as caught:
        interpreted(step, box, X)
    text = str(caught.value)
    assert type(caught.value).__name__ == error and text.startswith("box.layers[0].a: ")
    assert message in text and "test_object_statics.py:" in text and "\n" not in text


def test_a_refused_attribute_may_be_passed_on():
    rng = np.random.default_rng(0)
    before, box = copy.deepcopy(rng.bit_generator.state), Box(rng=rng)

    def step(box):
        box.copy = box.rng
        return box.rng

    assert interpreted(step, box) is rng and box.copy is rng
    assert rng.bit_generator.state == before


def test_a_dict_with_attributes_is_no_argument():
    with pytest.raises(tl.errors.UnsupportedError, match="argument p: Items has items and attr"):
        interpreted(lambda p: p["W"], REFUSED["items"][0])


def test_a_static_that_holds_arrays_is_refused():
    box = Box(data=collections.UserList([X]))
    with pytest.raises(tl.errors.UnsupportedError, match=r"argument box\.f: a function is static"):
        f = lambda: None  # noqa: E731
        f.table = X
        interpreted(lambda box, x: x, Box(f=f), X)
    with pytest.raises(tl.errors.UnsupportedError, match=r"box\.data: UserList is neither"):
        interpreted(lambda box: box.data[0], box)


def test_a_module_of_the_users_may_have_a_standard_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "code", types.ModuleType("code"))
    sys.modules["code"].__file__ = str(tmp_path / "code.py")
    Net = type("Net", (Box,), {"__module__": "code"})
    step = tl.compile(lambda net: net.W.sum())
    assert [step.interpret(Net(W=X + k)) for k in range(2)] == [15, 21]


@pytest.mark.parametrize("make", [lambda x: [x], lambda x: {"a": x}], ids=["list", "dict"])
def test_what_is_nested_without_end_is_refused(make):
    nested = make(None)
    for key in (0, "a"):
        if isinstance(nested, list) == (key == 0):
            nested[key] = nested
    with pytest.raises(tl.errors.UnsupportedError, match="a list or dict contains itself"):
        interpreted(lambda p: p, nested)


def test_a_static_object_must_not_change():
    def step(value, x):
        value.n += 1
        return x * value.n

    with pytest.raises(
        tl.errors.TraceError, match=r"value\.n is changed by the step, but a Value is static"
    ):
        interpreted(step, Value(1), X)


def test_a_function_made_in_the_step_must_not_keep_traced_arrays():
    def step(box, x):
        y = x * 2
        box.back = lambda: y

    with pytest.raises(tl.errors.TraceError, match=r"box\.back keeps a function .* its y holds"):
        interpreted(step, Box(), X)


def test_errors_name_the_attribute():
    W = X.copy()
    W.flags.writeable = False
    with pytest.raises(tl.errors.ReadOnlyError, match=r"argument box\.layers\[0\]\.a is updated"):
        interpreted(lambda box: in_b(box.layers[0]), Box(layers=[Box(a=W)]))

    def view(box):
        box.first = box.W[0]

    with pytest.raises(
        tl.errors.TraceError, match=r"a view of argument box\.W is stored in box\.first"
    ):
        interpreted(view, Box(W=X))
