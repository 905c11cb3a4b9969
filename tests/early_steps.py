"""A step that reaches something of every kind, as the text of a module, and the keys under which
such steps are found without a trace."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import tapeless as tl
from tapeless.compiler import early

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


def module(name: str, text: str, file: str = "/somewhere/train.py") -> types.ModuleType:
    made = types.ModuleType(name)
    sys.modules[name] = made
    exec(compile(text, file, "exec"), vars(made))
    return made


def program(text: str = PROGRAM, colours: str = COLOURS, file: str = "/somewhere/train.py") -> Any:
    module("colours", colours, "/somewhere/colours.py")
    return module("train", text, file)


def arguments(train: Any) -> tuple[Any, ...]:
    return {"w": np.zeros(3)}, np.ones(3), 0.1, train.Model(), "train", train.deeper


def key(step: Callable[..., Any], *args: Any, **options: Any) -> str | None:
    """The key of a step with such arguments; None if it has none."""
    made = tl.compile(step, **options)
    found = early.look(made._step, made._step.call(args, {}))
    return None if found is None else found.digest


def program_key(train: Any) -> str | None:
    return key(train.step, *arguments(train))


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)
