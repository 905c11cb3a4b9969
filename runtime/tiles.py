"""Matrix products whose results stay in registers, as LLVM text for any processor.

A tile is `rows` by `vectors` vectors of the result, kept in registers while the summed index runs:

    for p in range(k):
        for v in range(vectors): y[v] = B[p, j + v * lanes]
        for r in range(rows): sum[r][v] += A[i + r, p] * y[v]             one FMA each

Nothing but the tile is known when the text is made: sizes and strides are run-time arguments, so a
processor needs one object file. `Registers` says what tiles fit. A has any two strides; B's rows
are contiguous. Where vectors can be masked the last one of a tile may be partly filled; elsewhere
all are whole, and who calls sees to it that they may be (`runtime/products.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .vector_text import Target, Writer, parameters

_IN_FLIGHT: Final = 4
"""Independent sums that hide the latency of an FMA."""

_LEAST_FETCHING: Final = 2
"""Rows of a tile that has time to ask for more of B than it uses."""

_LEAST_EXPECTING: Final = 4
"""Rows of a tile that asks for what it reads of C before the sums are made, and for the number of A
that is two tiles below: where A is stored transposed, each lies in another page, and the processor
does not expect it."""

_LEAST_SUMMED: Final = 64
"""Products of a sum that takes as long as its place needs to come from memory."""

Masks = Sequence[str | None]
"""Of each vector of a row, the mask, or that it is whole."""

PANEL: Final = parameters(
    "i %m, i %k, p %a, i %row, i %step, p %b, i %ldb, i %ahead, f %alpha, f %beta, "
    "p %c, i %ldc, i %columns"
)
"""C = alpha A B + beta C for one panel, at most as wide as the widest tile. A[i, p] is at
a + i * row + p * step. When beta is 0, C is not read. The widest tiles, unless low, have the part
of B brought to the second-level cache that lies `ahead` numbers to the right, and what they read of
C and, later, of A to the first-level one."""


def tiles(t: Target) -> Iterator[str]:
    """Definitions of all tiles, and of `panel`, which covers a panel by them."""
    for vectors in t.machine.widths:
        yield from (tile(t, rows, vectors) for rows in heights(t, vectors))
    yield _panel(t)


def heights(t: Target, vectors: int) -> range:
    """Rows of the tiles that wide: from one to as many as fit."""
    return range(1, t.machine.tallest(vectors) + 1)


def tile(t: Target, rows: int, vectors: int) -> str:
    """Tiles of `rows` by `vectors`, one below the other; `m` is a multiple of `rows`."""
    w = Writer(t)
    masks: list[str | None] = [None] * vectors
    if t.machine.masked:
        masks[-1] = w.mask(w.integer("sub", "%columns", (vectors - 1) * t.lanes))
    with w.loop("0", "%m", rows) as below:
        a = w.at("%a", w.integer("mul", below.index, "%row"))
        c = w.at("%c", w.integer("mul", below.index, "%ldc"))
        if rows >= _LEAST_EXPECTING:
            read = w.new(f"fcmp une {t.float} %beta, 0.0")
            with w.when(w.both(read, w.compare(f"%k >= {_LEAST_SUMMED}"))):
                _expect(w, c, rows, vectors)
        sums = _summed(w, a, rows, masks)
        _store(w, sums, c, masks)
    return w.define(f"tile_{rows}x{vectors}", PANEL)


def _expect(w: Writer, c: str, rows: int, vectors: int) -> None:
    """Have the tile's part of C brought to the first-level cache while the sums are made."""
    for row in range(rows):
        c = w.at(c, "%ldc") if row else c
        for v in range(vectors):
            w.prefetch(w.at(c, str(v * w.t.lanes)), 3)


def _summed(w: Writer, a: str, rows: int, masks: Masks) -> list[str]:
    """The loop over k. Small tiles have several sets of sums, for one step of k each."""
    count = rows * len(masks)
    sets = max(1, _IN_FLIGHT // count)
    values = [a, "%b", *["zeroinitializer"] * (count * sets)]
    if sets == 1:
        return _loop(w, "0", "%k", values, rows, masks, sets)[2:]
    whole = w.integer("and", "%k", -sets)
    a, b, *sums = _loop(w, "0", whole, values, rows, masks, sets)
    totals = sums[:count]
    for s in range(1, sets):
        others = sums[s * count : (s + 1) * count]
        totals = [w.add(x, y) for x, y in zip(totals, others, strict=True)]
    return _loop(w, whole, "%k", [a, b, *totals], rows, masks, 1)[2:]


def _loop(
    w: Writer, first: str, end: str, values: Sequence[str], rows: int, masks: Masks, sets: int
) -> list[str]:
    """A loop over p, `sets` at a time: the addresses in A and B, and the sums, after it."""
    kinds = ["ptr", "ptr", *[w.t.vector] * (len(values) - 2)]
    count = rows * len(masks)
    with w.loop(first, end, sets, *zip(kinds, values, strict=True)) as along:
        a, b, *sums = along.values
        for s in range(sets):
            sums[s * count : (s + 1) * count] = _products(w, sums[s * count :], a, b, rows, masks)
            a, b = w.at(a, "%step"), w.at(b, "%ldb")
        along.nexts = [a, b, *sums]
    return along.values


def _products(
    w: Writer, sums: Sequence[str], a: str, b: str, rows: int, masks: Masks
) -> Iterator[str]:
    """A column of A times a row of B, added to the sums."""
    pieces = [w.load(w.at(b, str(v * w.t.lanes)), mask) for v, mask in enumerate(masks)]
    if _fetches(w.t, rows, len(masks)):
        there = w.at(b, "%ahead")
        for v in range(len(masks)):
            w.prefetch(w.at(there, str(v * w.t.lanes)), 2)
        if rows >= _LEAST_EXPECTING:
            w.prefetch(w.at(a, w.integer("mul", "%row", 2 * rows)), 3)
    each = iter(sums)
    for row in range(rows):
        a = w.at(a, "%row") if row else a
        factor = w.splat(w.scalar(a), w.t.float)
        for piece in pieces:
            yield w.multiply_add(factor, piece, next(each), w.t.vector)


def _fetches(t: Target, rows: int, vectors: int) -> bool:
    """Whether a tile does what `ahead` says: low ones load as much as they multiply already."""
    return vectors == t.machine.widths[0] and rows >= _LEAST_FETCHING


def _store(w: Writer, sums: Sequence[str], c: str, masks: Masks) -> None:
    """C = alpha sums + beta C; zeros are read in place of C when beta is 0. All is read before
    anything is written: a load waits for a masked store beside it."""
    t = w.t
    alpha, beta = w.splat("%alpha", t.float), w.splat("%beta", t.float)
    old, stride = w.unless_zero("%beta", (c, "@zeros", "ptr"), ("%ldc", 0, "i64"))
    news = []
    for first in range(0, len(sums), len(masks)):
        for v, mask in enumerate(masks):
            number = w.load(w.at(old, str(v * t.lanes)), mask)
            scaled = w.new(f"fmul {t.vector} {number}, {beta}")
            news.append(w.multiply_add(sums[first + v], alpha, scaled, t.vector))
        old = w.at(old, stride)
    for first in range(0, len(sums), len(masks)):
        for v, mask in enumerate(masks):
            w.store(news[first + v], w.at(c, str(v * t.lanes)), mask)
        c = w.at(c, "%ldc")


def _panel(t: Target) -> str:
    """The narrowest tiles that cover the columns."""
    w = Writer(t)
    wider = 0
    for vectors in reversed(t.machine.widths):
        width = vectors * t.lanes
        with w.when(w.all(f"%columns > {wider}", f"%columns <= {width}")):
            _cover(w, vectors)
        wider = width
    return w.define("panel", PANEL)


def _cover(w: Writer, vectors: int) -> None:
    """The tallest tiles, then a lower one, or two about equal ones instead of the last of the
    tallest and one of few rows (10 = 5 + 5): low tiles load much for few FMAs."""
    *lower, tallest = heights(w.t, vectors)
    rest = w.integer("urem", "%m", tallest)
    few = w.all(f"{rest} != 0", f"{rest} < {tallest // 2}", f"%m > {tallest}")
    pair = w.integer("add", rest, tallest)
    rest = w.choose(few, pair, rest)
    whole = w.integer("sub", "%m", rest)
    with w.when(w.compare(f"{whole} != 0")):
        _call(w, (tallest, vectors), whole, "0")
    half = w.integer("udiv", w.integer("add", pair, 1), 2)
    step = w.choose(few, half, tallest)
    with w.loop(whole, "%m", step) as below:
        left = w.umin(w.integer("sub", "%m", below.index), step)
        for rows in lower:
            with w.when(w.compare(f"{left} == {rows}")):
                _call(w, (rows, vectors), str(rows), below.index)


def _call(w: Writer, tile: tuple[int, int], count: str, below: str) -> None:
    """A tile for so many rows from one on."""
    rows, vectors = tile
    a, c = (w.at(x, w.integer("mul", below, y)) for x, y in (("%a", "%row"), ("%c", "%ldc")))
    between, after = PANEL.names[3:10], PANEL.names[11:]
    w.call(f"tile_{rows}x{vectors}", PANEL, count, "%k", a, *between, c, *after)
