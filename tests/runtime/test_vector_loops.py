"""Loops written as vectors: the plain-Python meaning, for any length, and nothing beyond it."""

from __future__ import annotations

import ast
import ctypes
import mmap
import re

import numpy as np
import pytest
from llvmlite import binding as llvm
from processors import PROCESSORS, RUNNABLE, machine_for
from tapeless.ir.types import DTYPES
from tapeless.runtime import kernel
from tapeless.runtime.folds import FAR
from tapeless.runtime.link import link, object_code, optimised
from tapeless.runtime.liveness import wanted_after_loops
from tapeless.runtime.lowering import lower
from tapeless.runtime.vector_text import AVX2, AVX512, NEON, PLAIN

LENGTHS = (0, 1, 7, 8, 9, 15, 16, 17, 33, 67, 131, 1000)
FLOATS = ("f32", "f64")

BODIES = {
    "{y}[i] = {x}[i]": [*DTYPES],
    "{y}[i] = {x}[1]": [*DTYPES],
    "v = {x}[a + i] * {x}[1]\n{y}[i] = v - {t}(i)": ["i8", "u16", "i32", "i64", *FLOATS],
    "{y}[i + 2] = select_{t}({x}[i] < {x}[1], {x}[i], {y}[i + 2])": ["u8", "i16", "i64", *FLOATS],
    "s = add_reassoc_{t}(s, {x}[i])\n{y}[i] = -{x}[i]": FLOATS,
    "s = {t}(s + {x}[i])\nq = maximum_{t}(q, {x}[i])": ["i8", "i32", "u32", "u8"],
    "s = s + {x}[i]\nq = q & {x}[i]": ["i64", "u64"],
    "s = s * {x}[i]\nq = {t}(q * {x}[i])": ["i64", "u64"],
    "s = mul_reassoc_{t}(s, {x}[i])": FLOATS,
    "s = s | {x}[i]\nq = q & not_bool({x}[i])": ["bool"],
    "s = maximum_{t}(s, {x}[i])\nq = minimum_{t}(q, {x}[i])": ["bool", "i16", "u64", *FLOATS],
    "{y}[i] = {t}(abs_{t}({x}[i]) + sign_{t}({x}[i]))": ["i8", "i64", *FLOATS],
    "{y}[i] = shift_left_{t}({x}[i], {t}(3)) ^ shift_right_{t}({x}[i], {x}[0])": ["i16", "u32"],
    "{y}[i] = {t}(i32({x}[i]) * 3 & 63)": ["u8", "i64", *FLOATS],
    "w = {x}[1] - {x}[0]\nv = w * {x}[i]\ns = add_reassoc_{t}(s, v)": FLOATS,
    "v = exp_{t}({x}[i])\nw = power_{t}(abs_{t}({x}[i]), {x}[1])\n{y}[i] = sin_{t}(v) + w": FLOATS,
    "v = isnan_{t}({x}[i]) | (rint_{t}({x}[i]) == {x}[i])\n{y}[i] = f32(v)": FLOATS,
    "{y}[i] = f64_from_bool({x}[i] != {x}[1]) * 0.5 + f32(i)": FLOATS,
    "s = maximum_{t}(s, {x}[i])\n{y}[i] = {x}[i] > {x}[1]": ["i32", *FLOATS],
    "v = {x}[i] < {x}[1]\ns = {t}(s + {t}_from_bool(v))": ["i8", "u32", "i64"],
    "v = {x}[i] < {x}[1]\ns = add_reassoc_{t}(s, {t}_from_bool(v))\n{y}[i] = v": FLOATS,
    "v = {x}[i] < {x}[1]\ns = minimum_i64(s, select_i64(v, i, {far}))\n{y}[i] = v": ["i64"],
    "v = i8({x}[i])\n{y}[i] = v": FLOATS,
    "v = {x}[i] + {x}[1]\n{y}[i] = i16(v)": FLOATS,
}
RESULTS = {"f32(v)": "f32", "] > {x}": "bool", "i8(": "i8", "i16(": "i16"}
"""The kind of what is written, where that is another one."""


def written(text: str, kind: str) -> ast.FunctionDef:
    """A kernel around the body of a loop over n elements."""
    body = text.format(x="x", y="y", t=kind, far=FAR).replace("\n", "\n        ")
    (function,) = ast.parse(
        f"def k(x, y, r, n, a):\n    s = r[0]\n    q = r[1]\n    for i in range(n):\n"
        f"        {body}\n    r[0] = s\n    r[1] = q\n"
    ).body
    assert isinstance(function, ast.FunctionDef)
    return function


def native(function, kinds, registers):
    lowered = lower(function, kinds, "k", registers)
    assert lowered.form == "vectors" and not lowered.functions
    linked = link([object_code(lowered.text, lowered.form)], ["k"], {})
    types = [ctypes.c_void_p if kind.endswith("*") else ctypes.c_int64 for kind in kinds]
    called = ctypes.CFUNCTYPE(None, *types)(linked.addresses["k"])
    called.keep = linked
    return called


def data(kind: str, count: int, rng: np.random.Generator) -> np.ndarray:
    if kind in FLOATS:
        return rng.standard_normal(count).astype(kind.replace("f32", "f4").replace("f64", "f8"))
    high = 2 if kind == "bool" else 100
    return rng.integers(0, high, count).astype(DTYPES[kind])


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize(
    ("text", "kind"), [(text, kind) for text, kinds in BODIES.items() for kind in kinds]
)
def test_any_length_has_the_meaning_of_the_vocabulary(name, text, kind):
    function = written(text, kind)
    result = next((k for part, k in RESULTS.items() if part in text), kind)
    kinds = (f"{kind}*", f"{result}*", f"{kind}*", "i64", "i64")
    called = native(function, kinds, RUNNABLE[name])
    namespace = dict(kernel.VOCABULARY)
    exec(compile(ast.Module([function], []), "k", "exec"), namespace)
    rng = np.random.default_rng(len(text))
    for n in LENGTHS if name == "host" else LENGTHS[::3]:
        arrays = [
            data(k[:-1], size, rng) for k, size in zip(kinds[:3], (n + 3, n + 70, 2), strict=True)
        ]
        plain = [a.copy() for a in arrays]
        with np.errstate(over="ignore"):
            namespace["k"](*plain, n, 1)
        called(*(a.ctypes.data for a in arrays), n, 1)
        for found, expected in zip(arrays, plain, strict=True):
            if kind in FLOATS:
                close = {"rtol": 1e-5 if kind == "f32" else 1e-13, "atol": 1e-5 * (kind == "f32")}
                np.testing.assert_allclose(found, expected, **close, err_msg=f"{n}")
            else:
                np.testing.assert_array_equal(found, expected, err_msg=f"{n}")


SEARCH = """
def k(x, r, n):
    u = {far}
    found = False
    none = True
    for i in range(n):
        v = x[i]
        u = minimum_i64(u, select_i64(v == x[n], i, {far}))
    for i in range(n):
        b = x[i] == x[n]
        found = found | b
    for i in range(n):
        b = x[i] != x[n]
        none = none & b
    r[0] = u
    r[1] = i64_from_bool(found)
    r[2] = i64_from_bool(none)
"""


@pytest.mark.parametrize("kind", ["bool", "i8", "i32", "u64", *FLOATS])
@pytest.mark.parametrize("name", RUNNABLE)
def test_a_search_finds_the_first_wherever_it_is(name, kind):
    (function,) = ast.parse(SEARCH.format(far=FAR)).body
    assert isinstance(function, ast.FunctionDef)
    called = native(function, (f"{kind}*", "i64*", "i64"), RUNNABLE[name])
    for n in (0, 1, 40, 131, 300):
        for place in {*range(0, n, 7), n - 1, n} - {-1}:
            x, found = np.zeros(n + 1, DTYPES[kind]), np.zeros(3, np.int64)
            x[place], x[-1] = 1, 1
            x[place:n:11] = 1
            called(x.ctypes.data, found.ctypes.data, n)
            expected = (FAR, 0, 1) if place == n else (place, 1, 0)
            assert found.tolist() == [*expected], (n, place)


WIDENED = """
def k(x, r, n):
    s = r[0]
    for i in range(n):
        v = x[i] * x[i]
        s = add_reassoc_f64(s, f64(v))
    r[0] = s
"""


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_sum_of_f32_in_f64_loses_no_more_than_two_roundings(name):
    """Many equal numbers would all be rounded the same way."""
    (function,) = ast.parse(WIDENED).body
    assert isinstance(function, ast.FunctionDef)
    called = native(function, ("f32*", "f64*", "i64"), RUNNABLE[name])
    for n in (*LENGTHS, 100_003):
        for x in (np.full(n, 0.3, np.float32), data("f32", n, np.random.default_rng(n))):
            squares, found = (x * x).astype(np.float64), np.full(1, 0.5)
            called(x.ctypes.data, found.ctypes.data, n)
            bound = 3 * 2.0**-24 * squares.sum()  # the square is rounded, or its sum with another
            assert abs(found[0] - 0.5 - (x.astype(np.float64) ** 2).sum()) <= bound + 1e-15 * n


LARGER = """
def k(x, r, n):
    s = r[0]
    q = r[1]
    for i in range(n):
        v = x[i]
        w = isnan_{t}(v)
        s = maximum_{t}(s, select_{t}(w, {t}(-1e999), v))
        q = minimum_{t}(q, select_{t}(w, {t}(1e999), v))
    r[0] = s
    r[1] = q
"""


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("name", RUNNABLE)
def test_extrema_pass_over_nan_but_not_the_one_they_start_from(name, kind):
    (function,) = ast.parse(LARGER.format(t=kind)).body
    assert isinstance(function, ast.FunctionDef)
    called = native(function, (f"{kind}*", f"{kind}*", "i64"), RUNNABLE[name])
    rng = np.random.default_rng(3)
    for n in LENGTHS:
        for start in ((-np.inf, np.inf), (0.5, -0.5), (np.nan, np.nan)):
            for share in (0.0, 0.5, 1.0):
                x, found = data(kind, n, rng), np.array(start, DTYPES[kind])
                x[rng.random(n) < share] = np.nan
                called(x.ctypes.data, found.ctypes.data, n)
                left = x[~np.isnan(x)]
                expected = (np.max(left, initial=start[0]), np.min(left, initial=start[1]))
                np.testing.assert_array_equal(found, np.array(expected, x.dtype))


@pytest.mark.parametrize("text", ["{y}[i] = exp_f32({x}[i])", "{y}[i] = {x}[i] * {x}[i]"])
@pytest.mark.parametrize("name", RUNNABLE)
def test_what_lies_beyond_an_array_is_not_touched(text, name):
    """The arrays end where a page begins that may be neither read nor written."""
    page, kinds = mmap.PAGESIZE, ("f32*", "f32*", "f32*", "i64", "i64")
    called = native(written(text, "f32"), kinds, RUNNABLE[name])
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    ends = []
    for _ in range(2):
        memory = mmap.mmap(-1, 2 * page)
        start = np.frombuffer(memory, np.uint8).ctypes.data
        assert protect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 0) == 0
        ends.append((memory, start + page))
    folds = np.zeros(2, np.float32)
    for n in (1, 15, 17, 33, 47):
        called(*(end - 4 * n for _, end in ends), folds.ctypes.data, n, 0)
    found = np.frombuffer(ends[1][0], np.float32, page // 4)[-47:]
    assert np.all(found == ("exp" in text))


@pytest.mark.parametrize("kind", ["u8", "f32", "f64"])
@pytest.mark.parametrize("step", [-4, -3, -2, -1, 2, 3, 4])
@pytest.mark.parametrize("name", RUNNABLE)
def test_elements_in_steps_and_nothing_around_them(name, step, kind):
    """The first and the last element read lie beside pages that may not be read."""
    page, size = mmap.PAGESIZE, DTYPES[kind].itemsize
    function = written(f"{{y}}[i] = {{x}}[a + {step} * i]", kind)
    called = native(function, (f"{kind}*",) * 3 + ("i64",) * 2, RUNNABLE[name])
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    memory = mmap.mmap(-1, 3 * page)
    start = np.frombuffer(memory, np.uint8).ctypes.data
    x = np.frombuffer(memory, DTYPES[kind], page // size, page)
    x[:] = np.random.default_rng(0).integers(0, 100, len(x))
    for place in (start, start + 2 * page):
        assert protect(ctypes.c_void_p(place), ctypes.c_size_t(page), 0) == 0
    folds = np.zeros(2, x.dtype)
    for n in (1, 2, 17, 33, 100):
        span = abs(step) * (n - 1) + 1
        for part in (x[:span], x[-span:]):
            y, first = np.zeros(n, x.dtype), 0 if step > 0 else span - 1
            called(part.ctypes.data, y.ctypes.data, folds.ctypes.data, n, first)
            np.testing.assert_array_equal(y, part[::step])


LOOPS = {
    "y[i] = x[i]": True,
    "y[a * n + i] = x[i + a]": True,
    "y[i] = x[2 * i]": True,  # every other element
    "y[i] = x[a * n + (-1 * i)]": True,
    "y[i] = x[5 * i]": False,  # far apart
    "y[i] = x[2 * i] + x[2 * i + 1]": False,  # neighbours, which LLVM reads together
    "y[2 * i] = x[i]": False,
    "y[a] = x[i]": False,
    "y[i + 1] = y[i]": False,
    "y[i] = x[i]\ny[i + 1] = x[i]": False,
    "y[i] = y[a] + x[i]": False,
    "s = s + x[i]": False,  # in order
    "s = add_reassoc_f32(s, x[i])": True,
    "s = add_reassoc_f32(s, x[i])\ny[i] = s": False,
    "s = add_reassoc_f32(x[i], s)": False,
    "v = x[i]\ny[i] = v\nv = v + v\nx[i] = v": True,
    "r = at(x, i)\ny[i] = r[0]": False,
    "y[i] = x[i] if a else y[i]": False,
    "y[i] = f32(remainder_i64(i, a))": False,
    "y[i] = f32(i + a)": True,
    "if x[i] > 0.0:\n    y[i] = x[i]": False,
    "copy(at(y, i), x, 1)": False,
}


@pytest.mark.parametrize("registers", [AVX512, AVX2, NEON, PLAIN])
@pytest.mark.parametrize(("text", "expected"), LOOPS.items())
def test_which_loops_are_written_as_vectors(text, expected, registers):
    kinds = ("f32*", "f32*", "f32*", "i64", "i64")
    lowered = lower(written(text.replace("{", "{{"), "f32"), kinds, "k", registers)
    assert (lowered.form == "vectors") is expected
    assert "llvm.loop.vectorize" not in lowered.text


@pytest.mark.parametrize(
    ("name", "instruction"),
    [
        ("avx512", r"vmulps\s.*%zmm\d+\s*\n|vmulps\s.*%ymm"),
        ("avx2", r"vmulps\s.*%ymm"),
        ("plain", r"mulps\s.*%xmm"),
        ("neon", r"fmul\s+v\d+\.4s"),
    ],
)
def test_every_processor_has_its_vectors(name, instruction):
    registers, triple, *_ = PROCESSORS[name]
    machine = machine_for(name)
    if machine is None:
        pytest.skip("this LLVM does not make code for it")
    kinds = ("f32*", "f32*", "f32*", "i64", "i64")
    lowered = lower(written("y[i] = x[i] * x[i + a]", "f32"), kinds, "k", registers)
    head = f'target triple = "{triple}"\ntarget datalayout = "{machine.target_data}"\n'
    text = re.sub(r"^target .*\n", "", str(optimised(lowered.text, lowered.form)), flags=re.M)
    assert re.search(instruction, machine.emit_assembly(llvm.parse_assembly(head + text)))
    assert ("llvm.masked.store" in lowered.text) is registers.masked


def wanted(text: str) -> list[set[str]]:
    (function,) = ast.parse("def k(x, y, n):\n    " + text.replace("\n", "\n    ")).body
    assert isinstance(function, ast.FunctionDef)
    found = wanted_after_loops(function)
    names = {"s", "v", "i", "j"}
    return [names & after for _, after in sorted(found.items(), key=lambda item: item[0].lineno)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("for i in range(n):\n    v = x[i]\ny[0] = v", [{"v"}]),
        ("for i in range(n):\n    v = x[i]\nv = x[1]\ny[0] = v", [set()]),
        ("for i in range(n):\n    v = x[i]\nx[v] = 0", [{"v"}]),
        ("for i in range(n):\n    v = x[i]\nif n:\n    v = 1\ny[0] = v", [{"v"}]),
        ("for i in range(n):\n    v = x[i]\nfor i in range(i):\n    v = i", [{"i"}, set()]),
        (
            "for i in range(n):\n    y[i] = v\n    for j in range(n):\n        v = x[j]",
            [set(), {"v"}],
        ),
        ("for i in range(n):\n    v = x[i]\n    s = s + v\nreturn s", [{"s"}]),
        ("for i in range(n):\n    v = x[i]\nwhile n:\n    s = v\n    v = 1", [{"v"}]),
        (
            "while n:\n    for i in range(n):\n        v = x[i]\n"
            "    if v:\n        break\n    s = 1",
            [{"v", "s", "i"}],
        ),
    ],
)
def test_what_is_read_after_a_loop(text, expected):
    assert wanted(text) == expected
