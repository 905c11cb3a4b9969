"""A matrix times a vector, as LLVM text for any processor.

A result of at most a panel's width stays in registers as a tile of one row; one that is wider is
passed through once per `ROWS` rows of the matrix, which so is read row by row; these are summed
before they are added to it, which keeps long sums exact. For the matrix that is not transposed the
vectors lie along the summed axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from .inner_tiles import cover
from .tiles import PANEL
from .vector_text import SIZE, Target, Writer, parameters

GEMV: Final = parameters("i %ta, i %m, i %n, f %alpha, p %a, i %lda, p %x, f %beta, p %y")
_SWEEP: Final = parameters("i %n, f %alpha, p %a, i %lda, p %x, f %beta, p %y")
"""y = alpha A^T x + beta y for `ROWS` rows of A. When beta is 0, y is not read."""

BLOCK: Final = 512
"""Rows that are summed in registers."""

ROWS: Final = (8, 1)
"""Rows per pass through the result."""


def matrix_vector(t: Target) -> Iterator[str]:
    """Definitions of `tiles_gemv_<t>` and what it calls beside tiles."""
    yield from (_sweep(t, rows) for rows in ROWS)
    yield from (_turned(t), _straight(t), _gemv(t))


def _gemv(t: Target) -> str:
    w = Writer(t)
    with w.when(w.compare("%ta != 0")):
        w.become("gemv_turned", GEMV)
    w.become("gemv_straight", GEMV)
    return w.define(f"tiles_gemv_{t.dtype}", GEMV, linkage="")


def _turned(t: Target) -> str:
    """y = alpha A^T x + beta y."""
    w = Writer(t)
    if t.machine.masked:
        with w.when(w.both(w.compare("%n != 0"), w.compare(f"%n <= {t.panel}"))):
            with w.loop("0", w.at_least_one("%m"), BLOCK, (t.float, "%beta")) as block:
                depth = w.umin(w.integer("sub", "%m", block.index), BLOCK)
                a = w.at("%a", w.integer("mul", block.index, "%lda"))
                product = (depth, w.at("%x", block.index), 0, 1, a, "%lda", 0, "%alpha")
                w.call("panel", PANEL, 1, *product, block.values[0], "%y", 0, "%n")
                block.nexts = ["1.0"]
            w.leave()
    with w.when(w.compare("%m == 0")), w.loop("0", "%n", t.panel) as panel:
        count = w.umin(w.integer("sub", "%n", panel.index), t.panel)
        y = w.at("%y", panel.index)
        w.call("sweep_1", _SWEEP, count, "0.0", "@zeros", 0, "@zeros", "%beta", y)
    for below, rows in w.steps("%m", ROWS):
        a, x = w.at("%a", w.integer("mul", below, "%lda")), w.at("%x", below)
        beta = w.choose(w.compare(f"{below} == 0"), "%beta", "1.0", t.float)
        w.call(f"sweep_{rows}", _SWEEP, "%n", "%alpha", a, "%lda", x, beta, "%y")
    return w.define("gemv_turned", GEMV)


def _straight(t: Target) -> str:
    """y = alpha A x + beta y."""
    w = Writer(t)
    cover(w, 1, "%m", "%n", "%a", "%lda", "%x", 0, "%alpha", "%beta", "%y", 1, 0)
    return w.define("gemv_straight", GEMV)


def _sweep(t: Target, rows: int) -> str:
    """The definition of `sweep_<rows>`."""
    w = Writer(t)
    old, step = w.unless_zero("%beta", ("%y", "@zeros", "ptr"), (1, 0, "i64"))
    lines = [w.at("%a", w.integer("mul", r, "%lda")) for r in range(rows)]
    factors = [w.new(f"fmul {t.float} {w.scalar(w.at('%x', str(r)))}, %alpha") for r in range(rows)]
    splats = [w.splat(factor, t.float) for factor in factors]
    beta = w.splat("%beta", t.float)

    def add_vector(j: str, mask: str | None) -> None:
        sums = w.new(f"fmul {t.vector} {w.load(w.at(lines[0], j), mask)}, {splats[0]}")
        for factor, line in zip(splats[1:], lines[1:], strict=True):
            sums = w.multiply_add(factor, w.load(w.at(line, j), mask), sums, t.vector)
        before = w.load(w.at(old, w.integer("mul", j, step)), mask)
        w.store(w.multiply_add(before, beta, sums, t.vector), w.at("%y", j), mask)

    def add_number(j: str) -> None:
        sums = w.new(f"fmul {t.float} {w.scalar(w.at(lines[0], j))}, {factors[0]}")
        for factor, line in zip(factors[1:], lines[1:], strict=True):
            sums = w.multiply_add(factor, w.scalar(w.at(line, j)), sums, t.float)
        before = w.scalar(w.at(old, w.integer("mul", j, step)))
        total = w.multiply_add(before, "%beta", sums, t.float)
        w.put(f"store {t.float} {total}, ptr {w.at('%y', j)}")

    if t.machine.masked:
        _across_masked(w, add_vector)
    else:
        _across(w, add_vector, add_number)
    return w.define(f"sweep_{rows}", _SWEEP)


def _across_masked(w: Writer, add_vector: Callable[[str, str | None], None]) -> None:
    """The columns in vectors, the first and the last of them masked."""
    head = _head(w)
    with w.when(w.compare(f"{head} != 0")):
        add_vector("0", w.mask(head))
    whole = w.integer("and", w.integer("sub", "%n", head), -w.t.lanes)
    end = w.integer("add", head, whole)
    with w.loop(head, end, w.t.lanes) as across:
        add_vector(across.index, None)
    rest = w.integer("sub", "%n", end)
    with w.when(w.compare(f"{rest} != 0")):
        add_vector(end, w.mask(rest))


def _across(
    w: Writer,
    add_vector: Callable[[str, str | None], None],
    add_number: Callable[[str], None],
) -> None:
    """The columns in vectors, the last ones one by one."""
    whole = w.integer("and", "%n", -w.t.lanes)
    with w.loop("0", whole, w.t.lanes) as across:
        add_vector(across.index, None)
    with w.loop(whole, "%n", 1) as across:
        add_number(across.index)


def _head(w: Writer) -> str:
    """How many numbers lie before the first vector that is one cache line, where that is the same
    in all rows: a load from two lines takes as long as two. NumPy begins arrays anywhere."""
    t = w.t
    address = w.new("ptrtoint ptr %a to i64")
    before = w.integer("udiv", w.integer("sub", 0, address), SIZE[t.dtype])
    head = w.integer("and", before, t.lanes - 1)
    alike = w.compare(f"{w.integer('urem', '%lda', t.lanes)} == 0")
    return w.choose(w.both(alike, w.compare(f"%n > {2 * t.lanes}")), head, 0)
