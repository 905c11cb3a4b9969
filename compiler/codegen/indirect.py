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
from .convolution import PACKED, PART, WINDOWS, Emitter
from .kernel import KernelWriter, indent
from .module import Module
from .tiling import Tiling, indirect_tiling

UNIT: Final = 8
"""Channels are padded to a multiple of this (`runtime/indirect.py`)."""

APART: Final = 8
"""Rows of a tile at the most: what they are added to must not overlap."""

LEAST_CHANNELS: Final = 12
"""Channels along the vectors that are worth it; of an input, half as many."""

LEAST_SUM: Final = 8
"""Products that a result sums up at the least."""

FEW_SUMMED: Final = 32
"""Products that a result sums up for each place inside the windows: with fewer of them, a row of
places is worth the less regular reading that it takes."""

MOST_IMAGE: Final = 2**20
"""Bytes of an image whose gradient is made with its channels side by side."""

FACTOR, RESULT = WINDOWS, PACKED
ROWS, STEPS, PLACES = 4, 5, 6


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
    if c.kind == "input":
        return _input_plan(c, dtype)
    if c.count(c.free) < LEAST_CHANNELS or (c.kind == "forward" and c.dot.op.name == "dot_acc"):
        return None
    summed = c.rows if c.kind == "forward" else c.columns
    return Plan(c.count(c.free), "", c.columns, 0) if c.count(summed) >= LEAST_SUM else None


def _input_plan(c: Convolution, dtype: np.dtype) -> Plan | None:
    channel, taps = c.rows[0], c.rows[1:]
    steps, channels = c.windows.steps, c.extents[channel]
    pixels = steps[channel]
    span = c.windows.start + sum((c.extents[x] - 1) * steps[x] for x in taps + c.columns)
    if span >= pixels or 2 * channels < LEAST_CHANNELS or c.count(c.free) < LEAST_SUM:
        return None
    if not _covers(c) or pixels * padded(channels) * dtype.itemsize > MOST_IMAGE:
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


def padded(channels: int) -> int:
    return -(-channels // UNIT) * UNIT


def emit_indirect(module: Module, node: Node, c: Convolution, plan: Plan) -> None:
    """The kernel of a convolution."""
    _Indirect(module, node, c, plan).emit()


class _Indirect(Emitter):
    """Writes one kernel. `n` are the columns of the product, channels padded."""

    def __init__(self, module: Module, node: Node, c: Convolution, plan: Plan) -> None:
        self.plan, self.n = plan, padded(plan.channels)
        self.others = "".join(x for x in c.rows[1:] if x != plan.together)
        super().__init__(module, node, c)

    def _tiling(self) -> Tiling:
        return indirect_tiling(self.c, self.dtype)

    def _sums(self) -> int:
        return self.c.count(self.c.groups) * self.r * self.n if self.c.kind == "weights" else 0

    def _areas(self) -> list[tuple[int, np.dtype]]:
        """Elements of a chunk's scratch memory: the right factor, the result; a sum of tiles and
        the sum of all; offsets."""
        c, plan, own = self.c, self.plan, self.dtype
        positions, sums, i64 = self.width, self._sums(), DTYPES["i64"]
        match c.kind:
            case "forward":
                counts = self.r * self.n, positions * self.n
                offsets = positions, self.r, positions
            case "weights":
                counts = positions * self.n, 0
                offsets = self.r, positions, self.r
            case "input":
                counts = self.m * self.r // plan.channels * self.n, plan.pixels * self.n
                offsets = positions, self.m, positions
        sizes = [*counts, sums, sums, *offsets]
        return list(zip(sizes, [own, own, own, F64, i64, i64, i64], strict=True))

    # What a chunk does first

    def _prepared(self) -> list[str]:
        c = self.c
        positions, taps, free = (c.windows, self.plan.order), (c.windows, c.rows), c.free
        rows = Place(0, {x: self.n * k for x, k in self._dense(c.rows).items()})
        results = Place(0, {x: self.n * k for x, k in self._dense(c.columns).items()})
        image = Place(0, {x: self.n * c.windows.steps[x] for x in c.columns})
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
        if self.plan.channels < self.n:
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

    def _factor(self) -> list[str]:
        """The weights as right factor, where they do not depend on the image."""
        match self.c.kind:
            case "forward":
                target = f"{self._area(FACTOR)}, {self.n}"
                return [self._turned(self.m, self.r, self._left(), target)]
            case "weights":
                return []
        letters = [*self.others, *self.c.free, *self.plan.together, self.c.rows[0]]
        here = self._index(self._factor_place(), self._own_term)
        there = self._index(self.c.left.place, self._inner_terms)
        value = f"{self._buffer(self.c.left.value)}[{there}]"
        move = f"{self._scratch_buffer(FACTOR)}[{here}] = {value}"
        return self._loops("".join(letters), [move])

    def _factor_place(self) -> Place:
        """Of the weights for the gradient of the input: a matrix for each of the other places."""
        letters = f"{self.others}{self.c.free}{self.plan.together}"
        steps = {x: self.n * k for x, k in self._dense(letters).items()}
        return Place(0, self._chunk_steps(FACTOR) | steps | {self.c.rows[0]: 1})

    # The three kinds

    def _forward(self) -> list[str]:
        positions = self._columns()
        clear = f"zero({self._area(RESULT)}, {positions} * {self.n})"
        result, factor = self._area(RESULT), f"{self._area(FACTOR)}, {self.n}"
        product = self._indirect((positions, self.n, self.r), self._image(), factor, result)
        turn = self._turned(positions, self.m, f"{result}, {self.n}", self._right())
        return self._around([*self._grouped(), clear, product, turn])

    def _grouped(self) -> list[str]:
        """The right factor of a group."""
        return self._factor() if self.c.groups else []

    def _pack_windows(self) -> list[str]:
        return []

    def _pack_right(self) -> list[str]:
        target = f"{self._area(FACTOR)}, {self.n}"
        return [self._turned(self.m, self._columns(), self._right(), target)]

    def _weights_product(self) -> str:
        factor = f"{self._area(FACTOR)}, {self.n}"
        groups = {x: self.r * self.n * k for x, k in self._dense(self.c.groups).items()}
        target = self._area(PART, self._index(Place(0, groups), self._own_term))
        return self._indirect((self.r, self.n, self._columns()), self._image(), factor, target)

    def _stored(self, w: KernelWriter, value: str, before: Sequence[str] = ()) -> list[str]:
        """The sums, channels innermost, as the result."""
        c = self.c
        steps = {x: self.n * k for x, k in self._dense(c.groups + c.rows).items()}
        place = self._index(Place(0, steps | self._dense(c.free)), self._own_term)
        stored = self._store(w, self._index(c.left.place, self._own_term), value)
        return self._loops(c.groups + c.free + c.rows, [f"e = {place}", *before, stored])

    def _input(self) -> list[str]:
        c, plan = self.c, self.plan
        length = c.count(plan.together) * self.n
        steps = {x: self.n * c.windows.steps[x] for x in self.others}
        result = self._area(RESULT, self._index(
            Place(self.n * c.windows.start, steps), self._own_term
        ))  # fmt: skip
        own = {x: k for x, k in self._factor_place().steps.items() if x in self.others}
        factor = f"{self._area(FACTOR, self._index(Place(0, own), self._own_term))}, {length}"
        given = self._right().rpartition(", ")[0]
        product = self._indirect((self.size, length, self.m), given, factor, result)
        outer = {x: c.windows.steps[x] for x in c.images + c.groups}
        there = self._index(Place(0, outer), self._outer_terms)
        image = f"at({self._buffer(c.image)}, {there}), {plan.pixels}"
        return self._around([
            *self._grouped(),
            f"zero({self._area(RESULT)}, {plan.pixels * self.n})",
            *self._loops(self.others, [product]),
            self._turned(plan.pixels, plan.channels, f"{self._area(RESULT)}, {self.n}", image),
        ])  # fmt: skip

    # Calls

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
