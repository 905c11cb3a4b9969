"""Compiled functions: what a call promises (specialisation, layout, aliasing, all or nothing)."""

import threading
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import tapeless as tl
from tapeless.ir.errors import (
    AliasError,
    BoundsError,
    ReadOnlyError,
    ScalarRangeError,
    ShapeError,
    TapelessError,
    TraceError,
    UnsupportedError,
)


def make_step(**options):
    @tl.compile(**options)
    def step(p, x, lr):
        loss = np.mean((x @ p["w"] - 1) ** 2)
        p["w"] -= lr * tl.grad(lambda w: np.mean((x @ w - 1) ** 2))(p["w"])
        return loss

    return step


def arguments(dtype=np.float64, n=6):
    random = np.random.default_rng(0)
    return {"w": random.normal(size=4).astype(dtype)}, random.normal(size=(n, 4)).astype(dtype), 0.1


def numpy_step(p, x, lr):
    error = x @ p["w"] - 1
    p["w"] -= lr * (2 / len(x)) * (x.T @ error)
    return np.mean(error**2)


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
    assert "step compiled in" in first and "first call" in first
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


def test_a_compiled_function_inside_another_is_traced_as_part_of_it():
    @tl.compile
    def inner(x):
        return x * x

    @tl.compile
    def outer(x):
        return tl.grad(lambda v: np.sum(inner(v)))(x)

    assert outer(np.array([1.0, 2.0])).tolist() == [2, 4]
    assert inner.programs == ()


# --- layout (P13) --------------------------------------------------------------------------


class Sub(np.ndarray):
    pass


def unaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


ODD = {
    "strided": lambda a: np.repeat(a, 2, 1)[:, ::2],
    "fortran": np.asfortranarray,
    "negative": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "unaligned": unaligned,
    "read-only": read_only,
    "subclass": lambda a: a.view(Sub),
}


@pytest.mark.parametrize("how", ODD)
def test_odd_read_arguments_give_the_bits_of_a_contiguous_copy(how):
    step = make_step()
    (p, x, lr), (q, _, _) = arguments(), arguments()
    odd = ODD[how](x)
    for _ in range(2):
        assert step(p, odd, lr) == step(q, np.array(odd, order="C"), lr)
    assert p["w"].tolist() == q["w"].tolist()


@pytest.mark.parametrize("how", ["strided", "fortran", "negative", "unaligned", "subclass"])
def test_odd_updated_arguments_are_updated(how):
    @tl.compile
    def step(w):
        w *= 3
        return np.sum(w)

    array = np.arange(6.0).reshape(2, 3)
    odd = ODD[how](array)
    assert step(odd) == 45
    assert np.asarray(odd).tolist() == [[0, 3, 6], [9, 12, 15]]


def structured():
    return np.zeros(3, [("a", "f8")])


@pytest.mark.parametrize(
    "bad",
    [
        np.ma.array([1.0, 2.0], mask=[0, 1]),
        np.array([1, "a"], object),
        structured(),
        np.arange(3.0).astype(">f8"),
        np.asmatrix(np.ones((2, 2))),
        np.ones(2, complex),
        np.array(["a"]),
    ],
    ids=["masked", "object", "structured", "swapped", "matrix", "complex", "text"],
)
def test_unsupported_arrays_raise_one_line_naming_the_argument(bad):
    double = tl.compile(lambda x: x * 2)
    double(np.ones(3))
    with pytest.raises(UnsupportedError, match="argument x: ") as caught:
        double(bad)
    assert "\n" not in str(caught.value)


# --- aliasing, all or nothing (P3-P5, P15) -------------------------------------------------


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("how", ["call", "interpret"])
def test_an_updated_argument_must_not_overlap_another(how, warm):
    step = make_step()
    run = step if how == "call" else step.interpret
    if warm:
        run(*arguments(n=1))
    base = np.ones(8)
    p = {"w": base[2:6]}
    with pytest.raises(AliasError, match=r"argument p\['w'\] is updated .* argument x"):
        run(p, base[4:].reshape(1, 4), 0.1)
    assert base.tolist() == [1] * 8


def test_read_arguments_may_overlap_and_neighbours_may_be_updated():
    @tl.compile
    def step(w, a, b):
        w += a * b

    base = np.ones(4)
    for _ in range(2):
        step(base[:2], base[2:], base[2:])
    assert base.tolist() == [3, 3, 1, 1]


def test_interleaved_updates_are_told_apart():
    @tl.compile
    def step(w, x):
        w += x

    base = np.arange(6.0)
    step(base[::2], base[1::2])
    assert base.tolist() == [1, 1, 5, 3, 9, 5]


@pytest.mark.parametrize("warm", [False, True])
def test_a_read_only_updated_argument(warm):
    step = make_step()
    p, x, lr = arguments()
    if warm:
        step(p, x, lr)
    p["w"].flags.writeable = False
    before = p["w"].copy()
    with pytest.raises(ReadOnlyError, match=r"argument p\['w'\]"):
        step(p, x, lr)
    assert isinstance(ReadOnlyError(), ValueError)
    np.testing.assert_array_equal(p["w"], before)


@pytest.mark.parametrize("how", ["call", "interpret"])
def test_an_index_out_of_range_leaves_everything_untouched(how):
    @tl.compile
    def step(table, history, index):
        history += 1
        table[index] = 5.0
        return table[index]

    run = step if how == "call" else step.interpret
    table, history = np.zeros(3), np.zeros(2)
    run(table, history, np.array([0, -1]))
    assert (table.tolist(), history.tolist()) == ([5, 0, 5], [1, 1])
    with pytest.raises(BoundsError, match="out of"):
        run(table, history, np.array([1, 3]))
    assert (table.tolist(), history.tolist()) == ([5, 0, 5], [1, 1])


@pytest.mark.parametrize("warm", [False, True])
def test_a_python_int_out_of_range_raises_at_the_call(warm):
    @tl.compile
    def add(x, n):
        return x + n

    x = np.zeros(2, np.int32)
    if warm:
        assert add(x, 2**31 - 1).tolist() == [2**31 - 1] * 2
    for n in (2**31, -(2**31) - 1, 2**80):
        with pytest.raises(ScalarRangeError):
            add(x, n)
    assert add(x, -5).dtype == np.int32


def test_outputs_are_fresh_and_distinct():
    @tl.compile
    def step(x, w):
        w += 1
        return x, x, w, x[1:]

    x, w = np.arange(3.0), np.zeros(3)
    first = step(x, w)
    second = step(x, w)
    arrays = [*first, *second, x, w]
    for k, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[k + 1 :])
    assert first[2].tolist() == [1, 1, 1] and second[2].tolist() == [2, 2, 2]


def test_captured_arrays_are_copied_at_trace_time():
    table = np.ones(2)
    step = tl.compile(lambda x: x + table)
    assert step(np.zeros(2)).tolist() == [1, 1]
    table += 1
    assert step(np.zeros(2)).tolist() == [1, 1]


def test_errors_in_the_step_name_the_line_and_leave_no_program():
    step = make_step()
    p, _, lr = arguments()
    with pytest.raises(ShapeError, match=r"test_api\.py:\d+"):
        step(p, np.zeros((2, 5)), lr)
    assert step.programs == ()
    with pytest.raises(TraceError):
        tl.compile(lambda x: x if x.sum() > 0 else -x)(np.ones(2))


def test_every_error_is_a_tapeless_error():
    names = ["TraceError", "ShapeError", "DTypeError", "UnsupportedError", "AliasError"]
    names += ["ReadOnlyError", "BoundsError", "ScalarRangeError", "VerifyError", "IRSyntaxError"]
    for name in names:
        assert issubclass(getattr(tl.errors, name), TapelessError)


# --- threads (P16) -------------------------------------------------------------------------


def test_calls_from_several_threads():
    step = make_step()
    failures = []

    def work(n):
        try:
            for _ in range(20):
                p, x, lr = arguments(n=n)
                q, _, _ = arguments(n=n)
                np.testing.assert_allclose(step(p, x, lr), numpy_step(q, x, lr))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(2 + k % 2,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert len(step.programs) == 2
