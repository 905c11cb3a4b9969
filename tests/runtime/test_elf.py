"""Object code loaded without LLVM: the same results, memory that is never writable and executable
at once, and a refusal, before anything runs, of whatever the loader does not know."""

import ctypes
import os
import struct
from collections.abc import Iterable

import pytest
from soak.children import in_child
from tapeless.runtime import elf, image, loading
from tapeless.runtime.link import link_by_llvm, object_code

pytestmark = pytest.mark.skipif(not image.is_suited(), reason="for Linux on x86-64")

CONSTANTS = """
define double @polynomial(double %x) {
  %a = fmul double %x, 0x3FF3AE147AE147AE
  %b = fadd double %a, 0x400921FB54442D18
  ret double %b
}
"""

SWITCH = """
define i64 @chosen(i64 %k) {
  switch i64 %k, label %other [ i64 0, label %a  i64 1, label %b  i64 2, label %c
                                i64 3, label %d  i64 4, label %e  i64 5, label %f ]
a: ret i64 %k
b: call void @note()
   ret i64 11
c: %x = mul i64 %k, %k
   ret i64 %x
d: %y = sub i64 0, %k
   ret i64 %y
e: call void @note()
   ret i64 44
f: %z = shl i64 %k, 7
   ret i64 %z
other: ret i64 -1
}
@notes = internal global i64 0
define internal void @note() noinline {
  %old = load i64, ptr @notes
  %new = add i64 %old, 1
  store i64 %new, ptr @notes
  ret void
}
define i64 @noted() {
  %n = load i64, ptr @notes
  ret i64 %n
}
"""

TABLE = """
@table = internal constant [2 x ptr] [ptr @twice, ptr @minus]
@start = global i64 5
@where = internal global ptr @start
define internal i64 @twice(i64 %x) {
  %y = shl i64 %x, 1
  ret i64 %y
}
define internal i64 @minus(i64 %x) {
  %y = sub i64 0, %x
  ret i64 %y
}
define i64 @through(i64 %k) {
  %place = getelementptr ptr, ptr @table, i64 %k
  %f = load ptr, ptr %place
  %p = load ptr, ptr @where
  %x = load i64, ptr %p
  %y = call i64 %f(i64 %x)
  ret i64 %y
}
"""

OUTSIDE = """
@number = external global i64
declare i64 @labs(i64)
declare double @ldexp(double, i32)
declare i64 @callback(i64)
declare i64 @chosen(i64)
define i64 @far(i64 %k) {
  %n = load i64, ptr @number
  %a = call i64 @labs(i64 %n)
  %b = call i64 @callback(i64 %a)
  %c = call i64 @chosen(i64 %k)
  %d = add i64 %b, %c
  %e = sitofp i64 %d to double
  %f = call double @ldexp(double %e, i32 3)
  %g = fptosi double %f to i64
  ret i64 %g
}
define i1 @same(ptr %other) {
  %r = icmp eq ptr %other, @chosen
  ret i1 %r
}
"""

NUMBER = ctypes.c_int64(-6)
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: x + 100)
IMPORTS = {
    "number": ctypes.addressof(NUMBER),
    "callback": ctypes.cast(CALLBACK, ctypes.c_void_p).value or 0,
}


def function(linked: loading.Linked, name: str, result: type = ctypes.c_int64, *kinds: type):
    made = ctypes.CFUNCTYPE(result, *(kinds or (ctypes.c_int64,)))(linked.addresses[name])
    made.keep = linked
    return made


def by_elf(images: Iterable[bytes], exports: Iterable[str], imports: dict) -> loading.Linked:
    image = elf.load(images, exports, imports)
    return loading.Linked(image.addresses, image.memory)


@pytest.mark.parametrize("link", [by_elf, link_by_llvm])
def test_everything_that_generated_code_is_made_of(link) -> None:
    images = [object_code(text) for text in (CONSTANTS, SWITCH, TABLE, OUTSIDE)]
    names = ("polynomial", "chosen", "noted", "through", "far", "same")
    linked = link(images, names, IMPORTS)
    assert function(linked, "polynomial", ctypes.c_double, ctypes.c_double)(2.0) == (
        2.0 * 1.23 + 3.141592653589793
    )
    chosen = function(linked, "chosen")
    assert [chosen(k) for k in range(7)] == [0, 11, 4, -3, 44, 640, -1]
    assert function(linked, "noted")(0) == 2
    assert [function(linked, "through")(k) for k in range(2)] == [10, -5]
    assert function(linked, "far")(2) == (106 + 4) * 8
    same = function(linked, "same", ctypes.c_bool, ctypes.c_void_p)
    assert same(linked.addresses["chosen"])


def test_addresses_of_imports_may_be_stored() -> None:
    image = object_code("@number = external global i64\n@held = global ptr @number\n")
    linked = by_elf([image], ["held"], IMPORTS)
    held = ctypes.c_void_p.from_address(linked.addresses["held"])
    assert held.value == IMPORTS["number"]


def rights(address: int) -> str | None:
    """The rights of the mapping an address lies in."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, mode, *_ = line.split()
            start, end = (int(x, 16) for x in span.split("-"))
            if start <= address < end:
                return mode
    return None


READ = """
@fixed = constant [16 x i64] [i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8, i64 9,
                              i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7]
@moving = global i64 7
define i64 @next() {
  %old = load i64, ptr @moving
  %new = add i64 %old, 1
  store i64 %new, ptr @moving
  ret i64 %new
}
"""


def test_no_memory_is_writable_and_executable() -> None:
    linked = by_elf([object_code(READ)], ["fixed", "moving", "next"], {})
    assert rights(linked.addresses["next"]) == "r-xp"
    assert rights(linked.addresses["fixed"]) == "r--p"
    assert rights(linked.addresses["moving"]) == "rw-p"


def test_memory_is_given_back() -> None:
    linked = by_elf([object_code(READ)], ["next"], {})
    size, address = linked.tracker.size, linked.addresses["next"]
    assert size == 3 * os.sysconf("SC_PAGESIZE")
    assert rights(address) == "r-xp"
    del linked
    assert rights(address) != "r-xp"


def test_a_child_has_variables_of_its_own() -> None:
    linked = by_elf([object_code(READ)], ["next"], {})
    following = ctypes.CFUNCTYPE(ctypes.c_int64)(linked.addresses["next"])
    assert in_child(lambda: [following(), following()]) == ([8, 9], 0)
    assert following() == 8


REFUSED = {
    "thread-local": "@x = thread_local global i64 0\ndefine ptr @f() {\n ret ptr @x\n}",
    "a constructor": """
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr }
  { i32 65535, ptr @f, ptr null }]
define void @f() {\n ret void\n}""",
    "resolved at run time": "@f = ifunc i64 (), ptr @g\ndefine ptr @g() {\n ret ptr null\n}",
    "common": "@x = common global i64 0\ndefine ptr @f() {\n ret ptr @x\n}",
    "a group": "$f = comdat any\ndefine linkonce_odr void @f() comdat {\n ret void\n}",
    "not defined": "declare void @no()\ndefine void @f() {\n call void @no()\n ret void\n}",
    "not exported": "define void @g() {\n ret void\n}",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(elf.UnsuitedError):
        elf.load([object_code(text)], ["f"], {})


def test_two_definitions_are_refused() -> None:
    image = object_code("define void @f() {\n ret void\n}")
    with pytest.raises(elf.UnsuitedError, match="two definitions of f"):
        elf.load([image, image], ["f"], {})


# --- hand-made objects ---------------------------------------------------------------------------

CODE = b"\x90" * 16
"""Sixteen bytes that stand for code."""


def object_file(
    *relocations: tuple[int, int, int, int],
    symbols: Iterable[tuple[str, int, int, int]] = (("f", 0x12, 1, 0), ("g", 0x10, 0, 0)),
    machine: int = 62,
    kind: int = 1,
) -> bytes:
    """Code with relocations (offset, type, symbol, addend) and symbols (name, info, section,
    value); symbol 1 is the first."""
    names, table = b"\0", bytes(24)
    for name, info, section, value in symbols:
        table += struct.pack("<IBBHQQ", len(names), info, 0, section, value, 0)
        names += name.encode() + b"\0"
    packed = b"".join(struct.pack("<QIIq", o, t, s, a) for o, t, s, a in relocations)
    parts = [(kind, 6, CODE, 0, 0), (2, 0, table, 3, 1), (3, 0, names, 0, 0), (4, 0, packed, 2, 1)]
    start, body, headers = 64, b"", bytes(64)
    for section_kind, flags, content, link, info in parts:
        headers += struct.pack(
            "<IIQQQQIIQQ", 0, section_kind, flags, 0, start + len(body), len(content), link, info,
            16, 0,
        )  # fmt: skip
        body += content
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, machine, 1, 0, 0, start + len(body), 0,
        64, 0, 0, 64, 5, 3,
    )  # fmt: skip
    return head + body + headers


TARGET = 0x123456789ABC


def word(image: image.Image, offset: int, form: str) -> int:
    return int(struct.unpack("<" + form, ctypes.string_at(image.addresses["f"] + offset, 4))[0])


def test_relocations_follow_the_formulas() -> None:
    """S + A, S + A - P, and for a symbol from elsewhere L + A - P and G + GOT + A - P."""
    made = elf.load(
        [object_file((0, 2, 1, 40), (8, 4, 2, -4), (12, 9, 2, -4))], ["f"], {"g": TARGET}
    )
    base = made.addresses["f"]
    assert word(made, 0, "i") == 40
    stub = base + 8 + word(made, 8, "i") + 4
    slot = base + 12 + word(made, 12, "i") + 4
    assert ctypes.string_at(stub, 2) == b"\xff\x25"
    (jump,) = struct.unpack("<i", ctypes.string_at(stub + 2, 4))
    assert stub + 6 + jump == slot
    assert struct.unpack("<Q", ctypes.string_at(slot, 8)) == (TARGET,)
    made = elf.load([object_file((0, 1, 1, 3), (8, 1, 2, 5))], ["f"], {"g": TARGET})
    near, far = struct.unpack("<QQ", ctypes.string_at(made.addresses["f"], 16))
    assert (near, far) == (made.addresses["f"] + 3, TARGET + 5)


@pytest.mark.parametrize(
    "image",
    [
        object_file((0, 2, 2, 0)),  # a distance to what may be far away
        object_file((0, 24, 2, 0)),
        *(object_file((0, kind, 1, 0)) for kind in (0, 10, 11, 23, 26, 37, 99)),
        object_file((13, 2, 1, 0)),  # beyond the end
        object_file((9, 1, 1, 0)),
        object_file((0, 2, 7, 0)),  # a symbol that is not there
        object_file((0, 2, 1, 2**31)),  # too far
        object_file(symbols=[("f", 0x12, 9, 0)]),  # in a section that is not there
        object_file(symbols=[("f", 0x16, 1, 0)]),  # thread-local
        object_file(symbols=[("f", 0x1A, 1, 0)]),  # resolved at run time
        object_file(symbols=[("f", 0x12, 1, 0), ("c", 0x11, 0xFFF2, 8)]),  # common
        object_file(machine=183),
        object_file(kind=14),  # constructors
        b"",
        b"\x7fELF",
    ],
)
def test_other_objects_are_refused(image: bytes) -> None:
    with pytest.raises(elf.UnsuitedError):
        elf.load([image], ["f"], {"g": TARGET})


def test_a_truncated_object_is_refused_wherever_it_ends() -> None:
    image = object_code(SWITCH)
    for length in range(0, len(image), 7):
        with pytest.raises(elf.UnsuitedError):
            elf.load([image[:length]], ["chosen"], {})


# --- the route through LLVM ----------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["prelink", "_protect", "is_suited"])
def test_llvm_loads_what_is_refused(monkeypatch: pytest.MonkeyPatch, refusal: str) -> None:
    def refuse(*_: object) -> bool:
        if refusal == "is_suited":
            return False
        raise elf.UnsuitedError("not here")

    places = {"prelink": elf, "_protect": image, "is_suited": loading}
    monkeypatch.setattr(places[refusal], refusal, refuse)
    linked = loading.link([object_code(SWITCH)], ["chosen"], {})
    assert not isinstance(linked.tracker, image.Memory)
    assert [function(linked, "chosen")(k) for k in (1, 2, 9)] == [11, 4, -1]


def test_what_nobody_can_load_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        loading.link([b"nonsense"], ["f"], {})
