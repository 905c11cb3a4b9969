"""LLVM text about vectors: the registers of a processor, and a writer of functions for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from ..ir.record import dataclass

LLVM_FLOAT: Final = {"f32": "float", "f64": "double"}
SIZE: Final = {"f32": 4, "f64": 8}


@dataclass(frozen=True)
class Registers:
    """The vector registers of a processor: bytes in each, their number, and whether a masked load
    costs no more than a load."""

    bytes: int
    count: int
    masked: bool

    def lanes(self, dtype: str) -> int:
        """Elements of a vector."""
        return self.bytes // SIZE[dtype]

    def tallest(self, vectors: int) -> int:
        """Rows of a tile that is `vectors` wide: the sums, a row of B and one number of A fit in
        the registers."""
        return min(8, (self.count - vectors - 1) // vectors)

    @property
    def widths(self) -> tuple[int, ...]:
        """Vectors per row of a tile, widest first."""
        return tuple(v for v in (3, 2, 1) if self.tallest(v) >= 5)


AVX512: Final = Registers(64, 32, masked=True)
AVX2: Final = Registers(32, 16, masked=False)
NEON: Final = Registers(16, 32, masked=False)
PLAIN: Final = Registers(16, 16, masked=False)


def registers(features: Mapping[str, bool]) -> Registers:
    """The registers of a processor with these features, in LLVM's names."""
    if features.get("avx512f") and features.get("avx512vl"):
        return AVX512
    if features.get("avx"):
        return AVX2
    return NEON if features.get("neon") else PLAIN


@dataclass(frozen=True)
class Target:
    machine: Registers
    dtype: str

    @property
    def lanes(self) -> int:
        return self.machine.lanes(self.dtype)

    @property
    def float(self) -> str:
        return LLVM_FLOAT[self.dtype]

    @property
    def vector(self) -> str:
        return f"<{self.lanes} x {self.float}>"

    @property
    def bits(self) -> str:
        return f"<{self.lanes} x i1>"

    @property
    def suffix(self) -> str:
        return f"v{self.lanes}{self.dtype}.p0"

    @property
    def half(self) -> Target:
        """The same with vectors of at most 32 bytes."""
        return Target(replace(self.machine, bytes=min(self.machine.bytes, 32)), self.dtype)

    @property
    def panel(self) -> int:
        """Columns of the widest tile."""
        return self.machine.widths[0] * self.lanes


@dataclass(frozen=True)
class Parameters:
    """What a function takes: letters as in `ROUTINES`, names."""

    layout: str
    names: tuple[str, ...]

    def kinds(self, t: Target) -> tuple[str, ...]:
        table = {"i": "i64", "f": t.float, "p": "ptr", "o": "ptr"}
        return tuple(table[letter] for letter in self.layout)


def parameters(text: str) -> Parameters:
    """From "i %m, p %a, f %alpha"."""
    pairs = [part.split() for part in text.split(", ")]
    return Parameters("".join(kind for kind, _ in pairs), tuple(name for _, name in pairs))


def declarations(t: Target) -> str:
    """What the functions of a module use: intrinsics, and zeros to read instead of numbers that
    must not be read."""
    return f"""{"".join(map(_masked, dict.fromkeys((t, t.half)))) if t.machine.masked else ""}
declare i64 @llvm.umin.i64(i64, i64)
declare void @llvm.prefetch.p0(ptr, i32 immarg, i32 immarg, i32 immarg)
@zeros = internal constant [{t.panel} x {t.float}] zeroinitializer, align 64
attributes #0 = {{ nounwind "prefer-vector-width"="{8 * t.machine.bytes}" }}"""


def _masked(t: Target) -> str:
    v, m, s = t.vector, t.bits, t.suffix
    return f"""
declare {v} @llvm.masked.load.{s}(ptr, i32 immarg, {m}, {v})
declare void @llvm.masked.store.{s}({v}, ptr, i32 immarg, {m})"""


_COMPARISONS: Final = {"==": "eq", "!=": "ne", "<": "ult", ">": "ugt", ">=": "uge", "<=": "ule"}


Start = tuple[str, str]
"""The LLVM type of a value that a loop changes, and its first value."""


@dataclass
class Loop:
    """`values` are those of the current pass, and after the loop the last; what `nexts` is when
    the pass ends are those of the next."""

    index: str
    values: list[str]
    nexts: list[str]


class Writer:
    """The body of a function: instructions in order, each value under a fresh name."""

    def __init__(self, t: Target) -> None:
        self.t = t
        self.lines: list[str] = []
        self.block = "0"
        self._labels = 0

    def put(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def fresh(self, name: str) -> str:
        """A label."""
        self._labels += 1
        return f"{name}{self._labels}"

    def new(self, expression: str) -> str:
        name = f"%v{len(self.lines)}"
        self.put(f"{name} = {expression}")
        return name

    # Structure

    @contextmanager
    def loop(self, first: str, end: str, step: int | str, *starts: Start) -> Iterator[Loop]:
        """For i in range(first, end, step), unsigned: the instructions inside. Values that change
        from pass to pass have a kind and a first value each."""
        head, body, after = map(self.fresh, ("for", "do", "end"))
        before = self.block
        self.put(f"br label %{head}")
        self.label(head)
        place = len(self.lines)
        index, *values = [self.new("") for _ in range(1 + len(starts))]
        more = self.compare(f"{index} < {end}")
        self.put(f"br i1 {more}, label %{body}, label %{after}")
        self.label(body)
        loop = Loop(index, values, list(values))
        yield loop
        nexts = [self.integer("add", index, step), *loop.nexts]
        kinds, firsts = zip(("i64", first), *starts, strict=True)
        for k, name in enumerate([index, *values]):
            arms = f"[ {firsts[k]}, %{before} ], [ {nexts[k]}, %{self.block} ]"
            self.lines[place + k] = f"  {name} = phi {kinds[k]} {arms}"
        self.put(f"br label %{head}")
        self.label(after)

    def steps(self, end: str, sizes: tuple[int, int]) -> Iterator[tuple[str, int]]:
        """Loops from 0 to `end`, in steps of the first size and then of the second, which is 1."""
        whole = self.integer("and", end, -sizes[0])
        with self.loop("0", whole, sizes[0]) as loop:
            yield loop.index, sizes[0]
        with self.loop(whole, end, sizes[1]) as loop:
            yield loop.index, sizes[1]

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """The instructions inside if the i1 is true."""
        inside, after = self.fresh("then"), self.fresh("after")
        self.put(f"br i1 {condition}, label %{inside}, label %{after}")
        self.label(inside)
        yield
        self.put(f"br label %{after}")
        self.label(after)

    def leave(self) -> None:
        """Return; what follows is not reached."""
        self.put("ret void")
        self.label(self.fresh("unreached"))

    # Integers

    def compare(self, condition: str) -> str:
        """ "%k >= 8", of unsigned numbers."""
        left, sign, right = condition.split()
        return self.new(f"icmp {_COMPARISONS[sign]} i64 {left}, {right}")

    def all(self, *conditions: str) -> str:
        """Whether all hold."""
        first, *others = map(self.compare, conditions)
        for other in others:
            first = self.both(first, other)
        return first

    def any(self, *conditions: str) -> str:
        """Whether one holds."""
        first, *others = map(self.compare, conditions)
        for other in others:
            first = self.either(first, other)
        return first

    def both(self, x: str, y: str) -> str:
        return self.new(f"and i1 {x}, {y}")

    def either(self, x: str, y: str) -> str:
        return self.new(f"or i1 {x}, {y}")

    def negated(self, x: str) -> str:
        return self.new(f"xor i1 {x}, true")

    def integer(self, operation: str, x: str | int, y: str | int) -> str:
        """add, sub, mul, udiv, urem, and, or."""
        return self.new(f"{operation} i64 {x}, {y}")

    def umin(self, x: str, y: str | int) -> str:
        return self.new(f"call i64 @llvm.umin.i64(i64 {x}, i64 {y})")

    def at_least_one(self, x: str) -> str:
        return self.choose(self.compare(f"{x} == 0"), 1, x)

    def choose(self, condition: str, x: str | int, y: str | int, kind: str = "i64") -> str:
        return self.new(f"select i1 {condition}, {kind} {x}, {kind} {y}")

    def unless_zero(self, number: str, *choices: tuple[str | int, str | int, str]) -> list[str]:
        """Of each pair, with its type, the first unless the number is 0."""
        differs = self.new(f"fcmp une {self.t.float} {number}, 0.0")
        return [self.choose(differs, *choice) for choice in choices]

    # Memory

    def at(self, pointer: str, *offsets: str) -> str:
        """The address so many elements further on."""
        for offset in offsets:
            pointer = self.new(f"getelementptr {self.t.float}, ptr {pointer}, i64 {offset}")
        return pointer

    def buffer(self, count: int) -> str:
        """Room for so many numbers until the function returns."""
        return self.new(f"alloca [{count} x {self.t.float}], align 64")

    def load(self, pointer: str, mask: str | None = None) -> str:
        t, align = self.t, SIZE[self.t.dtype]
        if mask is None:
            return self.new(f"load {t.vector}, ptr {pointer}, align {align}")
        return self.new(
            f"call {t.vector} @llvm.masked.load.{t.suffix}(ptr {pointer}, i32 {align}, "
            f"{t.bits} {mask}, {t.vector} zeroinitializer)"
        )

    def store(self, value: str, pointer: str, mask: str | None = None) -> None:
        t, align = self.t, SIZE[self.t.dtype]
        if mask is None:
            self.put(f"store {t.vector} {value}, ptr {pointer}, align {align}")
            return
        self.put(
            f"call void @llvm.masked.store.{t.suffix}({t.vector} {value}, ptr {pointer}, "
            f"i32 {align}, {t.bits} {mask})"
        )

    def scalar(self, pointer: str) -> str:
        return self.new(f"load {self.t.float}, ptr {pointer}, align {SIZE[self.t.dtype]}")

    def prefetch(self, pointer: str, locality: int) -> None:
        """Have the cache line there brought to the first-level (3) or second-level (2) cache; any
        address will do."""
        self.put(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 {locality}, i32 1)")

    # Vectors

    def splat(self, number: str, kind: str) -> str:
        lanes = self.t.lanes
        first = self.new(f"insertelement <{lanes} x {kind}> poison, {kind} {number}, i64 0")
        return self.new(
            f"shufflevector <{lanes} x {kind}> {first}, <{lanes} x {kind}> poison, "
            f"<{lanes} x i32> zeroinitializer"
        )

    def gathered(self, numbers: Sequence[str]) -> str:
        """The vector of so many numbers."""
        kind, vector = f"<{len(numbers)} x {self.t.float}>", "poison"
        for lane, number in enumerate(numbers):
            place = f"{self.t.float} {number}, i64 {lane}"
            vector = self.new(f"insertelement {kind} {vector}, {place}")
        return vector

    def mask(self, count: str) -> str:
        """Which lanes are below `count`."""
        kind = f"<{self.t.lanes} x i32>"
        numbers = ", ".join(f"i32 {lane}" for lane in range(self.t.lanes))
        limit = self.splat(self.new(f"trunc i64 {count} to i32"), "i32")
        return self.new(f"icmp ult {kind} <{numbers}>, {limit}")

    def shuffle(self, x: str, y: str, lanes: Sequence[int]) -> str:
        """The given lanes of x and, counted on, y."""
        v, order = self.t.vector, ", ".join(f"i32 {lane}" for lane in lanes)
        return self.new(f"shufflevector {v} {x}, {v} {y}, <{len(lanes)} x i32> <{order}>")

    def multiply_add(self, x: str, y: str, z: str, kind: str) -> str:
        """x * y + z: one FMA where the processor has it, else two instructions."""
        product = self.new(f"fmul contract {kind} {x}, {y}")
        return self.new(f"fadd contract {kind} {product}, {z}")

    def add(self, x: str, y: str) -> str:
        return self.new(f"fadd {self.t.vector} {x}, {y}")

    def call(self, function: str, parameters: Parameters, *arguments: str | int) -> None:
        """Call a function that returns nothing."""
        kinds = parameters.kinds(self.t)
        pairs = zip(kinds, arguments, strict=True)
        self.put(f"call void @{function}({', '.join(f'{kind} {x}' for kind, x in pairs)})")

    def become(self, function: str, parameters: Parameters) -> None:
        """Go on as another function with the same parameters."""
        self.call(function, parameters, *parameters.names)
        self.lines[-1] = self.lines[-1].replace("call", "musttail call", 1)
        self.leave()

    def define(self, name: str, parameters: Parameters, linkage: str = "internal ") -> str:
        """The function of which this is the body."""
        pairs = zip(parameters.kinds(self.t), parameters.names, strict=True)
        declared = ", ".join(f"{kind} {x}" for kind, x in pairs)
        header = f"define {linkage}void @{name}({declared}) #0 {{"
        return "\n".join([header, *self.lines, "  ret void", "}"])
