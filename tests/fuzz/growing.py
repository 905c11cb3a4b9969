"""A graph under construction: the values there are, which of them are exact, and arguments.

Every step of `steps.py` and `structured.py` picks values here that fit and emits nodes on them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from tapeless.ir.builder import Builder
from tapeless.ir.graph import Graph, Value
from tapeless.ir.op import OPS
from tapeless.ir.types import BOOL, DTYPES, F32, F64, I32, I64, Type

DIMS: Final = (0, 1, 2, 3, 5, 7, 8, 16, 17, 33, 64, 65, 127, 300)
"""Around the lengths of vectors, and of the blocks in which long rows are searched."""


@dataclass(frozen=True)
class Sizes:
    """How large a program's arrays are: the shapes its extents are drawn from, the extents of
    products, the most elements of a value, and the most multiplications of a contraction."""

    shapes: tuple[tuple[int, ...], ...]
    products: tuple[int, ...]
    elements: int
    work: int


USUAL: Final = Sizes((), (2, 3, 4, 8, 16, 17, 33), 4096, 200_000)
"""Small: the naive executors run every program."""
LARGE: Final = Sizes(
    ((20_001,), (16_384,), (40_000,), (2, 8192), (8192, 3), (130, 129), (65, 300), (300, 64),
     (64, 2, 129), (7, 17, 150), (1025, 17), (3, 9001)),
    (8, 17, 64, 130, 257), 80_000, 8_000_000,
)  # fmt: skip
"""Loops that are cut, and blocks of loops, at their real sizes."""

EXACT: Final = frozenset({
    "neg", "abs", "sign", "floor", "ceil", "rint", "maximum", "minimum", "isnan", "isinf",
    "isfinite", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor", "not", "select", "copysign",
    "bit_and", "bit_or", "bit_xor", "bit_not", "shift_left", "shift_right", "max", "min",
    "cummax", "cummin",
})  # fmt: skip
"""Ops that do not round."""
SMALL: Final = tuple(DTYPES[name] for name in ("i8", "u8", "i16", "u32"))
MOVING: Final = frozenset({"move", "index", "sort", "search", "argreduce"})
"""Kinds of ops that do not round, but for those that add."""
ADDING: Final = frozenset({"add_at", "scatter_add", "windows_add"})


@dataclass(frozen=True)
class Program:
    """A graph and one argument per input."""

    graph: Graph
    arguments: list[np.ndarray]


def data(draw: np.random.Generator, type_: Type) -> np.ndarray:
    """An array to compute with: of a kind on which some mistake shows."""
    kinds = FLOATS if type_.is_float else INTEGERS if type_.is_integer else BOOLEANS
    array = np.asarray(kinds[draw.integers(len(kinds))](draw, type_.shape))
    if type_.is_float and array.size and draw.random() < 0.08:
        array = array.astype(type_.dtype)
        array.reshape(-1)[draw.integers(array.size)] = np.nan
    if type_.is_float and array.size and draw.random() < 0.05:
        array = array.astype(type_.dtype)
        tiny = np.finfo(type_.dtype).smallest_subnormal
        array.reshape(-1)[draw.integers(array.size)] = tiny * draw.integers(-9, 10)
    if type_.is_integer and draw.random() < 0.1:  # near the ends, where sums wrap around
        array = array + np.iinfo(type_.dtype).max
    return np.asarray(array).astype(type_.dtype)


Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray | float]
FLOATS: Final[tuple[Draw, ...]] = (
    lambda draw, shape: draw.integers(-24, 25, shape) / 8,  # ties and exact sums
    lambda draw, shape: draw.integers(-24, 25, shape) / 8,
    lambda draw, shape: draw.uniform(-3, 3, shape),
    lambda draw, shape: draw.uniform(-3, 3, shape),
    lambda draw, shape: draw.uniform(-3, -0.1, shape),  # one sign
    lambda draw, shape: draw.uniform(0.1, 3, shape),
    lambda draw, shape: draw.choice((-1.5, 0.0, -0.0, 2.0), shape),  # many ties, signs of zero
    lambda draw, shape: np.full(shape, draw.integers(-3, 4) / 2),  # all equal
    lambda draw, shape: np.sort(draw.uniform(-3, 3, shape), axis=None).reshape(shape),  # in order
)
INTEGERS: Final[tuple[Draw, ...]] = (
    lambda draw, shape: draw.integers(0, 5, shape),
    lambda draw, shape: draw.integers(-9, 9, shape),
    lambda draw, shape: draw.integers(-9, 0, shape),
    lambda draw, shape: np.full(shape, draw.integers(-3, 4)),
)
BOOLEANS: Final[tuple[Draw, ...]] = (
    lambda draw, shape: draw.random(shape) < 0.5,
    lambda draw, shape: draw.random(shape) < 0.5,
    lambda draw, shape: np.full(shape, draw.random() < 0.5),
)


class Growing:
    """A graph under construction: values there are, which of them are exact, and arguments."""

    def __init__(self, rng: random.Random, sizes: Sizes = USUAL) -> None:
        self.rng, self.sizes = rng, sizes
        self.b = Builder()
        self.dtype = rng.choice((F32, F64))
        whole = rng.choice(sizes.shapes) if sizes.shapes else ()
        self.dims = [*whole] or [rng.choice(DIMS[1:]) for _ in range(rng.choice((1, 2, 2, 3)))]
        if rng.random() < 0.04:
            self.dims.append(0)
        self.inputs: list[Value] = []
        self.arguments: list[np.ndarray] = []
        self.values: list[Value] = []
        self.exact: set[Value] = set()
        self.reach: dict[Value, int] = {}
        """Inputs that are indices, and the extent they were made for."""
        self.careless = rng.random() < 0.2
        """Whether one index will be out of range."""
        if whole:
            self.fresh(Type(self.dtype, whole))
        for _ in range(rng.randint(1, 3)):
            self.fresh(Type(self.dtype, self.shape()))

    # Values to build on

    def shape(self) -> tuple[int, ...]:
        rank = self.rng.choice((0, 1, 1, 2, 2, 2, 3, 4))
        shape = tuple(self.rng.choice((*self.dims, 1)) for _ in range(rank))
        return shape if np.prod(shape) <= self.sizes.elements else self.shape()

    def fresh(self, type_: Type, high: int | None = None) -> Value:
        """A new input; with `high`, of integers from -high to high - 1."""
        draw = np.random.default_rng(self.rng.getrandbits(32))
        if high is not None:
            return self.given(np.asarray(draw.integers(-high, high, type_.shape), type_.dtype))
        return self.given(data(draw, type_))

    def given(self, array: np.ndarray) -> Value:
        """A new input with this argument."""
        value = Value(Type(array.dtype, array.shape), f"x{len(self.inputs)}")
        self.inputs.append(value)
        self.arguments.append(array)
        self.values.append(value)
        self.exact.add(value)
        return value

    def pick(self, fits: Callable[[Value], bool]) -> Value | None:
        """A value that fits, late ones more often."""
        found = [v for v in self.values if fits(v)]
        if not found:
            return None
        return self.rng.choice(found[-4:] if self.rng.random() < 0.5 else found)

    def floating(self, *, exact: bool = False, rank: int = 0) -> Value:
        found = self.pick(
            lambda v: v.type.is_float and v.type.rank >= rank and (v in self.exact or not exact)
        )
        if found is not None:
            return found
        extents = tuple(self.rng.choice(self.dims) for _ in range(max(rank, 1)))
        return self.fresh(Type(self.dtype, extents))

    def other(self, *, kinds: str = "ib", rank: int = 0) -> Value:
        """An array of integers or Booleans, small integers now and then."""
        fits = kinds.replace("i", "iu")
        found = self.pick(lambda v: v.type.dtype.kind in fits and v.type.rank >= rank)
        if found is not None and self.rng.random() < 0.8:
            return found
        dtypes = SMALL if "i" in kinds and self.rng.random() < 0.15 else (I32, I64, BOOL)
        dtype = self.rng.choice([d for d in dtypes if d.kind in fits])
        shape = self.shape()
        while len(shape) < rank:
            shape = (self.rng.choice(self.dims), *shape)
        return self.fresh(Type(dtype, shape))

    def anything(self, *, kinds: str = "ib", rank: int = 0) -> Value:
        """Mostly floats."""
        if self.rng.random() < 0.8:
            return self.floating(rank=rank)
        return self.other(kinds=kinds, rank=rank)

    def like(self, x: Value, *, exact: bool = False) -> Value:
        """A value of x's dtype that broadcasts with it: often x itself or its shape."""

        def fits(v: Value) -> bool:
            if v.type.dtype != x.type.dtype or (exact and v not in self.exact):
                return False
            try:
                return math.prod(np.broadcast_shapes(v.shape, x.shape)) <= self.sizes.elements
            except ValueError:
                return False

        if self.rng.random() < 0.15:
            kept = tuple(n if self.rng.random() < 0.6 else 1 for n in x.shape)
            return self.fresh(Type(x.type.dtype, kept[self.rng.randint(0, len(kept)) :]))
        found = self.pick(fits)
        return x if found is None else found

    def boolean(self, shape: tuple[int, ...]) -> Value:
        def fits(v: Value) -> bool:
            if not v.type.is_bool:
                return False
            try:
                return np.broadcast_shapes(v.shape, shape) == shape
            except ValueError:
                return False

        return self.pick(fits) or self.fresh(Type(BOOL, shape))

    def emit(self, op: str, *operands: Value, **attrs: object) -> Value:
        """One node; the result is exact if op and operands are."""
        node = self.b.emit(op, operands, attrs)
        integer = all(not v.type.is_float for v in (*operands, *node.results))
        moves = OPS[op].kind in MOVING and op not in ADDING
        if integer or ((op in EXACT or moves) and all(v in self.exact for v in operands)):
            self.exact.update(node.results)
        return node.results[0]

    def bounded(self, value: Value) -> Value:
        """Now and then squashed, or the program soon overflows."""
        if value.type.is_float and self.rng.random() < 0.5:
            return self.emit("tanh", value)
        return value

    def nonempty(self, *, exact: bool = False, rank: int = 1, kinds: str = "") -> Value:
        """An array with elements, mostly of floats; of one of these other kinds now and then."""
        if kinds and self.rng.random() < 0.2:
            found = self.other(kinds=kinds, rank=rank)
            if found.type.size:
                return found
        return self.pick(
            lambda v: v.type.is_float and v.type.rank >= rank and v.type.size > 0
            and (v in self.exact or not exact)
        ) or self.fresh(Type(self.dtype, tuple(d or 1 for d in self.dims[:2])[-2:]))  # fmt: skip

    def of_type(self, type_: Type) -> Value | None:
        return self.pick(lambda v: v.type == type_)

    def or_zeros(self, x: Value) -> Value:
        return x if self.rng.random() < 0.5 else self.b.full(x.shape, 0, x.type.dtype)

    def factored(self, size: int) -> tuple[int, ...]:
        """A shape of so many elements."""
        if size == 0:
            return (0, 2)
        shape = []
        for divisor in (2, 3, 4, 5, 7, 8, 1):
            if size % divisor == 0 and self.rng.random() < 0.4:
                shape.append(divisor)
                size //= divisor
        shape.append(size)
        self.rng.shuffle(shape)
        return tuple(shape)

    def region_of(self, shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
        """A regular part of each axis: (start, stop, step), steps of both signs."""
        spec = []
        for n in shape:
            step = self.rng.choice((1, 1, 1, 2, 3, -1, -2))
            a, b = sorted(self.rng.randint(0, n) for _ in range(2))
            if self.rng.random() < 0.5:
                a, b = 0, n
            if step < 0:
                count = len(range(b - 1, a - 1, step))
                spec.append((b - 1, b - 2 + (count - 1) * step, step) if count else (0, 0, 1))
            else:
                count = len(range(a, b, step))
                spec.append((a, a + (count - 1) * step + 1, step) if count else (0, 0, 1))
        return tuple(spec)
