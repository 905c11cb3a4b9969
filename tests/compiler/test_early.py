"""The key of a program that is found without a trace: what must change it, what must not, and what
cannot have one."""

from __future__ import annotations

import contextlib
import dis
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler import early
from tapeless.compiler.codes import ImpenetrableError, names_of

PROGRAM = """
import collections, dataclasses, enum, functools, math, operator
from functools import partial
from typing import NamedTuple
import numpy as np
import tapeless as tl
import colours
from colours import mix

RATE = 0.5
SIZES = [1, 2]
TABLE = {"a": 1.0, "b": (2, "x")}
MASK = np.array([1.0, 0.0, 1.0])
NUMBER = np.float32(3)
KIND = np.dtype(np.float32)
ALIAS = SIZES
UNUSED = 7

class Mode(enum.Enum):
    FAST = 1
    SLOW = 2

class Pair(NamedTuple):
    left: float
    right: float = 2.0

@dataclasses.dataclass
class Config:
    depth: int = 3
    names: list = dataclasses.field(default_factory=list)

class Base:
    scale = 1.5
    def helper(self, x):
        return x * 2
    @staticmethod
    def fixed(x):
        return x - 1
    @classmethod
    def made(cls, x):
        return x + cls.scale
    def save(self, path):
        np.save(path, self.scale)

class Layer(Base):
    __slots__ = ("own",)
    bias = np.array([0.25, 0.5, 0.75])
    def __init__(self):
        self.own, self.factor = 4, 5.0
    @property
    def gain(self):
        return self.factor + 6
    @functools.cached_property
    def slow(self):
        return self.factor * 7
    def __call__(self, x):
        return self.helper(x) * self.gain * self.slow + self.own + self.bias

def logged(level):
    def decorate(f):
        @functools.wraps(f)
        def inner(*args):
            return f(*args) * level
        return inner
    return decorate

def deeper(x):
    return x + 11

def helper(x, k=12, *, w=13):
    return deeper(x) * k + w

@logged(14)
def wrapped(x):
    return x

def counted():
    n = 15
    def inner(x):
        return x + n
    return inner

square = lambda x: x * 16
shifted = partial(helper, k=17)
inner = counted()
LAYER = Layer()
CONFIG = Config(names=["p"])
PAIR = Pair(18.0)
MODE = Mode.FAST
FIRST = operator.itemgetter(1)
ORDER = collections.OrderedDict(u=1, v=2)
GRAD = tl.grad(lambda x: np.sum(x * 19))
OPT = tl.optim.sgd(0.21)
SELF = object()

def loss(p, x):
    return np.sum(p * x)

class Model:
    rate = 22
    def __init__(self):
        self.w = np.ones(3)
    def forward(self, x):
        return self.w * x * self.rate

@tl.compile
def other(x):
    return x + 23

def step(p, x, lr, model, mode, f):
    y = helper(x) + wrapped(x) + inner(x) + square(x) + shifted(x) + LAYER(x) + LAYER.made(x)
    y = y * RATE + SIZES[0] + TABLE["a"] + MASK + NUMBER.astype(KIND) + len(ALIAS) + LAYER.fixed(x)
    y = y + CONFIG.depth + PAIR.left + MODE.value + FIRST((1, 2)) + ORDER["u"] + GRAD(x)
    y = y + colours.red(x) + mix(x) + math.sin(0.5) + other(x) + model.forward(x) + f(x)
    if mode == "train" and "k" in {"k", "l"}:
        y = np.maximum(y, 24)
    OPT.update(p, {"w": y}, {})
    return SELF is not None and tl.nn.relu(y)

def unrelated():
    return time.time()
"""
COLOURS = """
SHADE = 31
def red(x):
    return x + shade(x)
def shade(x):
    return x * SHADE
def mix(x):
    return x + 32
def unused():
    return open("x")
"""
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


def module(name: str, text: str, file: str = "/somewhere/train.py") -> types.ModuleType:
    made = types.ModuleType(name)
    sys.modules[name] = made
    exec(compile(text, file, "exec"), vars(made))
    return made


def other(model: Any) -> Any:
    model.new = 1
    return model


def program(text: str = PROGRAM, colours: str = COLOURS, file: str = "/somewhere/train.py") -> Any:
    module("colours", colours, "/somewhere/colours.py")
    return module("train", text, file)


def arguments(train: Any) -> tuple[Any, ...]:
    return {"w": np.zeros(3)}, np.ones(3), 0.1, train.Model(), "train", train.deeper


def key(step: Callable[..., Any], *args: Any, **options: Any) -> str | None:
    made = tl.compile(step, **options)
    return early.early_key(made._step, made._step.call(args, {}).described)


def program_key(train: Any) -> str | None:
    return key(train.step, *arguments(train))


def test_the_globals_of_code_are_those_that_dis_shows():
    functions = [f for m in list(sys.modules.values()) for f in list(vars(m).values())]
    tried = 0
    for function in functions:
        if not isinstance(function, types.FunctionType):
            continue
        with contextlib.suppress(ImpenetrableError):
            names = names_of(function.__code__)
            code = [function.__code__]
            shown = set()
            for inner in code:
                code += [c for c in inner.co_consts if isinstance(c, types.CodeType)]
                found = list(dis.get_instructions(inner))
                shown |= {i.argval for i in found if i.opname == "LOAD_GLOBAL"}
            assert shown <= set(names.loaded), function
            tried += 1
    assert tried > 1000


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    yield
    for name in ("train", "colours"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def first() -> str:
    found = program_key(program())
    assert found is not None
    return found


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


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


# --- what cannot be seen ---------------------------------------------------------------------

HIDDEN = [
    "print(1)",
    "eval('1')",
    "exec('a = 1')",
    "globals()",
    "vars()",
    "open('x')",
    "id(x)",
    "hash('a')",
    "input()",
    "__import__('os')",
    "os.environ['HOME']",
    "os.getcwd()",
    "sys.argv",
    "time.time()",
    "random.random()",
    "datetime.datetime.now()",
    "warnings.warn('x')",
    "logging.info('x')",
    "np.load('x')",
    "np.loadtxt('x')",
    "np.savez('x')",
    "FILE.read()",
    "GENERATOR.normal()",
    "LOCK",
    "ITERATOR",
    "STARTED",
    "COLOURS",
    "{1.5, x}",
    "[k for k in {'a', 'b'}]",
    "{k for k in 'ab'}",
    "set('ab')",
    "frozenset('ab')",
    "getattr(colours, 'SH' + 'ADE')",
    "read(colours)",
    "colours.__dict__",
    "deeper.__globals__",
    "deeper.__doc__",
    "deeper.__code__",
    "cached(1)",
    "vectorised(x)",
    "SHAPE",
    "Abstract()",
    "VIEW",
    "OBJECTS",
    "RECORDS",
    "PATTERN",
    "LOCAL.value",
    "setting()",
]
HIDING = """
import abc, datetime, functools, io, logging, operator, os, random, re, sys, threading, time
import warnings
import numpy as np
import tapeless as tl
import colours

FILE = io.StringIO("x")
GENERATOR = np.random.default_rng(0)
LOCK = threading.Lock()
ITERATOR = iter([1, 2])
STARTED = (k for k in [1, 2])
COLOURS = {"red", "blue"}
OBJECTS = np.array([1, "a"], object)
RECORDS = np.zeros(3, [("a", "f4")])
SHAPE = memoryview(b"abc")
PATTERN = re.compile("a")
LOCAL = threading.local()
VIEW = np.zeros(3).view(np.matrix)
read = operator.attrgetter("SHADE")
GLOBAL = 1

class Abstract(abc.ABC):
    def area(self):
        return 1

def setting():
    global GLOBAL
    GLOBAL = 2

def deeper(x):
    return x

@functools.cache
def cached(n):
    return n

vectorised = np.frompyfunc(lambda x: x, 1, 1)

def step(x):
    y = EXPRESSION
    return x
"""


@pytest.mark.parametrize("expression", HIDDEN)
def test_what_cannot_be_described_is_not_found_early(expression):
    module("colours", COLOURS)
    made = module("train", HIDING.replace("EXPRESSION", expression))
    assert key(made.step, np.ones(3)) is None


def test_the_step_itself_can_be_described():
    module("colours", COLOURS)
    assert key(module("train", HIDING.replace("EXPRESSION", "colours.SHADE")).step, np.ones(3))


def test_an_argument_that_is_also_a_global_is_not_found_early():
    train = program()
    assert key(train.step, {"w": train.MASK}, *arguments(train)[1:]) is None


def test_an_array_too_large_is_not_found_early(monkeypatch):
    monkeypatch.setattr("tapeless.compiler.content.BYTES", 8)
    assert program_key(program()) is None


def test_a_step_of_the_library_is_not_found_early():
    assert key(tl.nn.relu, np.ones(3)) is None
    assert key(np.maximum, np.ones(3), np.ones(3)) is None


# --- ways to something whose name does not occur in the code -------------------------------------

NAMELESS = {
    "a property that a pattern asks for by its place": """
class Layer:
    __match_args__ = ("scale",)
    scale = property(lambda self: SCALE)
def step(x):
    match LAYER:
        case Layer(scale):
            return x * scale
""",
    "a method that a context manager calls": """
class Layer:
    def close(self):
        SCALES.append(SCALE)
def step(x):
    with contextlib.closing(LAYER):
        return x
""",
    "a property that a format asks for": """
class Layer:
    scale = property(lambda self: SCALE)
def step(x):
    return x * float(string.Formatter().vformat("{0.scale}", (LAYER,), {}))
""",
    "a class registered with one of the user's": """
class Scaled(metaclass=abc.ABCMeta):
    pass
class Layer:
    pass
if SCALE == 2:
    Scaled.register(Layer)
def step(x):
    return x * (2 if isinstance(LAYER, Scaled) else 3)
""",
    "a class registered with one of the standard library": """
class Layer:
    pass
if SCALE == 2:
    numbers.Real.register(Layer)
def step(x):
    return x * (2 if isinstance(LAYER, numbers.Number) else 3)
""",
    "an order of bases": """
class Two:
    scale = 2
class Three:
    scale = 3
class Kind(type):
    def mro(cls):
        return [cls, Two if SCALE == 2 else Three, object]
class Layer(metaclass=Kind):
    pass
def step(x):
    return x * LAYER.scale
""",
    "memory that arrays share": """
class Layer:
    def __init__(self):
        whole = np.zeros(6)
        self.weights, self.bias = whole[:3], whole[SCALE : SCALE + 3]
def step(x):
    return x * (2 if np.shares_memory(LAYER.weights, LAYER.bias) else 3)
""",
    "an array of its own": """
class Layer:
    def __init__(self):
        self.weights = np.zeros(6)[:3] if SCALE == 2 else np.zeros(3)
def step(x):
    return x * (2 if LAYER.weights.flags.owndata else 3)
""",
    "the address of an array": """
WEIGHTS = np.zeros(3)
class Layer:
    pass
def step(x):
    return x * (WEIGHTS.ctypes.data // 64 % 2)
""",
    "annotations": """
class Layer:
    scale: int if SCALE == 2 else float
def step(x):
    return x * (2 if typing.get_type_hints(Layer)["scale"] is int else 3)
""",
}


@pytest.mark.parametrize("way", NAMELESS)
def test_what_is_reached_without_its_name_is_seen(way):
    def found(scale: int) -> str | None:
        head = "import abc, contextlib, numbers, string, typing\nimport numpy as np\n"
        head += f"SCALE, SCALES = {scale}, []\n"
        made = module("train", f"{head}{NAMELESS[way]}LAYER = Layer()\n")
        return key(made.step, np.ones(3))

    assert found(2) is None or found(2) != found(3)


def test_an_abstract_class_of_the_standard_library_can_be_asked_for():
    text = "import numbers\ndef step(x): return x * (2 if isinstance(1, numbers.Integral) else 3)"
    assert key(module("train", text).step, np.ones(3)) is not None


def test_how_long_an_integer_may_be_as_text_makes_another_key(first):
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(before + 1)
    try:
        assert program_key(program()) not in (None, first)
    finally:
        sys.set_int_max_str_digits(before)


# --- what is replaced while the process runs ----------------------------------------------------


def test_a_function_of_numpy_that_was_replaced_makes_another_key(monkeypatch, first):
    monkeypatch.setattr(np, "maximum", np.minimum)
    assert program_key(program()) not in (None, first)


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
def test_variables_that_decide_nothing_make_none(name, monkeypatch, first):
    monkeypatch.setenv(name, "x")
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
