"""Vectors that are read, written, spread and folded, as LLVM instructions.

mask = first_lanes(b, n, 16)                 the first n of 16 elements
x = load_lanes(b, place, 16, mask)           what lies there; 0 where the mask is not
total = fold_lanes(b, "add", x)              their sum, in whatever order
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..ir.types import DTYPES
from .builder import MEMORY, Builder, Value, constant, llvm_type

_JOINS: Final = {
    "and": "and",
    "or": "or",
    "add": "add",
    "mul": "mul",
    "maximum": "max",
    "minimum": "min",
}


def splat(b: Builder, x: Value, lanes: int) -> Value:
    """A number in all elements of a vector."""
    if not x.text.startswith("%"):
        return Value(x.kind, f"splat ({x.typed})", lanes)
    kind = llvm_type(x.kind, lanes)
    first = b.instruction(x.kind, f"insertelement {kind} poison, {x.typed}, i64 0", lanes)
    text = f"shufflevector {first.typed}, {kind} poison, <{lanes} x i32> zeroinitializer"
    return b.instruction(x.kind, text, lanes)


def counted(b: Builder, first: Value, lanes: int) -> Value:
    """first, first + 1, ..."""
    numbers = ", ".join(f"i64 {lane}" for lane in range(lanes))
    return b.add(splat(b, first, lanes), Value("i64", f"<{numbers}>", lanes))


def first_lanes(b: Builder, count: Value, lanes: int) -> Value:
    """The mask of the first `count` elements, an i64 from 0 to their number, which is below 128.

    It is compared for, not shifted: a masked store of eight bytes is one of sixteen on x86, and
    where its mask has been spilled, LLVM 22 takes what lies behind eight bits for the rest of it.
    """
    kind = f"i{max(8, min(64, 512 // lanes))}"
    numbers = ", ".join(f"{kind} {lane}" for lane in range(lanes))
    return b.compare(
        "<", Value(kind, f"<{numbers}>", lanes), splat(b, b.convert(count, kind), lanes)
    )


def load_lanes(b: Builder, place: Value, lanes: int, mask: Value | None) -> Value:
    """The elements from a place on; of those that the mask leaves out nothing is read."""
    kind = place.kind[:-1]
    memory, align = _memory(kind, lanes)
    if mask is None:
        x = b.instruction(kind, f"load {memory}, ptr {place.text}, align {align}", lanes)
    else:
        symbol = f"llvm.masked.load.{_suffix(kind, lanes)}.p0"
        found = f"ptr {place.text}, i32 {align}, {mask.typed}, {memory} zeroinitializer"
        b.declare(symbol, memory, ["ptr", "i32", llvm_type("bool", lanes), memory])
        x = b.instruction(kind, f"call {memory} @{symbol}({found})", lanes)
    if kind != "bool":
        return x
    return b.instruction("bool", f"trunc {memory} {x.text} to {llvm_type('bool', lanes)}", lanes)


def load_in_steps(b: Builder, place: Value, lanes: int, step: int) -> Value:
    """Elements so far apart, the first at a place: vectors of neighbours, shuffled. Nothing before
    the first or behind the last of them is read."""
    size, places = abs(step), [k * abs(step) for k in range(lanes)]
    if step < 0:
        place, places = b.address(place, constant("i64", -places[-1])), places[::-1]
    last = size * (lanes - 1) + 1 - lanes
    starts = [min(k * lanes, last) for k in range(size)]
    parts = [load_lanes(b, b.address(place, constant("i64", k)), lanes, None) for k in starts]
    known = [min(k // lanes, size - 1) for k in places]
    total, *others = parts
    chosen = [k if part == 0 else 0 for k, part in zip(places, known, strict=True)]
    for number, x in enumerate(others or parts, start=1):
        taken = [
            lanes + k - starts[number] if part == number else before
            for k, part, before in zip(places, known, chosen, strict=True)
        ]
        total, chosen = _shuffled(b, total, x, taken), list(range(lanes))
    return total


def _shuffled(b: Builder, x: Value, y: Value, places: Sequence[int]) -> Value:
    """Elements of two vectors, one after the other."""
    mask = ", ".join(f"i32 {k}" for k in places)
    text = f"shufflevector {x.typed}, {y.typed}, <{x.lanes} x i32> <{mask}>"
    return b.instruction(x.kind, text, x.lanes)


def store_lanes(b: Builder, x: Value, place: Value, mask: Value | None) -> None:
    """Write elements from a place on; those that the mask leaves out are not touched."""
    kind = x.kind
    memory, align = _memory(kind, x.lanes)
    if kind == "bool":
        x = b.convert(x, "u8")
    if mask is None:
        b.lines.append(f"store {x.typed}, ptr {place.text}, align {align}")
        return
    symbol = f"llvm.masked.store.{_suffix(kind, x.lanes)}.p0"
    b.declare(symbol, "void", [memory, "ptr", "i32", llvm_type("bool", x.lanes)])
    b.lines.append(f"call void @{symbol}({x.typed}, ptr {place.text}, i32 {align}, {mask.typed})")


def gather(b: Builder, buffer: Value, index: Value) -> Value:
    """The elements of a buffer at the places that a vector of integers says."""
    kind, lanes = buffer.kind[:-1], index.lanes
    memory, mask = f"<{lanes} x {MEMORY[kind]}>", constant("bool", True, lanes)
    places = b.instruction(
        "i64", f"getelementptr {MEMORY[kind]}, ptr {buffer.text}, {index.typed}", lanes
    )
    symbol = f"llvm.masked.gather.{_suffix(kind, lanes)}.v{lanes}p0"
    b.declare(symbol, memory, [f"<{lanes} x ptr>", "i32", llvm_type("bool", lanes), memory])
    found = f"<{lanes} x ptr> {places.text}, i32 {DTYPES[kind].itemsize}, {mask.typed}"
    return b.instruction(kind, f"call {memory} @{symbol}({found}, {memory} zeroinitializer)", lanes)


def join(b: Builder, how: str, x: Value, y: Value) -> Value:
    """Two accumulators, numbers or vectors, in one."""
    if how in ("and", "or"):
        return (b.and_ if how == "and" else b.or_)(x, y)
    if how in ("add", "widened", "mul"):
        return (b.mul if how == "mul" else b.add)(x, y, flags="reassoc contract")
    if how in ("larger", "smaller"):
        return b.select(b.compare("<" if how == "larger" else ">", x, y), y, x)
    if x.letter == "f":
        return b.intrinsic(how, x, y, flags="nsz")
    if x.letter == "b":
        return (b.or_ if how == "maximum" else b.and_)(x, y)
    smaller = b.compare("<", x, y)
    return b.select(smaller, y, x) if how == "maximum" else b.select(smaller, x, y)


def neutral(how: str, kind: str) -> Value | None:
    """What changes no sum or product; None for the others, in which a value may count twice."""
    if how == "mul":
        return constant(kind, 1)
    if how in ("add", "widened"):
        return constant(kind, -0.0 if kind in ("f32", "f64") else 0)
    return None


def fold_lanes(b: Builder, how: str, x: Value) -> Value:
    """The elements of a vector joined, in whatever order."""
    how = {"larger": "maximum", "smaller": "minimum", "widened": "add"}.get(how, how)
    suffix, kind = _suffix(x.kind, x.lanes, bits=True), llvm_type(x.kind)
    start = neutral(how, x.kind)
    if x.letter == "f" and start is not None:
        symbol = f"llvm.vector.reduce.f{how}.{suffix}"
        b.declare(symbol, kind, [kind, llvm_type(x.kind, x.lanes)])
        return b.instruction(x.kind, f"call reassoc {kind} @{symbol}({start.typed}, {x.typed})")
    symbol = f"llvm.vector.reduce.{_reduction(how, x.letter)}.{suffix}"
    b.declare(symbol, kind, [llvm_type(x.kind, x.lanes)])
    flags = "nsz " if x.letter == "f" else ""
    return b.instruction(x.kind, f"call {flags}{kind} @{symbol}({x.typed})")


def ones(b: Builder, mask: Value) -> Value:
    """How many elements of a mask are true."""
    return b.call("i64", "llvm.ctpop.i64", mask_bits(b, mask))


def first_one(b: Builder, mask: Value, first: Value, otherwise: Value) -> Value:
    """`first` plus the place of the first element that is true, or what is said `otherwise`."""
    bits = mask_bits(b, mask)
    place = b.call("i64", "llvm.cttz.i64", bits, constant("bool", False))
    found = b.compare("!=", bits, constant("i64", 0))
    return b.select(found, b.add(first, place), otherwise)


def mask_bits(b: Builder, mask: Value) -> Value:
    """A mask as bits of an i64."""
    bits = b.instruction("u8", f"bitcast {mask.typed} to i{mask.lanes}")
    if mask.lanes == 64:
        return Value("i64", bits.text)
    return b.instruction("i64", f"zext i{mask.lanes} {bits.text} to i64")


def _reduction(how: str, letter: str) -> str:
    """LLVM's name."""
    if letter == "f":
        return f"f{how}"
    if letter == "b" and how not in ("and", "or"):
        return "or" if how == "maximum" else "and"
    return f"{letter if letter == 'u' else 's'}{_JOINS[how]}" if "imum" in how else _JOINS[how]


def _memory(kind: str, lanes: int) -> tuple[str, int]:
    """LLVM's type of a vector of a dtype in memory, and its alignment."""
    return f"<{lanes} x {MEMORY[kind]}>", DTYPES[kind].itemsize


def _suffix(kind: str, lanes: int, *, bits: bool = False) -> str:
    """How LLVM's names say which vectors a function is for; Booleans are bits, or bytes."""
    if kind in ("f32", "f64"):
        return f"v{lanes}{kind}"
    return f"v{lanes}{'i1' if bits and kind == 'bool' else MEMORY[kind]}"


def joined(b: Builder, how: str, values: Sequence[Value]) -> Value:
    """Accumulators in one, pair by pair."""
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=True)
        values = [join(b, how, x, y) for x, y in pairs]
    return values[0]
