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


def test_a_sole_local_name_may_be_rebound():
    def step(x):
        total = np.zeros((3, 3))
        total += x
        return total

    conforms(step, X.copy())


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

    names = [v.name for node in trace(step, (X,), {}).graph.nodes for v in node.results]
    assert names == ["h", None, None, "y"]
