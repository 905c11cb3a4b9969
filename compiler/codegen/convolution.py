"""Convolutions and their gradients: windows are copied into scratch memory a few columns at a time,
multiplied while they are in the cache, and never exist as a whole.

    def k0(y0, y1, x0, x1, a0):                       # y[n][o, p] = W[o, r] w[n][r, p]
        for i in range(a0):                           # images
            for j in range(8):                        # channel, place inside the window
                for k in range(5):
                    for l in range(5):
                        for m in range(8):            # position
                            for o in range(8):
                                y1[1600 * j + ..] = x0[1152 * i + 144 * j + 12 * k + 12 * m + ..]
            gemm_f32(False, False, 16, 64, 200, 1.0, x1, 200, y1, 64, 0.0, at(y0, 1024 * i), 64)

Several small images are one tile, a large one is cut into strips along its first axis of positions.
The gradient of the weights adds up tiles in the result's dtype for as long as that is exact enough
(`tiling.longest_sum`), and these sums in f64. The gradient of the input multiplies first and then
adds the windows where they belong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from ...ir.convolution import Convolution, Place
from ...ir.graph import Node, Value
from ...ir.record import dataclass
from ...ir.types import F32, F64, dtype_name
from .kernel import CHUNK, CHUNK_SIZE, KernelWriter, indent, loop_name
from .module import Module, place_of
from .tiling import Tiling, choose_split, choose_tiling

TILE, STRIP = "tile", "strip"
WINDOWS, PACKED, PART, TOTAL = range(4)
CHUNKS: Final = "chunks"
FRESH: Final = ("1.0", "0.0")
"""The scale of a product that is not added to what was there."""
BLOCK, ELEMENT = "b", "e"  # no letter is a variable of that name


def emit_windows(module: Module, node: Node, c: Convolution) -> None:
    """The kernel of a contraction of windows that are copied, or added, a few at a time."""
    if c.kind == "input":
        module.routine(node, "zero", module.value(node.result), node.result.type.size)
    Emitter(module, node, c).emit()


@dataclass(frozen=True)
class _Outer:
    """A loop around the tiles: its variable, its count, the text of that, and what follows."""

    variable: str
    count: int
    bound: str
    setup: list[str]


class Emitter:
    """Writes one kernel. `w0` and `w1` are the images in a tile and the steps in a strip."""

    def __init__(self, module: Module, node: Node, c: Convolution) -> None:
        self.module, self.node, self.c = module, node, c
        self.dtype, body = node.result.type.dtype, node.attrs["body"]
        self.tiling = self._tiling()
        self.m, self.r = c.count(c.free), c.count(c.rows)
        self.step, self.size = c.count(c.columns[1:]), c.count(c.columns)
        self.width = self.tiling.images * self.tiling.strip * self.step
        self.tiled = c.images if self.tiling.images > 1 else ""
        self.cut = c.columns[0] if self.tiling.strip < c.extents[c.columns[0]] else ""
        self.packs = bool(self.tiled) and c.right.first == c.free
        self.places = dict(zip(body.inputs, map(place_of, node.operands), strict=True))
        (self.output,) = body.outputs
        self.places[self.output] = place_of(node.result)
        letters = [*c.images, *c.groups, *c.rows, *c.columns, *c.free, TILE, STRIP]
        self.variable = {x: loop_name(k) for k, x in enumerate(letters)} | {CHUNKS: CHUNK}
        self.areas = [(-(-count // 16) * 16, dtype) for count, dtype in self._areas()]
        memory = sum(count for count, _ in self.areas) * self.dtype.itemsize
        self.split = choose_split(c, self.tiling, memory)
        self.scratch = self._scratch()
        self.w = KernelWriter((), {place_of(node.result), *self.scratch}, self.split)
        self._outer = list(self._outer_loops())

    def _tiling(self) -> Tiling:
        return choose_tiling(self.c, self.dtype)

    def _sums(self) -> int:
        """How many numbers the weights' gradient is summed up in."""
        return self.node.result.type.size if self.c.kind == "weights" else 0

    def _areas(self) -> list[tuple[int, np.dtype]]:
        """Elements of a chunk's scratch memory: windows, packed columns; a sum of tiles and the sum
        of all."""
        counts = self.r * self.width, self.packs * self.m * self.width, self._sums(), self._sums()
        return list(zip(counts, (*[self.dtype] * 3, F64), strict=True))

    def _scratch(self) -> list[str]:
        """The places of the areas, each with a part for every chunk; those of chunks do not share a
        line of the cache."""
        places, offset = [], 0
        chunks = self.split.chunks if self.split is not None else 1
        for count, dtype in self.areas:
            places.append(f"scratch+{offset}")
            offset += count * chunks * dtype.itemsize
        self.module.scratch = max(self.module.scratch, offset)
        return places

    def emit(self) -> None:
        kinds = {"forward": self._forward, "weights": self._weights, "input": self._input}
        lines = kinds[self.c.kind]()
        self.module.call(self.node, self.w.finish([*self._prepared(), *lines]))
        if self.c.kind == "weights" and self.split is not None:
            self._join(self.split.chunks)

    def _prepared(self) -> list[str]:
        """What a chunk does first."""
        return []

    # The three kinds

    def _forward(self) -> list[str]:
        c, lines = self.c, self._pack_windows()
        left, windows = (c.left.first != c.free, self._left()), (False, self._window_matrix())
        sizes, by_columns = (self.m, self._columns(), self.r), c.right.first != c.free
        adds = c.dot.op.name == "dot_acc"
        scale = (self._alpha(), "1.0") if adds and not self.packs else FRESH
        lines.append(self._product(left, windows, sizes, scale, self._right(), by_columns))
        if self.packs:
            added = f"{{0}} + {self._alpha()} * {{1}}" if adds else "{1}"
            lines += self._move_right(f"{{0}} = {added}")
        return self._around(lines)

    def _alpha(self) -> str:
        """What the products are multiplied by before they are added to what was there."""
        return f"{self._buffer(self.c.dot.operands[3])}[0]"

    def _input(self) -> list[str]:
        c, lines = self.c, self._pack_right()
        left = c.left.first == c.free, self._left()
        right = c.right.first != c.free, self._right()
        sizes = self.r, self._columns(), self.m
        lines.append(self._product(left, right, sizes, FRESH, self._window_matrix()))
        lines += self._move_windows("{0} = {0} + {1}")
        return self._around(lines)

    def _weights(self) -> list[str]:
        """`part` is the sum of some tiles, `total` of all; without `total` if that is exact."""
        c, size = self.c, self._sums()
        lines = [*self._pack_windows(), *self._pack_right(), *self._weights_product()]
        every, sums = c.count(c.images) * self.size, self.tiling.sums
        steps = self._outer[0].count if self._outer else 1
        own = steps if self.split is None else self.split.size
        part, together = self._element(PART), sums * steps // every
        if c.groups and not c.images:  # the outermost loop adds nothing up
            together = own * (every <= sums)
        clear = f"zero({self._area(PART)}, {size})"
        self.sums = PART if together >= own else TOTAL
        if self.sums == PART:
            return [clear, *self._around(lines), *self._finish()]
        total, loop = self._element(TOTAL), f"for {ELEMENT} in range({size}):"
        flush = [loop, f"    {total} = {total} + f64({part})"]
        if together > 1:
            lines = [clear, *self._around(lines, together), *flush]
            lines = [f"for {BLOCK} in range({-(-own // together)}):", *indent(lines)]
        else:
            lines = self._around([clear, *lines, *flush])
        return [loop, f"    {total} = 0.0", *lines, *self._finish()]

    def _weights_product(self) -> list[str]:
        c = self.c
        right = not (self.packs or c.right.first == c.free), self._right()
        offset, ld = self._index(c.left.place, self._outer_terms), c.count(c.left.last)
        target = f"{self._area(PART, offset)}, {ld}"
        sizes, by_windows = (self.m, self.r, self._columns()), c.left.first != c.free
        windows, adds = (True, self._window_matrix()), ("1.0", "1.0")
        return [self._product(right, windows, sizes, adds, target, by_windows)]

    def _finish(self) -> list[str]:
        """The sum becomes the result where there are no chunks to join."""
        return [] if self.split is not None else self._stored(self.w, self._element(self.sums))

    def _join(self, chunks: int) -> None:
        """A second kernel adds up what the chunks found."""
        w = KernelWriter((), {place_of(self.node.result)})
        dtype = F64 if self.sums == TOTAL else self.dtype
        found = w.buffer(self.scratch[self.sums], dtype)
        found = f"{found}[{self.areas[self.sums][0]} * {CHUNK} + {ELEMENT}]"
        add = [f"for {CHUNK} in range({chunks}):", f"    s0 = s0 + f64({found})"]
        self.sums = TOTAL
        self.module.call(self.node, w.finish(self._stored(w, "s0", ["s0 = 0.0", *add])))

    def _stored(self, w: KernelWriter, value: str, before: Sequence[str] = ()) -> list[str]:
        """The sums as the result, or added to it, each after the lines before."""
        stored = self._store(w, ELEMENT, value)
        loop = f"for {ELEMENT} in range({self.node.result.type.size}):"
        return [loop, *indent([*before, stored])]

    def _store(self, w: KernelWriter, index: str, value: str) -> str:
        """A sum as an element of the result, or added to it."""
        dot = self.c.dot
        result = f"{w.buffer(place_of(self.node.result), self.dtype)}[{index}]"
        if dot.op.name == "dot_acc":
            alpha = f"{w.buffer(self.places[dot.operands[3]], self.dtype)}[0]"
            wide = self.sums == TOTAL
            value = (
                f"f64({result}) + f64({alpha}) * {value}"
                if wide
                else f"{result} + {alpha} * {value}"
            )
        return f"{result} = {f'f32({value})' if self.dtype == F32 else value}"

    # Loops around the tiles

    def _outer_loops(self) -> Iterator[_Outer]:
        c, tiling = self.c, self.tiling
        for x in c.images:
            n = self.w.number(c.extents[x])
            if x == self.tiled:
                t, count = self.variable[TILE], -(-c.extents[x] // tiling.images)
                setup = f"w0 = minimum_i64({tiling.images}, {n} - {tiling.images} * {t})"
                yield _Outer(t, count, self.w.number(count), [setup])
            else:
                yield _Outer(self.variable[x], c.extents[x], n, [])
        for x in c.groups:
            yield _Outer(self.variable[x], c.extents[x], str(c.extents[x]), [])
        if self.cut:
            s, length = self.variable[STRIP], c.extents[self.cut]
            setup = f"w1 = minimum_i64({tiling.strip}, {length} - {tiling.strip} * {s})"
            count = -(-length // tiling.strip)
            yield _Outer(s, count, str(count), [setup])

    def _around(self, lines: list[str], together: int = 0) -> list[str]:
        """The outer loops around the lines; of the outermost one those of a chunk, or of these
        `together` steps, the block `b` of them."""
        for k, outer in reversed(list(enumerate(self._outer))):
            first, bounds = "0", outer.bound
            if self.split is not None and k == 0:
                first = f"{CHUNK} * {CHUNK_SIZE}"
                end = f"minimum_i64({first} + {CHUNK_SIZE}, {outer.bound})"
                bounds = f"{first}, {end}"
            if together and k == 0:
                end = bounds.removeprefix(f"{first}, ")
                first = f"{first} + {together} * {BLOCK}"
                bounds = f"{first}, minimum_i64({first} + {together}, {end})"
            lines = [f"for {outer.variable} in range({bounds}):", *indent([*outer.setup, *lines])]
        return lines

    # Inside a tile

    def _product(
        self,
        a: tuple[bool, str],
        b: tuple[bool, str],
        sizes: tuple[int, str | int, str | int],
        scale: tuple[str, str],
        c: str,
        flipped: bool = False,
    ) -> str:
        """c = alpha a @ b + beta c, matrices with the lengths of their rows, the factors with
        whether they are stored transposed; flipped, where c is, its transpose is computed."""
        (ta, left), (tb, right), (m, n, k), (alpha, beta) = a, b, sizes, scale
        found = f"{ta}, {tb}, {m}, {n}, {k}, {alpha}, {left}, {right}"
        if flipped:
            found = f"{not tb}, {not ta}, {n}, {m}, {k}, {alpha}, {right}, {left}"
        whole = "" if self.split is None else "whole_"
        return f"{whole}gemm_{dtype_name(self.dtype)}({found}, {beta}, {c})"

    def _columns(self) -> str:
        """How many columns the tile has."""
        if self.tiled:
            return f"w0 * {self.size}"
        return f"w1 * {self.step}" if self.cut else str(self.size)

    def _left(self) -> str:
        left = self.c.left
        offset = self._index(left.place, self._outer_terms)
        return f"at({self._buffer(left.value)}, {offset}), {self.c.count(left.last)}"

    def _right(self) -> str:
        right = self.c.right
        if self.packs:
            return f"{self._area(PACKED)}, {self.width}"
        offset = self._index(right.place, self._outer_terms)
        return f"at({self._buffer(right.value)}, {offset}), {self.c.count(right.last)}"

    def _pack_windows(self) -> list[str]:
        return self._move_windows("{1} = {0}")

    def _move_windows(self, statement: str) -> list[str]:
        return self._move(self.c.image, self.c.windows, WINDOWS, self.c.rows, statement)

    def _pack_right(self) -> list[str]:
        return self._move_right("{1} = {0}") if self.packs else []

    def _move_right(self, statement: str) -> list[str]:
        right = self.c.right
        return self._move(right.value, right.place, PACKED, self.c.free, statement)

    def _move(
        self, value: Value, place: Place, area: int, lines_of: str, statement: str
    ) -> list[str]:
        """Elements of a value (0) and of the tile's columns (1), a line for each of the letters
        `lines_of`."""
        c = self.c
        inner = [*lines_of, *self.tiled, *c.columns]
        there = f"{self._buffer(value)}[{self._index(place, self._inner_terms)}]"
        own = self._index(self._tile_place(area, lines_of), self._own_term)
        here = f"{self._scratch_buffer(area)}[{own}]"
        lines, adds = [statement.format(there, here)], "+" in statement
        for x in reversed(inner):
            bound = {self.tiled: "w0", self.cut: "w1"}.get(x, str(c.extents[x]))
            if adds and x == inner[-1] and x != self.cut:
                bound = self.w.number(c.extents[x])  # unrolled, it would not be vectors
            lines = [f"for {self.variable[x]} in range({bound}):", *indent(lines)]
        return lines

    def _tile_place(self, area: int, lines_of: str) -> Place:
        steps, step = self._chunk_steps(area), 1
        for x in reversed(self.c.columns):
            steps[x] = step
            step *= self.c.extents[x]
        steps |= dict.fromkeys(self.tiled, self.size)
        step = self.width
        for x in reversed(lines_of):
            steps[x] = step
            step *= self.c.extents[x]
        return Place(0, steps)

    # Where elements are

    def _index(self, place: Place, terms: Callable[[str], list[tuple[int, str]]]) -> str:
        found = [(step * n, name) for x, step in place.steps.items() for n, name in terms(x)]
        texts = [name if n == 1 else f"{n} * {name}" for n, name in found]
        return " + ".join([*texts, *([str(place.start)] if place.start else [])]) or "0"

    def _outer_terms(self, x: str) -> list[tuple[int, str]]:
        """What the loops around the tiles add to a letter."""
        if x == self.tiled:
            return [(self.tiling.images, self.variable[TILE])]
        if x == self.cut:
            return [(self.tiling.strip, self.variable[STRIP])]
        return self._own_term(x) if x in self.c.images + self.c.groups else []

    def _own_term(self, x: str) -> list[tuple[int, str]]:
        return [(1, self.variable[x])]

    def _inner_terms(self, x: str) -> list[tuple[int, str]]:
        outer = self._outer_terms(x)
        return outer if outer == self._own_term(x) else [*outer, *self._own_term(x)]

    # Buffers

    def _buffer(self, value: Value) -> str:
        return self.w.buffer(self.places[value], value.type.dtype)

    def _scratch_buffer(self, k: int) -> str:
        return self.w.buffer(self.scratch[k], self.areas[k][1])

    def _window_matrix(self) -> str:
        return f"{self._area(WINDOWS)}, {self.width}"

    def _chunk_steps(self, area: int) -> dict[str, int]:
        return {CHUNKS: self.areas[area][0]} if self.split is not None else {}

    def _area(self, area: int, offset: str = "0") -> str:
        """The chunk's part of an area of scratch memory, as a buffer."""
        own = self._index(Place(0, self._chunk_steps(area)), self._own_term)
        start = " + ".join(x for x in (own, offset) if x != "0")
        buffer = self._scratch_buffer(area)
        return f"at({buffer}, {start})" if start else buffer

    def _element(self, area: int) -> str:
        """Element `e` of the same."""
        own = self._index(Place(0, self._chunk_steps(area)), self._own_term)
        return f"{self._scratch_buffer(area)}[{'' if own == '0' else own + ' + '}{ELEMENT}]"
