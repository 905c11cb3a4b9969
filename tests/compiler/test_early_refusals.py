"""Steps of which nobody can say what they depend on are not found without a trace, and whatever can
be reached in a roundabout way is seen."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import tapeless as tl
from early_steps import COLOURS, arguments, key, module, program, program_key


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    yield
    for name in ("train", "colours"):
        sys.modules.pop(name, None)


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
    "'a'.__hash__()",
    "operator.methodcaller('__hash__')('a')",
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
    "load('x')",
    "read_file('x')",
    "fromfile('x')",
    "loadtxt('x')",
    "memmap('x')",
    "reading()",
    "np.fromregex('x', 'a', 'f4')",
    "tl.numpy.load('x')",
    "tl.numpy.datetime64('now')",
    "moment('now')",
    "np.array('now', 'M8[s]')",
    "np.arange('Today', 1, dtype='M8[D]')",
    "TABLE.keys() & x",
    "x | TABLE.keys()",
    "[k for k in TABLE.items() ^ (x, x + 1)]",
    "{}.keys(); y = y - y",
]
HIDING = """
import abc, datetime, functools, io, logging, operator, os, random, re, sys, threading, time
import warnings
import numpy as np
from numpy import fromfile, load, loadtxt, memmap
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
TABLE = {"a": 1, "b": 2}
moment, reading = np.datetime64, functools.partial(np.load, "x")
read_file = np.load

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


@pytest.mark.parametrize(
    "expression",
    ["colours.SHADE", "[x - v for k, v in TABLE.items() if k in TABLE.keys()]",
     "list(zip(TABLE.items(), [x - 1]))", "TABLE.keys() == TABLE.keys() and x - 1",
     "tl.numpy.abs(x) - len(TABLE.keys())"],
)  # fmt: skip
def test_the_step_itself_can_be_described(expression):
    module("colours", COLOURS)
    assert key(module("train", HIDING.replace("EXPRESSION", expression)).step, np.ones(3))


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
    "the constructor that a named tuple's own method asks for": """
class Layer(collections.namedtuple("Layer", "scale", defaults=[1])):
    @classmethod
    def _make(cls, values):
        return tuple.__new__(cls, [SCALE])
def step(x):
    return x * LAYER._replace(scale=1).scale
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
        head = "import abc, collections, contextlib, numbers, string, typing\nimport numpy as np\n"
        head += f"SCALE, SCALES = {scale}, []\n"
        made = module("train", f"{head}{NAMELESS[way]}LAYER = Layer()\n")
        result: str | None = key(made.step, np.ones(3))
        return result

    assert found(2) is None or found(2) != found(3)


def test_an_abstract_class_of_the_standard_library_can_be_asked_for():
    text = "import numbers\ndef step(x): return x * (2 if isinstance(1, numbers.Integral) else 3)"
    assert key(module("train", text).step, np.ones(3)) is not None
