"""Matrix products in panels, on several threads, as LLVM text.

    tapeless_gemm_<t>, tapeless_gemv_<t>    as `gemm_<t>` and `gemv_<t>` of `runtime/kernel.py`

The result is cut along one side, into panels that depend on its extents alone; each is the whole
product of a part of one operand, made on one thread by `whole_<routine>_<t>`, so a product has the
same bits on any number of threads. A panel takes half a microsecond at the least.

Rows are cut where the two halves come out even: the threads then write to different pages. Columns
are cut of a result that is wide and low, where B is large, which each panel of rows would read, and
where it is stored transposed, since each would turn all of it.

The BLAS is called with its own count of threads at one: threads inside threads would take turns on
the same cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from .kernel import routine_symbol
from .matvec import GEMV
from .products import GEMM
from .vector_text import Target, Writer, parameters

MOST_PANELS: Final = 32

ROWS, COLUMNS = 8, 16
"""Panels begin at multiples of these."""

LEAST_WORK: Final = {"gemm": 16, "gemv": 18}
"""Multiplications in a panel at the least, as a power of two, in f32; half as many in f64, and half
as many where there are two panels. A matrix times a vector reads memory for each: one that fits the
second-level cache of a processor is left there."""

SEVERAL: Final = 8
"""So many panels are enough where more of them would be small."""

TURNED_ROWS: Final = 6
"""To turn B takes as long as so many rows of the product."""

REPEATING_ROWS: Final = 64
"""Rows of a panel at the least where each panel turns B: all of a B stored transposed, or of few
columns."""

LARGE: Final = 2**18
"""Numbers of a B that does not stay in the second-level cache: each panel of rows reads it anew."""

LONG_ROWS: Final = 256
"""Columns of a panel of a matrix that a vector is multiplied by: shorter pieces of its rows would
keep the processor from reading ahead."""

_GIVEN: Final = {"gemm": GEMM, "gemv": GEMV}
_TASK: Final = parameters("p %context, i %chunk")

Cut = tuple[str, str]
"""Whether columns are cut (an i1), and into how many panels."""


def panels_text(t: Target, least: int, names: Iterable[str]) -> str:
    """The text of the routines of these names and one dtype, for a module that defines
    `whole_<routine>_<t>`, `@lower_threads(i1)` and `@restore_threads(i1)`. `least` says from how
    many multiplications on they call the BLAS."""
    texts = ["declare void @tapeless_split(ptr, ptr, i64)"]
    for name in names:
        texts += [_routine(t, name, _CUTS[name], least), _panel(t, name)]
    return "\n".join(texts)


def _routine(t: Target, routine: str, cut: Callable[[Writer, str, int], Cut], least: int) -> str:
    """Choose the panels; make them in a region of the pool, or the product at once."""
    w = Writer(t)
    given = _GIVEN[routine]
    grain = LEAST_WORK[routine] - (t.dtype == "f64")
    work = _work(w, routine)
    if short := min(1 << grain, least):
        with w.when(w.compare(f"{work} < {short}")):  # which is one panel, and made by tiles
            w.become(f"tiles_{routine}_{t.dtype}", given)
    context = w.new(f"alloca [{len(given.names) + 2} x i64]")
    columns, panels = cut(w, work, grain)
    with w.when(w.compare(f"{panels} < 2")):
        lowered = _lower_threads(w, work, least)
        w.call(f"whole_{routine}_{t.dtype}", given, *given.names)
        w.put(f"call void @restore_threads(i1 {lowered})")
        w.leave()
    wide = w.choose(columns, 1, 0)
    for k, (kind, name) in enumerate(_fields(t, routine, wide, panels)):
        w.put(f"store {kind} {name}, ptr {_field(w, context, k)}")
    lowered = _lower_threads(w, w.integer("udiv", work, panels), least)
    w.put(f"call void @tapeless_split(ptr @panel_{routine}_{t.dtype}, ptr {context}, i64 {panels})")
    w.put(f"call void @restore_threads(i1 {lowered})")
    return w.define(routine_symbol(routine, t.dtype), given, linkage="")


def _lower_threads(w: Writer, work: str, least: int) -> str:
    return w.new(f"call i1 @lower_threads(i1 {w.compare(f'{work} >= {least}')})")


def _fields(t: Target, routine: str, wide: str, panels: str) -> list[tuple[str, str]]:
    """What a task is told: the operands, which side is cut, and into how many panels."""
    given = _GIVEN[routine]
    operands = zip(given.kinds(t), given.names, strict=True)
    return [*operands, ("i64", wide), ("i64", panels)]


def _field(w: Writer, context: str, k: int) -> str:
    return w.new(f"getelementptr i64, ptr {context}, i64 {k}")


def _panel(t: Target, routine: str) -> str:
    """The task of the region: one panel."""
    w = Writer(t)
    x = {
        name: w.new(f"load {kind}, ptr {_field(w, '%context', k)}")
        for k, (kind, name) in enumerate(_fields(t, routine, "%wide", "%panels"))
    }
    wide = w.compare(f"{x['%wide']} != 0")
    extent = w.choose(wide, x["%n"], x["%m"]) if routine == "gemm" else _length(w, x)
    unit = w.choose(wide, COLUMNS, ROWS)
    first, count = _range(w, extent, unit, x["%panels"])
    part = _gemm_part if routine == "gemm" else _gemv_part
    x |= part(w, x, wide, first, count)
    given = _GIVEN[routine]
    w.call(f"whole_{routine}_{t.dtype}", given, *(x[name] for name in given.names))
    return w.define(f"panel_{routine}_{t.dtype}", _TASK)


def _range(w: Writer, extent: str, unit: str, panels: str) -> tuple[str, str]:
    """Where this panel begins, and its length: units are shared out evenly."""
    units = _units(w, extent, unit)
    after = w.integer("add", "%chunk", 1)
    first, last = (
        w.integer("mul", w.integer("udiv", w.integer("mul", units, c), panels), unit)
        for c in ("%chunk", after)
    )
    return first, w.integer("sub", w.umin(last, extent), first)


def _units(w: Writer, extent: str, unit: str | int) -> str:
    return w.integer("udiv", w.integer("add", extent, w.integer("sub", unit, 1)), unit)


Operands = dict[str, str]


def _gemm_part(w: Writer, x: Operands, wide: str, first: str, count: str) -> Operands:
    """The operands of a panel that differ from those of the whole product."""
    down = w.choose(w.compare(f"{x['%ta']} != 0"), 1, x["%lda"])
    across = w.choose(w.compare(f"{x['%tb']} != 0"), x["%ldb"], 1)
    right = w.choose(wide, first, 0)
    below = w.integer("sub", first, right)
    return {
        "%m": w.choose(wide, x["%m"], count),
        "%n": w.choose(wide, count, x["%n"]),
        "%a": w.at(x["%a"], w.integer("mul", below, down)),
        "%b": w.at(x["%b"], w.integer("mul", right, across)),
        "%c": w.at(x["%c"], right, w.integer("mul", below, x["%ldc"])),
    }


def _gemv_part(w: Writer, x: Operands, wide: str, first: str, count: str) -> Operands:
    turned = w.compare(f"{x['%ta']} != 0")
    line = w.choose(turned, 1, x["%lda"])
    return {
        "%m": w.choose(turned, x["%m"], count),
        "%n": w.choose(turned, count, x["%n"]),
        "%a": w.at(x["%a"], w.integer("mul", first, line)),
        "%y": w.at(x["%y"], first),
    }


def _length(w: Writer, x: Operands) -> str:
    """How long the result of a matrix times a vector is."""
    return w.choose(w.compare(f"{x['%ta']} != 0"), x["%n"], x["%m"])


def _work(w: Writer, routine: str) -> str:
    """The number of multiplications."""
    area = w.integer("mul", "%m", "%n")
    return w.integer("mul", area, "%k") if routine == "gemm" else area


def _gemm_cut(w: Writer, work: str, grain: int) -> Cut:
    padded = w.integer("mul", _units(w, "%n", COLUMNS), COLUMNS)
    more = w.choose(w.compare("%tb != 0"), TURNED_ROWS, 0)
    rows, columns = _half(w, "%m", ROWS), _half(w, padded, COLUMNS)
    by_rows = w.integer("mul", w.integer("add", rows, more), padded)
    by_columns = w.integer("mul", w.integer("add", "%m", more), columns)
    large = w.compare(f"{w.integer('mul', '%k', '%n')} > {LARGE}")
    low = w.compare(f"{w.integer('mul', '%m', w.choose(large, 1, 4))} < %n")
    wide = w.either(
        w.compare(f"{by_columns} < {by_rows}"),
        w.both(low, w.compare(f"{by_columns} == {by_rows}")),
    )
    repeats = w.either(w.compare("%tb != 0"), w.compare(f"%n < {COLUMNS}"))
    height = w.choose(large, 2 * REPEATING_ROWS, w.choose(repeats, REPEATING_ROWS, ROWS))
    extent, unit = w.choose(wide, "%n", "%m"), w.choose(wide, 2 * COLUMNS, height)
    return wide, _count(w, work, extent, (unit, COLUMNS), grain)


def _half(w: Writer, extent: str, unit: int) -> str:
    """The larger of two panels."""
    lower = w.integer("mul", w.integer("udiv", _units(w, extent, unit), 2), unit)
    upper = w.integer("sub", extent, lower)
    return w.choose(w.compare(f"{lower} < {upper}"), upper, lower)


def _gemv_cut(w: Writer, work: str, grain: int) -> Cut:
    turned = w.compare("%ta != 0")
    extent, unit = w.choose(turned, "%n", "%m"), w.choose(turned, LONG_ROWS, ROWS)
    return turned, _count(w, work, extent, (unit, unit), grain)


def _count(w: Writer, work: str, extent: str, units: tuple[str, str | int], grain: int) -> str:
    """An even number of panels, or one: two if they have the second unit each, several if they have
    the first, many if they have eight times that."""
    good = w.integer("udiv", extent, units[0])
    pair = w.umin(w.integer("udiv", extent, units[1]), 2)
    broad = w.integer("udiv", good, SEVERAL)
    several = w.choose(w.compare(f"{broad} < {SEVERAL}"), SEVERAL, broad)
    most = w.umin(good, w.umin(several, MOST_PANELS))
    fitting = w.choose(w.compare(f"{most} < 2"), pair, most)
    shares = w.integer("lshr", work, grain)
    two = w.choose(w.compare(f"{shares} < 2"), w.integer("lshr", work, grain - 1), shares)
    even = w.integer("and", w.umin(two, fitting), -2)
    return w.choose(w.compare(f"{even} == 0"), 1, even)


_CUTS: Final = {"gemm": _gemm_cut, "gemv": _gemv_cut}
