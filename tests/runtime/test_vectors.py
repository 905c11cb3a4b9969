"""Loops of elementary functions in two parts: which, the same values, and vectors of full width."""

from __future__ import annotations

import ast
import re

import numpy as np
import pytest
from tapeless.runtime.engine import compile_source, run_plain
from tapeless.runtime.host import host_features
from tapeless.runtime.kernel import KernelSpec
from tapeless.runtime.link import object_code, optimised
from tapeless.runtime.lowering import lower
from tapeless.runtime.vector_text import AVX2, AVX512, NEON, registers
from tapeless.runtime.vectors import Vectors, vectors

SOFTMAX = '''"""Exponentials of rows and their sums."""
from tapeless.runtime.kernel import *


def k0(x0, y0, y1, y2, n0, n1):
    m1 = f32(-1e999)
    for i in range(n0):
        s0 = f64(0.0)
        for j in range(n1):
            v0 = exp_f32(x0[i * n1 + j])
            s0 = add_reassoc_f64(s0, f64(v0))
            m1 = maximum_f32(m1, v0)
            y0[i * n1 + j] = v0
        y1[i] = f32(s0)
    y2[0] = m1


def step(t):
    k0(f32_at(t, 0), f32_at(t, 1), f32_at(t, 2), f32_at(t, 3), {}, {})
    return 0
'''
SPEC = KernelSpec("k0", ("f32", "f32", "f32", "f32"), 2)

LOOPS = {
    "y0[i] = exp_f32(x0[i])": Vectors(16, 2),
    "y0[i] = exp_f64(x0[i])": Vectors(8, 2),
    "y0[i] = f32(exp_f64(f64(tanh_f32(x0[i]))))": Vectors(8, 2),
    "v = exp_f32(tanh_f32(y0[i]))\ny0[i] = log_f32(v)": Vectors(16, 4),
    "v = exp_f32(x0[i])\ns = add_reassoc_f64(s, f64(v))": Vectors(16, 2),
    "y0[i] = sqrt_f32(x0[i])": None,  # an instruction
    "y0[i] = sin_f64(x0[i])": Vectors(8, 2),
    "y0[i] = power_f32(exp_f32(x0[i]), x0[i])": Vectors(16, 2),
    "y0[i] = fmod_f32(exp_f32(x0[i]), x0[i])": Vectors(16, 2),
    "y0[i] = f32(fmod_i64(i64(exp_f32(x0[i])), 3))": None,
    "y0[i + 1] = exp_f32(y0[i])": None,
    "y0[3] = exp_f32(x0[i])": None,
    "y0[i] = exp_f32(x0[i])\ny0[i + 1] = v": None,
    "y0[i * 3 + 0] = exp_f32(x0[i * 3 + 1])\ny0[i * 3 + 2] = y0[i * 3 + 0]": Vectors(16, 0, 2),
    "y0[i * 3 + 0] = exp_f32(x0[i])\ny0[i * 3 + 3] = 0.0": None,  # of the next row
    "y0[i * 3 + 1] = exp_f32(x0[i])\ny0[i * 3 + 1] = 0.0": None,
    "y0[i * 3 + 1] = exp_f32(y0[i * 4 + 1])": None,
    "s = exp_f32(s)": None,
    "v = exp_f32(s)\ns = add_reassoc_f64(s, x0[i])": None,
    "y0[i] = s\ns = exp_f32(x0[i])": None,
    "s = s + exp_f64(x0[i])": None,  # in order
    "if x0[i] > 0.0:\n    y0[i] = exp_f32(x0[i])": None,
    "for j in range(9):\n    y0[i] = exp_f32(x0[i])": None,
}


def loop(body: str) -> ast.For:
    (tree,) = ast.parse("for i in range(n0):\n    " + body.replace("\n", "\n    ")).body
    assert isinstance(tree, ast.For)
    return tree


@pytest.mark.parametrize(("body", "plan"), LOOPS.items())
def test_which_loops(body: str, plan: Vectors | None) -> None:
    assert vectors(loop(body), AVX512) == plan
    assert vectors(loop(body), AVX2) is vectors(loop(body), NEON) is None


@pytest.mark.parametrize("processor", [AVX512, AVX2, NEON], ids=str)
def test_numbers_far_from_those_of_the_next_iteration_are_not_gathered(processor) -> None:
    far, near = (f"y0[i * 2 + 1] = x0[(i * {n} + 1) * {n} + 1]" for n in (3, 2))
    assert vectors(loop(far), processor) == Vectors(1, 0)
    assert vectors(loop(near), processor) is None


@pytest.mark.parametrize("columns", [0, 1, 15, 16, 31, 32, 33, 64, 100, 129])
def test_values_for_any_number_of_iterations(columns: int) -> None:
    source = SOFTMAX.format(3, columns)
    x = np.random.default_rng(columns).standard_normal(3 * columns).astype(np.float32)
    arrays = [x, np.full(x.size + 1, 7, np.float32), *np.zeros((2, 3), np.float32)]
    plain = [a.copy() for a in arrays]
    run_plain(source, plain)
    table = np.array([a.ctypes.data for a in arrays], np.uintp)
    assert compile_source(source, [SPEC]).call(table.ctypes.data) == 0
    for native, expected in zip(arrays, plain, strict=True):
        np.testing.assert_allclose(native, expected, rtol=3e-7)


def test_what_is_read_after_a_loop_stays_llvms(capfd: pytest.CaptureFixture[str]) -> None:
    """LLVM cannot vectorise loops that let other variables out, and says so if it is told to."""
    body = "v = exp_f32(x[2 * i])\ns = maximum_f32(s, v)\n"
    assert vectors(loop(body), AVX512, {"s"}) == Vectors(16, 2)
    for name in ("v", "i"):
        assert vectors(loop(body), AVX512, {name}) is None
    lines = "for i in range(n):\n  v = exp_f32(x[2 * i])\n s = v\n x[0] = s\n"
    (function,) = ast.parse(f"def k(x, n):\n v = f32(0)\n {lines}").body
    assert isinstance(function, ast.FunctionDef)
    lowered = lower(function, ("f32*", "i64"), "k", AVX512)
    assert lowered.form == "optimised" and object_code(lowered.text, lowered.form)
    assert not capfd.readouterr().err


@pytest.mark.skipif(not registers(host_features()).masked, reason="masked vectors are AVX-512's")
def test_both_parts_have_full_vectors(capfd: pytest.CaptureFixture[str]) -> None:
    (function,) = (n for n in ast.parse(SOFTMAX).body if getattr(n, "name", "") == "k0")
    assert isinstance(function, ast.FunctionDef)
    text = lower(function, SPEC.kinds, "k0", AVX512).text
    after = str(optimised(text).get_function("k0"))
    assert len(re.findall(r"call <16 x float> @llvm.masked.load", after)) == 1
    assert "<16 x double>" in after and "<8 x float>" not in after
    assert object_code(text, "optimised")
    assert "remark" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("statement", "width"),
    [
        ("y0[i] = x0[i] + x0[i]", "256"),
        ("y0[i] = exp_f32(x0[i])", "512"),
        ("s = add_reassoc_f64(s, f64(x0[i]))", None),
    ],
)
def test_loops_that_wait_for_memory_use_half_of_the_widest_registers(statement, width):
    body = f"def k(x0, y0, n):\n    s = 0.0\n    for i in range(n):\n        {statement}\n"
    (function,) = ast.parse(body).body
    text = lower(function, ("f32*", "f32*", "i64"), "k").text
    found = re.search('@"k".*prefer-vector-width"="(\\d+)"', text)
    assert (found and found[1]) == width
