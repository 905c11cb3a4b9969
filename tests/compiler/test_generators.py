"""Numbers drawn inside a step would be frozen in it: an error, wherever the generator lies."""

import random
import threading

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler.trace import trace
from tapeless.ir.errors import TraceError

X = np.ones(3)
FRESH_SEED = np.random.bit_generator.randbits
GENERATOR = np.random.default_rng(0)
PYTHONS = random.Random(0)
LEGACY = np.random.RandomState(0)
HELD = {"rngs": [np.random.PCG64(0)]}


def helper(n):
    return GENERATOR.normal(size=n)


@tl.compile
def compiled(x):
    return x + helper(3)


by_square = tl.grad(lambda x: np.sum(x * helper(3)))


class Layer:
    def __init__(self, child=None):
        self.rng = None if child else np.random.default_rng(0)
        self.child = child

    def __call__(self, x):
        return self.child(x) if self.child else x * self.rng.normal()

    def method(self, x):
        return self(x)


NETWORK = Layer(Layer())


def closed_over():
    rng = np.random.default_rng(0)

    def inner(x):
        return x + rng.normal(size=3)

    return lambda x: inner(x)


DRAWING = {
    "of a global generator": lambda x: x + GENERATOR.normal(size=3),
    "of a legacy generator": lambda x: x + LEGACY.normal(size=3),
    "of Python's generator": lambda x: x * PYTHONS.random(),
    "of Python's global state": lambda x: x * random.random(),
    "of the global state": lambda x: x + np.random.normal(size=3),
    "in a helper": lambda x: x + helper(3),
    "in a helper of a closure": closed_over(),
    "in a compiled function": lambda x: compiled(x) * 2,
    "in a differentiated function": lambda x: by_square(x) * 2,
    "by an object": lambda x: NETWORK(x),
    "by a method": NETWORK.method,
    "by a step that is an object": Layer(),
    "of a bit generator": lambda x: x + np.random.Generator(HELD["rngs"][0]).normal(size=3),
    "of a generator without a seed": lambda x: x + np.random.default_rng().normal(size=3),
    "a number without a seed": lambda x: x * np.random.default_rng().normal(),
    "after seeding anew": lambda x: x + (np.random.seed() or np.random.normal(size=3)),
}


@pytest.mark.parametrize("step", DRAWING.values(), ids=DRAWING)
def test_drawing_is_an_error(step):
    with pytest.raises(TraceError, match=r"would be the same.* draw with tl\.random"):
        trace(step, (X,), {})
    assert np.random.bit_generator.randbits is FRESH_SEED


def test_drawing_by_a_static_argument_is_an_error():
    with pytest.raises(TraceError, match=r"draw with tl\.random"):
        trace(lambda layer, x: layer(x), (Layer(), X), {}, static_argnames=("layer",))


def test_a_generator_made_from_a_seed_repeats_its_numbers_as_in_numpy():
    def step(x):
        return x + np.random.default_rng(5).normal(size=3)

    np.testing.assert_array_equal(tl.compile(step)(X), step(X))


def test_a_generator_that_is_not_drawn_from_is_no_matter():
    def step(x):
        return x if GENERATOR is None else x * 2

    trace(step, (X,), {})
    helper(2)
    trace(step, (X,), {})


def test_generators_of_other_threads_are_theirs():
    def step(x):
        other = threading.Thread(target=np.random.default_rng)
        other.start()
        other.join()
        return x * np.array([1.0, 2.0, 3.0])

    trace(step, (X,), {})


def test_objects_that_hold_themselves():
    ring = Layer()
    ring.itself = ring
    trace(lambda x: x if ring.child is None else -x, (X,), {})
    with pytest.raises(TraceError, match=r"draw with tl\.random"):
        trace(lambda x: ring(x), (X,), {})
