"""Errors of tracing that one line of `messages.txt` cannot show."""

import numpy as np
import pytest
from conformance import run_traced
from tapeless import errors
from tapeless.compiler import transforms as tl
from tapeless.compiler.api import compile as compiled
from tapeless.compiler.trace import trace

TABLE = np.eye(3)
X = np.ones((3, 3))
KEPT = []
TOTAL = 0.0


def shape_mismatch(x):
    return x @ np.ones((4, 2))


def kept_in_a_list(x):
    KEPT.append(x * 2)


def kept_in_a_global(x):
    global TOTAL
    TOTAL = TOTAL + x.sum()


def test_a_concrete_table_is_indexed_as_the_message_says():
    rows = np.array([2, 0, 1])
    actual = run_traced(lambda i: np.asarray(TABLE, like=i)[i], rows)
    np.testing.assert_array_equal(actual, TABLE[rows])


def test_the_line_and_its_text_are_named():
    with pytest.raises(errors.ShapeError) as caught:
        run_traced(shape_mismatch, X.copy())
    line = shape_mismatch.__code__.co_firstlineno + 1
    assert str(caught.value) == (
        "matmul: (3,3) @ (4,2) do not match (3 vs 4), at "
        f"test_misuse.py:{line}: return x @ np.ones((4, 2))"
    )


class Keeper:
    """The attributes of a class are not followed."""

    array = None


def test_a_handle_used_after_its_trace():
    trace(lambda x: setattr(Keeper, "array", x * 2), (X,), {})
    dead = Keeper.array
    for use in (lambda h: h + 1, lambda h: np.sum(h), lambda h: h[0], lambda h: h.sum()):
        with pytest.raises(errors.TraceError, match="finished trace"):
            use(dead)
    with pytest.raises(errors.TraceError, match="trace"):
        run_traced(lambda x: x + Keeper.array, X)


def test_a_traced_array_kept_behind_the_traces_back(monkeypatch):
    monkeypatch.setitem(globals(), "TOTAL", 0.0)

    variable = None

    def kept_in_a_variable(x):
        nonlocal variable
        variable = x

    keeper = Keeper()

    def kept_in_an_attribute(x):
        keeper.array = x

    def kept_by_a_static_argument(x, model):
        model.array = x

    for step, name in ((kept_in_a_list, "KEPT"), (kept_in_a_global, "TOTAL"),
                       (lambda x: len([KEPT.__iadd__([v]) for v in (x, x)]), "KEPT"),
                       (lambda x: len((lambda v: KEPT.__iadd__([v]))(x)), "KEPT"),
                       (lambda x: kept_in_a_list(x), "KEPT"),
                       (kept_in_a_variable, "variable"),
                       (kept_in_an_attribute, "keeper")):  # fmt: skip
        KEPT.clear()
        with pytest.raises(errors.TraceError, match=f"{name} holds a traced array"):
            trace(step, (X,), {})
    with pytest.raises(errors.TraceError, match=r"model\.array holds a traced array"):
        trace(kept_by_a_static_argument, (X, Keeper()), {}, static_argnames=("model",))
    KEPT.clear()


def test_an_array_outside_that_only_numpy_sees_change():
    table = {"counts": np.zeros(3)}

    def step(x):
        table["counts"] += 1
        return x

    with pytest.raises(errors.TraceError, match="array table from outside the step is changed"):
        compiled(step).lower(X)
    gradient = tl.grad(lambda x: np.sum(step(x)))  # runs its Python code in every call
    gradient(X)
    assert table["counts"].tolist() == [2, 2, 2]
    for other in (lambda x: step(x), lambda x: [step(v) for v in (x, x)]):
        with pytest.raises(errors.TraceError, match="array table from outside the step is changed"):
            compiled(other).lower(X)


def test_an_error_that_the_step_catches():
    def step(x):
        try:
            return float(x.sum())
        except TypeError:
            return x

    with pytest.raises(errors.TraceError, match="converted to a Python float"):
        run_traced(step, X)
    assert run_traced(_reshaped, X).shape == X.shape  # NumPy raises this one, too


def _reshaped(x):
    try:
        return x.reshape(7)
    except ValueError:
        return x
