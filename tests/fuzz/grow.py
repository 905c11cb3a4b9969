"""Random well-typed programs, built constructively: every step adds a node that fits.

    program = grow(random.Random(7))
    program.graph, program.arguments        # a graph of the stage `trace`, one array per input

A program draws a few extents and makes its shapes of them, so that shapes meet. Steps reuse values
(fan-out, duplicates), write into arrays, and now and then put in a *motif*: the graph a rewrite
rule is documented with, so that every rule finds work. Functions that jump (floor, comparisons,
sorting) are applied to values that every executor computes exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from sampling import draw_operands
from tapeless.ir.builder import Builder, inline
from tapeless.ir.dotspec import LETTERS, canonical_spec
from tapeless.ir.errors import TapelessError
from tapeless.ir.graph import Graph, Value
from tapeless.ir.op import OPS, Op
from tapeless.ir.parse import parse
from tapeless.ir.types import BOOL, F32, F64, I32, I64, Type

DIMS: Final = (0, 1, 2, 3, 5, 7, 8, 16, 17, 33, 64, 65)
MAX_SIZE: Final = 4096
"""Most elements of a value: the naive executors run every program."""
MAX_WORK: Final = 200_000
"""Most multiplications of a contraction."""

EXACT: Final = frozenset({
    "neg", "abs", "sign", "floor", "ceil", "rint", "maximum", "minimum", "isnan", "isinf",
    "isfinite", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor", "not", "select", "copysign",
    "bit_and", "bit_or", "bit_xor", "bit_not", "shift_left", "shift_right",
})  # fmt: skip
"""Elementwise ops that do not round."""
JUMPS: Final = frozenset({
    "sign", "floor", "ceil", "rint", "isnan", "isinf", "isfinite", "lt", "le", "gt", "ge", "eq",
    "ne", "floor_divide", "remainder", "fmod", "copysign", "argmax", "argmin", "argsort", "cast",
})  # fmt: skip
"""Ops that make a large difference of a rounding error."""
GUARDED: Final = {"log": 0.1, "sqrt": 0.1, "log1p": 0.1, "arccosh": 1.1, "cbrt": 0.1}
"""Ops that are steep at the edge of their domain: applied to |x| + this."""
INSIDE: Final = frozenset({"arctanh", "power"})
GOLDEN: Final = Path(__file__).resolve().parents[1] / "passes" / "golden"


@dataclass(frozen=True)
class Program:
    """A graph and one argument per input."""

    graph: Graph
    arguments: list[np.ndarray]


def grow(rng: random.Random, steps: int | None = None) -> Program:
    """A random program of 1 to 40 steps."""
    growing = Growing(rng)
    for _ in range(steps or rng.choice((1, 2, 3, 5, 8, 12, 20, 40))):
        growing.step()
    return growing.program()


@cache
def motifs() -> tuple[str, ...]:
    """The texts of the graphs that the rewrite rules are documented with, one or more a rule."""
    texts: list[str] = []
    for file in sorted(GOLDEN.glob("*.ir")):
        for block in file.read_text().split("## ")[1:]:
            texts.append(block.partition("\n")[2].partition("\n=>\n")[0].strip())
    return tuple(texts)


@cache
def elementwise(arity: int, kinds: str) -> tuple[Op, ...]:
    """The elementwise ops of so many operands whose first sample of these kinds exists."""
    found = []
    for op in OPS.values():
        if op.kind == "elementwise" and op.name not in ("cast", "select"):
            for sample in op.samples:
                types = sample.operands
                if len(types) == arity and all(
                    (x.dtype if isinstance(x, Type) else np.asarray(x).dtype).kind in kinds
                    for x in types
                ):
                    found.append(op)
                    break
    return tuple(found)


class Growing:
    """A graph under construction: values there are, which of them are exact, and arguments."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.b = Builder()
        self.dtype = rng.choice((F32, F64))
        self.dims = [rng.choice(DIMS[1:]) for _ in range(rng.choice((1, 2, 2, 3)))]
        if rng.random() < 0.04:
            self.dims.append(0)
        self.inputs: list[Value] = []
        self.arguments: list[np.ndarray] = []
        self.values: list[Value] = []
        self.exact: set[Value] = set()
        self.steps: tuple[Callable[[], Value | None], ...] = (
            self.unary, self.unary, self.binary, self.binary, self.binary, self.number, self.choice,
            self.convert, self.reduce, self.reduce, self.contract, self.contract, self.move,
            self.move, self.join, self.region, self.index, self.scatter, self.rows, self.motif,
            self.sample, self.integers, self.order,
        )  # fmt: skip
        for _ in range(rng.randint(1, 3)):
            self.fresh(Type(self.dtype, self.shape()))

    # Values to build on

    def shape(self) -> tuple[int, ...]:
        rank = self.rng.choice((0, 1, 1, 2, 2, 2, 3, 4))
        shape = tuple(self.rng.choice((*self.dims, 1)) for _ in range(rank))
        return shape if np.prod(shape) <= MAX_SIZE else self.shape()

    def fresh(self, type_: Type, high: int | None = None) -> Value:
        """A new input. Floats are small multiples of 1/8, so that ties and exact sums occur."""
        draw = np.random.default_rng(self.rng.getrandbits(32))
        shape, dtype = type_.shape, type_.dtype
        if dtype.kind == "f":
            spread = draw.integers(-24, 25, shape) / 8 if self.rng.random() < 0.5 else (
                draw.uniform(-3, 3, shape)
            )  # fmt: skip
            array = np.asarray(spread)
        elif high is not None:
            array = np.asarray(draw.integers(-high, high, shape))
        else:
            array = np.asarray(draw.integers(0, 2 if type_.is_bool else 5, shape))
        return self.given(array.astype(dtype))

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

    def like(self, x: Value, *, exact: bool = False) -> Value:
        """A value of x's dtype that broadcasts with it: often x itself or its shape."""

        def fits(v: Value) -> bool:
            if v.type.dtype != x.type.dtype or (exact and v not in self.exact):
                return False
            try:
                return math.prod(np.broadcast_shapes(v.shape, x.shape)) <= MAX_SIZE
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
        moves = OPS[op].kind in ("move", "index", "sort", "argreduce") or op in ("max", "min")
        integer = all(not v.type.is_float for v in (*operands, *node.results))
        adds = op in ("add_at", "scatter_add")
        if integer or (
            (op in EXACT or (moves and not adds)) and all(v in self.exact for v in operands)
        ):
            self.exact.update(node.results)
        return node.results[0]

    # Steps

    def step(self) -> None:
        """One random step; a step that finds nothing to do adds nothing."""
        try:
            value = self.rng.choice(self.steps)()
        except TapelessError:
            return
        if value is not None and value.type.size <= MAX_SIZE:
            self.values.append(value)

    def bounded(self, value: Value) -> Value:
        """Now and then squashed, or the program soon overflows."""
        if value.type.is_float and self.rng.random() < 0.5:
            return self.emit("tanh", value)
        return value

    def unary(self) -> Value:
        op = self.rng.choice(elementwise(1, "f"))
        x = self.floating(exact=op.name in JUMPS)
        if op.name in GUARDED:
            x = self.b.add(self.b.abs(x), GUARDED[op.name])
        elif op.name in INSIDE:
            x = self.b.mul(self.b.tanh(x), 0.9)
        elif op.name in ("exp", "expm1", "softplus"):
            x = self.bounded(x)
        return self.emit(op.name, x)

    def binary(self) -> Value:
        op = self.rng.choice(elementwise(2, "f"))
        exact = op.name in JUMPS
        x = self.floating(exact=exact)
        y = self.like(x, exact=exact)
        if op.name == "power":
            x, y = self.b.add(self.b.abs(x), 0.1), self.b.tanh(y)
        elif op.name in ("div", "floor_divide", "remainder", "fmod"):
            y = self.b.add(self.b.abs(y), 0.5)
        if self.rng.random() < 0.5:
            x, y = (y, x) if op.name not in ("power", "div", "remainder", "fmod") else (x, y)
        return self.bounded(self.emit(op.name, x, y))

    def number(self) -> Value:
        """A known number on either side, as a scalar or spread over a shape."""
        x = self.floating()
        name = self.rng.choice(("add", "sub", "mul", "div", "maximum", "minimum", "power"))
        k: Value = self.b.constant(
            self.rng.choice((0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0)), x.type.dtype
        )
        if name == "power":
            x = self.b.add(self.b.abs(x), 0.1)
            return self.emit(name, x, k)
        if self.rng.random() < 0.4:
            k = self.b.broadcast(k, shape=x.shape)
        if self.rng.random() < 0.5 and name != "div":
            x, k = k, x
        elif name == "div":
            k = self.b.constant(self.rng.choice((1.0, -1.0, 2.0, 3.0)), x.type.dtype)
        return self.emit(name, x, k)

    def choice(self) -> Value:
        x = self.floating()
        y = self.like(x)
        shape = np.broadcast_shapes(x.shape, y.shape)
        c = self.boolean(shape)
        if self.rng.random() < 0.3:
            c = self.emit("not", c)
        return self.emit("select", c, x, y)

    def convert(self) -> Value:
        x = self.floating()
        dtype = self.rng.choice((F32, F64) if self.rng.random() < 0.7 else (BOOL, I32, I64))
        if dtype.kind != "f":
            x = self.floating(exact=True)
        y = self.emit("cast", x, dtype=dtype)
        return y if dtype.kind == "f" else self.emit("cast", y, dtype=self.dtype)

    def integers(self) -> Value:
        """Integer and Boolean ops, on values that are exact anyway."""
        ops = self.rng.choice((elementwise(1, "i"), elementwise(2, "i"), elementwise(2, "b")))
        op = self.rng.choice(ops)
        kind = "b" if ops is elementwise(2, "b") else "i"
        x = self.pick(lambda v: v.type.dtype.kind == kind)
        if x is None:
            dtype = BOOL if kind == "b" else self.rng.choice((I32, I64))
            x = self.fresh(Type(dtype, self.shape()))
        operands = (x,) if ops is elementwise(1, "i") else (x, self.like(x, exact=True))
        if op.name in ("floor_divide", "remainder", "fmod", "power", "shift_left", "shift_right"):
            last = self.b.add(self.b.remainder(self.b.abs(operands[-1]), 5), 1)
            operands = (*operands[:-1], last)
        return self.emit(op.name, *operands)

    def reduce(self) -> Value:
        if self.rng.random() < 0.15:
            return self.emit(self.rng.choice(("argmax", "argmin")), x := self.nonempty(exact=True),
                             axis=self.rng.randrange(x.type.rank))  # fmt: skip
        op = self.rng.choice(("sum", "sum", "max", "min", "any", "all"))
        x = self.floating() if op == "sum" else self.nonempty()
        if op in ("any", "all"):
            x = self.pick(lambda v: v.type.is_bool) or self.fresh(Type(BOOL, self.shape()))
        axes = tuple(k for k in range(x.type.rank) if self.rng.random() < 0.6)
        y = self.emit(op, x, axes=axes)
        if self.rng.random() < 0.5:
            y = self.emit(
                "reshape", y, shape=tuple(1 if k in axes else n for k, n in enumerate(x.shape))
            )
        return self.bounded(y)

    def nonempty(self, *, exact: bool = False, rank: int = 1) -> Value:
        found = self.pick(
            lambda v: v.type.is_float and v.type.rank >= rank and v.type.size > 0
            and (v in self.exact or not exact)
        )  # fmt: skip
        return found or self.fresh(Type(self.dtype, tuple(d or 1 for d in self.dims[:2])[-2:]))

    def contract(self) -> Value | None:
        """A `dot` with letters drawn at random: shared, summed over one side, kept."""
        x = self.floating(rank=self.rng.choice((0, 1, 2)))
        others = [v for v in self.values if v.type.dtype == x.type.dtype]
        y = self.rng.choice(others) if others else x
        lhs = list(LETTERS[: x.type.rank])
        extents = dict(zip(lhs, x.shape, strict=True))
        rhs: list[str] = []
        for n in y.shape:
            shared = [c for c in lhs if extents[c] == n and c not in rhs]
            if shared and self.rng.random() < 0.7:
                rhs.append(self.rng.choice(shared))
            else:
                rhs.append(new := LETTERS[len(extents)])
                extents[new] = n
        both = [c for c in lhs if c in rhs]
        kept = [c for c in extents if self.rng.random() < (0.3 if c in both else 0.9)]
        self.rng.shuffle(kept)
        if np.prod(list(extents.values())) > MAX_WORK:
            return None
        spec = canonical_spec(f"{''.join(lhs)},{''.join(rhs)}->{''.join(kept)}")
        return self.bounded(self.emit("dot", x, y, spec=spec))

    def move(self) -> Value:
        x = self.floating()
        kind = self.rng.randrange(5)
        if kind == 0:
            return self.emit(
                "transpose", x, perm=tuple(self.rng.sample(range(x.type.rank), x.type.rank))
            )
        if kind == 1:
            return self.emit("reshape", x, shape=self.factored(x.type.size))
        if kind == 2:
            shape = tuple(self.rng.choice(self.dims) if n == 1 else n for n in x.shape)
            if self.rng.random() < 0.5:
                shape = (self.rng.choice((1, 2, 3)), *shape)
            return self.emit("broadcast", x, shape=shape)
        if kind == 3:
            return self.emit("slice", x, spec=self.region_of(x.shape))
        low, high = (tuple(self.rng.choice((0, 0, 1, 2)) for _ in x.shape) for _ in range(2))
        return self.emit("pad", x, low=low, high=high)

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
                spec.append((b - 1, b - 1 + count * step, step) if count else (0, 0, 1))
            else:
                count = len(range(a, b, step))
                spec.append((a, a + (count - 1) * step + 1, step) if count else (0, 0, 1))
        return tuple(spec)

    def join(self) -> Value:
        x = self.floating(rank=1)
        axis = self.rng.randrange(x.type.rank)

        def fits(v: Value) -> bool:
            return v.type.dtype == x.type.dtype and v.type.rank == x.type.rank and all(
                m == n or k == axis for k, (m, n) in enumerate(zip(v.shape, x.shape, strict=True))
            )  # fmt: skip

        parts = [self.pick(fits) or x for _ in range(self.rng.choice((1, 2, 2, 3)))]
        return self.emit("concatenate", *parts, axis=axis)

    def region(self) -> Value:
        """Write or add into a regular part."""
        x = self.floating(rank=1)
        spec = self.region_of(x.shape)
        part = self.emit("slice", self.of_type(x.type) or x, spec=spec)
        return self.emit(self.rng.choice(("update", "add_at")), self.or_zeros(x), part, spec=spec)

    def of_type(self, type_: Type) -> Value | None:
        return self.pick(lambda v: v.type == type_)

    def or_zeros(self, x: Value) -> Value:
        return x if self.rng.random() < 0.5 else self.b.full(x.shape, 0, x.type.dtype)

    def positions(self, x: Value) -> tuple[tuple[int, ...], list[Value]]:
        """Axes of x, and index arrays in range for them (repeats and negatives included)."""
        axes = tuple(sorted(self.rng.sample(range(x.type.rank), self.rng.randint(1, x.type.rank))))
        count = self.rng.choice((1, 2, 5, 8))
        shape = (count,) if self.rng.random() < 0.7 else (2, count)
        found = []
        for axis in axes:
            n = x.shape[axis]
            if self.rng.random() < 0.25 and len(shape) == 1 and n:
                found.append(
                    self.b.iota(n=n) if len(axes) == 1 else self.fresh(Type(I64, shape), n)
                )
            else:
                found.append(self.fresh(Type(I64, shape), n))
        return axes, found

    def index(self) -> Value:
        x = self.nonempty()
        axes, indices = self.positions(x)
        return self.emit("gather", x, *indices, axes=axes)

    def scatter(self) -> Value:
        x = self.nonempty()
        axes, indices = self.positions(x)
        part = self.emit("gather", self.of_type(x.type) or x, *indices, axes=axes)
        op = self.rng.choice(("scatter", "scatter_add", "scatter_add"))
        return self.emit(op, self.or_zeros(x), part, *indices, axes=axes)

    def rows(self) -> Value:
        """Softmax and its kin, as one op or written out."""
        x = self.nonempty()
        axis = self.rng.randrange(x.type.rank)
        if self.rng.random() < 0.5:
            return self.emit(self.rng.choice(("softmax", "logsumexp")), x, axis=axis)
        ones = tuple(1 if k == axis else n for k, n in enumerate(x.shape))
        if self.rng.random() < 0.5:
            x = self.b.sub(x, self.b.reshape(self.b.max(x, axes=(axis,)), shape=ones))
        e = self.b.exp(x)
        total = self.b.reshape(self.b.sum(e, axes=(axis,)), shape=ones)
        p = self.b.div(e, total)
        return self.b.log(p if self.rng.random() < 0.5 else total)

    def order(self) -> Value:
        """Sort along an axis, by the permutation and a gather."""
        x = self.nonempty(exact=True)
        flat = self.emit("reshape", x, shape=(x.type.size,))
        return self.emit("gather", flat, self.emit("argsort", flat, axis=0), axes=(0,))

    def motif(self) -> Value | None:
        """The graph a rule is documented with, on values of the program where types agree."""
        graph = parse(self.rng.choice(motifs()))
        operands = []
        for v in graph.inputs:
            # Indices of a motif must be in range, so they are its own.
            found = None if v.type.is_integer else self.of_type(v.type)
            operands.append(found or self.fresh(v.type, 2 if v.type.is_integer else None))
        results = inline(self.b, graph, operands)
        self.values += [v for v in results[1:] if v not in self.values]
        return results[0]

    def sample(self) -> Value | None:
        """Any op of the registry on one of its samples, so that none is left out."""
        op = self.rng.choice(
            [op for op in OPS.values() if op.samples and op.kind not in ("autodiff", "constant")]
        )
        sample = self.rng.choice(op.samples)
        draw = np.random.default_rng(self.rng.getrandbits(32))
        operands = [self.given(array) for array in draw_operands(draw, sample)]
        node = self.b.emit(op, operands, sample.attrs)
        self.values += [v for v in node.results[1:] if v.type.size <= MAX_SIZE]
        return node.results[0]

    # The program

    def program(self) -> Program:
        """Up to three outputs, late values more often, and updates of inputs of their types."""
        inside = [v for v in self.values if v not in self.inputs] or self.values
        outputs = [self.rng.choice(inside[-6:]) for _ in range(self.rng.randint(1, 3))]
        updates = []
        for target in self.inputs:
            if target.type.is_float and self.rng.random() < 0.3:
                fitting = [v for v in self.values if v.type == target.type and v is not target]
                if fitting:
                    updates.append((target, self.rng.choice(fitting)))
        graph = Graph("f", tuple(self.inputs), tuple(self.b.nodes), tuple(outputs), tuple(updates))
        return Program(graph, self.arguments)
