"""LLVM text, one instruction at a time.

    b = Builder()
    total = b.add(x, b.convert(n, "f32"))          %v0 = sitofp i64 %n to float
    b.ret(total)                                   %v1 = fadd float %x, %v0

A value carries the IR dtype it holds ("f32", "u8", "bool"; "f32*" for a buffer), which decides the
instruction: LLVM's integers have no sign. Where a sum is asked for that may `contract`, a product
in it may be added by an FMA, which rounds once. Sums of elements may not: computed again in another
loop, beside other readers of the product, they would differ in their last bit, and no element equal
the maximum of its row. Every other freedom would lose NaN, infinities or signed zeros. Nothing here
imports llvmlite, whose own builder takes ten times as long.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ..ir.types import DTYPES

MEMORY: Final = {
    "bool": "i8", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64",
    "u8": "i8", "u16": "i16", "u32": "i32", "u64": "i64", "f32": "float", "f64": "double",
}  # fmt: skip
"""LLVM's type of an element in memory."""

_REGISTER: Final = MEMORY | {"bool": "i1"}
_LETTER: Final = {name: dtype.kind for name, dtype in DTYPES.items()}
BITS: Final = {name: 8 * dtype.itemsize for name, dtype in DTYPES.items()} | {"bool": 1}
_COMPARISONS: Final = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}


class Value(NamedTuple):
    """An LLVM value and the IR dtype it holds; of a vector, the dtype of its elements, and their
    number."""

    kind: str
    text: str
    lanes: int = 0

    @property
    def letter(self) -> str:
        """The kind of the dtype, as in NumPy: "f", "i", "u" or "b"."""
        return _LETTER[self.kind]

    @property
    def typed(self) -> str:
        return f"{llvm_type(self.kind, self.lanes)} {self.text}"


def llvm_type(kind: str, lanes: int = 0) -> str:
    """The LLVM type of a value in a register, or of a vector of so many."""
    single = "ptr" if kind.endswith("*") else _REGISTER[kind]
    return f"<{lanes} x {single}>" if lanes else single


def constant(kind: str, number: float, lanes: int = 0) -> Value:
    """A number as a value of this dtype, or a vector of it; integers wrap."""
    if lanes:
        return Value(kind, f"splat ({constant(kind, number).typed})", lanes)
    letter = _LETTER[kind]
    if letter == "f":
        return Value(kind, float_literal(number, kind))
    if letter == "b":
        return Value(kind, "true" if number else "false")
    half = 1 << BITS[kind] - 1
    return Value(kind, str((int(number) + half) % (2 * half) - half))


def float_literal(value: float, kind: str) -> str:
    """LLVM's exact spelling: the bits of the double that equals the number."""
    rounded = float(value) if kind == "f64" else ctypes.c_float(value).value
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


class Builder:
    """Instructions of one function. `symbols` are the declarations and definitions they need
    beside it, by name; `attributes` those of the function. `shares` says that elementary functions
    are called where they lie (`runtime/sharing.py`), not made part of it; `avx512` that they may
    use its instructions."""

    def __init__(
        self,
        symbols: dict[str, str] | None = None,
        *,
        shares: bool = False,
        avx512: bool = False,
    ) -> None:
        self.shares = shares
        self.avx512 = avx512
        self.lines: list[str] = []
        self.symbols: dict[str, str] = {} if symbols is None else symbols
        self.attributes: dict[str, None] = {"nounwind": None}

    def function(self, linkage: str, result: str, name: str, parameters: Sequence[str]) -> str:
        """The instructions as the definition of a function."""
        head = f"define {linkage} {result} @{quoted(name)}({', '.join(parameters)})"
        return "\n".join([f"{head} {' '.join(self.attributes)} {{", *self.lines, "}\n"])

    # --- arithmetic on two values of one dtype

    def add(self, x: Value, y: Value, flags: str = "") -> Value:
        return self._arithmetic(f"fadd {flags}".rstrip(), "add", x, y)

    def sub(self, x: Value, y: Value, flags: str = "") -> Value:
        return self._arithmetic(f"fsub {flags}".rstrip(), "sub", x, y)

    def mul(self, x: Value, y: Value, flags: str = "contract") -> Value:
        return self._arithmetic(f"fmul {flags}", "mul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        return self._arithmetic("fdiv contract", "udiv" if x.letter == "u" else "sdiv", x, y)

    def rem(self, x: Value, y: Value) -> Value:
        """The remainder of a truncated division."""
        return self._arithmetic("frem contract", "urem" if x.letter == "u" else "srem", x, y)

    def and_(self, x: Value, y: Value) -> Value:
        return self._binary("and", x, y)

    def or_(self, x: Value, y: Value) -> Value:
        return self._binary("or", x, y)

    def xor(self, x: Value, y: Value) -> Value:
        return self._binary("xor", x, y)

    def shl(self, x: Value, y: Value) -> Value:
        return self._binary("shl", x, y)

    def shr(self, x: Value, y: Value) -> Value:
        return self._binary("ashr" if x.letter == "i" else "lshr", x, y)

    def neg(self, x: Value) -> Value:
        if x.letter == "f":
            return self.instruction(x.kind, f"fneg {x.typed}", x.lanes)
        return self.sub(constant(x.kind, 0, x.lanes), x)

    def not_(self, x: Value) -> Value:
        return self.xor(x, constant(x.kind, True if x.kind == "bool" else -1, x.lanes))

    def compare(self, symbol: str, x: Value, y: Value) -> Value:
        """A comparison as Python and NumPy mean it: with a NaN all but != are false."""
        name = _COMPARISONS[symbol]
        if x.letter == "f":
            verb = f"fcmp {'u' if name == 'ne' else 'o'}{name}"
        elif name in ("eq", "ne"):
            verb = f"icmp {name}"
        else:
            verb = f"icmp {'s' if x.letter == 'i' else 'u'}{name}"
        return self.instruction("bool", f"{verb} {_pair(x, y)}", x.lanes)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        text = f"select {condition.typed}, {x.typed}, {y.typed}"
        return self.instruction(x.kind, text, x.lanes)

    def convert(self, x: Value, kind: str) -> Value:
        """A number as another dtype, as C converts; anything but 0 is true."""
        if x.kind == kind:
            return x
        if kind == "bool":
            return self.compare("!=", x, constant(x.kind, 0, x.lanes))
        source, target = x.letter, _LETTER[kind]
        if source == "f" or target == "f":
            verb = _FLOAT_CONVERSIONS[source, target, BITS[kind] > BITS[x.kind]]
        elif BITS[kind] == BITS[x.kind]:
            return Value(kind, x.text, x.lanes)
        elif BITS[kind] < BITS[x.kind]:
            verb = "trunc"
        else:
            verb = "sext" if source == "i" else "zext"
        return self._cast(verb, x, kind)

    def bitcast(self, x: Value, kind: str) -> Value:
        """The same bits as another dtype."""
        return self._cast("bitcast", x, kind)

    # --- memory and calls

    def address(self, buffer: Value, index: Value) -> Value:
        """The buffer that starts `index` elements later."""
        element = MEMORY[buffer.kind[:-1]]
        return self.instruction(
            buffer.kind, f"getelementptr inbounds {element}, ptr {buffer.text}, {index.typed}"
        )

    def load(self, buffer: Value) -> Value:
        """The first element of a buffer."""
        kind = buffer.kind[:-1]
        loaded = self.instruction(kind, f"load {MEMORY[kind]}, ptr {buffer.text}")
        return self.instruction(kind, f"trunc i8 {loaded.text} to i1") if kind == "bool" else loaded

    def store(self, x: Value, buffer: Value) -> None:
        if x.kind == "bool":
            x = self._cast("zext", x, "u8")
        self.lines.append(f"store {x.typed}, ptr {buffer.text}")

    def intrinsic(self, name: str, *operands: Value, flags: str = "") -> Value:
        """`llvm.<name>` on floats of one dtype, or vectors of them, with fast-math `flags`."""
        kind, lanes = operands[0].kind, operands[0].lanes
        suffix = f"v{lanes}{kind}" if lanes else kind
        return self.call(kind, f"llvm.{name}.{suffix}", *operands, flags=flags)

    def call(self, result: str, symbol: str, *operands: Value, flags: str = "") -> Value:
        """Call a function that returns a value of a dtype, or a vector if it takes vectors."""
        lanes = operands[0].lanes if operands else 0
        text = self._call(llvm_type(result, lanes), symbol, operands)
        if flags:
            text = text.replace("call ", f"call {flags} ", 1)
        return self.instruction(result, text, lanes)

    def call_void(self, symbol: str, *operands: Value) -> None:
        self.lines.append(self._call("void", symbol, operands))

    def copy(self, target: Value, source: Value, count: Value) -> None:
        """target[:count] = source[:count], which do not overlap."""
        size, still = self._bytes(target, count), constant("bool", False)
        self.call_void("llvm.memcpy.p0.p0.i64", target, source, size, still)

    def zero(self, target: Value, count: Value) -> None:
        """target[:count] = 0"""
        size, still = self._bytes(target, count), constant("bool", False)
        self.call_void("llvm.memset.p0.i64", target, constant("i8", 0), size, still)

    def _bytes(self, buffer: Value, count: Value) -> Value:
        return self.mul(count, constant("i64", DTYPES[buffer.kind[:-1]].itemsize))

    def _call(self, result: str, symbol: str, operands: Sequence[Value]) -> str:
        self.declare(symbol, result, [llvm_type(x.kind, x.lanes) for x in operands])
        return f"call {result} @{quoted(symbol)}({', '.join(x.typed for x in operands)})"

    def declare(self, symbol: str, result: str, operands: Sequence[str]) -> None:
        """Say which types a function of another module has, unless it is known."""
        if symbol not in self.symbols:
            self.symbols[symbol] = f"declare {result} @{quoted(symbol)}({', '.join(operands)})"

    # --- control flow

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def branch(self, label: str) -> None:
        self.lines.append(f"br label %{label}")

    def branch_if(self, condition: Value, then: str, otherwise: str) -> None:
        self.lines.append(f"br i1 {condition.text}, label %{then}, label %{otherwise}")

    def ret(self, x: Value | None = None) -> None:
        self.lines.append("ret void" if x is None else f"ret {x.typed}")

    # --- the rest

    def _arithmetic(self, float_verb: str, verb: str, x: Value, y: Value) -> Value:
        return self._binary(float_verb if x.letter == "f" else verb, x, y)

    def _binary(self, verb: str, x: Value, y: Value) -> Value:
        return self.instruction(x.kind, f"{verb} {_pair(x, y)}", x.lanes)

    def _cast(self, verb: str, x: Value, kind: str) -> Value:
        return self.instruction(kind, f"{verb} {x.typed} to {llvm_type(kind, x.lanes)}", x.lanes)

    def instruction(self, kind: str, text: str, lanes: int = 0) -> Value:
        """Any instruction with a result."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return Value(kind, name, lanes)


_FLOAT_CONVERSIONS: Final = {
    ("f", "f", True): "fpext", ("f", "f", False): "fptrunc",
    **{("f", "i", wider): "fptosi" for wider in (True, False)},
    **{("f", "u", wider): "fptoui" for wider in (True, False)},
    **{("i", "f", wider): "sitofp" for wider in (True, False)},
    **{("u", "f", wider): "uitofp" for wider in (True, False)},
    **{("b", "f", wider): "uitofp" for wider in (True, False)},
}  # fmt: skip


KEPT: Final = "tapeless.vector."
"""How the names start of functions that only LLVM's loop vectoriser will call."""


def module(symbols: Mapping[str, str], *functions: str, keeps: bool = True) -> str:
    """The text of a module: functions and the symbols they need. It `keeps` what LLVM's loop
    vectoriser may call."""
    kept = [f"ptr @{quoted(name)}" for name in symbols if keeps and name.startswith(KEPT)]
    used = [
        f"@llvm.compiler.used = appending global [{len(kept)} x ptr] [{', '.join(kept)}], "
        'section "llvm.metadata"'
    ]
    return "\n".join([*symbols.values(), *functions, *(used if kept else ())])


def quoted(symbol: str) -> str:
    return f'"{symbol}"'


def _pair(x: Value, y: Value) -> str:
    return f"{x.typed}, {y.text}"
