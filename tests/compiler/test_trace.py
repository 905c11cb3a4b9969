"""What a trace records besides the operations: refused arguments, lines, names."""

import numpy as np
import pytest
from conformance import conforms
from tapeless import errors
from tapeless.compiler import transforms as tl
from tapeless.compiler.trace import trace

X = np.ones((3, 3))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrix_argument():
    with pytest.raises(errors.UnsupportedError, match="matrix"):
        trace(lambda p: p, (np.matrix(np.ones((2, 2))),), {})


def sole(x):
    total = np.zeros((3, 3))
    total += x
    return total


def sole_in_a_line(x):
    total = np.zeros((3, 3)); total += x; return total  # fmt: skip # noqa: E702


def sole_meanwhile(x):
    total = np.zeros((3, 3))
    total += sum([x * k for k in range(3)])
    total -= x if len(x) == 3 else 2 * x
    return total


def sole_of_a_callee(x):
    def add(total):
        total += x
        return total

    return add(np.zeros((3, 3)))


@pytest.mark.parametrize("step", [sole, sole_in_a_line, sole_meanwhile, sole_of_a_callee])
def test_a_sole_local_name_may_be_rebound(step):
    conforms(step, X.copy())


def add(total, x):
    total += x


def add_by_another_name(total, x):
    other = total
    del total
    other += x


def held_by_the_caller(x):
    total = np.zeros((3, 3))
    add(total, x)
    return total + x


def held_by_its_caller(x):
    total = np.zeros((3, 3))
    (lambda inner: add_by_another_name(inner, x))(total)
    return total + x


def held_by_a_comprehension(x):
    made = (np.zeros((3, 3)) for _ in "ab")
    return [(add(total, x), total + x) for total in made][1][1]


def held_by_another_name(x):
    total = other = np.zeros((3, 3))
    total += x
    return other + x


def held_by_a_list_meanwhile(x):
    for total in [np.zeros((3, 3))]:
        total += x if len(x) == 3 else 2 * x
    return total


@pytest.mark.parametrize(
    "step",
    [held_by_the_caller, held_by_its_caller, held_by_a_comprehension, held_by_another_name,
     held_by_a_list_meanwhile],
)  # fmt: skip
def test_an_array_that_others_hold_is_not_updated_apart_from_them(step):
    with pytest.raises(errors.TraceError, match="others may hold it"):
        trace(step, (X,), {})


@pytest.mark.parametrize(
    "argument",
    [np.ma.masked_array(np.ones(3)), np.array([None]),
     np.zeros(2, [("a", "f4")]), np.ones(3, ">f8"), np.ones(2, complex), np.ones(2, np.float16), 1j,
     np.random.default_rng(0)],
    ids=lambda a: type(a).__name__,
)  # fmt: skip
def test_arguments_of_other_kinds(argument):
    with pytest.raises(errors.UnsupportedError, match=r"argument p\['x'\]"):
        trace(lambda p: p, ({"x": argument},), {})


def test_nodes_carry_the_users_line():
    def step(x):
        h = np.tanh(x)
        return tl.grad(lambda w: np.sum(w * h))(x)

    graph = trace(step, (X,), {}).graph
    first = step.__code__.co_firstlineno
    lines = {node.op.name: node.loc.line - first for node in graph.nodes}
    assert lines == {"tanh": 1, "arg": 2, "mul": 2, "sum": 2, "gradient": 2}
    assert all(node.loc.file == __file__ for node in graph.nodes)


def test_values_are_named_after_variables():
    def step(x):
        h = np.tanh(x)
        y = h @ h + 1
        return y

    assert names(step) == ["h", None, None, "y"]


def names(step):
    return [v.name for node in trace(step, (X,), {}).graph.nodes for v in node.results]


def test_values_are_named_after_variables_of_one_line():
    def step(x):
        h = np.tanh(x); y = np.sin(h); return y  # fmt: skip # noqa: E702

    assert names(step) == ["h", "y"]
