"""Panels of a matrix in a buffer, for tiles that cannot use them where they lie (LLVM text)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .vector_text import Target, Writer, parameters

PACK = parameters("i %k, i %columns, p %b, i %ldb, p %panel, i %ldp")
"""A panel of k rows and so many columns from B, stored with rows that far apart."""

MERGE = parameters("i %m, i %n, f %alpha, p %part, i %ldp, f %beta, p %c, i %ldc")
"""C = alpha part + beta C, for m rows of n columns. When beta is 0, C is not read."""


_APART: Final = 8


def packing(t: Target) -> Iterator[str]:
    """Definitions of the functions below."""
    yield from (_pack(t), _pack_transposed(t.half), _merge(t))


def _pack(t: Target) -> str:
    """panel[p, j] = b[p, j] for j < columns; up to a whole number of vectors, the rest is 0."""
    w = Writer(t)
    lanes = t.lanes
    whole = w.integer("and", "%columns", -lanes)
    rest = w.integer("sub", "%columns", whole)
    with w.loop("0", "%k", 1) as down:
        source = w.at("%b", w.integer("mul", down.index, "%ldb"))
        target = w.at("%panel", w.integer("mul", down.index, "%ldp"))
        with w.loop("0", whole, lanes) as across:
            w.store(w.load(w.at(source, across.index)), w.at(target, across.index))
        with w.when(w.compare(f"{rest} != 0")):
            end = w.at(target, whole)
            w.store("zeroinitializer", end)
            with w.loop("0", rest, 1) as along:
                value = w.scalar(w.at(source, whole, along.index))
                w.put(f"store {t.float} {value}, ptr {w.at(end, along.index)}")
    return w.define("pack", PACK)


def _pack_transposed(t: Target) -> str:
    """panel[p, j] = b[j, p] for j < columns, in squares turned in registers (those of eight are
    turned as fast as those of sixteen, and compiled in a third of the time). Up to a whole number
    of vectors, columns too many repeat the last and rows too many are written."""
    w = Writer(t)
    lanes = t.lanes
    last = w.integer("sub", "%columns", 1)
    whole = "%k" if t.machine.masked else w.integer("and", "%k", -lanes)
    with w.loop("0", "%columns", lanes) as across:
        lines = [w.umin(w.integer("add", across.index, r), last) for r in range(lanes)]
        starts = [w.at("%b", w.integer("mul", line, "%ldb")) for line in lines]
        with w.loop("0", whole, lanes) as down:
            left = w.umin(w.integer("sub", "%k", down.index), lanes)
            mask = w.mask(left) if t.machine.masked else None
            square = turned_square(w, [w.load(w.at(start, down.index), mask) for start in starts])
            target = w.at("%panel", w.integer("mul", down.index, "%ldp"), across.index)
            for value in square:
                w.store(value, target)
                target = w.at(target, "%ldp")
        with w.loop(whole, "%k", 1) as down:
            target = w.at("%panel", w.integer("mul", down.index, "%ldp"), across.index)
            for r, start in enumerate(starts):
                value = w.scalar(w.at(start, down.index))
                w.put(f"store {t.float} {value}, ptr {w.at(target, str(r))}")
    return w.define("pack_transposed", PACK)


def turned_square(w: Writer, rows: list[str]) -> list[str]:
    """The transpose of a square: blocks of 1, 2, 4, ... change sides (J. O. Eklundh, A fast
    computer method for matrix transposing, 1972)."""
    lanes = range(len(rows))
    for size in (1 << bit for bit in range(len(rows).bit_length() - 1)):
        upper = [lane if not lane & size else len(rows) + lane - size for lane in lanes]
        lower = [lane + size if not lane & size else len(rows) + lane for lane in lanes]
        for i in (i for i in lanes if not i & size):
            pair = rows[i], rows[i + size]
            rows[i], rows[i + size] = w.shuffle(*pair, upper), w.shuffle(*pair, lower)
    return rows


def _merge(t: Target) -> str:
    """Every eighth row, then those after them, ...: a load waits for a masked store beside it."""
    w = Writer(t)
    old, stride, step = w.unless_zero(
        "%beta", ("%c", "@zeros", "ptr"), ("%ldc", 0, "i64"), (1, 0, "i64")
    )
    alpha, beta = (w.splat(x, t.float) for x in ("%alpha", "%beta"))
    whole = w.integer("and", "%n", -t.lanes)
    mask = w.mask(w.integer("sub", "%n", whole)) if t.machine.masked else None
    with w.loop("0", str(_APART), 1) as first, w.loop(first.index, "%m", _APART) as down:
        rows = (("%part", "%ldp"), (old, stride), ("%c", "%ldc"))
        part, before, c = (w.at(x, w.integer("mul", down.index, y)) for x, y in rows)
        with w.loop("0", whole, t.lanes) as across:
            j = across.index
            places = (w.at(part, j), w.at(before, w.integer("mul", j, step)), w.at(c, j))
            _merge_vector(w, places, alpha, beta, None)
        if mask is not None:
            places = (
                w.at(part, whole),
                w.at(before, w.integer("mul", whole, step)),
                w.at(c, whole),
            )
            _merge_vector(w, places, alpha, beta, mask)
        else:
            with w.loop(whole, "%n", 1) as along:
                _merge_number(w, part, before, c, along.index, step)
    return w.define("merge", MERGE)


def _merge_vector(
    w: Writer, places: tuple[str, str, str], alpha: str, beta: str, mask: str | None
) -> None:
    part, before, c = places
    scaled = w.new(f"fmul {w.t.vector} {w.load(before, mask)}, {beta}")
    w.store(w.multiply_add(w.load(part, mask), alpha, scaled, w.t.vector), c, mask)


def _merge_number(w: Writer, part: str, before: str, c: str, j: str, step: str) -> None:
    number = w.scalar(w.at(before, w.integer("mul", j, step)))
    scaled = w.new(f"fmul {w.t.float} {number}, %beta")
    value = w.multiply_add(w.scalar(w.at(part, j)), "%alpha", scaled, w.t.float)
    w.put(f"store {w.t.float} {value}, ptr {w.at(c, j)}")
