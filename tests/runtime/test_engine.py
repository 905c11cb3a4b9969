"""Compiling generated source: modules, shared kernels, files, and the driver's grammar."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from soak.children import in_child, in_threads
from tapeless.runtime.canonical import canonical
from tapeless.runtime.driver import SEGMENT
from tapeless.runtime.engine import NativeModule, compile_source, run_plain
from tapeless.runtime.kernel import KernelSpec
from tapeless.runtime.kernels import kernel_symbol
from tapeless.runtime.modes import RunOptions

HEADER = '"""A test."""\nfrom tapeless.runtime.kernel import *\n\n\n'
DOUBLE = """def k0(x0, y0, n0):
    for i in range(n0):
        y0[i] = x0[i] * f32(2.0)


"""
SPEC = KernelSpec("k0", ("f32", "f32"), 1)


def compile_text(text: str, *specs: KernelSpec):
    return compile_source(HEADER + text, specs)


def call(module: NativeModule, *arrays: np.ndarray) -> int:
    table = np.array([a.ctypes.data for a in arrays], np.uintp)
    return module.call(table.ctypes.data)


def driver(*statements: str) -> str:
    return "def step(t):\n" + "".join(f"    {s}\n" for s in statements) + "    return 0\n"


def test_a_module_runs_and_reports(monkeypatch):
    monkeypatch.setenv("TAPELESS_ENGINE", "direct")
    module = compile_text(DOUBLE + driver("k0(f32_at(t, 0), f32_at(t, 1), 3)"), SPEC)
    x, y = np.arange(3, dtype=np.float32), np.zeros(3, np.float32)
    assert call(module, x, y) == 0
    np.testing.assert_array_equal(y, [0, 2, 4])
    assert module.address
    assert "define i64 @step" in module.llvm()
    assert "step:" in module.asm()
    assert {"find", "lower", "llvm"} <= module.timings.keys() or not module.origins["compiled"]
    assert "link" in module.timings and all(t >= 0 for t in module.timings.values())


def test_kernels_that_differ_only_in_names_are_compiled_once():
    twin = DOUBLE.replace("k0", "k1").replace("x0", "source").replace("[i]", "[j]")
    calls = ["k0(f32_at(t, 0), f32_at(t, 1), 3)", "k1(f32_at(t, 1), f32_at(t, 2), 3)"]
    text = DOUBLE + twin.replace("for i", "for j") + driver(*calls)
    module = compile_text(text, SPEC, KernelSpec("k1", ("f32", "f32"), 1))
    assert module.kernels["k0"] is module.kernels["k1"]
    assert module.origins["memory"] >= 1
    arrays = [np.ones(3, np.float32) for _ in range(3)]
    assert call(module, *arrays) == 0
    np.testing.assert_array_equal(arrays[2], [4, 4, 4])


def test_kernels_of_other_dtypes_or_constants_are_not_shared():
    specs = [SPEC, KernelSpec("k0", ("f64", "f32"), 1), KernelSpec("k0", ("f32", "f32"), 2)]
    symbols = [kernel_symbol(DOUBLE, spec) for spec in specs]
    symbols.append(kernel_symbol(DOUBLE.replace("2.0", "3.0"), SPEC))
    assert len(set(symbols)) == 4
    assert kernel_symbol(DOUBLE, KernelSpec("k7", ("f32", "f32"), 1)) == symbols[0]


def test_canonical_form_does_not_confuse_swapped_operands():
    text = "def k(a, b, n):\n    {}[0] = {}[0] - n"
    assert canonical(text.format("b", "a")) != canonical(text.format("a", "b"))


def test_canonical_form_keeps_words_and_exponents():
    text = "def k(x):\n    for e in range(3):\n        x[e] = exp_f32(-1e999) if True else f32(e)\n"
    expected = text.replace("k(", "v0(").replace("[e]", "[v2]").replace("(e)", "(v2)")
    expected = expected.replace("for e", "for v2").replace("(x)", "(v1)").replace("x[", "v1[")
    assert canonical(text) == expected


def test_source_lies_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    text = DOUBLE + driver("k0(f32_at(t, 0), f32_at(t, 1), 3)")
    module = compile_text(text, SPEC)
    assert module.path.startswith(str(tmp_path))
    with open(module.path) as file:
        assert file.read() == module.source == HEADER + text


SPOILED = {
    "no text": lambda path: path.write_bytes(b"\xff" * 100),
    "a pipe": lambda path: os.mkfifo(path),
    "an endless file": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.skipif(os.name != "posix", reason="pipes and links of POSIX")
@pytest.mark.parametrize("kind", SPOILED)
def test_whatever_lies_in_the_place_of_the_source_is_replaced(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    text = DOUBLE + driver("k0(f32_at(t, 0), f32_at(t, 1), 3)")
    path = Path(compile_text(text, SPEC).path)
    path.unlink()
    SPOILED[kind](path)
    assert Path(compile_text(text, SPEC).path).read_text() == HEADER + text


def test_without_a_writable_folder_it_still_compiles(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("TAPELESS_CACHE", str(blocked))
    module = compile_text(DOUBLE + driver("k0(f32_at(t, 0), f32_at(t, 1), 3)"), SPEC)
    assert module.path.startswith("<tapeless")


def test_a_long_driver_is_cut_and_runs_in_order():
    count = 3 * SEGMENT + 5
    factors = "f32_at(t, 0), 1, f32_at(t, 1), 1"
    statement = f"gemm_f32(False, False, 1, 1, 1, 1.0, {factors}, 1.0, f32_at(t, 2), 1)"
    module = compile_text(driver(*[statement] * count))
    arrays = [np.ones(1, np.float32), np.ones(1, np.float32), np.zeros(1, np.float32)]
    assert call(module, *arrays) == 0
    assert arrays[2][0] == count


def test_a_failed_check_stops_the_driver_anywhere():
    check = """def k1(i0, n0):
    for i in range(n0):
        if i0[i] < 0 or i0[i] >= 10:
            return 1
    return 0


"""
    statements = ["k0(f32_at(t, 0), f32_at(t, 1), 1)"] * SEGMENT
    statements += ["if k1(i64_at(t, 2), 2): return 4", "k0(f32_at(t, 1), f32_at(t, 3), 1)"]
    text = DOUBLE + check + driver(*statements)
    module = compile_text(text, SPEC, KernelSpec("k1", ("i64",), 1))
    one, index = np.ones(1, np.float32), np.array([1, 10])
    arrays = [one, np.zeros(1, np.float32), index, np.zeros(1, np.float32)]
    assert call(module, *arrays) == 4
    assert arrays[3][0] == 0
    assert run_plain(module.source, arrays) == 4
    index[1] = 9
    assert call(module, *arrays) == 0
    assert arrays[3][0] == 4


def test_scalar_loads_convert():
    text = driver(
        "gemm_f64(False, False, 1, 1, 1, -f32_at(t, 0)[1], f64_at(t, 1), 1, f64_at(t, 1), 1, "
        "0.0, f64_at(t, 2), 1)"
    )
    module = compile_text(text)
    out = np.zeros(1)
    assert call(module, np.array([9, 2], np.float32), np.array([3.0]), out) == 0
    assert out[0] == -18


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("k9(f32_at(t, 0))", "not defined"),
        ("k0(f32_at(t, 0), 3)", "takes 3 operands"),
        ("k0(f64_at(t, 0), f32_at(t, 1), 3)", "f64"),
        ("k0(f32_at(t, 0), f32_at(t, 1), 2.5)", "2.5"),
        ("k0(f32_at(t, 0), f32_at(t, 1), n)", "grammar"),
        ("x = 1", "grammar"),
        ("if k0(f32_at(t, 0), f32_at(t, 1), 1): return 1", "nothing"),
        ("return 0", "grammar"),
    ],
)
def test_statements_outside_the_grammar_are_refused(statement, complaint):
    with pytest.raises(ValueError, match=complaint):
        compile_text(DOUBLE + driver(statement), SPEC)


def test_a_driver_must_end_with_its_status():
    with pytest.raises(ValueError, match="return 0"):
        compile_text(DOUBLE + "def step(t):\n    k0(f32_at(t, 0), f32_at(t, 1), 3)\n", SPEC)


def test_a_spec_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="3 parameters"):
        compile_text(DOUBLE + driver(), KernelSpec("k0", ("f32",)))


def test_compiling_from_many_threads():
    results: list[float] = []

    def work(factor: int) -> None:
        text = DOUBLE.replace("2.0", f"{factor}.0") + driver("k0(f32_at(t, 0), f32_at(t, 1), 1)")
        out = np.zeros(1, np.float32)
        call(compile_text(text, SPEC), np.ones(1, np.float32), out)
        results.append(float(out[0]))

    in_threads(lambda k: work((11, 12, 13, 11)[k]), 4)
    assert sorted(results) == [11, 11, 12, 13]


def test_importing_the_engine_imports_neither_numba_nor_llvmlite(python):
    code = (
        "import sys, tapeless.runtime.engine, tapeless.runtime.callpath;"
        "assert not {'numba', 'llvmlite'} & set(sys.modules)"
    )
    python("-c", code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_runs_and_compiles():
    text = DOUBLE + driver("k0(f32_at(t, 0), f32_at(t, 1), 2)")
    module = compile_text(text, SPEC)

    def both() -> list[float]:
        first, second = np.zeros((2, 2), np.float32)
        call(module, np.ones(2, np.float32), first)
        call(compile_text(text.replace("2.0", "5.0"), SPEC), first, second)
        return [float(first[0]), float(second[1])]

    assert in_child(both) == ([2, 10], 0)


SCALED = """def k0(x0, y0, n0, a0, c):
    for i in range(c * a0, minimum_i64(c * a0 + a0, n0)):
        y0[i] = x0[i] * f32(2.0)


"""
SCALED_SPEC = KernelSpec("k0", ("f32", "f32"), 3)


@pytest.mark.parametrize("threads", [1, 3])
def test_split_runs_a_kernel_once_per_chunk(threads):
    calls = [
        "split(k0, 4, f32_at(t, 0), at(f32_at(t, 1), 1), 10, 3)",
        "split(k0, 1, f32_at(t, 1), f32_at(t, 2), 2, 2)",
        "k0(f32_at(t, 0), at(f32_at(t, 1), 9), 4, 2, 1)",
    ]
    text = HEADER + SCALED + driver(*calls)
    module = compile_source(text, [SCALED_SPEC], RunOptions(threads))
    native, plain = ([np.arange(k, k + 14, dtype=np.float32) for k in range(3)] for _ in range(2))
    assert call(module, *native) == run_plain(text, plain) == 0
    np.testing.assert_array_equal(native, plain)
    np.testing.assert_array_equal(native[1], [1, *range(0, 20, 2), 4, 6, 14])


@pytest.mark.parametrize(
    "statement",
    [
        "split(k0, 4, f32_at(t, 0), f32_at(t, 1), 10)",
        "split(k0, 4, f32_at(t, 0), f32_at(t, 1), 10, 3, 0)",
        "split(k0, i64_at(t, 0)[0], f32_at(t, 0), f32_at(t, 1), 10, 3)",
        "split(gemv_f32, 4)",
        "split(k9, 4)",
        "split(4, k0)",
    ],
)
def test_a_wrong_split_is_refused(statement):
    with pytest.raises(ValueError, match="line"):
        compile_text(SCALED + driver(statement), SCALED_SPEC)


def test_a_checking_kernel_is_not_split():
    kernel = "def k0(x0, c):\n    return 0\n\n\n"
    with pytest.raises(ValueError, match="k0 cannot be split"):
        compile_text(kernel + driver("split(k0, 2, f32_at(t, 0))"), KernelSpec("k0", ("f32",), 1))
