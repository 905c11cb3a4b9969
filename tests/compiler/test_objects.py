"""An object among the arguments is a container of its attributes."""

import collections
import copy
import functools
import pathlib
import threading
import types
from dataclasses import dataclass

import numpy as np
import pytest
import tapeless as tl
from conformance import Box, Mode, Slotted, Value, interpreted, same_state
from tapeless.compiler import objects, tree

X = np.arange(6.0).reshape(2, 3)


class Inherited(Slotted):
    __slots__ = ("extra",)

    def __init__(self):
        super().__init__()
        self.extra = 3

    def step(self):
        del self.extra
        return super().step()


def agrees(step, *args):
    """Interpreted as under NumPy, the arguments afterwards included."""
    mine, theirs = copy.deepcopy(args), copy.deepcopy(args)
    result, expected = interpreted(step, *mine), step(*theirs)
    np.testing.assert_allclose(result, expected)
    for a, e in zip(mine, theirs, strict=True):
        same_state(a, e)
    return mine[0]


# --- what is an object ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [Box(), Slotted(), Inherited(), types.SimpleNamespace(a=1), Box(W=X).__init__, Value(X)],
    ids=lambda value: type(value).__name__,
)
def test_instances_of_python_classes_are_objects(x):
    assert objects.is_object(x)


@pytest.mark.parametrize(
    "x",
    [3, "s", X, len, np.add, Box, np, Mode.TRAIN, pathlib.Path("a"), Value(), threading.Lock(),
     np.random.default_rng(0), collections.deque(), ValueError(), functools.partial(len),
     np.float32(1), [].append, lambda: None, tl.compile(lambda x: x), range(3)],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_what_is_not_an_object(x):
    assert not objects.is_object(x)


def test_to_the_tree_functions_an_object_is_a_leaf():
    box = Box(W=X)
    assert tree.leaves({"a": box}) == [box]
    assert tree.map(lambda leaf: leaf, [box])[0] is box


# --- reading and writing attributes ----------------------------------------------------------


def in_place(box, x):
    box.W -= x
    box.list[0] += 1
    return box.W.sum()


def rebinding(box, x):
    box.W = box.W - x
    box.t += 1
    box.inner.W = box.W * 2
    return box.W.sum()


def adding(box, x):
    box.new = x * 2
    box.other = [box.new[0] * 1, "text", None, 3]
    return np.sum(box.new)


def removing(box, x):
    del box.t
    box.__dict__.pop("name")
    return x.sum()


def through_methods(box, x):
    setattr(box, "W", getattr(box, "W") + vars(box)["t"])  # noqa: B009, B010
    return np.sum(box.W) + (2 if hasattr(box, "inner") and isinstance(box, Box) else 1)


@pytest.mark.parametrize("step", [in_place, rebinding, adding, removing, through_methods])
def test_attributes_after_a_step_are_those_numpy_leaves(step):
    agrees(step, Box(W=X + 1, list=[X + 2], t=3, inner=Box(W=X), name="n", none=None), X)


def test_arrays_are_updated_in_place_and_rebound_arrays_replaced():
    W, V = X.copy(), X.copy()
    box = Box(W=W, V=V)

    def step(box):
        box.W += 1
        box.V = box.V + 1

    interpreted(step, box)
    assert box.W is W and W[0, 0] == 1
    assert box.V is not V and V[0, 0] == 0 and box.V[0, 0] == 1


@pytest.mark.parametrize("kind", [Slotted, Inherited])
def test_slots(kind):
    one = agrees(kind.step, kind())
    assert one.count == 1 and not hasattr(one, "unset")


def test_overridden_attribute_access():
    class Guarded:
        def __init__(self):
            self.W = X

        def __setattr__(self, name, value):
            object.__setattr__(self, "_" + name, value * 1)

        def __getattr__(self, name):
            if name.startswith("_"):
                raise AttributeError(name)
            return getattr(self, "_" + name)

    def step(guarded):
        guarded.W = guarded.W + 1
        return guarded.W.sum()

    guarded = agrees(step, Guarded())
    assert list(vars(guarded)) == ["_W"]


def test_a_frozen_dataclass_stays_frozen():
    @dataclass(frozen=True)
    class Frozen:
        W: object
        n: int = 2

    assert interpreted(lambda f: np.sum(f.W * f.n), Frozen(X)) == 30
    with pytest.raises(AttributeError, match="cannot assign to field 'W'"):
        interpreted(lambda f: setattr(f, "W", f.W * 2), Frozen(X))


def test_a_dataclass_may_have_attributes_that_are_no_fields():
    @dataclass
    class Layer:
        W: object

        def forward(self, x):
            if hasattr(self, "x"):
                x = x + self.x  # type: ignore[has-type]
            self.x = x
            return np.sum(self.W * x)

    layer, plain = Layer(X), Layer(X)
    step = tl.compile(Layer.forward)
    for _ in range(3):
        assert step.interpret(layer, X) == plain.forward(X)


def test_what_a_step_makes_is_kept_with_its_identities():
    def step(box, x):
        box.child = box.again = Box(h=x * 2, parent=box, W=box.W)
        box.act = box.child.parent.method

    class Parent(Box):
        def method(self):
            return self.W

    box = Parent(W=X)
    interpreted(step, box, X)
    assert box.child is box.again and box.child.parent is box and box.child.W is box.W
    np.testing.assert_array_equal(box.child.h, X * 2)
    assert box.act.__self__ is box


def test_results_may_be_objects():
    box = Box(W=X)
    assert interpreted(lambda box: box, box) is box
    made = interpreted(lambda box: Box(y=box.W * 2, of=box), box)
    np.testing.assert_array_equal(made.y, X * 2)
    assert made.of is box


# --- identity --------------------------------------------------------------------------------


def test_two_names_of_one_array_stay_two_names():
    W = X.copy()

    def step(box):
        box.a += 1
        return box.list[0].sum()

    box = Box(a=W, b=W, list=[W])
    assert interpreted(step, box) == 21
    assert box.a is box.b is box.list[0]


def test_views_of_one_array_are_an_alias_error():
    W = X.copy()
    with pytest.raises(tl.errors.AliasError, match=r"box\.a is updated .* box\.b in memory"):
        interpreted(in_both, Box(a=W, b=W[0]))
    interpreted(in_b, Box(a=W, b=W[0]))
    np.testing.assert_array_equal(W, X + 1)


def in_both(box):
    box.a += box.b


def in_b(box):
    box.a += 1


def test_cycles_and_shared_objects():
    box = Box(children=[], W=X.copy())
    box.children += [Box(parent=box), Box(parent=box)]
    box.favourite, box.itself = box.children[1], box

    def step(box):
        box.favourite.seen = box.children[1].parent.itself.W * 2
        return box.children[1].seen.sum() + (box.favourite is box.children[1])

    agrees_result = interpreted(step, box)
    assert agrees_result == 31 and box.children[1].seen is box.favourite.seen


def test_one_object_as_two_arguments():
    def step(a, b):
        a.t += 1
        return np.sum(b.t * a.W) + (a is b)

    box = Box(t=1, W=X)
    assert interpreted(step, box, box) == 31 and box.t == 2


def test_a_method_kept_as_an_attribute_belongs_to_the_object():
    class Net(Box):
        def double(self, x):
            return self.W * x

    net = Net(W=X.copy())
    net.act = net.double
    step = tl.compile(lambda net: np.sum(net.act(2)))
    assert step.interpret(net) == 30
    net.W += 1
    assert step.interpret(net) == 42


def closure(box):
    box.f = lambda: box.W
    return box


def partial(box):
    box.f = functools.partial(np.add, box.W)
    return box


def builtin(box):
    box.f = box.items.append
    return box


@pytest.mark.parametrize("make", [closure, partial, builtin])
def test_a_function_that_holds_part_of_the_arguments_is_refused(make):
    box = make(Box(W=X, items=[]))
    with pytest.raises(tl.errors.UnsupportedError) as caught:
        interpreted(lambda box: box.W.sum(), box)
    assert str(caught.value) == (
        "argument box.f is a function that holds another part of the arguments, and would go on"
        " with its present value in <lambda>; write it as a method, or let it take that part as a"
        " parameter"
    )
