"""Elementary functions that long kernels call: the bits of the inlined ones, in every form."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tapeless.ir.types import DTYPES
from tapeless.runtime.engine import compile_source, run_plain
from tapeless.runtime.functions import function_symbol, lane_counts
from tapeless.runtime.host import host_features
from tapeless.runtime.kernel import VECMATH, KernelSpec, arity
from tapeless.runtime.lanes import ArrayLanes
from tapeless.runtime.lowering import lower
from tapeless.runtime.vector_text import AVX2, AVX512, registers
from tapeless.runtime.vectors import shares_functions

Array = NDArray[Any]
WIDE = registers(host_features()).masked

EACH = '''"""Function by function: the form for vectors in loops, and that for numbers."""
from tapeless.runtime.kernel import *


def k0({buffers}, n0):
{loops}
{numbers}


def step(t):
    k0({places}, {n})
    return 0
'''


def _module(calls: list[str], dtype: str, n: int) -> tuple[str, KernelSpec]:
    """A kernel with a loop per call, and one with the other function's lanes beside it."""
    buffers = ["x0", "x1", *(f"y{k}" for k in range(len(calls)))]
    loops = "\n".join(
        f"    for i in range(n0):\n        y{k}[i] = {call}" for k, call in enumerate(calls)
    )
    at_zero = [call.replace("[i]", "[n0 - 1]") for call in calls]
    numbers = "\n".join(f"    y{k}[n0] = {call}" for k, call in enumerate(at_zero))
    places = ", ".join(f"{dtype}_at(t, {k})" for k in range(len(buffers)))
    text = EACH.format(buffers=", ".join(buffers), loops=loops, numbers=numbers, places=places, n=n)
    return text, KernelSpec("k0", (dtype,) * len(buffers), 1)


def _calls(dtype: str) -> dict[str, str]:
    return {
        op: f"{op}_{dtype}({', '.join(f'x{k}[i]' for k in range(arity(op)))})" for op in VECMATH
    }


def _run(calls: list[str], x: tuple[Array, Array], dtype: str) -> list[Array]:
    text, spec = _module(calls, dtype, x[0].size)
    results = [np.zeros(x[0].size + 1, DTYPES[dtype]) for _ in calls]
    table = np.array([a.ctypes.data for a in (*x, *results)], np.uintp)
    module = compile_source(text, [spec], keep=False)
    assert module.call(table.ctypes.data) == 0
    shared = bool(next(iter(module.kernels.values())).functions)
    assert shared == (WIDE and len(calls) > 1)
    return results


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_called_functions_have_the_bits_of_inlined_ones(dtype):
    """On 67 numbers, so that the last vector is partly filled, and on one number. Subnormal results
    may differ from the plain ones in their last place."""
    rng = np.random.default_rng(1)
    size = 16 * 4 + 3
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 1e-40], DTYPES[dtype])
    x = rng.normal(size=size).astype(DTYPES[dtype]) * 4
    x[: special.size] = special
    other = rng.uniform(0.1, 3, size).astype(DTYPES[dtype])
    calls = _calls(dtype)
    bounds = {
        "rtol": 1e-6 if dtype == "f32" else 1e-14,
        "atol": np.finfo(x.dtype).smallest_subnormal,
    }
    together = _run(list(calls.values()), (x, other), dtype)
    for (op, call), found in zip(calls.items(), together, strict=True):
        (alone,) = _run([call], (x, other), dtype)
        assert found.tobytes() == alone.tobytes(), op
        with np.errstate(all="ignore"):
            plain = VECMATH[op](ArrayLanes(dtype), *(x, other)[: arity(op)])
        np.testing.assert_allclose(found[:-1], plain, **bounds)


MIXED = '''"""Sums of rows of functions of both dtypes."""
from tapeless.runtime.kernel import *


def k0(x0, y0, y1, n0, n1):
    for i in range(n0):
        s0 = f64(0.0)
        for j in range(n1):
            v0 = tanh_f32(exp_f32(x0[i * n1 + j]))
            v1 = f32(log_f64(f64(v0) + 1.5)) + sigmoid_f32(v0)
            s0 = add_reassoc_f64(s0, f64(v1))
            y0[i * n1 + j] = v1
        v2 = f32(s0)
        for j in range(n1):
            v3 = sin_f32(y0[i * n1 + j] - v2)
            y0[i * n1 + j] = cos_f32(v3)
        y1[i] = softplus_f32(v2)


def step(t):
    k0(f32_at(t, 0), f32_at(t, 1), f32_at(t, 2), 5, 37)
    return 0
'''


def _kernel() -> ast.FunctionDef:
    return next(n for n in ast.parse(MIXED).body if isinstance(n, ast.FunctionDef))


def _mixed(run: Callable[[list[Array]], object]) -> tuple[Array, Array]:
    x = np.random.default_rng(2).normal(size=5 * 37).astype("f4")
    y, sums = np.zeros(5 * 37, "f4"), np.zeros(5, "f4")
    run([x, y, sums])
    return y, sums


def _native(arrays: list[Array]) -> None:
    table = np.array([a.ctypes.data for a in arrays], np.uintp)
    spec = KernelSpec("k0", ("f32",) * 3, 2)
    module = compile_source(MIXED, [spec], keep=False)
    assert module.call(table.ctypes.data) == 0
    assert bool(module.kernels["k0"].functions) == WIDE


@pytest.mark.parametrize("engine", ["direct", "numba"])
def test_engines_agree_on_a_kernel_that_calls_functions(monkeypatch, engine):
    monkeypatch.setenv("TAPELESS_ENGINE", engine)
    plain = _mixed(lambda arrays: run_plain(MIXED, arrays))
    for found, expected in zip(_mixed(_native), plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
    monkeypatch.setenv("TAPELESS_ENGINE", "direct")
    reference = _mixed(_native)
    monkeypatch.setenv("TAPELESS_ENGINE", engine)
    assert [x.tobytes() for x in _mixed(_native)] == [x.tobytes() for x in reference]


def test_only_long_kernels_call_functions_and_only_with_wide_registers():
    kernel = _kernel()
    assert shares_functions(kernel, AVX512) and not shares_functions(kernel, AVX2)
    del kernel.body[0].body[3:]
    assert not shares_functions(kernel, AVX512)


def test_a_loop_has_one_form_and_calls_vectors():
    lowered = lower(_kernel(), ("f32*",) * 3 + ("i64",) * 2, "k0", AVX512)
    assert lowered.functions == (
        "exp_f32", "tanh_f32", "log_f64", "sigmoid_f32", "sin_f32", "cos_f32", "softplus_f32",
    )  # fmt: skip
    assert lowered.form == "vectors" and "llvm.loop.vectorize" not in lowered.text
    assert lowered.text.count("= phi <8 x double>") == 1 + 1  # in a masked loop, and after it
    assert lowered.text.count("fadd reassoc contract <8 x float>") == 1  # two vectors, then widened


def test_forms_of_a_function():
    forms: Mapping[str, tuple[int, ...]] = {t: lane_counts(t) for t in ("f32", "f64")}
    assert forms == {"f32": (16, 8), "f64": (8,)}
    assert function_symbol("exp", "f32", 16) == "tapeless.vector.shared.exp_f32.16"
