"""The vocabulary of generated code: compiled, every word means what it means as plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from tapeless.ir.types import DTYPES
from tapeless.runtime import kernel
from tapeless.runtime.emitters import EMITTERS, PREDICATES
from tapeless.runtime.engine import compile_source, run_plain
from tapeless.runtime.kernel import (
    ELEMENTWISE,
    ROUTINES,
    SORT_ROUTINES,
    VECMATH,
    VOCABULARY,
    WINDOW_ROUTINES,
    KernelSpec,
)

HEADER = '"""A test."""\nfrom tapeless.runtime.kernel import *\n\n\n'


def run_both(source: str, specs: list[KernelSpec], *arrays: np.ndarray):
    """The table after the compiled step and after the same text as plain Python."""
    compiled, plain = ([a.copy() for a in arrays] for _ in range(2))
    table = np.array([a.ctypes.data for a in compiled], np.uintp)
    status = compile_source(HEADER + source, specs).call(table.ctypes.data)
    assert status == run_plain(HEADER + source, plain)
    return compiled, plain


def samples(dtype: str) -> np.ndarray:
    """Corner values and a few ordinary ones."""
    kind = DTYPES[dtype].kind
    if kind == "b":
        return np.array([False, True])
    if kind == "f":
        corners = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1.5, 3.0, 7.25, np.inf, -np.inf, np.nan]
        return np.array([*corners, 1e-40, 1e30], DTYPES[dtype])
    info = np.iinfo(DTYPES[dtype])
    corners = [info.min, info.max, info.max // 2, 0, 1, 2, 3, 7]
    return np.array(corners + ([-1, -2, -7] if kind == "i" else [200]), DTYPES[dtype])


def pairs(dtype: str, arity: int) -> list[np.ndarray]:
    values = samples(dtype)
    return [grid.ravel() for grid in np.meshgrid(*[values] * arity, indexing="ij")]


def elementwise_source(word: str, operands: list[str], result: str) -> tuple[str, KernelSpec]:
    names = [f"x{i}" for i in range(len(operands))]
    slots = ", ".join(f"{kind}_at(t, {i})" for i, kind in enumerate([*operands, result]))
    source = f"""def k0({", ".join(names)}, y0, n0):
    for i in range(n0):
        y0[i] = {word}({", ".join(f"{name}[i]" for name in names)})


def step(t):
    k0({slots}, COUNT)
    return 0
"""
    return source, KernelSpec("k0", (*operands, result), 1)


def check_word(word: str, operands: list[str], arrays: list[np.ndarray], result: str, rtol: float):
    source, spec = elementwise_source(word, operands, result)
    out = np.zeros(arrays[0].size, DTYPES[result])
    source = source.replace("COUNT", str(out.size))
    compiled, plain = run_both(source, [spec], *arrays, out)
    np.testing.assert_allclose(compiled[-1], plain[-1], rtol=rtol, err_msg=word)


OPERATIONS = [(op, dtype) for op, (dtypes, _) in ELEMENTWISE.items() for dtype in dtypes]
APPROXIMATE = ("power", "arctan2")


@pytest.mark.parametrize(("op", "dtype"), OPERATIONS)
def test_operation_on_corner_values(op, dtype):
    arity = EMITTERS[op][0]
    result = "bool" if op in PREDICATES else dtype
    rtol = 1e-6 if op in APPROXIMATE else 0
    check_word(f"{op}_{dtype}", [dtype] * arity, pairs(dtype, arity), result, rtol)


@pytest.mark.parametrize(("op", "dtype"), OPERATIONS)
def test_plain_operation_is_numpys(op, dtype):
    arity = EMITTERS[op][0]
    function = ELEMENTWISE[op][1]
    word = VOCABULARY[f"{op}_{dtype}"]
    operands = pairs(dtype, arity)
    with np.errstate(all="ignore"):
        expected = function(*operands)
    actual = np.array([word(*values) for values in zip(*operands, strict=True)], expected.dtype)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_select(dtype):
    y = samples(dtype)
    arrays = [np.arange(y.size) % 2 == 0, y, y[::-1].copy()]
    check_word(f"select_{dtype}", ["bool", dtype, dtype], arrays, dtype, 0)


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_conversion(target, source):
    values = samples(source)
    if DTYPES[source].kind == "f" and DTYPES[target].kind != "f":
        values = values[np.isfinite(values) & (np.abs(values) < 100)]  # beyond it C leaves it open
        if DTYPES[target].kind == "u":
            values = values[values >= 0]
    check_word(f"{target}_from_{source}", [source], [values], target, 0)


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "bool"])
def test_short_conversion_of_literals_and_values(dtype):
    source = f"""def k0(x0, y0):
    y0[0] = {dtype}(x0[0])
    y0[1] = {dtype}(3)
    y0[2] = {dtype}(2.5)
    y0[3] = {dtype}(True)


def step(t):
    k0(i64_at(t, 0), {dtype}_at(t, 1))
    return 0
"""
    compiled, plain = run_both(
        source, [KernelSpec("k0", ("i64", dtype))], np.array([5]), np.zeros(4, DTYPES[dtype])
    )
    np.testing.assert_array_equal(compiled[1], plain[1])
    np.testing.assert_array_equal(plain[1], np.array([5, 3, 2.5, 1]).astype(DTYPES[dtype]))


@pytest.mark.parametrize("dtype", ["i32", "u8", "i8"])
def test_integers_wrap(dtype):
    values = samples(dtype)
    for op in ("add", "sub", "mul"):
        check_word(f"{op}_{dtype}", [dtype, dtype], [values, values[::-1].copy()], dtype, 0)


def test_every_word_is_documented_or_derived():
    ops = {*ELEMENTWISE, *VECMATH, *ROUTINES, *WINDOW_ROUTINES, *SORT_ROUTINES, "select"}
    for word in VOCABULARY:
        stem = word.rpartition("_")[0]
        known = stem in ops or "_from_" in word or word.endswith("_at")
        assert known or word in DTYPES or word in ("at", "copy", "zero", "split"), word
    assert set(ELEMENTWISE) == set(EMITTERS)
    for op in ops - {"select"}:
        assert op in (kernel.__doc__ or ""), f"{op} is missing from the vocabulary's docstring"


def test_reassociated_sum_in_f64_keeps_f32_accuracy_and_vectorises():
    n = 2_000_000
    source = f"""def k0(x0, y0, n0):
    acc = f64(0.0)
    for i in range(n0):
        acc = add_reassoc_f64(acc, f64(x0[i]))
    y0[0] = f32(acc)


def step(t):
    k0(f32_at(t, 0), f32_at(t, 1), {n})
    return 0
"""
    module = compile_source(HEADER + source, [KernelSpec("k0", ("f32", "f32"), 1)])
    x, y = np.full(n, 0.1, np.float32), np.zeros(1, np.float32)
    table = np.array([x.ctypes.data, y.ctypes.data], np.uintp)
    assert module.call(table.ctypes.data) == 0
    assert abs(float(y[0]) / (n * float(np.float32(0.1))) - 1) < 1e-6
    assert "x double>" in module.llvm()


@pytest.mark.parametrize("new", ["x0[i]", "select_f32(x0[i] > 4.9, f32(-1e400), x0[i])"])
def test_maximum_reduction_vectorises_and_keeps_nan(new):
    """The masked one, too, which LLVM would rather select."""
    source = """def k0(x0, y0, n0):
    best = f32(-1e400)
    for i in range(n0):
        best = maximum_f32(best, NEW)
    y0[0] = best


def step(t):
    k0(f32_at(t, 0), f32_at(t, 1), 100)
    return 0
""".replace("NEW", new)
    specs = [KernelSpec("k0", ("f32", "f32"), 1)]
    x = np.linspace(-3, 5, 100).astype(np.float32)
    compiled, _ = run_both(source, specs, x, np.zeros(1, np.float32))
    assert compiled[1][0] == (x.max() if new == "x0[i]" else x[x <= np.float32(4.9)].max())
    x[37] = np.nan
    compiled, _ = run_both(source, specs, x, np.zeros(1, np.float32))
    assert np.isnan(compiled[1][0])
    assert "llvm.vector.reduce.fmaximum" in compile_source(HEADER + source, specs).llvm()


def test_distinct_buffers_need_no_overlap_checks():
    source = """def k0(x0, x1, y0, n0):
    for i in range(n0):
        y0[i] = x0[i] * x1[i] + x0[i]


def step(t):
    k0(f32_at(t, 0), f32_at(t, 1), f32_at(t, 2), 100)
    return 0
"""
    module = compile_source(HEADER + source, [KernelSpec("k0", ("f32",) * 3, 1)])
    text = module.llvm()
    assert "x float>" in text
    assert "vector.memcheck" not in text


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_gemm_in_kernel_and_driver(dtype, ta, tb):
    m, n, k = 4, 6, 5
    lda, ldb = (m if ta else k), (k if tb else n)
    arguments = f"{ta}, {tb}, {m}, {n}, {k}"
    source = f"""def k0(a, b, c, n0):
    for i in range(n0):
        gemm_{dtype}({arguments}, {dtype}(0.5), at(a, i * {m * k}), {lda}, b, {ldb}, {dtype}(-1.0),
                     at(c, i * {m * n}), {n})


def step(t):
    k0({dtype}_at(t, 0), {dtype}_at(t, 1), {dtype}_at(t, 2), 2)
    gemm_{dtype}({arguments}, -{dtype}_at(t, 3)[0], at({dtype}_at(t, 0), {m * k}), {lda},
                 {dtype}_at(t, 1), {ldb}, 0.0, {dtype}_at(t, 4), {n})
    return 0
"""
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=s).astype(DTYPES[dtype]) for s in (2 * m * k, k * n, 2 * m * n))
    alpha, out = np.array([2.0], DTYPES[dtype]), np.full(m * n, np.nan, DTYPES[dtype])
    compiled, plain = run_both(source, [KernelSpec("k0", (dtype,) * 3, 1)], a, b, c, alpha, out)
    for x, y in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    left = a.reshape(2, k, m).transpose(0, 2, 1) if ta else a.reshape(2, m, k)
    right = b.reshape(n, k).T if tb else b.reshape(k, n)
    np.testing.assert_allclose(compiled[4].reshape(m, n), -2 * left[1] @ right, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("ta", [False, True])
def test_gemv(dtype, ta):
    rows, columns = (5, 3) if ta else (3, 5)
    source = f"""def step(t):
    gemv_{dtype}({ta}, 3, 5, 2.0, {dtype}_at(t, 0), 5, {dtype}_at(t, 1), 0.5, {dtype}_at(t, 2))
    return 0
"""
    rng = np.random.default_rng(0)
    a, x, y = (rng.normal(size=s).astype(DTYPES[dtype]) for s in (15, columns, rows))
    compiled, plain = run_both(source, [], a, x, y)
    matrix = a.reshape(3, 5).T if ta else a.reshape(3, 5)
    for _, _, result in (compiled, plain):
        np.testing.assert_allclose(result, 2 * matrix @ x + 0.5 * y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copy_and_zero_in_kernel_and_driver(dtype):
    source = f"""def k0(x0, y0, n0):
    copy(y0, x0, n0)
    zero(at(y0, 1), 1)


def step(t):
    k0({dtype}_at(t, 0), {dtype}_at(t, 1), 5)
    copy(at({dtype}_at(t, 1), 5), {dtype}_at(t, 0), 2)
    zero({dtype}_at(t, 1), 1)
    return 0
"""
    x, y = np.ones(5, DTYPES[dtype]), np.zeros(8, DTYPES[dtype])
    compiled, plain = run_both(source, [KernelSpec("k0", (dtype, dtype), 1)], x, y)
    np.testing.assert_array_equal(compiled[1], plain[1])
    np.testing.assert_array_equal(compiled[1], np.array([0, 0, 1, 1, 1, 1, 1, 0]))


def test_empty_products_leave_what_numpy_leaves():
    source = """def step(t):
    gemm_f32(False, False, 2, 3, 0, 1.0, f32_at(t, 0), 0, f32_at(t, 0), 3, 0.0, f32_at(t, 1), 3)
    return 0
"""
    compiled, plain = run_both(source, [], np.zeros(1, np.float32), np.ones(6, np.float32))
    np.testing.assert_array_equal(compiled[1], np.zeros(6))
    np.testing.assert_array_equal(plain[1], np.zeros(6))
