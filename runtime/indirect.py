"""Products of numbers that lie anywhere with rows of a matrix, as LLVM text for any processor.

    indirect_<t>, turned_<t>    as in `runtime/kernel.py`

Windows of an image need no copy: element (i, p) of the left factor lies at rows[i] + steps[p], the
first for a position, the second for a place inside the windows, or the other way round. Vectors are
rows of the right factor, of channels; a tile of the result is kept in registers as in
`runtime/tiles.py`:

    for p in range(k):
        for v in range(vectors): y[v] = B[p, v * lanes]
        for r in range(height): sum[r][v] += A[rows[i + r] + steps[p]] * y[v]   one FMA each

Columns come in eights, so no vector is masked. Source of the offsets: M. Dukhan, "The Indirect
Convolution Algorithm", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from .kernel import routine_symbol
from .packing import turned_square
from .vector_text import SIZE, Registers, Target, Writer, declarations, parameters

INDIRECT: Final = parameters(
    "i %m, i %n, i %k, p %a, o %rows, o %steps, p %b, i %ldb, p %c, o %places"
)
"""C += A B: A[i, p] is at a + rows[i] + steps[p], row i of C at c + places[i]. n is a multiple of
`UNIT`."""

TURNED: Final = parameters("i %m, i %n, p %a, i %lda, p %c, i %ldc")
"""C[j, i] = A[i, j] for m rows of n numbers."""

UNIT: Final = 8
"""Columns come in multiples of this."""

BLOCK: Final = 128
"""Summed elements per pass: so many are added one after another."""

HEIGHTS: Final = (8, 4, 1)
_IN_FLIGHT: Final = 4


def indirect_text(machine: Registers, dtype: str) -> str:
    """The LLVM text that defines the functions for "f32" or "f64"."""
    t = Target(machine, dtype)
    widths = list(_widths(t))
    tiles = (_tile(part, height, vectors) for part, vectors in widths for height in HEIGHTS)
    return "\n".join([declarations(t), *tiles, _indirect(t, widths), _turned(t.half)])


def _widths(t: Target) -> Iterator[tuple[Target, int]]:
    """Of the tiles, widest first: the registers, and how many. The last one divides `UNIT`."""
    yield t, 2
    if 2 * t.lanes > UNIT:
        yield t, 1
    if t.lanes > UNIT:
        yield Target(replace(t.machine, bytes=t.machine.bytes * UNIT // t.lanes), t.dtype), 1


def _name(t: Target, height: int, vectors: int) -> str:
    return f"indirect_{height}x{vectors * t.lanes}"


def _indirect(t: Target, widths: Sequence[tuple[Target, int]]) -> str:
    """A block of k at a time, in it a panel of columns, in it the highest tiles that there are rows
    for."""
    w = Writer(t)
    with w.loop("0", "%k", BLOCK) as block:
        depth = w.umin(w.integer("sub", "%k", block.index), BLOCK)
        steps = _entry(w, "%steps", block.index)
        b = w.at("%b", w.integer("mul", block.index, "%ldb"))
        done = "0"
        for part, vectors in widths:
            width = part.lanes * vectors
            left = w.integer("sub", "%n", done)
            end = w.integer("add", done, w.integer("and", left, -width))
            with w.loop(done, end, width) as panel:
                here = w.at(b, panel.index), w.at("%c", panel.index)
                _rows(w, part, vectors, depth, steps, *here)
            done = end
    return w.define(routine_symbol("indirect", t.dtype), INDIRECT, linkage="")


def _rows(w: Writer, part: Target, vectors: int, depth: str, steps: str, b: str, c: str) -> None:
    done = "0"
    for height in HEIGHTS:
        left = w.integer("sub", "%m", done)
        count = w.integer("and", left, -height)
        lists = _entry(w, "%rows", done), _entry(w, "%places", done)
        name = _name(part, height, vectors)
        w.call(name, INDIRECT, count, 0, depth, "%a", lists[0], steps, b, "%ldb", c, lists[1])
        done = w.integer("add", done, count)


def _entry(w: Writer, table: str, index: str) -> str:
    """The address of an entry of a table of offsets."""
    return w.new(f"getelementptr i64, ptr {table}, i64 {index}")


def _offset(w: Writer, table: str, index: str) -> str:
    return w.new(f"load i64, ptr {_entry(w, table, index)}")


def _tile(t: Target, height: int, vectors: int) -> str:
    """Tiles of that many rows, one below the other; `m` is a multiple of it."""
    w = Writer(t)
    sets = max(1, _IN_FLIGHT // (height * vectors))
    with w.loop("0", "%m", height) as below:
        places = [w.integer("add", below.index, r) for r in range(height)]
        rows = [w.at("%a", _offset(w, "%rows", place)) for place in places]
        whole = w.integer("and", "%k", -sets)
        sums = [["zeroinitializer"] * (height * vectors)] * sets
        b, sums = _summed(w, ("0", whole), rows, "%b", sums)
        first = sums[0]
        for more in sums[1:]:
            first = [w.add(x, y) for x, y in zip(first, more, strict=True)]
        if sets > 1:
            _, (first,) = _summed(w, (whole, "%k"), rows, b, [first])
        _add(w, first, [w.at("%c", _offset(w, "%places", place)) for place in places], vectors)
    return w.define(_name(t, height, vectors), INDIRECT)


def _summed(
    w: Writer, bounds: tuple[str, str], rows: Sequence[str], b: str, sets: list[list[str]]
) -> tuple[str, list[list[str]]]:
    """The loop over k, as many steps at a time as there are sets of sums: the address in B after
    it, and the sums."""
    count, lanes = len(sets[0]), w.t.lanes
    starts = [("ptr", b), *((w.t.vector, x) for sums in sets for x in sums)]
    with w.loop(*bounds, len(sets), *starts) as along:
        b, *sums = along.values
        along.nexts = []
        for s in range(len(sets)):
            offset = _offset(w, "%steps", w.integer("add", along.index, s))
            pieces = [w.load(w.at(b, str(v * lanes))) for v in range(count // len(rows))]
            each = iter(sums[s * count :])
            for row in rows:
                factor = w.splat(w.scalar(w.at(row, offset)), w.t.float)
                for y in pieces:
                    along.nexts.append(w.multiply_add(factor, y, next(each), w.t.vector))
            b = w.at(b, "%ldb")
        along.nexts = [b, *along.nexts]
    b, *sums = along.values
    return b, [sums[first : first + count] for first in range(0, len(sums), count)]


def _add(w: Writer, sums: Sequence[str], rows: Sequence[str], vectors: int) -> None:
    """C += sums."""
    places = [w.at(row, str(v * w.t.lanes)) for row in rows for v in range(vectors)]
    news = [w.add(w.load(place), x) for place, x in zip(places, sums, strict=True)]
    for place, value in zip(places, news, strict=True):
        w.store(value, place)


def _turned(t: Target) -> str:
    """Whole squares in registers, what is left number by number."""
    w, lanes = Writer(t), t.lanes
    rows, columns = (w.integer("and", x, -lanes) for x in ("%m", "%n"))
    with w.loop("0", rows, lanes) as down:
        start = w.at("%a", w.integer("mul", down.index, "%lda"))
        with w.loop("0", columns, lanes) as across:
            lines = [w.at(start, across.index)]
            for _ in range(lanes - 1):
                lines.append(w.at(lines[-1], "%lda"))
            place = w.at("%c", w.integer("mul", across.index, "%ldc"), down.index)
            for value in turned_square(w, [w.load(line) for line in lines]):
                w.store(value, place)
                place = w.at(place, "%ldc")
        _one_by_one(w, (down.index, w.integer("add", down.index, lanes)), (columns, "%n"))
    _one_by_one(w, (rows, "%m"), ("0", "%n"))
    return w.define(routine_symbol("turned", t.dtype), TURNED, linkage="")


def _one_by_one(w: Writer, rows: tuple[str, str], columns: tuple[str, str]) -> None:
    with w.loop(*rows, 1) as down:
        start = w.at("%a", w.integer("mul", down.index, "%lda"))
        target = w.at("%c", down.index)
        with w.loop(*columns, 1) as across:
            value = w.scalar(w.at(start, across.index))
            place = w.at(target, w.integer("mul", across.index, "%ldc"))
            w.put(f"store {w.t.float} {value}, ptr {place}, align {SIZE[w.t.dtype]}")
