"""Panels of a matrix in a buffer, for tiles that cannot read them where they lie (LLVM text)."""

from __future__ import annotations

from collections.abc import Sequence

from .vector_text import SIZE, Target, Writer


def pack_transposed(t: Target) -> str:
    """panel[p, j] = b[j, p] for j < columns and p < k, in squares turned in registers. Rows too
    many repeat the last, what is beyond k is 0."""
    w = Writer(t)
    w.put("%last = sub i64 %columns, 1")
    w.put("br label %across")
    w.label("across")
    w.put("%j = phi i64 [ 0, %0 ], [ %right, %finished ]")
    lines = [w.umin(w.new(f"add i64 %j, {r}"), "%last") for r in range(t.lanes)]
    starts = [w.at("%b", w.new(f"mul i64 {line}, %ldb")) for line in lines]
    w.put("br label %down")
    w.label("down")
    w.put("%p = phi i64 [ 0, %across ], [ %below, %down ]")
    left = w.umin(w.new("sub i64 %k, %p"), str(t.lanes))
    mask = w.mask(left)
    square = _turned(w, [w.load(w.at(start, "%p"), mask) for start in starts])
    corner = w.at("%panel", w.new(f"mul i64 %p, {t.panel}"), "%j")
    for r, value in enumerate(square):
        place = w.at(corner, str(r * t.panel))
        w.put(f"store {t.vector} {value}, ptr {place}, align {SIZE[t.dtype]}")
    w.advance("%below", "%p", t.lanes, "%k", ("down", "finished"))
    w.label("finished")
    w.advance("%right", "%j", t.lanes, "%columns", ("across", "done"))
    w.label("done")
    w.put("ret void")
    parameters = "i64 %k, i64 %columns, ptr %b, i64 %ldb, ptr noalias %panel"
    return w.text(f"define internal void @pack_transposed({parameters}) #0 {{")


def _turned(w: Writer, rows: list[str]) -> list[str]:
    """The transpose of a square: blocks of 1, 2, 4, ... change sides (J. O. Eklundh, A fast
    computer method for matrix transposing, 1972)."""
    lanes = range(len(rows))
    for size in (1 << bit for bit in range(len(rows).bit_length() - 1)):
        upper = [lane if not lane & size else len(rows) + lane - size for lane in lanes]
        lower = [lane + size if not lane & size else len(rows) + lane for lane in lanes]
        for i in (i for i in lanes if not i & size):
            pair = rows[i], rows[i + size]
            rows[i], rows[i + size] = _shuffled(w, pair, upper), _shuffled(w, pair, lower)
    return rows


def _shuffled(w: Writer, pair: tuple[str, str], lanes: Sequence[int]) -> str:
    v, order = w.t.vector, ", ".join(f"i32 {lane}" for lane in lanes)
    return w.new(f"shufflevector {v} {pair[0]}, {v} {pair[1]}, <{w.t.lanes} x i32> <{order}>")


def pack(t: Target) -> str:
    """panel[p, j] = b[p, j], for a panel whose last vectors would read beyond B."""
    w = Writer(t)
    w.put("br label %down")
    w.label("down")
    w.put("%p = phi i64 [ 0, %0 ], [ %below, %finished ]")
    source = w.at("%b", w.new("mul i64 %p, %ldb"))
    target = w.at("%panel", w.new(f"mul i64 %p, {t.panel}"))
    w.put("br label %across")
    w.label("across")
    w.put("%j = phi i64 [ 0, %down ], [ %right, %across ]")
    value = w.scalar(w.at(source, "%j"))
    w.put(f"store {t.float} {value}, ptr {w.at(target, '%j')}")
    w.advance("%right", "%j", 1, "%columns", ("across", "finished"))
    w.label("finished")
    w.advance("%below", "%p", 1, "%k", ("down", "done"))
    w.label("done")
    w.put("ret void")
    parameters = "i64 %k, i64 %columns, ptr %b, i64 %ldb, ptr noalias %panel"
    return w.text(f"define internal void @pack({parameters}) #0 {{")
