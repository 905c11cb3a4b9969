"""Compiled functions: what a call promises (specialisation, layout, aliasing, all or nothing)."""

import re
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import tapeless as tl
from regression import arguments, make_step, numpy_step
from tapeless.ir.errors import (
    ShapeError,
    TapelessError,
    TraceError,
)

# --- the decorator -------------------------------------------------------------------------


def test_with_and_without_arguments():
    def double(x):
        """Twice."""
        return 2 * x

    for made in (tl.compile(double), tl.compile()(double), tl.compile(double, check=True)):
        assert made(np.ones(2)).tolist() == [2, 2]
        assert (made.__name__, made.__doc__, made.__wrapped__) == ("double", "Twice.", double)


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (TypeError, {"threads": "2"}),
        (TypeError, {"threads": True}),
        (ValueError, {"threads": 0}),
        (ValueError, {"static_argnames": "missing"}),
    ],
)
def test_bad_options(error, options):
    with pytest.raises(error):
        tl.compile(lambda x: x, **options)


def test_only_functions_can_be_compiled_and_once():
    with pytest.raises(TypeError, match="not int"):
        tl.compile(3)
    with pytest.raises(TypeError, match="already"):
        tl.compile(tl.compile(lambda x: x))


@pytest.mark.parametrize("options", [{}, {"optimize": False}, {"check": True}, {"threads": 1}])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_step_equals_numpy_and_updates_in_place(options, dtype):
    step = make_step(**options)
    p, x, lr = arguments(dtype)
    expected, _, _ = arguments(dtype)
    w = p["w"]
    for _ in range(3):
        loss = step(p, x, lr)
        np.testing.assert_allclose(loss, numpy_step(expected, x, lr), rtol=1e-5)
    assert p["w"] is w
    assert type(loss) is np.ndarray and loss.shape == () and loss.dtype == dtype
    np.testing.assert_allclose(w, expected["w"], rtol=1e-5)


def test_interpret_is_a_drop_in():
    step = make_step()
    (p, x, lr), (q, _, _) = arguments(), arguments()
    w = p["w"]
    assert step.interpret(p, x, lr) == pytest.approx(float(step(q, x, lr)))
    assert p["w"] is w
    np.testing.assert_allclose(p["w"], q["w"])


# --- specialisation ------------------------------------------------------------------------


def test_scalars_never_recompile_but_their_kind_does():
    step = make_step()
    p, x, _ = arguments()
    for lr in (0.1, 0.2, -1e9, np.inf):
        step(p, x, lr)
    assert len(step.programs) == 1
    step(p, x, np.float32(0.1))
    step(p, x, 1)
    assert len(step.programs) == 3


def test_shapes_and_dtypes_recompile_and_say_so(monkeypatch, capsys):
    monkeypatch.setenv("TAPELESS_LOG", "1")
    step = make_step()
    step(*arguments())
    step(*arguments(n=3))
    step(*arguments(n=3))
    first, second = capsys.readouterr().err.splitlines()
    assert re.search("step (compiled|loaded from the cache) in", first) and "first call" in first
    assert "x: f64[6,4] -> f64[3,4]" in second


def test_programs_take_turns_without_recompiling():
    step = make_step()
    for _ in range(3):
        for n in range(2, 8):
            p, x, lr = arguments(n=n)
            q, _, _ = arguments(n=n)
            np.testing.assert_allclose(step(p, x, lr), numpy_step(q, x, lr))
    assert len(step.programs) == 6


def test_static_arguments_and_defaults():
    @tl.compile(static_argnames="n")
    def power(x, n, mode="sum", axis=-1):
        for _ in range(n):
            x = x * x
        return np.sum(x, axis=axis) if mode == "sum" else x

    x = np.full((2, 3), 2.0)
    assert power(x, 2).tolist() == [48, 48]
    assert power(x, n=1).tolist() == [12, 12]
    assert power(x, 1, mode="none").shape == (2, 3)
    assert len(power.programs) == 3


def test_keyword_arguments_meet_the_same_program():
    step = make_step()
    p, x, lr = arguments()
    step(p, x, lr)
    step(lr=lr, x=x, p=p)
    assert len(step.programs) == 1
    with pytest.raises(TypeError, match=r"step\(\): missing a required argument: 'lr'"):
        step(p, x)


def test_a_number_goes_to_the_parameter_it_is_named_for(monkeypatch):
    """Arguments of the same types under other names, called over and over: nothing is mixed up,
    and from the second call on no call is looked at in full."""

    @tl.compile
    def line(x, a=2.0, b=3.0, *, c=5.0):
        return x * a + b * 10 + c * 100

    x = np.ones(2)
    calls = [
        (lambda: line(x), 532), (lambda: line(x, 7.0), 537), (lambda: line(x, a=7.0), 537),
        (lambda: line(x, b=7.0), 572), (lambda: line(x, c=7.0), 732),
        (lambda: line(b=7.0, x=x), 572), (lambda: line(x, c=1.0, a=4.0), 134),
        (lambda: line(x, a=4.0, c=1.0), 134), (lambda: line(c=1.0, b=4.0, a=6.0, x=x), 146),
    ]  # fmt: skip
    for _ in range(3):
        assert [call().tolist() for call, _ in calls] == [[value] * 2 for _, value in calls]
    monkeypatch.setattr(line, "_careful", lambda args, kwargs: pytest.fail(f"{args} {kwargs}"))
    assert [call().tolist() for call, _ in calls] == [[value] * 2 for _, value in calls]
    monkeypatch.undo()
    for wrong in (lambda: line(x, 1.0, 2.0, 3.0), lambda: line(x, x=x), lambda: line(x, d=1.0)):
        with pytest.raises(TypeError, match=r"line\(\)"):
            wrong()


def test_bound_steps_are_equal_as_methods_are():
    class Model:
        @tl.compile
        def step(self, x):
            return x * 2

        @tl.compile
        def other(self, x):
            return x * 3

    a, b = Model(), Model()
    assert a.step == a.step and hash(a.step) == hash(a.step)
    assert a.step != b.step and a.step != a.other and a.step != Model.step


def test_var_arguments():
    @tl.compile
    def total(*arrays, scale=1.0, **more):
        return scale * sum(np.sum(a) for a in (*arrays, *more.values()))

    ones = np.ones(3)
    assert total(ones, ones, scale=2.0) == 12
    assert total(ones, extra=ones) == 6


def test_order_of_dict_keys_is_structure():
    @tl.compile
    def first(p):
        return next(iter(p.values())) * 1

    a, b = np.zeros(2), np.ones(2)
    assert first({"a": a, "b": b}).tolist() == [0, 0]
    assert first({"b": b, "a": a}).tolist() == [1, 1]


Pair = namedtuple("Pair", "left right")


@dataclass
class Layer:
    w: object
    b: object = None


@pytest.mark.parametrize("how", ["call", "interpret"])
def test_containers_in_and_out(how):
    @tl.compile
    def step(layers, pair):
        for layer in layers:
            layer.w *= 2
        return {"pair": Pair(pair.right, pair.left + 1), "static": "text", "none": None}

    layers = [Layer(np.ones(2)), Layer(np.ones(3), np.ones(1))]
    pair = Pair(np.zeros(1), np.ones(2))
    result = (step if how == "call" else step.interpret)(layers, pair)
    assert [layer.w.tolist() for layer in layers] == [[2, 2], [2, 2, 2]]
    assert isinstance(result["pair"], Pair)
    assert result["pair"].right.tolist() == [1]
    assert (result["static"], result["none"]) == ("text", None)


@pytest.mark.parametrize("how", ["call", "interpret"])
def test_rebound_slots_are_replayed(how):
    @tl.compile
    def step(p):
        p["w"] = p["w"] * 2
        p["new"] = p["w"] + 1

    run = step if how == "call" else step.interpret
    p = {"w": np.ones(2)}
    run(p)
    assert p["w"].tolist() == [2, 2] and p["new"].tolist() == [3, 3]
    for _ in range(3):
        p = {"w": np.ones(2)}
        run(p)
        assert p["w"].tolist() == [2, 2]


def test_methods():
    class Model:
        scale = 3.0

        @tl.compile
        def apply(self, x):
            return self.scale * x

    model, x = Model(), np.ones(2)
    assert model.apply(x).tolist() == [3, 3]
    assert model.apply.interpret(x).tolist() == [3, 3]
    assert model.apply.lower(x) is model.apply.programs[0]
    assert len(Model.apply.programs) == 1


def test_the_arrays_of_an_object_are_constants_where_it_is_named_static():
    class Model:
        def __init__(self):
            self.w = np.ones(2)

        def apply(self, x):
            return self.w * x

    model, x = Model(), np.ones(2)
    constant = tl.compile(Model.apply, static_argnames="self")
    assert constant(model, x).tolist() == [1, 1]


def test_the_arrays_of_a_dataclass_are_arguments_of_its_methods():
    @dataclass
    class Model:
        w: object

        @tl.compile
        def apply(self, x):
            return self.w * x

    model, x = Model(np.ones(2)), np.ones(2)
    assert model.apply(x).tolist() == [1, 1]
    model.w *= 3
    assert model.apply(x).tolist() == [3, 3]


def test_functions_are_passed_as_they_are():
    @tl.compile
    def apply(f, x):
        return f(x)

    @tl.compile
    def double(x):
        return 2 * x

    x = np.ones(2)
    double(x)
    assert apply(np.negative, x).tolist() == [-1, -1]
    assert apply(double, x).tolist() == [2, 2]


def test_a_compiled_function_inside_another_is_traced_as_part_of_it():
    @tl.compile
    def inner(x):
        return x * x

    @tl.compile
    def outer(x):
        return tl.grad(lambda v: np.sum(inner(v)))(x)

    assert outer(np.array([1.0, 2.0])).tolist() == [2, 4]
    assert inner.programs == ()


# --- errors --------------------------------------------------------------------------------


def test_errors_in_the_step_name_the_line_and_leave_no_program():
    step = make_step()
    p, _, lr = arguments()
    with pytest.raises(ShapeError, match=r"regression\.py:\d+"):
        step(p, np.zeros((2, 5)), lr)
    assert step.programs == ()
    with pytest.raises(TraceError):
        tl.compile(lambda x: x if x.sum() > 0 else -x)(np.ones(2))


def test_every_error_is_a_tapeless_error():
    names = ["TraceError", "ShapeError", "DTypeError", "UnsupportedError", "AliasError"]
    names += ["ReadOnlyError", "BoundsError", "LinAlgError", "ScalarRangeError", "VerifyError"]
    names += ["IRSyntaxError"]
    for name in names:
        assert issubclass(getattr(tl.errors, name), TapelessError)
