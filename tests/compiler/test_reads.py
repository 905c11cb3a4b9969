"""What a step does not read of its objects is no part of its program."""

import copy
import dataclasses

import numpy as np
import pytest
import tapeless as tl

X = np.arange(6.0).reshape(2, 3)


class Layer:
    unit = 1.0

    def __init__(self):
        self.W = np.ones((3, 2))
        self.cache = None
        self.history = []
        self.count = 0

    def forward(self, x):
        self.cache = (x, x @ self.W)
        return self.cache[1] * self.unit


def programs(step, *, change=lambda layer, k: None, batches=(2, 2, 3, 2, 3), rounds=1):
    """The number of programs after calls on batches of these sizes, which must do what NumPy
    does, interpreted and compiled."""
    for run in (lambda c: c.interpret, lambda c: c):
        compiled = tl.compile(step)
        ours, theirs = Layer(), Layer()
        for k, n in enumerate(batches * rounds):
            x = np.arange(3.0 * n).reshape(n, 3) + k
            np.testing.assert_allclose(run(compiled)(ours, x), step(theirs, x))
            for name, value in vars(theirs).items():
                mine = vars(ours)[name]
                assert str(mine) == str(value), name
            change(ours, k)
            change(theirs, k)
    return len(compiled.programs)


def forward(layer, x):
    return np.sum(layer.forward(x))


def test_a_cache_that_is_only_written_makes_no_programs():
    """Two batch sizes are two programs, whatever the cache holds from the call before."""
    assert programs(forward) == 2


def test_a_history_may_grow():
    assert programs(forward, change=lambda layer, k: layer.history.append(float(k))) == 2


def test_an_attribute_may_come_and_go():
    def change(layer, k):
        layer.extra = k
        if k % 2:
            del layer.history, layer.extra
        else:
            layer.history = X

    def step(layer, x):
        layer.new = layer.W + 1
        return np.sum(layer.new * 2)

    assert programs(step, change=change, batches=(2, 2, 2, 2)) <= 2


READING = {
    "attribute": lambda layer: len(layer.history),
    "getattr": lambda layer: len(getattr(layer, "history", ())),
    "vars": lambda layer: len(vars(layer)["history"]),
    "copy": lambda layer: len(copy.copy(layer).history),
    "flatten": lambda layer: (
        0 * tl.grad(lambda m: np.sum(m.W))(layer).W.shape[0] + len(layer.history)
    ),
    "loop": lambda layer: len([v for k, v in layer.__dict__.items() if k == "history"][0]),  # noqa: RUF015
}


@pytest.mark.parametrize("how", READING)
def test_what_is_read_counts(how):
    def step(layer, x):
        return np.sum(layer.W) + READING[how](layer)

    change = lambda layer, k: layer.history.append(1.0)  # noqa: E731
    assert programs(step, change=change, batches=(2, 2, 2)) == 3


def test_asking_in_vain_counts():
    def step(layer, x):
        if not hasattr(layer, "velocity"):
            layer.velocity = np.zeros_like(layer.W)
        layer.velocity = layer.velocity + 1
        return np.sum(layer.velocity)

    assert programs(step, batches=(2, 2, 2)) == 2


def test_none_counts_when_it_is_asked_for():
    def step(layer, x):
        total = 0.0 if layer.cache is None else np.sum(layer.cache)
        layer.cache = x
        return total + np.sum(layer.W)

    assert programs(step, batches=(2, 2, 2, 2)) == 2


def test_an_instance_attribute_hides_the_one_of_the_class():
    def change(layer, k):
        layer.unit = 3.0

    assert programs(forward, change=change, batches=(2, 2, 2)) == 2


def test_what_one_instance_reads_counts_for_all():
    def step(layers, x):
        layers[0].cache = x
        return np.sum(layers[0].cache) + np.sum(layers[1].cache)

    compiled, layers = tl.compile(step), [Layer(), Layer()]
    layers[1].cache = X
    assert compiled.interpret(layers, X) == 30
    layers[1].cache = X + 1
    assert compiled.interpret(layers, X + 1) == 42
    layers[0].cache = layers[1].cache = np.ones(7)
    assert compiled.interpret(layers, X) == 22


def test_deleting_counts():
    def step(layer, x):
        del layer.history
        return np.sum(layer.W)

    compiled, layer = tl.compile(step), Layer()
    compiled.interpret(layer, X)
    assert not hasattr(layer, "history")
    with pytest.raises(AttributeError):
        compiled.interpret(layer, X)


def keeping(m, x):
    m.cache = x
    return np.sum(x @ m.W)


def test_the_classes_are_as_they_were():
    class Slotted:
        __slots__ = ("W", "cache")

    @dataclasses.dataclass
    class Data:
        W: np.ndarray
        cache: object = None

    for kind in (Layer, Data, Slotted):
        thing = kind.__new__(kind)
        thing.W, thing.cache = np.ones((3, 2)), None
        names = set(vars(kind))
        step = tl.compile(keeping)
        for _ in range(3):
            assert step.interpret(thing, X) == 30
        with pytest.raises(ZeroDivisionError):
            tl.compile(lambda m: 1 / 0).lower(thing)
        assert set(vars(kind)) == names
        np.testing.assert_array_equal(thing.cache, X)


def test_hidden_attributes_are_no_inputs():
    layer = Layer()
    layer.cache = X
    program = tl.compile(forward).lower(layer, X)
    assert [v.name for v in program.graph("trace").inputs] == ["layer.W", "layer.count", "x"]
