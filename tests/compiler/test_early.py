"""The key of a program that is found without a trace: what must change it, and what must not."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from early_steps import COLOURS, PROGRAM, arguments, edited, key, module, program, program_key

EDITS = [
    ("x + 11", "x + 12"),  # a constant of a helper's helper
    ("k=12", "k=13"),  # a default
    ("w=13", "w=14"),  # one by keyword
    ("def deeper(x):\n", "def deeper(x):\n\n"),  # a line: messages name it
    ("def deeper(x)", "def deeper(y, x=1)"),
    ("@logged(14)", "@logged(15)"),  # the argument of a decorator
    ("n = 15", "n = 16"),  # a variable of a closure
    ("x * 16", "x * 17"),  # a lambda
    ("k=17", "k=18"),  # a partial
    ("partial(helper, k=17)", "partial(deeper)"),
    ("RATE = 0.5", "RATE = 0.25"),
    ("RATE = 0.5", "RATE = np.float32(0.5)"),  # a number of another type
    ("RATE = 0.5", "RATE = -0.0"),
    ("SIZES = [1, 2]", "SIZES = [1, 3]"),  # the content of a list
    ("SIZES = [1, 2]", "SIZES = (1, 2)"),
    ("ALIAS = SIZES", "ALIAS = [1, 2]"),  # an equal list that is another one
    ('"a": 1.0', '"a": 1'),
    ('(2, "x")', '(2, "y")'),
    ('{"a": 1.0, "b": (2, "x")}', '{"b": (2, "x"), "a": 1.0}'),  # the order of a dict
    ("[1.0, 0.0, 1.0]", "[1.0, 0.0, 2.0]"),  # a captured array
    ("[1.0, 0.0, 1.0]", "[1.0, -0.0, 1.0]"),  # its bits
    ("MASK = np.array([1.0, 0.0, 1.0])", "MASK = np.array([1.0, 0.0, 1.0], np.float32)"),
    ("MASK = np.array([1.0, 0.0, 1.0])", "MASK = np.array([[1.0, 0.0, 1.0]])"),
    ("MASK = np.array([1.0, 0.0, 1.0])", "MASK = np.array([1.0, 9, 0, 9, 1])[::2]"),  # strides
    ("np.float32(3)", "np.float32(4)"),
    ("np.float32(3)", "np.float64(3)"),
    ("np.dtype(np.float32)", "np.dtype(np.float64)"),
    ("FAST = 1", "FAST = 3"),  # an enum
    ("MODE = Mode.FAST", "MODE = Mode.SLOW"),
    ("Pair(18.0)", "Pair(19.0)"),  # a named tuple
    ("right: float = 2.0", "right: float = 3.0"),
    ("depth: int = 3", "depth: int = 4"),  # a dataclass
    ('names=["p"]', 'names=["q"]'),
    ("scale = 1.5", "scale = 1.75"),  # an attribute of a base class
    ("return x * 2", "return x * 3"),  # a method of a base class
    ("return x - 1", "return x - 2"),  # a static method
    ("return x + cls.scale", "return x - cls.scale"),  # a class method
    ("[0.25, 0.5, 0.75]", "[0.25, 0.5, 1]"),  # an array of a class
    ("self.own, self.factor = 4, 5.0", "self.own, self.factor = 3, 5.0"),  # a slot
    ("self.own, self.factor = 4, 5.0", "self.own, self.factor = 4, 6.0"),  # an attribute
    ("self.factor + 6", "self.factor + 7"),  # a property
    ("self.factor * 7", "self.factor * 8"),  # a cached one
    ("class Layer(Base):", "class Layer(Base):\n    def __add__(self, x): return x"),
    ("class Layer(Base):", "class Layer(Base):\n    def helper(self, x): return x"),
    ("itemgetter(1)", "itemgetter(0)"),
    ("u=1, v=2", "v=2, u=1"),
    ("x * 19", "x * 20"),  # in a derivative made outside
    ("tl.grad(", "tl.value_and_grad("),
    ("sgd(0.21)", "sgd(0.22)"),  # an optimiser
    ("optim.sgd", "optim.adam"),
    ("rate = 22", "rate = 23"),  # the class of an argument
    ("self.w * x * self.rate", "self.w * x / self.rate"),
    ("x + 23", "x + 24"),  # another compiled step
    ("@tl.compile\n", "@tl.compile(static_argnames='x')\n"),
    ("np.maximum(y, 24)", "np.maximum(y, 25)"),
    ("np.maximum(y, 24)", "np.minimum(y, 24)"),  # a name only
    ('mode == "train"', 'mode == "test"'),
    ('{"k", "l"}', '{"k", "m"}'),
    ("math.sin", "math.cos"),
    ("tl.nn.relu", "tl.nn.gelu"),
    ("def step(p, x, lr, model, mode, f)", "def step(p, x, lr, model, mode, f, q=1)"),
    ("import colours\n", "import colours\nnp_maximum = np.maximum\n"),  # lines again
]
COLOUR_EDITS = [("SHADE = 31", "SHADE = 30"), ("x * SHADE", "x / SHADE"), ("x + 32", "x + 33")]
ALIKE = [
    ("UNUSED = 7", "UNUSED = 8"),  # a global that nothing asks for
    ("return time.time()", "return time.clock()"),
    ("np.save(path, self.scale)", "np.save(path, self.owner)"),  # a method that nothing calls
    ("SIZES = [1, 2]", "SIZES = list((1, 2))"),  # made in another way
]
"""Lines as long as before: positions are part of the code of what follows them."""


def other(model: Any) -> Any:
    model.new = 1
    return model


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    yield
    for name in ("train", "colours"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def first() -> str:
    found = program_key(program())
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_an_edit_makes_another_key(old, new, first):
    found = program_key(program(edited(PROGRAM, old, new)))
    assert found is not None
    assert found != first


@pytest.mark.parametrize(("old", "new"), COLOUR_EDITS)
def test_an_edit_of_an_imported_module_makes_another_key(old, new, first):
    found = program_key(program(colours=edited(COLOURS, old, new)))
    assert found is not None
    assert found != first


@pytest.mark.parametrize(("old", "new"), ALIKE)
def test_what_a_step_does_not_reach_makes_no_difference(old, new, first):
    assert program_key(program(edited(PROGRAM, old, new))) == first


def test_the_file_is_part_of_the_key(first):
    assert program_key(program(file="/elsewhere/train.py")) not in (None, first)


# --- what is replaced while the process runs ----------------------------------------------------


def test_a_function_of_numpy_that_was_replaced_makes_another_key(monkeypatch, first):
    monkeypatch.setattr(np, "maximum", np.minimum)
    assert program_key(program()) not in (None, first)


def test_a_function_of_numpy_that_was_replaced_is_seen_through_this_package(monkeypatch):
    text = "from tapeless import numpy as np\ndef step(x): return np.maximum(x, 1)"
    before = key(module("train", text).step, np.ones(3))
    monkeypatch.setattr(np, "maximum", np.minimum)
    assert key(module("train", text).step, np.ones(3)) not in (None, before)


def test_a_function_of_numpy_that_is_the_users_is_described(monkeypatch, first):
    made = module("patch", "def maximum(x, y): return x + 1")
    monkeypatch.setattr(np, "maximum", made.maximum)
    second = program_key(program())
    made = module("patch", "def maximum(x, y): return x + 2")
    monkeypatch.setattr(np, "maximum", made.maximum)
    assert len({first, second, program_key(program()), None}) == 4


@pytest.mark.parametrize("name", ["grad", "library.nn.relu", "compiler.trace.trace"])
def test_a_function_of_this_package_that_was_replaced_is_not_found_early(name, monkeypatch):
    monkeypatch.setattr(f"tapeless.{name}", lambda *args: None)
    assert program_key(program()) is None


def test_a_method_of_this_package_that_was_replaced_is_not_found_early(monkeypatch):
    monkeypatch.setattr("tapeless.compiler.tracing.traced.TracedArray.__add__", lambda a, b: a)
    assert program_key(program()) is None


def test_names_that_are_set_are_seen(first):
    train = program()
    train.helper.__name__ = "renamed"
    second = program_key(train)
    train.Layer.__name__ = "Renamed"
    third = program_key(train)
    train.helper.attribute = 1
    assert len({first, second, third, program_key(train), None}) == 5


def test_mutable_values_are_seen_as_they_are_now(first):
    train = program()
    train.SIZES.append(3)
    second = program_key(train)
    train.MASK[0] = 5
    third = program_key(train)
    train.LAYER.factor = 8
    fourth = program_key(train)
    type(train.LAYER).scale = 9
    fifth = program_key(train)
    train.helper.__kwdefaults__["w"] = 10
    assert len({first, second, third, fourth, fifth, program_key(train), None}) == 7


# --- the arguments and the surroundings ---------------------------------------------------------


def test_values_of_arguments_make_no_difference(first):
    train = program()
    p, x, lr, model, mode, f = arguments(train)
    model.w += 1
    assert key(train.step, {"w": p["w"] + 1}, x * 2, lr / 2, model, mode, f) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda p, x, lr, model, mode, f: ({"v": p["w"]}, x, lr, model, mode, f),
        lambda p, x, lr, model, mode, f: ({"w": p["w"].astype("f4")}, x, lr, model, mode, f),
        lambda p, x, lr, model, mode, f: (p, np.ones(4), lr, model, mode, f),
        lambda p, x, lr, model, mode, f: (p, np.ones(6)[::2], lr, model, mode, f),
        lambda p, x, lr, model, mode, f: (p, x, np.float64(lr), model, mode, f),
        lambda p, x, lr, model, mode, f: (p, x, 1, model, mode, f),
        lambda p, x, lr, model, mode, f: (p, x, lr, model, "test", f),
        lambda p, x, lr, model, mode, f: (p, x, lr, model, mode, np.sin),
        lambda p, x, lr, model, mode, f: (p, x, lr, model, mode, lambda x: x),
        lambda p, x, lr, model, mode, f: (p, x, lr, None, mode, f),
        lambda p, x, lr, model, mode, f: (dict(p, b=x[:1]), x, lr, model, mode, f),
        lambda p, x, lr, model, mode, f: ([p["w"]], x, lr, model, mode, f),
        lambda p, x, lr, model, mode, f: (p, x, lr, other(model), mode, f),
    ],
)
def test_other_arguments_make_another_key(change, first):
    train = program()
    assert key(train.step, *change(*arguments(train))) not in (None, first)


def test_options_make_another_key(first):
    train = program()
    keys = {
        key(train.step, *arguments(train), **options)
        for options in ({"optimize": False}, {"flush_subnormals": True}, {"static_argnames": "lr"})
    }
    assert len(keys | {first, None}) == 5


def test_threads_and_checks_make_none(first):
    train = program()
    assert key(train.step, *arguments(train), threads=1) == first


@pytest.mark.parametrize("name", ["TAPELESS_SKIP", "TAPELESS_ENGINE", "TAPELESS_NEW", "NPY_NEW"])
def test_variables_of_the_environment_make_another_key(name, monkeypatch, first):
    monkeypatch.setenv(name, "x")
    assert program_key(program()) not in (None, first)


@pytest.mark.parametrize("name", ["TAPELESS_CACHE", "TAPELESS_LOG", "TAPELESS_THREADS", "HOME"])
def test_variables_that_decide_nothing_make_none(name, monkeypatch, first, tmp_path):
    monkeypatch.setenv(name, str(tmp_path))
    assert program_key(program()) == first


def test_the_handling_of_errors_makes_another_key(first):
    with np.errstate(divide="raise"):
        assert program_key(program()) not in (None, first)
    with np.printoptions(precision=2):
        assert program_key(program()) not in (None, first)


@pytest.mark.parametrize("way", ["call", "print", "log"])
def test_errors_handled_by_functions_and_printed_ones_cannot_be_seen(way):
    with np.errstate(divide=way):
        assert program_key(program()) is None


def test_the_filters_of_warnings_make_another_key():
    train = program()
    before = program_key(train)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert program_key(train) not in (None, before)


def test_how_long_an_integer_may_be_as_text_makes_another_key(first):
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(before + 1)
    try:
        assert program_key(program()) not in (None, first)
    finally:
        sys.set_int_max_str_digits(before)
