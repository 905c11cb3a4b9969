"""Numbers that objects hold: inputs of the graph, and pinned once their value is asked for."""

import warnings

import numpy as np
import pytest
import tapeless as tl
from conformance import Box

X = np.arange(6.0).reshape(2, 3)

ASKING = {
    "range": (lambda n, x: sum(x * k for k in range(n)), 3),
    "if": (lambda n, x: x if n > 2 else -x, 3),
    "zeros": (lambda n, x: x + np.zeros((2, n)), 3),
    "eye": (lambda n, x: x @ np.eye(n), 3),
    "arange": (lambda n, x: x + np.arange(n), 3),
    "reshape": (lambda n, x: x.reshape(n, -1), 3),
    "half": (lambda n, x: x.reshape(n // 2, -1), 6),
    "axis": (lambda n, x: np.sum(x, axis=n), 1),
    "slice": (lambda n, x: x[:, :n], 2),
    "list": (lambda n, x: [1, 2, 3][n] * x, 1),
    "repeat list": (lambda n, x: x + np.array([1] * n), 3),
    "dict": (lambda n, x: {3: 2.0}[n] * x, 3),
    "format": (lambda n, x: {"W3": 2.0}[f"W{n}"] * x, 3),
    "float": (lambda n, x: float(n) * x, 3),
    "max": (lambda n, x: max(n, 2) * x, 3),
    "and": (lambda n, x: (n and 2) * x, 2),
    "power": (lambda n, x: x * 2**n, 2),
    "shift": (lambda n, x: x * (1 << n), 3),
    "quantile": (lambda q, x: np.quantile(x, q), 0.5),
    "repeat": (lambda n, x: np.repeat(x, n, axis=0), 3),
    "roll": (lambda n, x: np.roll(x, n, axis=n), 1),
    "split": (lambda n, x: np.split(x, n)[0], 2),
    "diag": (lambda n, x: np.diag(x, n), 1),
    "tensordot": (lambda n, x: np.tensordot(x, x.T, n), 1),
    "expand": (lambda n, x: np.expand_dims(x, n), 1),
    "one_hot": (lambda n, x: tl.nn.one_hot(np.array([0, 1]), n) + x, 3),
    "dropout": (lambda p, x: x * 2 if p > 0 else x, 0.5),
}


@pytest.mark.parametrize("name", ASKING)
def test_a_number_whose_value_is_asked_for_is_pinned(name):
    function, number = ASKING[name]
    step = tl.compile(lambda box, x: function(box.n, x))
    expected = function(number, X)
    np.testing.assert_allclose(step.interpret(Box(n=number), X), expected)
    pins = [getattr(spec, "pinned", None) for spec in step.programs[0].described.specs]
    assert pins[0] is not None and pins[1] is None


def test_pinned_and_free_numbers_of_one_object():
    class Net(Box):
        def step(self, x):
            self.t += 1
            for _ in range(self.depth):
                x = x * self.scale
            return np.sum(x) / self.t

    step = tl.compile(Net.step)
    net, plain = Net(t=0, depth=2, scale=0.5), Net(t=0, depth=2, scale=0.5)
    for depth, scale in [(2, 0.5), (2, 0.7), (3, 0.7), (2, 0.1)]:
        for each in (net, plain):
            each.depth, each.scale = depth, scale
        np.testing.assert_allclose(step(net, X), plain.step(X))
    assert net.t == plain.t == 4 and type(net.t) is int
    assert len(step.programs) == 2


def test_what_is_pinned_depends_on_the_way_taken():
    def drop(box, x):
        return x if not box.flag else (x * 2 if box.p > 0 else x)

    step = tl.compile(drop)
    for flag, p, expected in [
        (0, 0.5, 1),
        (0, 0.7, 1),
        (1, 0.5, 2),
        (1, 0.0, 1),
        (1, 0.5, 2),
        (0, 0.0, 1),
    ]:
        assert step(Box(flag=flag, p=p), X)[0, 1] == expected
    assert len(step.programs) == 3


def test_zeros_and_nans_are_told_apart():
    step = tl.compile(lambda box, x: x * float(np.copysign(1.0, float(box.a))))
    for value, sign in [(0.0, 1), (-0.0, -1), (0.0, 1)]:
        assert step(Box(a=value), X)[0, 1] == sign
    check = tl.compile(lambda box, x: x if box.a == box.a else -x)
    for _ in range(2):
        assert check(Box(a=float("nan")), X)[0, 1] == -1
    assert len(check.programs) == 1 and len(step.programs) == 2


def test_an_index_is_no_question():
    def step(box, x):
        box.log[box.t] = x[0, box.t]
        box.t += 1
        return box.log.sum()

    compiled, box = tl.compile(step), Box(log=np.zeros(3), t=0)
    for _ in range(3):
        compiled.interpret(box, X)
    assert box.log.tolist() == [0, 1, 2] and box.t == 3
    assert len(compiled.programs) == 1


def test_a_program_pinned_to_another_number_says_so():
    step = tl.compile(lambda box, x: x if box.n else -x)
    program = step.lower(Box(n=3), X)
    with pytest.raises(tl.errors.ShapeError, match=r"box\.n: Python int64 3 -> Python int64 5"):
        program.interpret("trace", Box(n=5), X)


def test_a_counter_that_decides_is_warned_about():
    def step(box, x):
        box.t += 1
        return x if box.t % 2 else -x

    compiled, box = tl.compile(step), Box(t=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(9):
            compiled.interpret(box, X)
    line = step.__code__.co_firstlineno + 2
    (warning,) = caught
    assert warning.category is RuntimeWarning and str(warning.message) == (
        "step has been compiled for 8 values of box.t, because its Python code asks for the value"
        f" at test_object_numbers.py:{line}: return x if box.t % 2 else -x; decide with"
        " np.where, or outside the step, and one program serves all"
    )


def test_numbers_that_are_no_attributes_are_asked_for_in_vain():
    for step in (lambda n, x: x if n > 2 else -x, lambda n, x: x * sum(range(n))):
        with pytest.raises(tl.errors.TraceError, match="static"):
            tl.compile(step).interpret(3, X)
    with pytest.raises(tl.errors.TraceError, match="truth of a traced value"):
        tl.compile(lambda box, x: x if box.n * x[0, 0] > 0 else -x).interpret(Box(n=2), X)
    with pytest.raises(TypeError, match="hashed, as a key of a dict"):
        tl.compile(lambda n: {n: 1}).interpret(3)
