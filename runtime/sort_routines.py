"""Sorting a row of numbers, as LLVM text for any processor: what `sorted_f32` and its kin in
generated code call.

    sorted_<t>, argsorted_<t>, keyed_<t>, selected_<t>      as in `runtime/kernel.py`

Numbers become integers (`sort_keys.py`), which are sorted (`sort_quick.py`). Positions are sorted
by packing them below their keys, into 64 bits, so that equals keep their order: 32 bits of each;
or, of keys of 64 bits, as many as a position needs, and the others for the key less the least one.
Where those do not suffice, keys lose their lowest bits; then runs of equals are packed once more,
with the bits that were lost.
"""

from __future__ import annotations

import os
from typing import Final

from .sort_keys import (
    KEYS,
    RESTORE,
    VALUES,
    Numbers,
    element,
    keys_text,
    load,
    restore_text,
    store,
    values_text,
)
from .sort_networks import Keys
from .sort_quick import quicksort_text
from .spec import routine_symbol
from .vector_text import Registers, Writer, parameters

SORTED: Final = parameters("i %n, p %x, i %step, p %y, i %ystep, o %scratch")
ARGSORTED: Final = parameters("i %n, p %x, i %step, o %order, i %ystep, o %scratch")
KEYED: Final = parameters("i %n, p %x, i %step, o %scratch")
SELECTED: Final = parameters("i %n, i %low, i %k, p %x, i %step, o %y, o %scratch")


def sort_text(machine: Registers, routine: str, dtype: str) -> str:
    """The LLVM text that defines "sorted", "argsorted", or "selected" with "keyed", for a dtype."""
    x = Numbers(machine, dtype, zeros=routine == "sorted")
    keys = Keys(machine, "i64") if routine == "argsorted" else x.keys
    parts = {"sorted": _sorted, "argsorted": _argsorted, "selected": _selected}[routine](x)
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
    _sort(w, "%scratch", element(w, "i64", "%scratch", "%n"))
    w.call("values", VALUES, "%n", "%scratch", "%y", "%ystep")
    texts = [keys_text(x), values_text(x)]
    if x.is_float:
        w.call("restore", RESTORE, "%n", "%x", "%step", "%scratch", "%y", "%ystep")
        texts.append(restore_text(x))
    return [*texts, w.define(routine_symbol("sorted", x.dtype), SORTED, linkage="")]


def _sort(w: Writer, keys: str, room: str, n: str = "%n") -> None:
    w.put(f"call void @sort_keys(ptr {keys}, i64 {n}, ptr {room})")


def _argsorted(x: Numbers) -> list[str]:
    w = x.writer()
    with w.when(w.compare("%n == 0")):
        w.leave()
    room = element(w, "i64", "%scratch", "%n")
    if x.keys.bits == 32:
        texts, mask = [], str(2**32 - 1)
        _pack(w, x)
        _sort(w, "%scratch", room)
    else:
        texts = [keys_text(x), _positions_text()]
        keys = element(w, "i64", room, "%n")
        w.call("keys", KEYS, "%n", "%x", "%step", keys)
        parts = w.new(f"call {{ i64, i64, i64 }} @pack(i64 %n, ptr {keys}, ptr %scratch)")
        places, dropped, least = (
            w.new(f"extractvalue {{ i64, i64, i64 }} {parts}, {k}") for k in range(3)
        )
        _sort(w, "%scratch", room)
        arguments = f"i64 {places}, i64 {dropped}, i64 {least}"
        with w.when(w.compare(f"{dropped} != 0")):
            w.put(f"call void @runs(i64 %n, ptr {keys}, ptr %scratch, ptr {room}, {arguments})")
        mask = w.integer("sub", w.integer("shl", 1, places), 1)
    with w.loop("0", "%n", 1) as loop:
        packed = load(w, "i64", element(w, "i64", "%scratch", loop.index))
        place = element(w, "i64", "%order", w.integer("mul", loop.index, "%ystep"))
        store(w, "i64", w.integer("and", packed, mask), place)
    return [*texts, w.define(routine_symbol("argsorted", x.dtype), ARGSORTED, linkage="")]


def _positions_text() -> str:
    with open(f"{os.path.dirname(__file__)}/sort_positions.ll") as file:
        return file.read()


def _pack(w: Writer, x: Numbers) -> None:
    """Keys of 32 bits above their positions."""
    with w.loop("0", "%n", 1) as loop:
        place = element(w, x.memory, "%x", w.integer("mul", loop.index, "%step"))
        key = x.key(w, load(w, x.memory, place), 0)
        high = w.integer("shl", w.new(f"sext i32 {key} to i64"), 32)
        target = element(w, "i64", "%scratch", loop.index)
        store(w, "i64", w.integer("or", high, loop.index), target)


def _selected(x: Numbers) -> list[str]:
    """The key is found among keys, then which of its equals it is, by counting those before it,
    then where that one is among the numbers."""
    w, kind = x.writer(), x.keys.kind
    room = element(w, "i64", "%scratch", "%n")
    part, left, k = (
        element(w, kind, "%scratch", "%low"), *(w.integer("sub", y, "%low") for y in ("%n", "%k"))
    )  # fmt: skip
    w.put(f"call void @select_key(ptr {part}, i64 {left}, ptr {room}, i64 {k})")
    key = load(w, kind, element(w, kind, "%scratch", "%k"))
    before = w.new(f"call i64 @equals(i64 %k, ptr %scratch, {kind} {key})")
    w.put(f"call void @find(i64 %n, ptr %x, i64 %step, {kind} {key}, i64 {before}, ptr %y)")
    keyed = x.writer()
    keyed.call("keys", KEYS, *KEYED.names)
    return [
        keys_text(x),
        _equals(x),
        _find(x),
        keyed.define(routine_symbol("keyed", x.dtype), KEYED, linkage=""),
        w.define(routine_symbol("selected", x.dtype), SELECTED, linkage=""),
    ]


_COUNT: Final = parameters("i %n, p %x, i %step, p %keys")


def _equals(x: Numbers) -> str:
    """How many of n keys are equal to one."""
    return _EQUALS.replace("KEY", x.keys.kind)


def _find(x: Numbers) -> str:
    """The position of a number with a key, behind so many others with it."""
    w = x.writer()
    place = element(w, x.memory, "%x", w.integer("mul", "%i", "%step"))
    w.put(f"%same = icmp eq {x.keys.kind} {x.key(w, load(w, x.memory, place), 0)}, %key")
    return _FIND.replace("BODY", "\n".join(w.lines)).replace("KEY", x.keys.kind)


_EQUALS: Final = """
define internal i64 @equals(i64 %n, ptr %keys, KEY %key) #0 {
entry:
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  %count = phi i64 [ 0, %entry ], [ %count.next, %each ]
  %more = icmp ult i64 %i, %n
  br i1 %more, label %each, label %done
each:
  %place = getelementptr KEY, ptr %keys, i64 %i
  %x = load KEY, ptr %place
  %same = icmp eq KEY %x, %key
  %one = zext i1 %same to i64
  %count.next = add i64 %count, %one
  %i.next = add i64 %i, 1
  br label %test
done:
  ret i64 %count
}
"""

_FIND: Final = """
define internal void @find(i64 %n, ptr %x, i64 %step, KEY %key, i64 %before, ptr %y) #0 {
entry:
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %left = phi i64 [ %before, %entry ], [ %left.next, %next ]
BODY
  %none = icmp eq i64 %left, 0
  %found = and i1 %same, %none
  br i1 %found, label %done, label %next
next:
  %one = zext i1 %same to i64
  %left.next = sub i64 %left, %one
  %i.next = add i64 %i, 1
  br label %each
done:
  store i64 %i, ptr %y
  ret void
}
"""
