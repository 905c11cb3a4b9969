"""Sorting a row of numbers, as LLVM text for any processor: what `sorted_f32` and its kin in
generated code call.

    sorted_<t>, argsorted_<t>, keyed_<t>, selected_<t>      as in `runtime/kernel.py`

Numbers become integers (`sort_keys.py`), which are sorted, or of which one is selected
(`sort_quick.py`); `sort_positions.py` sorts positions.
"""

from __future__ import annotations

import re
from typing import Final

from .sort_keys import (
    KEYS,
    RESTORE,
    VALUES,
    Numbers,
    element,
    keys_text,
    load,
    passes,
    restore_text,
    typed,
    values_text,
)
from .sort_networks import Keys
from .sort_positions import argsorted_text
from .sort_quick import quicksort_text
from .spec import routine_symbol
from .vector_text import Registers, Writer, parameters

SORTED: Final = parameters("i %n, p %x, i %step, p %y, i %ystep, o %scratch")
KEYED: Final = parameters("i %n, p %x, i %step, o %scratch")
SELECTED: Final = parameters("i %n, i %low, i %k, p %x, i %step, o %y, o %scratch")


def sort_text(machine: Registers, routine: str, dtype: str) -> str:
    """The LLVM text that defines "sorted", "argsorted", or "selected" with "keyed", for a dtype."""
    x = Numbers(machine, dtype, zeros=routine == "sorted")
    keys = Keys(machine, "i64") if routine == "argsorted" else x.keys
    parts = {"sorted": _sorted, "argsorted": argsorted_text, "selected": _selected}[routine](x)
    bits = 8 * machine.bytes
    return "\n".join(
        [
            quicksort_text(keys),
            *parts,
            "declare i64 @llvm.umin.i64(i64, i64)",
            f'attributes #0 = {{ nounwind "prefer-vector-width"="{bits}" }}',
        ]
    )


def _sorted(x: Numbers) -> list[str]:
    """Keys lie in the scratch memory, the room for sorting behind them."""
    w = x.writer()
    with w.when(w.compare("%n == 0")):
        w.leave()
    w.call("keys", KEYS, "%n", "%x", "%step", "%scratch")
    room = element(w, "i64", "%scratch", "%n")
    w.put(f"call void @sort_keys(ptr %scratch, i64 %n, ptr {room})")
    w.call("values", VALUES, "%n", "%scratch", "%y", "%ystep")
    texts = [keys_text(x), values_text(x)]
    if x.is_float:
        w.call("restore", RESTORE, "%n", "%x", "%step", "%scratch", "%y", "%ystep")
        texts.append(restore_text(x))
    return [*texts, w.define(routine_symbol("sorted", x.dtype), SORTED, linkage="")]


def _selected(x: Numbers) -> list[str]:
    """The key is found among keys, then which of its equals it is, by counting those before it,
    then where that one is among the numbers."""
    w, kind = x.writer(), x.keys.kind
    room, part = element(w, "i64", "%scratch", "%n"), element(w, kind, "%scratch", "%low")
    left, k = (w.integer("sub", count, "%low") for count in ("%n", "%k"))
    w.put(f"call void @select_key(ptr {part}, i64 {left}, ptr {room}, i64 {k})")
    key = load(w, kind, element(w, kind, "%scratch", "%k"))
    for loop, lanes in passes(w, "1", "%k", ("i64", "0")):
        found = load(w, kind, element(w, kind, "%scratch", loop.index), lanes)
        loop.nexts = [w.integer("add", loop.values[0], _equal(w, x, found, key, lanes))]
    before = loop.values[0]
    w.put(f"call void @find(i64 %n, ptr %x, i64 %step, {kind} {key}, i64 {before}, ptr %y)")
    keyed = x.writer()
    keyed.call("keys", KEYS, *KEYED.names)
    return [
        keys_text(x),
        _find(x),
        "" if x.machine.masked else f"declare i{w.t.lanes} @llvm.ctpop.i{w.t.lanes}(i{w.t.lanes})",
        keyed.define(routine_symbol("keyed", x.dtype), KEYED, linkage=""),
        w.define(routine_symbol("selected", x.dtype), SELECTED, linkage=""),
    ]


def _equal(w: Writer, x: Numbers, keys: str, key: str, lanes: int) -> str:
    """How many keys of a vector are this one, or whether a single one is."""
    kind, count = typed(x.keys.kind, lanes), f"i{max(lanes, 1)}"
    same = w.new(f"icmp eq {kind} {keys}, {w.splat(key, x.keys.kind) if lanes else key}")
    if lanes:
        bits = w.new(f"bitcast {typed('i1', lanes)} {same} to {count}")
        same = w.new(f"call {count} @llvm.ctpop.{count}({count} {bits})")
    return w.new(f"zext {count} {same} to i64")


def _find(x: Numbers) -> str:
    """The position of a number with a key, behind so many others with it."""
    text = _FIND
    for name, lanes in (("VECTOR", x.keys.lanes), ("NUMBER", 0)):
        w, index = x.writer(), f"%{name.lower()}"
        place = element(w, x.memory, "%x", w.integer("mul", index, "%step"))
        key = x.key(w, load(w, x.memory, place, lanes), lanes)
        w.put(f"{index}.count = add i64 0, {_equal(w, x, key, '%key', lanes)}")
        lines = (re.sub(r"%v(\d)", rf"{index}.\1", line) for line in w.lines)
        text = text.replace(f"  {name}", "\n".join(lines))
    return text.replace("KEY", x.keys.kind).replace("LANES", str(x.keys.lanes))


_FIND: Final = """
define internal void @find(i64 %n, ptr %x, i64 %step, KEY %key, i64 %before, ptr %y) #0 {
entry:
  %dense = icmp eq i64 %step, 1
  %vectors = and i64 %n, -LANES
  %whole = select i1 %dense, i64 %vectors, i64 0
  br label %test
test:
  %vector = phi i64 [ 0, %entry ], [ %vector.next, %next ]
  %left = phi i64 [ %before, %entry ], [ %left.next, %next ]
  %more = icmp ult i64 %vector, %whole
  br i1 %more, label %each, label %scan
each:
  VECTOR
  %here = icmp ult i64 %left, %vector.count
  br i1 %here, label %scan, label %next
next:
  %left.next = sub i64 %left, %vector.count
  %vector.next = add i64 %vector, LANES
  br label %test
scan:
  %number = phi i64 [ %vector, %test ], [ %vector, %each ], [ %number.next, %on ]
  %rest = phi i64 [ %left, %test ], [ %left, %each ], [ %rest.next, %on ]
  NUMBER
  %found = icmp ult i64 %rest, %number.count
  br i1 %found, label %done, label %on
on:
  %rest.next = sub i64 %rest, %number.count
  %number.next = add i64 %number, 1
  br label %scan
done:
  store i64 %number, ptr %y
  ret void
}
"""
