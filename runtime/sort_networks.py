"""Sorting networks in vector registers, as LLVM text for any processor.

    network_<rows>x<lanes>(ptr keys, i64 n)     n keys in place, at most rows * lanes

Keys are signed integers. They fill `rows` vectors, with the largest integer behind the last one.
Each lane is sorted from vector to vector (Batcher's odd-even merge sort), which takes no shuffles;
then sorted lanes are merged, one half of a sequence reversed against the other (a bitonic merge):
only the first of its steps leave a lane. At last rows become columns, and keys lie in order.

Source of the layout: M. Blacher et al., "Vectorized and performance-portable Quicksort", 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..ir.record import dataclass
from .vector_text import Registers

_SHAPES: Final = ((4, 4), (8, 4), (8, 8), (16, 8), (16, 16))


@dataclass(frozen=True)
class Keys:
    """The integers that are sorted, "i32" or "i64", and the registers that hold them."""

    machine: Registers
    kind: str

    @property
    def bits(self) -> int:
        return int(self.kind.removeprefix("i"))

    @property
    def lanes(self) -> int:
        return self.machine.bytes * 8 // self.bits

    @property
    def largest(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and lanes of the networks, by capacity; half of the registers hold keys."""
        found = {(r, min(k, self.lanes)) for r, k in _SHAPES if r <= self.machine.count // 2}
        return tuple(sorted(found, key=lambda shape: shape[0] * shape[1]))

    @property
    def capacity(self) -> int:
        """Keys that the largest network sorts."""
        rows, lanes = self.shapes[-1]
        return rows * lanes


def networks_text(keys: Keys) -> str:
    """The LLVM text that defines all networks, and `small(ptr keys, i64 n)`, which calls one."""
    parts = [_Network(keys, *shape).text() for shape in keys.shapes]
    return "\n".join([*parts, _small(keys), *_declarations(keys)])


def _small(keys: Keys) -> str:
    lines = ["define internal void @small(ptr %a, i64 %n) #0 {"]
    *others, last = keys.shapes
    for k, (rows, lanes) in enumerate(others):
        lines += [
            f"  %c{k} = icmp ule i64 %n, {rows * lanes}",
            f"  br i1 %c{k}, label %by{k}, label %next{k}",
            f"by{k}:",
            f"  call void @network_{rows}x{lanes}(ptr %a, i64 %n)",
            "  ret void",
            f"next{k}:",
        ]
    lines += [f"  call void @network_{last[0]}x{last[1]}(ptr %a, i64 %n)", "  ret void", "}"]
    return "\n".join(lines)


def _declarations(keys: Keys) -> Iterator[str]:
    for lanes in {lanes for _, lanes in keys.shapes}:
        v, name = f"<{lanes} x {keys.kind}>", f"v{lanes}{keys.kind}"
        for verb in ("smin", "smax"):
            yield f"declare {v} @llvm.{verb}.{name}({v}, {v})"
        if keys.machine.masked:
            m = f"<{lanes} x i1>"
            yield f"declare {v} @llvm.masked.load.{name}.p0(ptr, i32 immarg, {m}, {v})"
            yield f"declare void @llvm.masked.store.{name}.p0({v}, ptr, i32 immarg, {m})"
    yield "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1 immarg)"


def comparators(n: int) -> Iterator[tuple[int, int]]:
    """Which of n numbers, a power of two, are put in order one after another: Batcher's odd-even
    merge sort (Knuth, volume 3, algorithm 5.2.2M)."""
    p = n // 2
    while p:
        q, r, d = n // 2, 0, p
        while True:
            yield from ((i, i + d) for i in range(n - d) if i & p == r)
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2


class _Network:
    """The instructions of one network."""

    def __init__(self, keys: Keys, rows: int, lanes: int) -> None:
        self.keys, self.rows, self.lanes = keys, rows, lanes
        self.vector = f"<{lanes} x {keys.kind}>"
        self.name = f"v{lanes}{keys.kind}"
        self.size = keys.bits // 8
        self.lines: list[str] = []

    def text(self) -> str:
        body = self._masked if self.keys.machine.masked else self._buffered
        body()
        head = f"define internal void @network_{self.rows}x{self.lanes}(ptr %a, i64 %n) noinline #0"
        lines = "".join(f"  {line}\n" for line in self.lines)
        return f"{head} {{\n{lines}  ret void\n}}"

    def _new(self, expression: str) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def _splat(self, number: int) -> str:
        return f"<{', '.join([f'{self.keys.kind} {number}'] * self.lanes)}>"

    def _address(self, base: str, row: int) -> str:
        return self._new(f"getelementptr {self.vector}, ptr {base}, i64 {row}")

    def _masked(self) -> None:
        """Load and store what there is."""
        masks, bits = [], f"<{self.lanes} x i1>"
        order = ", ".join(f"i32 {k}" for k in range(self.lanes))
        v32 = f"<{self.lanes} x i32>"
        count = self._new("trunc i64 %n to i32")
        first = self._new(f"insertelement {v32} poison, i32 {count}, i64 0")
        limit = self._new(f"shufflevector {v32} {first}, {v32} poison, {v32} zeroinitializer")
        for row in range(self.rows):
            here = ", ".join(f"i32 {row * self.lanes + k}" for k in range(self.lanes))
            masks.append(self._new(f"icmp ult {v32} <{here or order}>, {limit}"))
        places = [self._address("%a", row) for row in range(self.rows)]
        rest = f"{self.vector} {self._splat(self.keys.largest)}"
        values = [
            self._new(
                f"call {self.vector} @llvm.masked.load.{self.name}.p0(ptr {place}, "
                f"i32 {self.size}, {bits} {mask}, {rest})"
            )
            for place, mask in zip(places, masks, strict=True)
        ]
        for value, place, mask in zip(self._sorted(values), places, masks, strict=True):
            self.lines.append(
                f"call void @llvm.masked.store.{self.name}.p0({self.vector} {value}, ptr {place}, "
                f"i32 {self.size}, {bits} {mask})"
            )

    def _buffered(self) -> None:
        """By way of memory that is as large as the vectors."""
        room, size = self._new(f"alloca [{self.rows} x {self.vector}], align 64"), self.size
        count = self._new(f"mul i64 %n, {size}")
        places = [self._address(room, row) for row in range(self.rows)]
        for place in places:
            self.lines.append(f"store {self.vector} {self._splat(self.keys.largest)}, ptr {place}")
        self.lines.append(
            f"call void @llvm.memcpy.p0.p0.i64(ptr {room}, ptr %a, i64 {count}, i1 false)"
        )
        values = [self._new(f"load {self.vector}, ptr {place}") for place in places]
        for value, place in zip(self._sorted(values), places, strict=True):
            self.lines.append(f"store {self.vector} {value}, ptr {place}")
        self.lines.append(
            f"call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr {room}, i64 {count}, i1 false)"
        )

    def _sorted(self, values: list[str]) -> list[str]:
        for i, j in comparators(self.rows):
            values[i], values[j] = self._extrema(values[i], values[j])
        width = 1
        while width < self.lanes:
            values = self._merged(values, width)
            width *= 2
        return self._in_order(values)

    def _extrema(self, x: str, y: str) -> tuple[str, str]:
        pair = f"{self.vector} {x}, {self.vector} {y}"
        low, high = (
            self._new(f"call {self.vector} @llvm.{verb}.{self.name}({pair})")
            for verb in ("smin", "smax")
        )
        return low, high

    def _merged(self, values: list[str], width: int) -> list[str]:
        """Sequences of `width` lanes, in pairs: one against the other reversed, then ever nearer
        neighbours."""
        group = range(self.lanes)
        turned = [k ^ (2 * width - 1) for k in group]
        values = [
            self._exchanged(x, self._shuffled(y, y, turned), width)
            for x, y in zip(values, reversed(values), strict=True)
        ]
        distance = width // 2
        while distance:
            across = [k ^ distance for k in group]
            values = [self._exchanged(x, self._shuffled(x, x, across), distance) for x in values]
            distance //= 2
        gap = self.rows // 2
        while gap:
            for i in range(self.rows):
                if not i & gap:
                    values[i], values[i + gap] = self._extrema(values[i], values[i + gap])
            gap //= 2
        return values

    def _exchanged(self, x: str, y: str, distance: int) -> str:
        """The lesser of both in one lane, the greater in that at a distance."""
        low, high = self._extrema(x, y)
        lanes = [k + self.lanes if k & distance else k for k in range(self.lanes)]
        return self._shuffled(low, high, lanes)

    def _shuffled(self, x: str, y: str, lanes: Sequence[int]) -> str:
        order = ", ".join(f"i32 {lane}" for lane in lanes)
        return self._new(
            f"shufflevector {self.vector} {x}, {self.vector} {y}, <{len(lanes)} x i32> <{order}>"
        )

    def _in_order(self, values: list[str]) -> list[str]:
        """Lane after lane instead of row after row: squares are transposed."""
        lanes, squares = self.lanes, self.rows // self.lanes
        found = [""] * self.rows
        for square in range(squares):
            for lane, value in enumerate(self._turned(values[square * lanes :][:lanes])):
                found[lane * squares + square] = value
        return found

    def _turned(self, rows: list[str]) -> list[str]:
        lanes, width = self.lanes, 1
        while width < lanes:
            low = [k + lanes - width if k & width else k for k in range(lanes)]
            high = [k + lanes if k & width else k + width for k in range(lanes)]
            for i in range(lanes):
                if not i & width:
                    x, y = rows[i], rows[i + width]
                    rows[i], rows[i + width] = (
                        self._shuffled(x, y, order) for order in (low, high)
                    )
            width *= 2
        return rows
