"""LLVM text about vectors: the registers of a processor, and a writer of functions for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .kernel import ROUTINES

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
        return tuple(v for v in (4, 2, 1) if self.tallest(v) >= 5)


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
    def panel(self) -> int:
        """Columns of the widest tile."""
        return self.machine.widths[0] * self.lanes


def declarations(t: Target) -> str:
    v, m, s = t.vector, t.bits, t.suffix
    return f"""
declare {v} @llvm.masked.load.{s}(ptr, i32 immarg, {m}, {v})
declare void @llvm.masked.store.{s}({v}, ptr, i32 immarg, {m})
declare {t.float} @llvm.vector.reduce.fadd.v{t.lanes}{t.dtype}({t.float}, {v})
declare i64 @llvm.umin.i64(i64, i64)"""


class Writer:
    """The body of a function: instructions in order, each value under a fresh name."""

    def __init__(self, t: Target) -> None:
        self.t = t
        self.lines: list[str] = []

    def put(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def new(self, expression: str) -> str:
        name = f"%v{len(self.lines)}"
        self.put(f"{name} = {expression}")
        return name

    def at(self, pointer: str, *offsets: str) -> str:
        """The address so many elements further on."""
        for offset in offsets:
            pointer = self.new(f"getelementptr {self.t.float}, ptr {pointer}, i64 {offset}")
        return pointer

    def umin(self, x: str, y: str) -> str:
        return self.new(f"call i64 @llvm.umin.i64(i64 {x}, i64 {y})")

    def splat(self, number: str, kind: str) -> str:
        lanes = self.t.lanes
        first = self.new(f"insertelement <{lanes} x {kind}> poison, {kind} {number}, i64 0")
        return self.new(
            f"shufflevector <{lanes} x {kind}> {first}, <{lanes} x {kind}> poison, "
            f"<{lanes} x i32> zeroinitializer"
        )

    def mask(self, count: str, first: int = 0) -> str:
        """Which lanes, counted from `first`, are below `count`."""
        lanes = range(first, first + self.t.lanes)
        kind = f"<{self.t.lanes} x i32>"
        numbers = ", ".join(f"i32 {lane}" for lane in lanes)
        limit = self.splat(self.new(f"trunc i64 {count} to i32"), "i32")
        return self.new(f"icmp ult {kind} <{numbers}>, {limit}")

    def load(self, pointer: str, mask: str | None) -> str:
        t, align = self.t, SIZE[self.t.dtype]
        if mask is None:
            return self.new(f"load {t.vector}, ptr {pointer}, align {align}")
        return self.new(
            f"call {t.vector} @llvm.masked.load.{t.suffix}(ptr {pointer}, i32 {align}, "
            f"{t.bits} {mask}, {t.vector} zeroinitializer)"
        )

    def store(self, value: str, pointer: str, mask: str) -> None:
        t, align = self.t, SIZE[self.t.dtype]
        self.put(
            f"call void @llvm.masked.store.{t.suffix}({t.vector} {value}, ptr {pointer}, "
            f"i32 {align}, {t.bits} {mask})"
        )

    def scalar(self, pointer: str) -> str:
        return self.new(f"load {self.t.float}, ptr {pointer}, align {SIZE[self.t.dtype]}")

    def multiply_add(self, x: str, y: str, z: str, kind: str) -> str:
        """x * y + z: one FMA where the processor has it, else two instructions."""
        product = self.new(f"fmul contract {kind} {x}, {y}")
        return self.new(f"fadd contract {kind} {product}, {z}")

    def add(self, x: str, y: str) -> str:
        return self.new(f"fadd {self.t.vector} {x}, {y}")

    def phis(self, kind: str, names: Sequence[str], *edges: tuple[Sequence[str], str]) -> None:
        for i, name in enumerate(names):
            arms = ", ".join(f"[ {values[i]}, %{block} ]" for values, block in edges)
            self.put(f"{name} = phi {kind} {arms}")

    def text(self, header: str) -> str:
        return "\n".join([header, *self.lines, "}"])

    def advance(
        self, following: str, current: str, step: int, end: str, targets: tuple[str, str]
    ) -> None:
        """Go back to the first target while there is more below `end`, else on to the second."""
        self.put(f"{following} = add i64 {current}, {step}")
        more = self.new(f"icmp ult i64 {following}, {end}")
        self.put(f"br i1 {more}, label %{targets[0]}, label %{targets[1]}")


def parameter_types(routine: str, dtype: str) -> list[str]:
    """LLVM types of the C function's parameters."""
    kinds = {"i": "i64", "f": LLVM_FLOAT[dtype], "p": "ptr"}
    return [kinds[letter] for letter in ROUTINES[routine]]
