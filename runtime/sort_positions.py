"""Sorting positions by numbers, as LLVM text: what `argsorted_f32` and its kin in generated code
call.

Positions are packed below their keys into integers of 64 bits, which `sort_quick.py` sorts: so
equals keep their order. They are 32 bits of each; or, of keys of 64 bits, as many as a position
needs, and the others for the key less the least one. Where those do not suffice, keys lose their
lowest bits; then runs of equals are packed and sorted once more, with the bits that were lost.
"""

from __future__ import annotations

import os
from typing import Final

from .sort_keys import KEYS, Numbers, element, keys_text, load, number, passes, store, typed
from .spec import routine_symbol
from .vector_text import Writer, parameters

ARGSORTED: Final = parameters("i %n, p %x, i %step, o %order, i %ystep, o %scratch")


def argsorted_text(x: Numbers) -> list[str]:
    """The definition of `argsorted_<t>`, and of what it calls. Packed keys lie in the scratch
    memory, behind them the room for sorting, and behind that keys of 64 bits."""
    w = x.writer()
    with w.when(w.compare("%n == 0")):
        w.leave()
    narrow = x.keys.bits == 32
    places = _narrow(w, x) if narrow else _wide(w)
    mask = w.integer("sub", w.integer("shl", 1, places), 1)
    for loop, lanes in passes(w, "%ystep"):
        packed = load(w, "i64", element(w, "i64", "%scratch", loop.index), lanes)
        place = element(w, "i64", "%order", w.integer("mul", loop.index, "%ystep"))
        masks = w.splat(mask, "i64") if lanes else mask
        store(w, "i64", w.new(f"and {typed('i64', lanes)} {packed}, {masks}"), place, lanes)
    texts = [] if narrow else [keys_text(x), *_wide_texts(w.t.lanes)]
    return [*texts, w.define(routine_symbol("argsorted", x.dtype), ARGSORTED, linkage="")]


def _narrow(w: Writer, x: Numbers) -> str:
    """Sort packed keys of 32 bits; how many bits a position has."""
    for loop, lanes in passes(w, "%step"):
        place = element(w, x.memory, "%x", w.integer("mul", loop.index, "%step"))
        key, wide = x.key(w, load(w, x.memory, place, lanes), lanes), typed("i64", lanes)
        key = w.new(f"sext {typed('i32', lanes)} {key} to {wide}")
        high = w.new(f"shl {wide} {key}, {number('i64', 32, lanes)}")
        packed = w.new(f"or {wide} {high}, {_positions(w, loop.index, lanes)}")
        store(w, "i64", packed, element(w, "i64", "%scratch", loop.index), lanes)
    _sort(w)
    return "32"


def _wide(w: Writer) -> str:
    """The same of keys of 64 bits."""
    room = element(w, "i64", "%scratch", "%n")
    keys = element(w, "i64", room, "%n")
    w.call("keys", KEYS, "%n", "%x", "%step", keys)
    least, greatest = _range(w, keys)
    last, width = w.integer("sub", "%n", 1), w.integer("sub", greatest, least)
    places, needed = (_bits(w, y) for y in (last, width))
    both = w.integer("add", places, needed)
    dropped = w.choose(w.compare(f"{both} > 64"), w.integer("sub", both, 64), 0)
    _pack_wide(w, keys, places, dropped, least)
    _sort(w)
    with w.when(w.compare(f"{dropped} != 0")):
        arguments = f"i64 {places}, i64 {dropped}, i64 {least}"
        w.put(f"call void @runs(i64 %n, ptr {keys}, ptr %scratch, ptr {room}, {arguments})")
    return places


def _sort(w: Writer) -> None:
    room = element(w, "i64", "%scratch", "%n")
    w.put(f"call void @sort_keys(ptr %scratch, i64 %n, ptr {room})")


def _range(w: Writer, keys: str) -> list[str]:
    """The least and the greatest key."""
    lanes = w.t.lanes
    kind, whole = typed("i64", lanes), w.integer("and", "%n", -lanes)
    starts = [(kind, number("i64", y, lanes)) for y in (2**63 - 1, -(2**63))]
    with w.loop("0", whole, lanes, *starts) as loop:
        found = load(w, "i64", element(w, "i64", keys, loop.index), lanes)
        loop.nexts = [
            w.new(f"call {kind} @llvm.{verb}.v{lanes}i64({kind} {x}, {kind} {found})")
            for verb, x in zip(("smin", "smax"), loop.values, strict=True)
        ]
    ends = [
        w.new(f"call i64 @llvm.vector.reduce.{verb}.v{lanes}i64({kind} {x})")
        for verb, x in zip(("smin", "smax"), loop.values, strict=True)
    ]
    with w.loop(whole, "%n", 1, *(("i64", x) for x in ends)) as loop:
        found = load(w, "i64", element(w, "i64", keys, loop.index))
        loop.nexts = [
            w.new(f"call i64 @llvm.{verb}.i64(i64 {x}, i64 {found})")
            for verb, x in zip(("smin", "smax"), loop.values, strict=True)
        ]
    return loop.values


def _bits(w: Writer, y: str) -> str:
    """How many bits a number has."""
    zeros = w.new(f"call i64 @llvm.ctlz.i64(i64 {y}, i1 false)")
    return w.integer("sub", 64, zeros)


def _pack_wide(w: Writer, keys: str, places: str, dropped: str, least: str) -> None:
    """Without its highest bit, an unsigned number is in the order of signed ones."""
    for loop, lanes in passes(w, "1"):
        kind = typed("i64", lanes)
        above, right, left = (w.splat(y, "i64") if lanes else y for y in (least, dropped, places))
        key = load(w, "i64", element(w, "i64", keys, loop.index), lanes)
        kept = w.new(f"lshr {kind} {w.new(f'sub {kind} {key}, {above}')}, {right}")
        high = w.new(f"shl {kind} {kept}, {left}")
        both = w.new(f"or {kind} {high}, {_positions(w, loop.index, lanes)}")
        packed = w.new(f"xor {kind} {both}, {number('i64', -(2**63), lanes)}")
        store(w, "i64", packed, element(w, "i64", "%scratch", loop.index), lanes)


def _positions(w: Writer, first: str, lanes: int) -> str:
    """The number, or a vector of it and those that follow."""
    if not lanes:
        return first
    counts = ", ".join(f"i64 {lane}" for lane in range(lanes))
    return w.new(f"add {typed('i64', lanes)} {w.splat(first, 'i64')}, <{counts}>")


def _wide_texts(lanes: int) -> list[str]:
    with open(f"{os.path.splitext(__file__)[0]}.ll") as file:
        text = file.read()
    kind = typed("i64", lanes)
    verbs = ("smin", "smax")
    return [text, *(f"declare i64 @llvm.vector.reduce.{v}.v{lanes}i64({kind})" for v in verbs)]
