"""Products by register tiles: every form and size against exact sums, every processor's text."""

import ctypes
import itertools
import re
from functools import cache

import numpy as np
import pytest
from llvmlite import binding as llvm
from processors import PROCESSORS, RUNNABLE, machine_for
from tapeless.ir.types import DTYPES
from tapeless.runtime.kernel import ROUTINES
from tapeless.runtime.loading import assemble, link
from tapeless.runtime.matvec import GEMV
from tapeless.runtime.products import (
    BLOCK,
    INNER_AREA,
    INNER_BLOCK,
    PACKED,
    PAGE,
    products_text,
)
from tapeless.runtime.vector_text import AVX2, AVX512, NEON, PLAIN, registers

SIZES = (1, 2, 3, 5, 7, 11, 12, 33)
COLUMNS = (1, 2, 7, 10, 17, 33, 70)
SUMMED = (1, 2, 5, 17, 300)
TALL = ((INNER_AREA // 400 + 7, 7, 400), (4, 15, INNER_BLOCK), (33, 70, BLOCK + 44))
FLAGS = list(itertools.product([False, True], repeat=2))


@cache
def functions(name, dtype):
    """The products as Python functions."""
    names = [f"tiles_{word}_{dtype}" for word in ("gemm", "gemv")]
    text = products_text(RUNNABLE[name], dtype)
    if name == "host":
        image = assemble(text, None)
    else:
        image = machine_for(name).emit_object(llvm.parse_assembly(text))
    linked = link([image], names, {})
    number = ctypes.c_float if dtype == "f32" else ctypes.c_double
    kinds = {"i": ctypes.c_int64, "p": ctypes.c_void_p, "f": number}
    found = []
    for symbol, layout in zip(names, (ROUTINES["gemm"], GEMV.layout), strict=True):
        kind = ctypes.CFUNCTYPE(None, *(kinds[letter] for letter in layout))
        found.append(kind(linked.addresses[symbol]))
        found[-1].machine_code = linked
    return found


def multiply(name, a, b, c, alpha=1.0, beta=0.0, ta=False, tb=False, gap=0):
    """alpha a b + beta c by tiles; the operands stored as the flags say, `gap` numbers between
    their rows. Numbers around the result must stay."""
    gemm, _ = functions(name, dtype_of(a))
    left, right = spread(a.T if ta else a, gap), spread(b.T if tb else b, gap)
    (m, k), n = a.shape, b.shape[1]
    out = np.full((m + 2, n + 3), 7, a.dtype)
    result = out[1:-1, 1:-2]
    result[:] = c
    start = out.ctypes.data + (n + 4) * out.itemsize
    gemm(ta, tb, m, n, k, alpha, left.ctypes.data, left.shape[1], right.ctypes.data,
         right.shape[1], beta, start, n + 3)  # fmt: skip
    assert_surrounded(out, result)
    return result


def assert_surrounded(out, result):
    kept, result[...] = result.copy(), 7
    assert (out == 7).all()
    result[...] = kept


def dtype_of(array):
    return {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}[array.dtype]


def spread(matrix, gap):
    stored = np.full((matrix.shape[0], matrix.shape[1] + gap), np.nan, matrix.dtype)
    stored[:, : matrix.shape[1]] = matrix
    return stored


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (-0.5, 0.25)])
@pytest.mark.parametrize(("ta", "tb"), FLAGS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_every_size_is_within_the_rounding_of_its_sum(name, dtype, ta, tb, alpha, beta):
    random = np.random.default_rng(0)
    for m, n, k in (*itertools.product(SIZES, COLUMNS, SUMMED), *TALL, (18, 20, INNER_BLOCK + 90)):
        shapes = (m, k), (k, n), (m, n)
        a, b, c = (random.normal(size=shape).astype(DTYPES[dtype]) for shape in shapes)
        start = np.full_like(c, np.nan) if beta == 0 else c  # which is not read
        out = multiply(name, a, b, start, alpha, beta, ta, tb, gap=m % 3)
        assert_close(out, a, b, c, alpha, beta)


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("columns", [5, 70, 208])
def test_a_matrix_whose_rows_begin_at_one_place_of_a_page(name, dtype, columns):
    """Its panels are copied: what lies between the rows is not a number."""
    random = np.random.default_rng(0)
    for m, k in (PACKED[0], BLOCK + 44), (PACKED[0] + 3, PACKED[0]), (PACKED[0] - 1, 60):
        shapes = (m, k), (k, columns), (m, columns)
        a, b, c = (random.normal(size=shape).astype(DTYPES[dtype]) for shape in shapes)
        gap = -columns % (PAGE // b.itemsize)
        out = multiply(name, a, b, c, -0.5, 0.25, gap=gap)
        assert_close(out, a, b, c, -0.5, 0.25)


def assert_close(out, a, b, c, alpha, beta):
    """Within the rounding of k products and their sum, whatever its order."""
    wide = np.float64 if out.dtype == np.float32 else np.longdouble
    x, y, z = (v.astype(wide) for v in (a, b, c))
    magnitude = abs(alpha) * (abs(x) @ abs(y)) + abs(beta * z)
    bound = (a.shape[-1] + 3) * np.finfo(out.dtype).eps * magnitude
    assert (abs(out - (alpha * (x @ y) + beta * z)) <= bound).all(), (a.shape, b.shape)


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (-0.5, 0.25)])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_matrix_times_a_vector(name, dtype, ta, alpha, beta):
    random = np.random.default_rng(0)
    _, gemv = functions(name, dtype)
    sizes = (0, 1, 2, 7, 8, 13, 33, 50, 131)
    for m, n in itertools.product(sizes, sizes):
        a, x, y = (random.normal(size=size).astype(DTYPES[dtype]) for size in ((m, n), n, m))
        stored = spread(a.T if ta else a, m % 2)
        out = np.full(m + 2, 7, a.dtype)
        out[1:-1] = np.nan if beta == 0 else y
        rows, columns = (n, m) if ta else (m, n)
        gemv(ta, rows, columns, alpha, stored.ctypes.data, stored.shape[1], x.ctypes.data, beta,
             out.ctypes.data + out.itemsize)  # fmt: skip
        assert_surrounded(out, out[1:-1])
        assert_close(out[1:-1], a, x, y, alpha, beta)


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("ta", "tb"), FLAGS)
@pytest.mark.parametrize(("m", "n", "k"), [(9, 19, 21), (33, 3, 150), (3, 33, 150)])
def test_nan_and_infinities_reach_exactly_the_sums_they_are_in(name, dtype, ta, tb, m, n, k):
    a, b = np.ones((m, k), DTYPES[dtype]), np.ones((k, n), DTYPES[dtype])
    a[2, 3], a[1, 20], a[0, 0] = np.nan, np.inf, -np.inf
    b[5, 2], b[20, 1], b[0, 0] = np.inf, -np.inf, 0  # inf * 0 at row 0, inf - inf at (1, 1)
    with np.errstate(invalid="ignore"):
        expected = sum(a[:, p : p + 1] * b[p] for p in range(k))
    for kind in (np.isnan, np.isinf):
        assert kind(expected).any()
    out = multiply(name, a, b, np.zeros((m, n)), ta=ta, tb=tb)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_sum_of_nothing_and_a_result_of_nothing(name):
    c = np.ones((3, 5), np.float32)
    for beta, (ta, tb) in itertools.product((0.0, 0.5), FLAGS):
        nothing = np.ones((3, 0), np.float32), np.ones((0, 5), np.float32)
        np.testing.assert_array_equal(multiply(name, *nothing, c, 1.0, beta, ta, tb), beta * c)
    empty = np.ones((0, 2), np.float32), np.ones((2, 5), np.float32)
    assert multiply(name, *empty, np.ones((0, 5))).shape == (0, 5)


def test_subnormal_numbers_are_kept():
    a = np.full((2, 4), 2.0**-70, np.float32)
    b = np.full((4, 3), 2.0**-72, np.float32)
    np.testing.assert_array_equal(multiply("host", a, b, np.zeros((2, 3))), np.float32(2.0**-140))


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize(("dtype", "suffix"), [("f32", ("ps", "4s")), ("f64", ("pd", "2d"))])
def test_the_loop_of_the_tallest_tile_multiplies_in_registers(name, dtype, suffix):
    machine, triple, _, instruction = PROCESSORS[name]
    compiler = machine_for(name)
    if compiler is None:
        pytest.skip(f"this LLVM has no {triple}")
    module = llvm.parse_assembly(products_text(machine, dtype))
    module.triple = triple
    module.verify()
    code = compiler.emit_assembly(module)
    vectors = machine.widths[0]
    rows = machine.tallest(vectors)
    assert rows * vectors + vectors + 1 <= machine.count
    body = code.partition(f"\ntile_{rows}x{vectors}:")[2].partition("\n.Lfunc_end")[0]
    products = instruction.replace("ps", suffix[0]).replace("4s", suffix[1])
    _, *parts = re.split(r"\n(\.L\w+):", body)
    loops = [
        block
        for label, block in zip(parts[::2], parts[1::2], strict=True)
        if re.search(rf"\t(j|b)\S+\s+{re.escape(label)}\b", block)
    ]
    (loop,) = (block for block in loops if re.search(products, block))
    assert len(re.findall(products, loop)) == rows * vectors
    assert not re.search(r"%rsp|\[sp", loop)  # nothing is kept on the stack
    asks = re.compile(r"\t(prefetch|prfu?m)")
    assert len(asks.findall(loop)) == vectors + 1  # what comes next of B and of A
    assert len(asks.findall(body)) == (rows + 1) * vectors + 1  # and, once, the tile's part of C
    assert not re.search(r"\bcall\w*\s.*fma", code)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512f": True, "avx512vl": True, "avx": True}, AVX512),
        ({"avx512f": True, "avx512vl": False, "avx": True}, AVX2),
        ({"neon": True}, NEON),
        ({}, PLAIN),
    ],
)
def test_the_registers_of_a_processor(features, expected):
    assert registers(features) == expected
