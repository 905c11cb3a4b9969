"""`gemm` and `gemv` made of tiles, as LLVM text for any processor.

    tiles_gemm_<t>, tiles_gemv_<t>   as `gemm_<t>` and `gemv_<t>` of `runtime/kernel.py`, but
                                     0 * nan is nan even if alpha is 0

A product goes panel by panel of the result's columns, as wide as the widest tile, `BLOCK` summed
elements at a time. A panel of B is read where it lies if its rows are contiguous, else transposed
into a buffer first. The columns that would fill only a part of a vector are made in another way
where that takes fewer instructions:

    flipped   A is stored transposed: its rows are vectors of the result's *rows*, so tiles make
              the transposed result, which is then turned in registers
    inner     A is not: vectors along the summed axis (`runtime/inner_tiles.py`); B's few columns
              are transposed. So are all columns of a B stored transposed when rows are few: then
              turning B would take as long as multiplying by it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .inner_tiles import cover, inner_tiles, widest
from .matvec import matrix_vector
from .packing import MERGE, PACK, packing
from .tiles import PANEL, tiles
from .vector_text import SIZE, Registers, Target, Writer, declarations, parameters

BLOCK: Final = 512
"""Summed elements per pass: a panel of B that long stays in the second-level cache."""

INNER_BLOCK: Final = 1536
"""The same for inner tiles, whose panel is narrower."""

INNER_AREA: Final = 32 * INNER_BLOCK
"""Numbers of A that inner tiles pass once for every few columns: they stay in that cache too."""

PACKED: Final = (48, 128)
"""Rows and columns from which tiles of few columns read B from a buffer: each row of a panel lies
in another page of memory."""

PAGE: Final = 4096
"""Rows of B so many bytes apart, or a multiple, share few lines of a cache: a panel of them does
not stay there."""

AHEAD: Final = 2
"""Panels between that which is multiplied and that which is brought to the cache: each row of a
panel lies in another page, and the processor does not expect the next one."""

FAR: Final = 2**19
"""Bytes of a matrix that does not stay in the second-level cache."""

EDGE_ROWS: Final = 24
"""Rows of a buffer for results of which some columns are not wanted."""

GEMM: Final = parameters(
    "i %ta, i %tb, i %m, i %n, i %k, f %alpha, p %a, i %lda, p %b, i %ldb, f %beta, p %c, i %ldc"
)
_WIDE: Final = parameters(
    "i %tb, i %m, i %n, i %k, p %a, i %row, i %step, p %b, i %ldb, f %alpha, f %beta, p %c, i %ldc"
)
_FLIPPED: Final = parameters(
    "i %m, i %n, i %k, p %a, i %lda, p %b, i %row, i %step, f %alpha, f %beta, p %c, i %ldc"
)
_NARROW: Final = parameters(
    "i %tb, i %m, i %n, i %k, p %a, i %lda, p %b, i %ldb, f %alpha, f %beta, "
    "p %c, i %row, i %column"
)


def products_text(machine: Registers, dtype: str) -> str:
    """The LLVM text that defines the two functions for "f32" or "f64"."""
    t = Target(machine, dtype)
    return "\n".join([declarations(t), *_functions(t)])


def _functions(t: Target) -> Iterator[str]:
    yield from tiles(t)
    yield from inner_tiles(t)
    yield from packing(t)
    yield from (_wide(t), _flipped(t), _narrow(t), _gemm(t))
    yield from matrix_vector(t)


def _gemm(t: Target) -> str:
    w = Writer(t)
    with w.when(w.any("%m == 0", "%n == 0")):
        w.leave()
    scales = "%alpha", "%beta"
    with w.when(w.both(w.all("%ta == 0", "%tb != 0"), _turning_costs(w))):
        product = ("%n", "%m", "%k", "%b", "%ldb", "%a", "%lda")
        w.call("narrow", _NARROW, 1, *product, *scales, "%c", 1, "%ldc")
        w.leave()
    turned, flips = w.compare("%ta != 0"), w.compare("%tb != 0")
    row, step = w.choose(turned, 1, "%lda"), w.choose(turned, "%lda", 1)
    down, across = w.choose(flips, 1, "%ldb"), w.choose(flips, "%ldb", 1)
    rest = w.integer("urem", "%n", t.lanes)
    flipped = w.both(turned, _flipping_pays(w, rest))
    inner = w.both(w.negated(turned), _inner_pays(w, rest))
    wide = w.choose(w.either(flipped, inner), w.integer("sub", "%n", rest), "%n")
    with w.when(w.compare(f"{wide} != 0")):
        left, right = ("%a", row, step), ("%b", "%ldb")
        w.call("wide", _WIDE, "%tb", "%m", wide, "%k", *left, *right, *scales, "%c", "%ldc")
    b, c = w.at("%b", w.integer("mul", wide, across)), w.at("%c", wide)
    size = ("%m", rest, "%k", "%a", "%lda", b)
    with w.when(flipped):
        w.call("flipped", _FLIPPED, *size, across, down, *scales, c, "%ldc")
    with w.when(inner):
        w.call("narrow", _NARROW, "%tb", *size, "%ldb", *scales, c, "%ldc", 1)
    return w.define(f"tiles_gemm_{t.dtype}", GEMM, linkage="")


def _flipping_pays(w: Writer, columns: str) -> str:
    """A row of a masked tile needs k FMAs; flipped, `lanes` rows need k FMAs per column, and about
    ten instructions per row to turn them."""
    saved = w.integer("mul", w.integer("sub", w.t.lanes, columns), "%k")
    enough = w.all(f"%m >= {w.t.lanes}", f"{saved} > {10 * w.t.lanes}")
    return w.both(enough, w.compare(f"{columns} != 0"))


def _inner_pays(w: Writer, columns: str) -> str:
    """A row of a masked tile needs k FMAs; inner tiles k / lanes per column, and six instructions
    per column to add the lanes and store the sum."""
    steps = w.integer("add", w.integer("udiv", "%k", w.t.lanes), 6)
    fewer = w.compare(f"{w.integer('mul', columns, steps)} < %k")
    return w.both(fewer, w.all("%m >= 4", f"{columns} != 0"))


def _turning_costs(w: Writer) -> str:
    """Turning B takes 6.4 times as long as a row of the product, inner tiles' additions 64 / k
    times as long as all rows."""
    return w.compare(f"{w.integer('mul', '%m', 10)} < %k")


def _wide(t: Target) -> str:
    """Tiles alone, a block of k and in it a panel of columns at a time."""
    w = Writer(t)
    buffer = w.buffer(BLOCK * t.panel)
    edge = None if t.machine.masked else w.buffer(EDGE_ROWS * t.panel)
    width = _width(w)
    with w.loop("0", w.at_least_one("%k"), BLOCK, (t.float, "%beta")) as block:
        depth = w.umin(w.integer("sub", "%k", block.index), BLOCK)
        a = w.at("%a", w.integer("mul", block.index, "%step"))
        with w.loop("0", "%n", width) as panel:
            columns = w.umin(w.integer("sub", "%n", panel.index), width)
            b = _panel_of_b(w, (block.index, panel.index), (depth, columns), buffer)
            product = (depth, a, "%row", "%step", *b)
            result = (block.values[0], w.at("%c", panel.index), columns)
            if edge is None:
                _whole(w, product, result)
            else:
                part = w.integer("urem", columns, t.lanes)
                with w.when(w.compare(f"{part} == 0")):
                    _whole(w, product, result)
                with w.when(w.compare(f"{part} != 0")):
                    _edge(w, product, result, edge)
        block.nexts = ["1.0"]
    return w.define("wide", _WIDE)


def _width(w: Writer) -> str:
    """Columns of a panel: as few panels as possible, all of about the same width."""
    lanes, widest = w.t.lanes, w.t.machine.widths[0]
    vectors = _divided_up(w, "%n", lanes)
    panels = _divided_up(w, vectors, widest)
    return w.integer("mul", _divided_up(w, vectors, panels), lanes)


def _divided_up(w: Writer, x: str, y: str | int) -> str:
    return w.integer("udiv", w.integer("add", x, w.integer("sub", y, 1)), y)


def _panel_of_b(
    w: Writer, corner: tuple[str, str], size: tuple[str, str], buffer: str
) -> tuple[str, str, str]:
    """Where its rows are, how far apart, and what to fetch ahead: in B, or in the buffer if B is
    stored transposed or the last vectors would be read beyond B."""
    flips, panel = w.compare("%tb != 0"), w.t.panel
    line, place = w.choose(flips, *reversed(corner)), w.choose(flips, *corner)
    b = w.at("%b", w.integer("mul", line, "%ldb"), place)
    with w.when(flips):
        w.call("pack_transposed", PACK, *size, b, "%ldb", buffer, panel)
    straight = w.both(_packing_pays(w, size[1]), w.negated(flips))
    with w.when(straight):
        w.call("pack", PACK, *size, b, "%ldb", buffer, panel)
    packs = w.either(flips, straight)
    ahead = w.choose(packs, 0, _ahead(w, "%ldb"))
    return w.choose(packs, buffer, b, "ptr"), w.choose(packs, panel, "%ldb"), ahead


def _packing_pays(w: Writer, columns: str) -> str:
    """Whether a panel is copied though its rows are contiguous, or has to be."""
    if w.t.machine.masked:
        apart = w.integer("urem", "%ldb", PAGE // SIZE[w.t.dtype])
        return w.all(f"%m >= {PACKED[0]}", f"%k >= {PACKED[0]}", f"{apart} == 0")
    part = w.compare(f"{w.integer('urem', columns, w.t.lanes)} != 0")
    return w.either(part, w.all(f"%m >= {PACKED[0]}", f"%n >= {PACKED[1]}"))


def _whole(w: Writer, product: tuple[str, ...], result: tuple[str, str, str]) -> None:
    beta, c, columns = result
    w.call("panel", PANEL, "%m", *product, "%alpha", beta, c, "%ldc", columns)


def _edge(w: Writer, product: tuple[str, ...], result: tuple[str, str, str], edge: str) -> None:
    """Rows at a time into a buffer as wide as the tiles, and from there what is wanted."""
    depth, a, row, *others = product
    beta, c, columns = result
    with w.loop("0", "%m", EDGE_ROWS) as below:
        rows = w.umin(w.integer("sub", "%m", below.index), EDGE_ROWS)
        first = w.at(a, w.integer("mul", below.index, row))
        part = (edge, w.t.panel)
        w.call("panel", PANEL, rows, depth, first, row, *others, "1.0", "0.0", *part, columns)
        target = w.at(c, w.integer("mul", below.index, "%ldc"))
        w.call("merge", MERGE, rows, columns, "%alpha", *part, beta, target, "%ldc")


def _flipped(t: Target) -> str:
    """The transposed product, a panel of C's rows at a time; n < lanes."""
    w = Writer(t)
    part, turned = w.buffer(t.lanes * t.panel), w.buffer(t.lanes * t.panel)
    ahead = _ahead(w, "%lda")
    with w.loop("0", w.at_least_one("%k"), BLOCK, (t.float, "%beta")) as block:
        depth = w.umin(w.integer("sub", "%k", block.index), BLOCK)
        left = w.at("%b", w.integer("mul", block.index, "%step"))
        right = w.at("%a", w.integer("mul", block.index, "%lda"))
        with w.loop("0", "%m", t.panel) as panel:
            rows = w.umin(w.integer("sub", "%m", panel.index), t.panel)
            c = w.at("%c", w.integer("mul", panel.index, "%ldc"))
            there = w.at(right, panel.index)
            product = (depth, left, "%row", "%step", there, "%lda", ahead, "1.0", "0.0")
            w.call("panel", PANEL, "%n", *product, part, t.panel, rows)
            w.call("pack_transposed", PACK, rows, "%n", part, t.panel, turned, t.lanes)
            scaled = ("%alpha", turned, t.lanes, block.values[0])
            w.call("merge", MERGE, rows, "%n", *scaled, c, "%ldc")
        block.nexts = ["1.0"]
    return w.define("flipped", _FLIPPED)


def _ahead(w: Writer, stride: str) -> str:
    """How many numbers to the right of a panel to fetch the next ones, of k rows so far apart."""
    is_far = w.compare(f"{w.integer('mul', stride, '%k')} >= {FAR // SIZE[w.t.dtype]}")
    return w.choose(is_far, AHEAD * w.t.panel, 0)


def _narrow(t: Target) -> str:
    """Inner tiles, for a block of k and in it of rows, so that those stay in the second-level cache
    while the columns go by. Unless B is stored transposed, n < lanes."""
    w = Writer(t)
    buffer = w.buffer(t.lanes * INNER_BLOCK)
    lies = w.compare("%tb != 0")
    stride = w.choose(lies, "%ldb", INNER_BLOCK)
    with w.loop("0", w.at_least_one("%k"), INNER_BLOCK, (t.float, "%beta")) as block:
        depth = w.umin(w.integer("sub", "%k", block.index), INNER_BLOCK)
        with w.when(w.negated(lies)):
            b = w.at("%b", w.integer("mul", block.index, "%ldb"))
            w.call("pack_transposed", PACK, "%n", depth, b, "%ldb", buffer, INNER_BLOCK)
        b = w.choose(lies, w.at("%b", block.index), buffer, "ptr")
        height = w.integer("and", w.integer("udiv", INNER_AREA, w.at_least_one(depth)), -8)
        with w.loop("0", "%m", height) as below:
            rows = w.umin(w.integer("sub", "%m", below.index), height)
            a = w.at("%a", block.index, w.integer("mul", below.index, "%lda"))
            c = w.at("%c", w.integer("mul", below.index, "%row"))
            left = rows, depth, a, "%lda"
            _across(w, left, (b, stride), ("%alpha", block.values[0], c))
        block.nexts = ["1.0"]
    return w.define("narrow", _NARROW)


def _across(
    w: Writer, left: tuple[str, ...], right: tuple[str, str], result: tuple[str, str, str]
) -> None:
    """Columns shared out evenly among as few inner tiles as possible."""
    b, stride = right
    *scales, c = result
    tiles = _divided_up(w, "%n", widest(w.t))
    with w.loop("0", tiles, 1, ("i64", "0")) as along:
        (first,) = along.values
        others = w.integer("sub", tiles, along.index)
        count = _divided_up(w, w.integer("sub", "%n", first), others)
        there = w.at(b, w.integer("mul", first, stride))
        target = w.at(c, w.integer("mul", first, "%column"))
        for columns in range(1, widest(w.t) + 1):
            with w.when(w.compare(f"{count} == {columns}")):
                cover(w, columns, *left, there, stride, *scales, target, "%row", "%column")
        along.nexts = [w.integer("add", first, count)]
