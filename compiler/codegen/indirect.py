"""Convolutions and their gradients without a copy of the windows: channels lie along the vectors.

    def k0(y0, x0, y1, y2, y3, x1, y4, y5, a0, g, c):     # y[n][o, p] = W[o, r] w[n][r, p]
        for ..: y0[..] = 12 * m + o                       # rows: where the window of a position is
        for ..: y1[..] = 144 * j + 12 * k + l             # steps: where its places are
        for ..: y2[..] = 16 * p                           # places: where its row of results goes
        turned_f32(16, 200, x0, 200, y3, 16)              # W, channels along its rows
        for i in range(a0):                               # images
            zero(y4, 1024)
            indirect_f32(64, 16, 200, at(x1, 1152 * i), y0, y1, y3, 16, y4, y2)
            turned_f32(64, 16, y4, 16, at(y5, 1024 * i), 64)

As many numbers are turned as the result has, or the gradient that is given; windows would be as
many times more as they have elements. The gradient of the input is made where its channels lie side
by side, a product for each place inside the windows, or for a row of such places at once where they
are side by side as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ...ir.convolution import Convolution, Place
from ...ir.graph import Node
from ...ir.record import dataclass
from ...ir.types import DTYPES, F64, dtype_name
from .convolution import ELEMENT, PACKED, PART, WINDOWS, Emitter
from .kernel import KernelWriter, indent, loop_name
from .module import Module
from .tiling import Tiling, indirect_tiling

UNIT: Final = 8
"""Channels are padded to a multiple of this (`runtime/indirect.py`)."""

PANEL: Final = 128
"""Bytes of a row of a panel."""

APART: Final = 8
"""Rows of a tile at the most: what they are added to must not overlap."""

LEAST_CHANNELS: Final = {"forward": 12, "weights": 8, "input": 6}
"""Channels along the vectors that are worth it."""

LEAST_SUM: Final = {"forward": 8, "weights": 64, "input": 8}
"""Products that a result sums up at the least, of one image."""

LEAST_POSITIONS: Final = 2048
"""Positions, of all images, that are worth turning the weights or their gradient, which each chunk
does."""

FEW_SUMMED: Final = 32
"""Products that a result sums up for each place inside the windows: with fewer of them, a row of
places is worth the less regular reading that it takes."""

MOST_IMAGE: Final = 2**20
"""Bytes of an image whose gradient is made with its channels side by side."""

FACTOR, RESULT = WINDOWS, PACKED
ROWS, STEPS, PLACES = 4, 5, 6
HERE, LANE = "panel", "lane"


@dataclass(frozen=True)
class Plan:
    """What lies along the vectors: `channels` of them, before `together`, places inside the windows
    that lie side by side in the image (of which one letter or none). `order` are the letters of the
    positions as the rows of tiles take them, `pixels` the size of a channel's image."""

    channels: int
    together: str
    order: str
    pixels: int


def indirect_plan(c: Convolution, dtype: np.dtype) -> Plan | None:
    """How a convolution is made without windows; None if it is not, or not well."""
    if c.left.first != c.free or c.right.first != c.free or not c.rows:
        return None
    if c.count(c.images + c.columns) < LEAST_POSITIONS:
        return None
    if c.kind == "input":
        return _input_plan(c, dtype)
    if c.count(c.free) < LEAST_CHANNELS[c.kind] or (
        c.kind == "forward" and c.dot.op.name == "dot_acc"
    ):
        return None
    summed = c.rows if c.kind == "forward" else c.columns
    return Plan(c.count(c.free), "", c.columns, 0) if c.count(summed) >= LEAST_SUM[c.kind] else None


def _input_plan(c: Convolution, dtype: np.dtype) -> Plan | None:
    channel, taps = c.rows[0], c.rows[1:]
    steps, channels = c.windows.steps, c.extents[channel]
    pixels = steps[channel]
    span = c.windows.start + sum((c.extents[x] - 1) * steps[x] for x in taps + c.columns)
    if span >= pixels or channels < LEAST_CHANNELS[c.kind] or c.count(c.free) < LEAST_SUM[c.kind]:
        return None
    if not _covers(c) or pixels * min(PANEL, channels * dtype.itemsize) > MOST_IMAGE:
        return None
    beside = bool(taps) and steps[taps[-1]] == 1 and c.count(c.free) < FEW_SUMMED
    last = taps[-1:] if beside else ""
    for together in dict.fromkeys((last, "")):
        for order in (c.columns, c.columns[::-1]):
            if _are_apart(c, order, c.count(together)):
                return Plan(channels, together, order, pixels)
    return None


def _covers(c: Convolution) -> bool:
    """Whether images, groups and channels are what the whole gradient consists of."""
    letters = sorted(c.images + c.groups + c.rows[0], key=lambda x: c.windows.steps.get(x, 0))
    size = c.windows.steps[c.rows[0]]
    for x in letters:
        if c.windows.steps.get(x) != size:
            return False
        size *= c.extents[x]
    return size == c.image.type.size


def _are_apart(c: Convolution, order: str, length: int) -> bool:
    """Whether rows that are in one tile, so long each, do not overlap."""
    places = np.zeros(1, np.int64)
    for x in order:
        places = np.add.outer(places, c.windows.steps[x] * np.arange(c.extents[x])).ravel()
    return all((abs(places[k:] - places[:-k]) >= length).all() for k in range(1, APART))


def emit_indirect(module: Module, node: Node, c: Convolution, plan: Plan) -> None:
    """The kernel of a convolution."""
    _Indirect(module, node, c, plan).emit()


class _Indirect(Emitter):
    """Writes one kernel. Channels are taken in panels, a `width` of them at a time, each a matrix
    of its own: rows that far apart stay in the first-level cache. `w2` are the columns of the
    product in a panel, `w3` the channels."""

    def __init__(self, module: Module, node: Node, c: Convolution, plan: Plan) -> None:
        self.plan, dtype = plan, node.result.type.dtype
        self.columns = -(-plan.channels // UNIT) * UNIT
        self.width_of_panel = min(self.columns, PANEL // dtype.itemsize)
        self.panels = -(-self.columns // self.width_of_panel)
        self.others = "".join(x for x in c.rows[1:] if x != plan.together)
        super().__init__(module, node, c)
        used = len(self.variable) - 1  # that of the chunk is no letter
        self.variable |= {HERE: loop_name(used), LANE: loop_name(used + 1)}

    def _tiling(self) -> Tiling:
        return indirect_tiling(self.c, self.dtype)

    def _sums(self) -> int:
        if self.c.kind != "weights":
            return 0
        return self.c.count(self.c.groups) * self.panels * self.r * self.width_of_panel

    def _areas(self) -> list[tuple[int, np.dtype]]:
        """Elements of a chunk's scratch memory: the right factor, the result; a sum of tiles and
        the sum of all; offsets."""
        c, plan, own, one = self.c, self.plan, self.dtype, self.width_of_panel
        positions, sums, i64 = self.width, self._sums(), DTYPES["i64"]
        match c.kind:
            case "forward":
                counts = self.panels * self.r * one, positions * one
                offsets = positions, self.r, positions
            case "weights":
                counts = positions * one, 0
                offsets = self.r, positions, self.r
            case "input":
                counts = self.panels * self._factor_size(), plan.pixels * one
                offsets = positions, self.m, positions
        sizes = [*counts, sums, sums, *offsets]
        return list(zip(sizes, [own, own, own, F64, i64, i64, i64], strict=True))

    def _factor_size(self) -> int:
        """Elements of a panel of the weights."""
        rows = self.m * self.r // self.plan.channels if self.c.kind == "input" else self.r
        return rows * self.width_of_panel

    # What a chunk does first

    def _prepared(self) -> list[str]:
        c, one = self.c, self.width_of_panel
        positions, taps, free = (c.windows, self.plan.order), (c.windows, c.rows), c.free
        rows, results = (
            Place(0, {x: one * k for x, k in self._dense(letters).items()})
            for letters in (c.rows, c.columns)
        )
        image = Place(0, {x: one * c.windows.steps[x] for x in c.columns})
        match c.kind:
            case "forward":
                tables = positions, taps, (results, c.columns)
            case "weights":
                tables = taps, positions, (rows, c.rows)
            case "input":
                order = self.plan.order
                tables = (c.right.place, order), (c.right.place, free), (image, order)
        lines = []
        for area, (place, letters) in zip((ROWS, STEPS, PLACES), tables, strict=True):
            lines += self._table(area, place, letters)
        if self.plan.channels < self.panels * one:
            lines.append(f"zero({self._area(FACTOR)}, {self.areas[FACTOR][0]})")
        return lines if c.groups else [*lines, *self._factor()]

    def _dense(self, letters: str) -> dict[str, int]:
        """The steps of letters whose elements lie side by side, the last ones innermost."""
        steps, step = dict[str, int](), 1
        for x in reversed(letters):
            steps[x] = step
            step *= self.c.extents[x]
        return steps

    def _table(self, area: int, place: Place, letters: str) -> list[str]:
        own = Place(0, self._chunk_steps(area) | self._dense(letters))
        value = self._index(Place(0, {x: place.steps[x] for x in letters}), self._own_term)
        here = f"{self._scratch_buffer(area)}[{self._index(own, self._own_term)}]"
        return self._loops(letters, [f"{here} = {value}"])

    def _loops(self, letters: str, lines: list[str]) -> list[str]:
        for x in reversed(letters):
            bound = self.tiling.strip if x == self.cut else self.c.extents[x]
            lines = [f"for {self.variable[x]} in range({bound}):", *indent(lines)]
        return lines

    def _in_panels(self, lines: list[str]) -> list[str]:
        """The lines for every panel."""
        if self.panels == 1:
            return lines
        first = f"{self.width_of_panel} * {self.variable[HERE]}"
        setup = [
            f"w2 = minimum_i64({self.width_of_panel}, {self.columns} - {first})",
            f"w3 = minimum_i64(w2, {self.plan.channels} - {first})",
        ]
        return [f"for {self.variable[HERE]} in range({self.panels}):", *indent([*setup, *lines])]

    def _panel(self, step: int) -> dict[str, int]:
        """Where the panel begins, if they are that far apart."""
        return {HERE: step} if self.panels > 1 else {}

    def _columns_of_panel(self) -> str:
        return "w2" if self.panels > 1 else str(self.columns)

    def _channels_of_panel(self) -> str:
        return "w3" if self.panels > 1 else str(self.plan.channels)

    def _factor(self) -> list[str]:
        """The weights as right factor, where they do not depend on the image."""
        c, one = self.c, self.width_of_panel
        if c.kind == "weights":
            return []
        start = self._panel(self._factor_size())
        if c.kind == "forward":
            source = self._shifted(self._left(), one * self.r)
            target = f"{self._area(FACTOR, self._index(Place(0, start), self._own_term))}, {one}"
            return self._in_panels(
                [self._turned(self._channels_of_panel(), self.r, source, target)]
            )
        letters = f"{self.others}{c.free}{self.plan.together}"
        steps = {x: one * k for x, k in self._dense(letters).items()}
        own = Place(0, self._chunk_steps(FACTOR) | start | steps | {LANE: 1})
        here, channel = self._index(own, self._own_term), c.left.place.steps[c.rows[0]]
        given = {x: k for x, k in c.left.place.steps.items() if x != c.rows[0]}
        given |= {LANE: channel} | self._panel(one * channel)
        there = self._index(Place(c.left.place.start, given), self._inner_terms)
        value = f"{self._buffer(c.left.value)}[{there}]"
        lines = [f"{self._scratch_buffer(FACTOR)}[{here}] = {value}"]
        lanes = f"for {self.variable[LANE]} in range({self._channels_of_panel()}):"
        return self._in_panels(self._loops(letters, [lanes, *indent(lines)]))

    def _outer_terms(self, x: str) -> list[tuple[int, str]]:
        return self._own_term(x) if x in (HERE, LANE) else super()._outer_terms(x)

    # The three kinds

    def _forward(self) -> list[str]:
        positions, one = self._columns(), self.width_of_panel
        result, start = self._area(RESULT), self._panel(self._factor_size())
        factor = f"{self._area(FACTOR, self._index(Place(0, start), self._own_term))}, {one}"
        sizes = positions, self._columns_of_panel(), self.r
        target = self._shifted(self._right(), one * self.c.count(self.c.right.last))
        return self._around([
            *self._grouped(),
            *self._in_panels([
                f"zero({result}, {positions} * {one})",
                self._indirect(sizes, self._image(), factor, result),
                self._turned(positions, self._channels_of_panel(), f"{result}, {one}", target),
            ]),
        ])  # fmt: skip

    def _grouped(self) -> list[str]:
        """The right factor of a group."""
        return self._factor() if self.c.groups else []

    def _pack_windows(self) -> list[str]:
        return []

    def _pack_right(self) -> list[str]:
        return []

    def _weights_product(self) -> list[str]:
        one, positions = self.width_of_panel, self._columns()
        given = self._shifted(self._right(), one * self.c.count(self.c.right.last))
        factor = f"{self._area(FACTOR)}, {one}"
        panel, groups = self._panel(self.r * one), self._dense(self.c.groups)
        steps = panel | {x: self.panels * self.r * one * k for x, k in groups.items()}
        target = self._area(PART, self._index(Place(0, steps), self._own_term))
        sizes = self.r, self._columns_of_panel(), positions
        return self._in_panels([
            self._turned(self._channels_of_panel(), positions, given, factor),
            self._indirect(sizes, self._image(), factor, target),
        ])  # fmt: skip

    def _stored(self, w: KernelWriter, value: str, before: Sequence[str] = ()) -> list[str]:
        """The sums, channels innermost, as the result."""
        c, one = self.c, self.width_of_panel
        free, groups = c.left.place.steps[c.free[-1]], self._dense(c.groups)
        steps = {x: self.panels * self.r * one * k for x, k in groups.items()}
        steps |= self._panel(self.r * one) | {LANE: 1}
        steps |= {x: one * k for x, k in self._dense(c.rows).items()}
        result = {x: k for x, k in c.left.place.steps.items() if x not in c.free}
        result |= {LANE: free} | self._panel(one * free)
        place = self._index(Place(0, steps), self._own_term)
        stored = self._store(w, self._index(Place(0, result), self._own_term), value)
        lines = self._loops(c.rows, [f"{ELEMENT} = {place}", *before, stored])
        lanes = f"for {self.variable[LANE]} in range({self._channels_of_panel()}):"
        return self._loops(c.groups, self._in_panels([lanes, *indent(lines)]))

    def _input(self) -> list[str]:
        c, plan, one = self.c, self.plan, self.width_of_panel
        length, places = c.count(plan.together) * one, c.windows.steps
        result = Place(one * c.windows.start, {x: one * places[x] for x in self.others})
        target = self._area(RESULT, self._index(result, self._own_term))
        letters = f"{self.others}{c.free}{plan.together}"
        own = {x: one * k for x, k in self._dense(letters).items() if x in self.others}
        steps = self._panel(self._factor_size()) | own
        factor = f"{self._area(FACTOR, self._index(Place(0, steps), self._own_term))}, {length}"
        given = self._right().rpartition(", ")[0]
        product = self._indirect((self.size, length, self.m), given, factor, target)
        outer = {x: places[x] for x in c.images + c.groups} | self._panel(one * plan.pixels)
        there = self._index(Place(0, outer), self._outer_terms)
        image = f"at({self._buffer(c.image)}, {there}), {plan.pixels}"
        made = f"{self._area(RESULT)}, {one}"
        return self._around([
            *self._grouped(),
            *self._in_panels([
                f"zero({self._area(RESULT)}, {plan.pixels * one})",
                *self._loops(self.others, [product]),
                self._turned(plan.pixels, self._channels_of_panel(), made, image),
            ]),
        ])  # fmt: skip

    # Calls

    def _shifted(self, matrix: str, step: int) -> str:
        """The rows of a matrix, "at(x0, 0), 25", that belong to the panel."""
        if self.panels == 1:
            return matrix
        start, _, length = matrix.rpartition("), ")
        return f"{start} + {step} * {self.variable[HERE]}), {length}"

    def _image(self) -> str:
        """Where the windows of the first position begin."""
        offset = self._index(self.c.windows, self._outer_terms)
        return f"at({self._buffer(self.c.image)}, {offset})"

    def _indirect(
        self, sizes: tuple[object, object, object], left: str, right: str, target: str
    ) -> str:
        m, n, k = sizes
        rows, steps, places = (self._area(area) for area in (ROWS, STEPS, PLACES))
        found = f"{left}, {rows}, {steps}, {right}, {target}, {places}"
        return f"indirect_{dtype_name(self.dtype)}({m}, {n}, {k}, {found})"

    def _turned(self, m: object, n: object, source: str, target: str) -> str:
        return f"turned_{dtype_name(self.dtype)}({m}, {n}, {source}, {target})"
