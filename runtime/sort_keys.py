"""Numbers as signed integers in the same order, and back, as LLVM text.

    keys(i64 n, ptr x, i64 step, ptr keys)                          keys of n numbers
    values(i64 n, ptr keys, ptr y, i64 step)                        their numbers
    restore(i64 n, ptr x, i64 step, ptr keys, ptr y, i64 step)      what has no key of its own

Keys have 32 or 64 bits. Of a negative float all bits but the sign are inverted; NaN is the largest
key, whatever its bits. -0.0 is just below 0.0 where values are sorted, else equal to it. `restore`
puts NaNs and zeros among sorted values back in the order in which they came: NumPy's stable sort
takes them for equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..ir.record import dataclass
from .builder import BITS
from .sort_networks import Keys
from .vector_text import Loop, Registers, Start, Target, Writer, parameters

KEYS: Final = parameters("i %n, p %x, i %step, p %keys")
VALUES: Final = parameters("i %n, p %keys, p %y, i %ystep")
RESTORE: Final = parameters("i %n, p %x, i %step, p %keys, p %y, i %ystep")
_MOVE: Final = parameters("i %n, p %x, i %step, p %y, i %ystep, i %start, i %least, i %range")
_INFINITY: Final = {"f32": 0x7F800000, "f64": 0x7FF0000000000000}


@dataclass(frozen=True)
class Numbers:
    """Numbers of a dtype on a processor, and whether -0.0 has a key of its own."""

    machine: Registers
    dtype: str
    zeros: bool = False

    @property
    def keys(self) -> Keys:
        """What they are sorted as."""
        return Keys(self.machine, f"i{max(32, self.bits)}")

    @property
    def bits(self) -> int:
        return max(8, BITS[self.dtype])

    @property
    def memory(self) -> str:
        """The integer with the bits of a number."""
        return f"i{self.bits}"

    @property
    def is_float(self) -> bool:
        return self.dtype[0] == "f"

    def writer(self) -> Writer:
        """A function; its vectors have room for keys."""
        return Writer(Target(self.machine, f"f{self.keys.bits}"))

    def key(self, w: Writer, x: str, lanes: int) -> str:
        """The key of a number's bits, or of a vector of them."""
        kind = typed(self.keys.kind, lanes)
        if self.is_float:
            return self._float_key(w, x, lanes)
        if self.bits < 32:
            verb = "sext" if self.dtype[0] == "i" else "zext"
            return w.new(f"{verb} {typed(self.memory, lanes)} {x} to {kind}")
        if self.dtype[0] == "i":
            return x
        return w.new(f"xor {kind} {x}, {number(self.keys.kind, -self.keys.largest - 1, lanes)}")

    def _float_key(self, w: Writer, x: str, lanes: int) -> str:
        kind, largest = typed(self.keys.kind, lanes), self._number(self.keys.largest, lanes)
        absolute = w.new(f"and {kind} {x}, {largest}")
        infinity = self._number(_INFINITY[self.dtype], lanes)
        is_nan = w.new(f"icmp ugt {kind} {absolute}, {infinity}")
        key = self._flipped(w, x, lanes)
        key = w.new(f"select {typed('i1', lanes)} {is_nan}, {kind} {largest}, {kind} {key}")
        if self.zeros:
            return key
        zero = self._number(0, lanes)
        is_zero = w.new(f"icmp eq {kind} {absolute}, {zero}")
        return w.new(f"select {typed('i1', lanes)} {is_zero}, {kind} {zero}, {kind} {key}")

    def _flipped(self, w: Writer, x: str, lanes: int) -> str:
        """With all bits but the sign inverted if that is set: its own inverse."""
        kind = typed(self.keys.kind, lanes)
        sign = w.new(f"ashr {kind} {x}, {self._number(self.keys.bits - 1, lanes)}")
        others = w.new(f"lshr {kind} {sign}, {self._number(1, lanes)}")
        return w.new(f"xor {kind} {x}, {others}")

    def value(self, w: Writer, key: str, lanes: int) -> str:
        """The number's bits."""
        kind = typed(self.keys.kind, lanes)
        if self.is_float:
            return self._flipped(w, key, lanes)
        if self.bits < 32:
            return w.new(f"trunc {kind} {key} to {typed(self.memory, lanes)}")
        return self.key(w, key, lanes)

    def _number(self, value: int, lanes: int) -> str:
        return number(self.keys.kind, value, lanes)


def typed(kind: str, lanes: int) -> str:
    return f"<{lanes} x {kind}>" if lanes else kind


def number(kind: str, value: int, lanes: int = 0) -> str:
    """A constant, or a vector of it."""
    return f"splat ({kind} {value})" if lanes else str(value)


def element(w: Writer, kind: str, base: str, index: str) -> str:
    """The address of an element."""
    return w.new(f"getelementptr {kind}, ptr {base}, i64 {index}")


def load(w: Writer, kind: str, place: str, lanes: int = 0) -> str:
    return w.new(f"load {typed(kind, lanes)}, ptr {place}, align {int(kind[1:]) // 8}")


def store(w: Writer, kind: str, x: str, place: str, lanes: int = 0) -> None:
    w.put(f"store {typed(kind, lanes)} {x}, ptr {place}, align {int(kind[1:]) // 8}")


def passes(w: Writer, step: str, end: str = "%n", *starts: Start) -> Iterator[tuple[Loop, int]]:
    """Loops over numbers: of vectors if they lie side by side, and one by one (0 lanes) over what
    is left. Values that change go from the first loop to the second."""
    vectors = w.integer("and", end, -w.t.lanes)
    whole = w.choose(w.compare(f"{step} == 1"), vectors, 0)
    with w.loop("0", whole, w.t.lanes, *starts) as loop:
        yield loop, w.t.lanes
    kinds = (kind for kind, _ in starts)
    with w.loop(whole, end, 1, *zip(kinds, loop.values, strict=True)) as loop:
        yield loop, 0


def keys_text(x: Numbers) -> str:
    """The definition of `keys`."""
    w = x.writer()
    for loop, lanes in passes(w, "%step"):
        place = element(w, x.memory, "%x", w.integer("mul", loop.index, "%step"))
        key = x.key(w, load(w, x.memory, place, lanes), lanes)
        store(w, x.keys.kind, key, element(w, x.keys.kind, "%keys", loop.index), lanes)
    return w.define("keys", KEYS)


def values_text(x: Numbers) -> str:
    """The definition of `values`."""
    w = x.writer()
    for loop, lanes in passes(w, "%ystep"):
        key = load(w, x.keys.kind, element(w, x.keys.kind, "%keys", loop.index), lanes)
        place = element(w, x.memory, "%y", w.integer("mul", loop.index, "%ystep"))
        store(w, x.memory, x.value(w, key, lanes), place, lanes)
    return w.define("values", VALUES)


def restore_text(x: Numbers) -> str:
    """The definition of `restore`, for floats, and what it calls. Numbers whose absolute bits lie
    in a range go, in their order, to the places from `start` on."""
    w, kind = x.writer(), x.keys.kind
    last = w.integer("sub", "%n", 1)
    with w.when(_is(w, x, last, x.keys.largest)):
        above = _INFINITY[x.dtype] + 1
        _move(w, _search(w, kind, x.keys.largest), above, x.keys.largest - above)
    zero = _search(w, kind, 0)
    before = w.integer("sub", w.at_least_one(zero), 1)
    with w.when(w.both(_is(w, x, before, -1), _is(w, x, w.umin(zero, last), 0))):
        _move(w, _search(w, kind, -1), 0, 0)
    return "\n".join([w.define("restore", RESTORE), _move_text(x), _SEARCH.replace("KEY", kind)])


def _is(w: Writer, x: Numbers, index: str, key: int) -> str:
    """Whether a key is this one."""
    found = load(w, x.keys.kind, element(w, x.keys.kind, "%keys", index))
    return w.new(f"icmp eq {x.keys.kind} {found}, {key}")


def _search(w: Writer, kind: str, key: int) -> str:
    """Where the first key is that is not below this one; n if there is none."""
    return w.new(f"call i64 @search(i64 %n, ptr %keys, {kind} {key})")


def _move(w: Writer, start: str, least: int, size: int) -> None:
    w.call("move", _MOVE, "%n", "%x", "%step", "%y", "%ystep", start, least, size)


def _move_text(x: Numbers) -> str:
    w, kind = x.writer(), x.memory
    least, size = "%least", "%range"
    if x.bits < 64:
        least, size = (w.new(f"trunc i64 {bound} to {kind}") for bound in (least, size))
    with w.loop("0", "%n", 1, ("i64", "%start")) as loop:
        place = element(w, kind, "%x", w.integer("mul", loop.index, "%step"))
        bits = load(w, kind, place)
        absolute = w.new(f"and {kind} {bits}, {x.keys.largest}")
        inside = w.new(f"icmp ule {kind} {w.new(f'sub {kind} {absolute}, {least}')}, {size}")
        with w.when(inside):
            target = w.integer("mul", loop.values[0], "%ystep")
            store(w, kind, bits, element(w, kind, "%y", target))
        one = w.new(f"zext i1 {inside} to i64")
        loop.nexts = [w.integer("add", loop.values[0], one)]
    return w.define("move", _MOVE)


_SEARCH: Final = """
define internal i64 @search(i64 %n, ptr %keys, KEY %key) #0 {
entry:
  br label %test
test:
  %low = phi i64 [ 0, %entry ], [ %low.next, %each ]
  %high = phi i64 [ %n, %entry ], [ %high.next, %each ]
  %more = icmp ult i64 %low, %high
  br i1 %more, label %each, label %done
each:
  %sum = add i64 %low, %high
  %middle = lshr i64 %sum, 1
  %place = getelementptr KEY, ptr %keys, i64 %middle
  %x = load KEY, ptr %place
  %less = icmp slt KEY %x, %key
  %above = add i64 %middle, 1
  %low.next = select i1 %less, i64 %above, i64 %low
  %high.next = select i1 %less, i64 %high, i64 %middle
  br label %test
done:
  ret i64 %low
}
"""
