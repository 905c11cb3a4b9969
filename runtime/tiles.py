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

Masks = Sequence[str | None]
"""Of each vector of a row, the mask, or that it is whole."""

PANEL: Final = parameters(
    "i %m, i %k, p %a, i %row, i %step, p %b, i %ldb, f %alpha, f %beta, p %c, i %ldc, i %columns"
)
"""C = alpha A B + beta C for one panel, at most as wide as the widest tile. A[i, p] is at
a + i * row + p * step. When beta is 0, C is not read."""


def tiles(t: Target) -> Iterator[str]:
    """Definitions of all tiles, and of `panel`, which covers a panel by them."""
    for vectors in t.machine.widths:
        yield from (tile(t, rows, vectors) for rows in heights(t, vectors))
    yield _panel(t)


def heights(t: Target, vectors: int) -> list[int]:
    """Rows of the tiles that wide: as many as fit, then what a remainder is made of."""
    tallest = t.machine.tallest(vectors)
    lower = (4, 2, 1) if vectors == t.machine.widths[0] else (4, 1)
    return [tallest, *(rows for rows in lower if rows < tallest)]


def tile(t: Target, rows: int, vectors: int) -> str:
    """Tiles of `rows` by `vectors`, one below the other; `m` is a multiple of `rows`."""
    w = Writer(t)
    masks: list[str | None] = [None] * vectors
    if t.machine.masked:
        masks[-1] = w.mask(w.integer("sub", "%columns", (vectors - 1) * t.lanes))
    with w.loop("0", "%m", rows) as below:
        a = w.at("%a", w.integer("mul", below.index, "%row"))
        c = w.at("%c", w.integer("mul", below.index, "%ldc"))
        sums = _summed(w, a, rows, masks)
        _store(w, sums, c, masks)
    return w.define(f"tile_{rows}x{vectors}", PANEL)


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
    each = iter(sums)
    for row in range(rows):
        a = w.at(a, "%row") if row else a
        factor = w.splat(w.scalar(a), w.t.float)
        for piece in pieces:
            yield w.multiply_add(factor, piece, next(each), w.t.vector)


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
    """The narrowest tiles that cover the columns: the tallest first, then ever lower ones."""
    w = Writer(t)
    wider = 0
    for vectors in reversed(t.machine.widths):
        width = vectors * t.lanes
        with w.when(w.all(f"%columns > {wider}", f"%columns <= {width}")):
            _cover(w, vectors)
        wider = width
    return w.define("panel", PANEL)


def _cover(w: Writer, vectors: int) -> None:
    done = "0"
    for rows in heights(w.t, vectors):
        left = w.integer("sub", "%m", done)
        count = w.integer("sub", left, w.integer("urem", left, rows))
        with w.when(w.compare(f"{count} != 0")):
            a, c = (w.at(x, w.integer("mul", done, y)) for x, y in (("%a", "%row"), ("%c", "%ldc")))
            between, after = PANEL.names[3:9], PANEL.names[10:]
            w.call(f"tile_{rows}x{vectors}", PANEL, count, "%k", a, *between, c, *after)
        done = w.integer("add", done, count)
