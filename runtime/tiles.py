"""Matrix products whose results stay in registers, as LLVM text for any processor.

A tile is `rows` by `vectors` vectors of the result, kept in registers while the summed index runs:

    for p in range(k):
        for v in range(vectors): y[v] = B[p, j + v * lanes]
        for r in range(rows): sum[r][v] += A[i + r, p] * y[v]             one FMA each

Nothing but the tile is known when the text is made: sizes and strides are run-time arguments, so a
processor needs one object file. `Registers` says what tiles fit. A has any two strides. B is read
where it lies when its rows are contiguous, else a panel of it is transposed into a buffer first.
Rows that a tile has too many repeat the last one (and store the same numbers twice); columns too
many are masked.

    tiles_gemm_<t>    as `gemm_<t>` of `runtime/kernel.py`, but 0 * nan is nan even if alpha is 0
    tiles_chosen_<t>  whether `tiles_gemm_<t>` is faster than a BLAS for these flags and sizes

The choice was measured against OpenBLAS 0.3 on one thread of a Zen 4 (f32, AVX-512). OpenBLAS has
kernels of its own for products of at most 10^6 multiplications: they are as fast as tiles or
faster, except where B is transposed. `python -m benchmarks.products` compares the two on any
machine with AVX-512.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .packing import pack, pack_transposed
from .vector_text import AVX512, Registers, Target, Writer, declarations, parameter_types

BLOCK: Final = 256
"""Summed elements per pass: a panel of B that wide stays in the second-level cache."""

LOW: Final = 2
"""Rows of the tiles for what the tall ones leave."""

_IN_FLIGHT: Final = 8
"""Independent sums that hide the latency of an FMA (two per cycle, four cycles each)."""


MEASURED: Final = AVX512
"""The registers for which the choice was measured; elsewhere the BLAS makes all products."""


def tiles_text(machine: Registers, dtype: str) -> str:
    """The LLVM text that defines the two functions for "f32" or "f64"."""
    return "\n".join(_functions(Target(machine, dtype)))


def _functions(t: Target) -> Iterator[str]:
    yield declarations(t)
    for vectors in t.machine.widths:
        yield from (tile(t, rows, vectors) for rows in (t.machine.tallest(vectors), LOW))
        yield _column(t, vectors)
    yield from (pack_transposed(t), pack(t), _gemm(t), _chosen(t))
    yield f'attributes #0 = {{ nounwind "prefer-vector-width"="{8 * t.machine.bytes}" }}'


_TILE_PARAMETERS: Final = (
    "i64 %first, i64 %end, i64 %last, i64 %k, ptr %a, i64 %row, i64 %step, ptr %b, i64 %ldb, "
    "{float} %alpha, {float} %beta, ptr noalias %c, i64 %ldc, i64 %columns"
)
_TILE_ARGUMENTS: Final = (
    "i64 %last, i64 %k, ptr %a, i64 %row, i64 %step, ptr %b, i64 %ldb, "
    "{float} %alpha, {float} %beta, ptr %c, i64 %ldc, i64 %columns"
)


def tile(t: Target, rows: int, vectors: int) -> str:
    """Tiles of `rows` by `vectors` from row `first` to row `end`, one below the other; no row is
    beyond `last`. A[i, p] is at a + i * row + p * step."""
    w = Writer(t)
    sets = max(1, min(4, _IN_FLIGHT // (rows * vectors)))
    steps = max(2, sets)
    masks = [w.mask("%columns", v * t.lanes) for v in range(vectors)]
    w.put(f"%whole = and i64 %k, {-steps}")
    w.put("br label %tile")
    w.label("tile")
    w.put("%i = phi i64 [ %first, %0 ], [ %below, %summed ]")
    lines = [w.umin(w.new(f"add i64 %i, {r}"), "%last") for r in range(rows)]
    starts = [w.at("%a", w.new(f"mul i64 {line}, %row")) for line in lines]
    sums = _summed(w, starts, masks, sets, steps)
    _store_tile(w, sums, lines, masks)
    w.put(f"%below = add i64 %i, {rows}")
    w.put("%more = icmp ult i64 %below, %end")
    w.put("br i1 %more, label %tile, label %done")
    w.label("done")
    w.put("ret void")
    parameters = _TILE_PARAMETERS.format(float=t.float)
    return w.text(f"define internal void @tile_{rows}x{vectors}({parameters}) #0 {{")


def _summed(
    w: Writer, starts: Sequence[str], masks: Sequence[str], sets: int, steps: int
) -> list[str]:
    """The loop over k, `steps` at a time into `sets` sets of sums, and the loop over the rest."""
    count = len(starts) * len(masks)
    vector = w.t.vector
    zeros = ["zeroinitializer"] * (count * sets)
    w.put("%any = icmp ne i64 %whole, 0")
    w.put("br i1 %any, label %loop, label %looped")
    sums = [f"%sum{i}" for i in range(count * sets)]
    added = _loop(w, "loop", ("tile", "0", "0", "%b"), "%whole", steps, zeros, sums, starts, masks)
    w.label("looped")
    merged = [f"%all{i}" for i in range(count * sets)]
    w.phis(vector, merged, (zeros, "tile"), (added, "loop"))
    w.phis("i64", ["%offset"], (["0"], "tile"), (["%loop.further"], "loop"))
    w.phis("ptr", ["%left"], (["%b"], "tile"), (["%loop.under"], "loop"))
    totals = merged[:count]
    for s in range(1, sets):
        totals = [w.add(x, y) for x, y in zip(totals, merged[s * count :], strict=False)]
    w.put("%rest = icmp ult i64 %whole, %k")
    w.put("br i1 %rest, label %single, label %summed")
    ones = [f"%one{i}" for i in range(count)]
    start = ("looped", "%whole", "%offset", "%left")
    last = _loop(w, "single", start, "%k", 1, totals, ones, starts, masks)
    w.label("summed")
    results = [f"%total{i}" for i in range(count)]
    w.phis(vector, results, (totals, "looped"), (last, "single"))
    return results


def _loop(
    w: Writer,
    name: str,
    start: tuple[str, str, str, str],
    end: str,
    steps: int,
    before: Sequence[str],
    sums: Sequence[str],
    starts: Sequence[str],
    masks: Sequence[str],
) -> list[str]:
    """One loop over p: from block, p, offset into A and address in B, until `end`."""
    block, p, offset, address = start
    continues = "looped" if name == "loop" else "summed"
    inner = [f"%{name}.sum{i}" for i in range(len(sums))]
    w.label(name)
    w.phis("i64", [f"%{name}.p"], ([p], block), ([f"%{name}.next"], name))
    w.phis("i64", [f"%{name}.offset"], ([offset], block), ([f"%{name}.further"], name))
    w.phis("ptr", [f"%{name}.b"], ([address], block), ([f"%{name}.under"], name))
    w.phis(w.t.vector, sums, (before, block), (inner, name))
    values, place, row = list(sums), f"%{name}.offset", f"%{name}.b"
    sets = len(sums) // (len(starts) * len(masks))
    for step in range(steps):
        first = step % sets * len(starts) * len(masks)
        _add_products(w, values, first, [w.at(x, place) for x in starts], row, masks)
        final = step == steps - 1
        place = _named(w, f"%{name}.further" if final else "", f"add i64 {place}, %step")
        offset = f"getelementptr {w.t.float}, ptr {row}, i64 %ldb"
        row = _named(w, f"%{name}.under" if final else "", offset)
    w.put(f"%{name}.next = add i64 %{name}.p, {steps}")
    w.put(f"%{name}.more = icmp ult i64 %{name}.next, {end}")
    for given, value in zip(inner, values, strict=True):
        w.put(f"{given} = bitcast {w.t.vector} {value} to {w.t.vector}")
    w.put(f"br i1 %{name}.more, label %{name}, label %{continues}")
    return inner


def _named(w: Writer, name: str, expression: str) -> str:
    if not name:
        return w.new(expression)
    w.put(f"{name} = {expression}")
    return name


def _add_products(
    w: Writer, sums: list[str], first: int, elements: list[str], row: str, masks: Sequence[str]
) -> None:
    """One step of k: `sums[first:]` += a column of A times a row of B."""
    lanes, masked = w.t.lanes, w.t.machine.masked
    pieces = [w.load(w.at(row, str(v * lanes)), m if masked else None) for v, m in enumerate(masks)]
    for element in elements:
        factor = w.splat(w.scalar(element), w.t.float)
        for piece in pieces:
            sums[first] = w.multiply_add(factor, piece, sums[first], w.t.vector)
            first += 1


def _store_tile(w: Writer, sums: list[str], lines: list[str], masks: Sequence[str]) -> None:
    """C = alpha sums + beta C. When beta is 0 the mask of the load is empty: C is not read."""
    t, vectors = w.t, len(masks)
    alpha, beta = w.splat("%alpha", t.float), w.splat("%beta", t.float)
    adds = w.new(f"fcmp une {t.float} %beta, 0.0")
    reads = [w.new(f"select i1 {adds}, {t.bits} {m}, {t.bits} zeroinitializer") for m in masks]
    rows = [w.at("%c", w.new(f"mul i64 {line}, %ldc")) for line in lines]
    places = [w.at(row, str(v * t.lanes)) for row in rows for v in range(vectors)]
    news = []
    for i, (value, place) in enumerate(zip(sums, places, strict=True)):
        old = w.new(f"fmul {t.vector} {w.load(place, reads[i % vectors])}, {beta}")
        news.append(w.multiply_add(value, alpha, old, t.vector))
    for i, (value, place) in enumerate(zip(news, places, strict=True)):
        w.store(value, place, masks[i % vectors])


def _column(t: Target, vectors: int) -> str:
    """One panel of C: the tallest tiles first; up to four rows that are left in low tiles, more in
    one more tall tile."""
    tallest = t.machine.tallest(vectors)
    parameters = _TILE_PARAMETERS.format(float=t.float).removeprefix("i64 %first, i64 %end, ")
    arguments = _TILE_ARGUMENTS.format(float=t.float)
    return f"""define internal void @column_{vectors}({parameters}) #0 {{
  %m = add i64 %last, 1
  %rest = urem i64 %m, {tallest}
  %whole = sub i64 %m, %rest
  %many = icmp ugt i64 %rest, {2 * LOW}
  %end = select i1 %many, i64 %m, i64 %whole
  %tall = icmp ne i64 %end, 0
  br i1 %tall, label %main, label %remainder
main:
  call void @tile_{tallest}x{vectors}(i64 0, i64 %end, {arguments})
  br label %remainder
remainder:
  %finished = icmp eq i64 %end, %m
  br i1 %finished, label %done, label %low
low:
  call void @tile_{LOW}x{vectors}(i64 %end, i64 %m, {arguments})
  br label %done
done:
  ret void
}}"""


def _gemm(t: Target) -> str:
    """Blocks along k, panels of C's columns inside; B's panel is packed where it must be."""
    w = Writer(t)
    w.put(f"%buffer = alloca [{BLOCK * t.panel} x {t.float}], align 64")
    w.put("%turns = icmp ne i64 %ta, 0")
    w.put("%row = select i1 %turns, i64 1, i64 %lda")
    w.put("%step = select i1 %turns, i64 %lda, i64 1")
    w.put("%flips = icmp ne i64 %tb, 0")
    w.put("%last = sub i64 %m, 1")
    w.put("%size = mul i64 %m, %n")
    w.put("%empty = icmp eq i64 %size, 0")
    w.put("br i1 %empty, label %done, label %block")
    w.label("block")
    w.put("%p = phi i64 [ 0, %0 ], [ %behind, %blocked ]")
    w.put(f"%factor = phi {t.float} [ %beta, %0 ], [ 1.0, %blocked ]")
    w.put(f"%depth = call i64 @llvm.umin.i64(i64 {w.new('sub i64 %k, %p')}, i64 {BLOCK})")
    w.put(f"%corner = getelementptr {t.float}, ptr %a, i64 {w.new('mul i64 %p, %step')}")
    w.put("br label %panel")
    w.label("panel")
    w.put("%j = phi i64 [ 0, %block ], [ %right, %written ]")
    w.put(f"%columns = call i64 @llvm.umin.i64(i64 {w.new('sub i64 %n, %j')}, i64 {t.panel})")
    _read_panel(w)
    _write_panel(w)
    w.label("written")
    w.advance("%right", "%j", t.panel, "%n", ("panel", "blocked"))
    w.label("blocked")
    w.advance("%behind", "%p", BLOCK, "%k", ("block", "done"))
    w.label("done")
    w.put("ret void")
    names = ["ta", "tb", "m", "n", "k", "alpha", "a", "lda", "b", "ldb", "beta", "c", "ldc"]
    pairs = zip(parameter_types("gemm", t.dtype), names, strict=True)
    parameters = ", ".join(f"{kind} %{name}" for kind, name in pairs)
    return w.text(f"define void @tiles_gemm_{t.dtype}({parameters}) #0 {{")


def _read_panel(w: Writer) -> None:
    """%rows and %stride: where the panel of B is, packed or not. Nothing is packed when k is 0."""
    t = w.t
    w.put("%down = select i1 %flips, i64 %j, i64 %p")
    w.put("%across = select i1 %flips, i64 %p, i64 %j")
    w.put(f"%there = getelementptr {t.float}, ptr %b, i64 {w.new('mul i64 %down, %ldb')}")
    w.put(f"%origin = getelementptr {t.float}, ptr %there, i64 %across")
    w.put("%hollow = icmp eq i64 %depth, 0")
    w.put("br i1 %hollow, label %ready, label %reading")
    w.label("reading")
    w.put("br i1 %flips, label %turning, label %straight")
    w.label("turning")
    arguments = "i64 %depth, i64 %columns, ptr %origin, i64 %ldb, ptr %buffer"
    w.put(f"call void @pack_transposed({arguments})")
    w.put("br label %ready")
    w.label("straight")
    fits = [w.new(f"icmp eq i64 %columns, {v * t.lanes}") for v in t.machine.widths]
    whole = "true" if t.machine.masked else fits[0]
    for other in () if t.machine.masked else fits[1:]:
        whole = w.new(f"or i1 {whole}, {other}")
    w.put(f"br i1 {whole}, label %ready, label %packing")
    w.label("packing")
    w.put(f"call void @pack({arguments})")
    w.put("br label %ready")
    w.label("ready")
    blocks = ("panel", "turning", "straight", "packing")
    places = ("%origin", "%buffer") * 2
    w.phis("ptr", ["%rows"], *(([p], b) for p, b in zip(places, blocks, strict=True)))
    strides = ("%ldb", str(t.panel)) * 2
    w.phis("i64", ["%stride"], *(([s], b) for s, b in zip(strides, blocks, strict=True)))


def _write_panel(w: Writer) -> None:
    """Choose the narrowest tiles that cover the columns."""
    t = w.t
    w.put(f"%target = getelementptr {t.float}, ptr %c, i64 %j")
    arguments = (
        f"i64 %last, i64 %depth, ptr %corner, i64 %row, i64 %step, ptr %rows, i64 %stride, "
        f"{t.float} %alpha, {t.float} %factor, ptr %target, i64 %ldc, i64 %columns"
    )
    *narrower, narrowest = t.machine.widths
    for vectors, less in zip(narrower, t.machine.widths[1:], strict=True):
        wide = w.new(f"icmp ugt i64 %columns, {less * t.lanes}")
        w.put(f"br i1 {wide}, label %wide{vectors}, label %below{vectors}")
        w.label(f"wide{vectors}")
        w.put(f"call void @column_{vectors}({arguments})")
        w.put("br label %written")
        w.label(f"below{vectors}")
    w.put(f"call void @column_{narrowest}({arguments})")
    w.put("br label %written")


def _chosen(t: Target) -> str:
    """Never for large products, which use several threads. %padded is n with the columns that only
    fill a tile; a BLAS without a kernel for small products wastes more than tiles do."""
    w = Writer(t)
    w.put(f"%rest = urem i64 %n, {t.panel}")
    fill = "%rest"
    for vectors in t.machine.widths:
        covered = w.new(f"icmp ule i64 %rest, {vectors * t.lanes}")
        fill = w.new(f"select i1 {covered}, i64 {vectors * t.lanes}, i64 {fill}")
    exact = w.new("icmp eq i64 %rest, 0")
    fill = w.new(f"select i1 {exact}, i64 0, i64 {fill}")
    w.put(f"%padded = add i64 {w.new('sub i64 %n, %rest')}, {fill}")
    w.put("%size = mul i64 %m, %n")
    w.put("%work = mul i64 %size, %k")
    w.put("%filled = mul i64 %padded, 10")
    w.put(f"%tight = icmp ule i64 %filled, {w.new('mul i64 %n, 11')}")
    narrow = _all(w, f"%n <= {t.lanes}", f"%filled <= {w.new('mul i64 %n, 16')}")
    fits = w.new(f"or i1 %tight, {narrow}")
    large = w.new(f"and i1 {fits}, {_all(w, '%work > 1000000', '%size <= 131072')}")
    turned = w.new(f"and i1 %tight, {_all(w, '%ta == 0', '%tb != 0', '%size >= 2048')}")
    either = w.new(f"or i1 {large}, {turned}")
    sized = _all(w, "%m >= 10", "%k >= 8", "%work <= 4194304")
    w.put(f"ret i1 {w.new(f'and i1 {either}, {sized}')}")
    parameters = "i64 %ta, i64 %tb, i64 %m, i64 %n, i64 %k"
    return w.text(f"define zeroext i1 @tiles_chosen_{t.dtype}({parameters}) #0 {{")


_COMPARISONS: Final = {"==": "eq", "!=": "ne", ">": "ugt", ">=": "uge", "<=": "ule"}


def _all(w: Writer, *conditions: str) -> str:
    """Whether all hold: "%k >= 8"."""
    result = "true"
    for condition in conditions:
        left, sign, right = condition.split()
        holds = w.new(f"icmp {_COMPARISONS[sign]} i64 {left}, {right}")
        result = w.new(f"and i1 {result}, {holds}")
    return result
