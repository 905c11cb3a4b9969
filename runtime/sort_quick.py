"""Quicksort and quickselect of integers, as LLVM text for any processor.

    sort_keys(ptr keys, i64 n, ptr room)            puts them in order
    select_key(ptr keys, i64 n, ptr room, i64 k)    puts key k in its place, others on their sides

A part is divided by one pass: lesser keys move to its front, the others to the room, and from there
behind them. A vector does both by compressing registers, where the processor has that: storing
compressed takes a hundred times as long on some. What a network sorts (`sort_networks.py`) is not
divided any more. Equal keys end up in one pass; the number of passes is bounded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from .sort_networks import Keys, networks_text

_UNROLLED: Final = 4
_SHORT: Final = 1024
"""Keys up to which a part is divided by the smallest sample."""

_SAMPLE: Final = 64
"""The most keys of a sample."""


def quicksort_text(keys: Keys) -> str:
    """The LLVM text that defines the two functions, and what they call."""
    with open(f"{os.path.splitext(__file__)[0]}.ll") as file:
        text = file.read()
    capacities = [rows * lanes for rows, lanes in keys.shapes]
    many = max(n for n in capacities if n <= _SAMPLE)
    numbers = {
        "LEAST": -keys.largest - 1, "LARGEST": keys.largest, "CAPACITY": keys.capacity,
        "SIZE": keys.bits // 8, "SHORT": _SHORT, "MANY": many, "FEW": capacities[0],
        "KEY": keys.kind,
    }  # fmt: skip
    for name, number in numbers.items():
        text = text.replace(name, str(number))
    parts = networks_text(keys), text, *_declarations(keys), _parted(keys), _ordered(keys)
    return "\n".join(parts)


def _declarations(keys: Keys) -> Iterator[str]:
    if keys.machine.masked:
        v, m, mask = f"<{keys.lanes} x {keys.kind}>", f"<{keys.lanes} x i1>", f"i{keys.lanes}"
        name = f"v{keys.lanes}{keys.kind}"
        yield f"declare {v} @llvm.experimental.vector.compress.{name}({v}, {m}, {v})"
        yield f"declare {mask} @llvm.ctpop.{mask}({mask})"


def _parted(keys: Keys) -> str:
    """How many of n keys are below a bound; they move to the front, in order, the others behind."""
    vectors = _vectors(keys) if keys.machine.masked else ("", "0", "0", "entry")
    loop, done, below, before = vectors
    text = _PARTED.replace("VECTORS", loop).replace("DONE", done).replace("BELOW", below)
    text = text.replace("BEFORE", before).replace("KEY", keys.kind)
    return text.replace("SIZE", str(keys.bits // 8))


_PARTED = """
define internal i64 @parted(ptr %a, i64 %n, ptr %room, KEY %bound) #0 {
entry:
VECTORS  br label %test
test:
  %i = phi i64 [ DONE, %BEFORE ], [ %i.next, %each ]
  %left = phi i64 [ BELOW, %BEFORE ], [ %left.next, %each ]
  %more = icmp ult i64 %i, %n
  br i1 %more, label %each, label %back
each:
  %right = sub i64 %i, %left
  %place = getelementptr KEY, ptr %a, i64 %i
  %x = load KEY, ptr %place
  %less = icmp slt KEY %x, %bound
  %first = getelementptr KEY, ptr %a, i64 %left
  store KEY %x, ptr %first
  %second = getelementptr KEY, ptr %room, i64 %right
  store KEY %x, ptr %second
  %one = zext i1 %less to i64
  %left.next = add i64 %left, %one
  %i.next = add i64 %i, 1
  br label %test
back:
  %rest = sub i64 %n, %left
  %bytes = mul i64 %rest, SIZE
  %behind = getelementptr KEY, ptr %a, i64 %left
  call void @llvm.memcpy.p0.p0.i64(ptr %behind, ptr %room, i64 %bytes, i1 false)
  ret i64 %left
}
"""


def _vectors(keys: Keys) -> tuple[str, str, str, str]:
    """The loop over whole vectors: its text, how far it came, how many keys are below the bound,
    and the block it ends in. All of a pass are loaded before any is stored."""
    lanes = keys.lanes
    v, m, mask = f"<{lanes} x {keys.kind}>", f"<{lanes} x i1>", f"i{lanes}"
    size, step = keys.bits // 8, _UNROLLED * lanes
    compress = f"{v} @llvm.experimental.vector.compress.v{lanes}{keys.kind}"
    lines = [
        f"%start = insertelement {v} poison, {keys.kind} %bound, i64 0",
        f"%bounds = shufflevector {v} %start, {v} poison, <{lanes} x i32> zeroinitializer",
        f"%whole = and i64 %n, {-step}",
        "br label %vectors",
    ]
    body = [
        "%v = phi i64 [ 0, %entry ], [ %v.next, %vector ]",
        f"%l0 = phi i64 [ 0, %entry ], [ %l{_UNROLLED}, %vector ]",
        "%some = icmp ult i64 %v, %whole",
        "br i1 %some, label %vector, label %over",
    ]
    inside = []
    for k in range(_UNROLLED):
        inside += [
            f"%i{k} = add i64 %v, {k * lanes}",
            f"%p{k} = getelementptr {keys.kind}, ptr %a, i64 %i{k}",
            f"%x{k} = load {v}, ptr %p{k}, align {size}",
        ]
    for k in range(_UNROLLED):
        inside += [
            f"%less{k} = icmp slt {v} %x{k}, %bounds",
            f"%not{k} = xor {m} %less{k}, splat (i1 true)",
            f"%front{k} = call {compress}({v} %x{k}, {m} %less{k}, {v} poison)",
            f"%back{k} = call {compress}({v} %x{k}, {m} %not{k}, {v} poison)",
            f"%to{k} = getelementptr {keys.kind}, ptr %a, i64 %l{k}",
            f"store {v} %front{k}, ptr %to{k}, align {size}",
            f"%r{k} = sub i64 %i{k}, %l{k}",
            f"%aside{k} = getelementptr {keys.kind}, ptr %room, i64 %r{k}",
            f"store {v} %back{k}, ptr %aside{k}, align {size}",
            f"%bits{k} = bitcast {m} %less{k} to {mask}",
            f"%ones{k} = call {mask} @llvm.ctpop.{mask}({mask} %bits{k})",
            f"%count{k} = zext {mask} %ones{k} to i64",
            f"%l{k + 1} = add i64 %l{k}, %count{k}",
        ]
    inside += [f"%v.next = add i64 %v, {step}", "br label %vectors"]
    blocks = {"": lines, "vectors:\n": body, "vector:\n": inside, "over:\n": []}
    text = "".join(head + "".join(f"  {x}\n" for x in part) for head, part in blocks.items())
    return text, "%whole", "%l0", "over"


def _ordered(keys: Keys) -> str:
    """Whether n keys, at least as many as a vector and one, are in order: vectors of neighbours."""
    lanes = keys.lanes
    words = {"VECTOR": f"<{lanes} x {keys.kind}>", "BITS": f"<{lanes} x i1>", "MASK": f"i{lanes}"}
    words |= {"KEY": keys.kind, "SIZE": str(keys.bits // 8), "LANES": str(lanes)}
    text = _ORDERED
    for name, word in words.items():
        text = text.replace(name, word)
    return text


_ORDERED: Final = """
define internal i1 @ordered(ptr %a, i64 %n) #0 {
entry:
  %last = sub i64 %n, LANES
  %end = sub i64 %last, 1
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %more ]
  %j = add i64 %i, 1
  %p = getelementptr KEY, ptr %a, i64 %i
  %q = getelementptr KEY, ptr %a, i64 %j
  %x = load VECTOR, ptr %p, align SIZE
  %y = load VECTOR, ptr %q, align SIZE
  %falls = icmp sgt VECTOR %x, %y
  %bits = bitcast BITS %falls to MASK
  %rises = icmp eq MASK %bits, 0
  br i1 %rises, label %test, label %done
test:
  %over = icmp uge i64 %i, %end
  br i1 %over, label %done, label %more
more:
  %step = add i64 %i, LANES
  %i.next = call i64 @llvm.umin.i64(i64 %step, i64 %end)
  br label %each
done:
  ret i1 %rises
}
"""
