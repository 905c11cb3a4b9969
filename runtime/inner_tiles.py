"""Matrix products of few columns, where the summed axis is contiguous in both operands (LLVM text).

A tile of the result that is `rows` by `columns` numbers is kept in registers as one vector each,
while vectors of the summed axis go by:

    for p in range(0, k, lanes):
        for j in range(columns): y[j] = B[j, p : p + lanes]
        for i in range(rows): sum[i][j] += A[i, p : p + lanes] * y[j]      one FMA each

At the end the lanes of each sum are added up, `lanes` of them at a time: so no lane is idle however
few columns there are, and B needs no transposition. A tile is about square, so that it loads few
vectors for its FMAs; columns are shared out among tiles evenly (10 = 5 + 5, 7 = 4 + 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from .vector_text import SIZE, Target, Writer, parameters

INNER: Final = parameters(
    "i %m, i %k, p %a, i %lda, p %b, i %ldb, f %alpha, f %beta, p %c, i %row, i %column"
)
"""C = alpha A B^T + beta C for tiles one below the other; rows of A and B are contiguous. C[i, j]
is at c + i * row + j * column. When beta is 0, C is not read."""


def widest(t: Target) -> int:
    """Columns of a tile at most."""
    return 5 if t.machine.count >= 32 else 2


def inner_heights(t: Target, columns: int) -> tuple[int, int]:
    """Rows of the tiles of so many columns."""
    return (8 if columns <= 2 < widest(t) else 4), 1


def inner_tiles(t: Target) -> Iterator[str]:
    """Definitions of all tiles."""
    for columns in range(1, widest(t) + 1):
        yield from (_tile(t, rows, columns) for rows in inner_heights(t, columns))


def cover(w: Writer, columns: int, *arguments: str | int) -> None:
    """Call the tiles of so many columns, first the tall ones: C = alpha A B^T + beta C."""
    m, k, a, lda, b, ldb, alpha, beta, c, row, column = arguments
    tall, _ = inner_heights(w.t, columns)
    whole = w.integer("and", m, -tall)
    left = w.integer("sub", m, whole)
    below = w.at(str(a), w.integer("mul", whole, lda)), w.at(str(c), w.integer("mul", whole, row))
    for rows, count, first, target in ((tall, whole, a, c), (1, left, *below)):
        with w.when(w.compare(f"{count} != 0")):
            operands = (count, k, first, lda, b, ldb, alpha, beta, target, row, column)
            w.call(f"inner_{rows}x{columns}", INNER, *operands)


def _tile(t: Target, rows: int, columns: int) -> str:
    w = Writer(t)
    with w.loop("0", "%m", rows) as below:
        a = w.at("%a", w.integer("mul", below.index, "%lda"))
        c = w.at("%c", w.integer("mul", below.index, "%row"))
        left, right = _rows(w, a, "%lda", rows), _rows(w, "%b", "%ldb", columns)
        sums = _sums(w, left, right)
        if rows > 1 and columns == 1:
            beside = w.compare("%row == 1")
            with w.when(beside):
                _store_beside(w, sums, c)
            with w.when(w.negated(beside)):
                _store(w, sums, c, rows, columns)
        else:
            _store(w, sums, c, rows, columns)
    return w.define(f"inner_{rows}x{columns}", INNER)


def _sums(w: Writer, a: list[str], b: list[str]) -> list[str]:
    """The sums of products of each row of A with each row of B, as numbers."""
    t = w.t
    whole = w.integer("and", "%k", -t.lanes)
    starts = [(t.vector, "zeroinitializer")] * (len(a) * len(b))
    with w.loop("0", whole, t.lanes, *starts) as along:
        if len(b) > 2:
            _prefetch(w, a, along.index)
        along.nexts = list(_products(w, along.values, a, b, along.index, None))
    sums = along.values
    if t.machine.masked:
        mask = w.mask(w.integer("sub", "%k", whole))
        sums = list(_products(w, sums, a, b, whole, mask))
    numbers = _added_up(w, sums)
    return numbers if t.machine.masked else _scalar_rest(w, numbers, a, b, whole)


def _rows(w: Writer, first: str, stride: str, count: int) -> list[str]:
    rows = [first]
    for _ in range(count - 1):
        rows.append(w.at(rows[-1], stride))
    return rows


def _prefetch(w: Writer, a: list[str], p: str) -> None:
    """The tile below: its rows are new streams, which a processor notices late. Tiles of one or two
    columns have no time for it."""
    for row in _rows(w, w.at(a[-1], "%lda"), "%lda", len(a)):
        w.prefetch(w.at(row, p), 2)


def _products(
    w: Writer, sums: list[str], a: list[str], b: list[str], p: str, mask: str | None
) -> Iterator[str]:
    pieces = [w.load(w.at(row, p), mask) for row in b]
    each = iter(sums)
    for row in a:
        factor = w.load(w.at(row, p), mask)
        for piece in pieces:
            yield w.multiply_add(factor, piece, next(each), w.t.vector)


def _added_up(w: Writer, sums: list[str]) -> list[str]:
    """The sum over the lanes of each vector, as numbers."""
    lanes = w.t.lanes
    numbers = []
    for first in range(0, len(sums), lanes):
        group = sums[first : first + lanes]
        total = _lane_sums(w, group)
        numbers += [
            w.new(f"extractelement {w.t.vector} {total}, i64 {lane}") for lane in range(len(group))
        ]
    return numbers


def _lane_sums(w: Writer, vectors: list[str]) -> str:
    """A vector of the sums over the lanes of vectors, at most so many: in each round neighbouring
    lanes are added, and two vectors become one."""
    size = 1
    while size < w.t.lanes:
        pairs = zip_longest(vectors[::2], vectors[1::2])
        vectors = [_paired(w, x, y, size) for x, y in pairs]
        size *= 2
    return vectors[0]


def _paired(w: Writer, x: str, y: str | None, size: int) -> str:
    """x[l] + x[l ^ size] in lanes without that bit, the same of y in those with it."""
    lanes = range(w.t.lanes)
    if y is None:
        return w.add(x, w.shuffle(x, x, [lane ^ size for lane in lanes]))
    start = [w.t.lanes if lane & size else 0 for lane in lanes]
    own = w.shuffle(x, y, [start[lane] + lane for lane in lanes])
    return w.add(own, w.shuffle(x, y, [start[lane] + (lane ^ size) for lane in lanes]))


def _scalar_rest(
    w: Writer, numbers: list[str], a: list[str], b: list[str], whole: str
) -> list[str]:
    """The sums with the products that do not fill a vector."""
    with w.loop(whole, "%k", 1, *((w.t.float, x) for x in numbers)) as along:
        each = iter(along.values)
        factors = [w.scalar(w.at(row, along.index)) for row in b]
        along.nexts = []
        for row in a:
            number = w.scalar(w.at(row, along.index))
            for factor in factors:
                along.nexts.append(w.multiply_add(number, factor, next(each), w.t.float))
    return along.values


def _store_beside(w: Writer, numbers: list[str], c: str) -> None:
    """Numbers of C one beside the other."""
    t, count = w.t, len(numbers)
    (old,) = w.unless_zero("%beta", (c, "@zeros", "ptr"))
    kind, align = f"<{count} x {t.float}>", SIZE[t.dtype]
    before = w.new(f"load {kind}, ptr {old}, align {align}")
    sums, alpha, beta = map(w.gathered, (numbers, ["%alpha"] * count, ["%beta"] * count))
    news = w.multiply_add(sums, alpha, w.new(f"fmul {kind} {before}, {beta}"), kind)
    w.put(f"store {kind} {news}, ptr {c}, align {align}")


def _store(w: Writer, numbers: list[str], c: str, rows: int, columns: int) -> None:
    """All numbers of C are read before any is written."""
    t = w.t
    strides = (("%row", 0, "i64"), ("%column", 0, "i64"))
    old, row, column = w.unless_zero("%beta", (c, "@zeros", "ptr"), *strides)
    olds = _places(w, old, row, column, rows, columns)
    scaled = [w.new(f"fmul {t.float} {w.scalar(old)}, %beta") for old in olds]
    pairs = zip(numbers, scaled, strict=True)
    news = [w.multiply_add(number, "%alpha", old, t.float) for number, old in pairs]
    for place, value in zip(_places(w, c, "%row", "%column", rows, columns), news, strict=True):
        w.put(f"store {t.float} {value}, ptr {place}")


def _places(w: Writer, c: str, row: str, column: str, rows: int, columns: int) -> list[str]:
    return [p for first in _rows(w, c, row, rows) for p in _rows(w, first, column, columns)]
