"""Register tiles: every form and size against exact sums, every processor's text, the choice."""

import ctypes
import itertools
import re
from functools import cache

import numpy as np
import pytest
from llvmlite import binding as llvm
from tapeless.ir.types import DTYPES
from tapeless.runtime.kernel import ROUTINES
from tapeless.runtime.link import assemble, host_features, link
from tapeless.runtime.tiles import BLOCK, MEASURED, tiles_text
from tapeless.runtime.vector_text import AVX2, AVX512, NEON, PLAIN, Registers, registers

SIZES = (1, 2, 3, 5, 7, 13, 17, 33)
COLUMNS = (1, 3, 8, 10, 17, 33, 70, 130)
SUMMED = (1, 2, 5, 16, 17, BLOCK + 44)
NARROW = Registers(16, 16, masked=False)
HOST = registers(host_features())
RUNNABLE = sorted({HOST, NARROW}, key=lambda machine: machine.bytes)
FLAGS = list(itertools.product([False, True], repeat=2))


@cache
def functions(machine: Registers, dtype: str):
    """The product and the choice as Python functions."""
    names = [f"tiles_{word}_{dtype}" for word in ("gemm", "chosen")]
    linked = link([assemble(tiles_text(machine, dtype), None)], names, {})
    number = ctypes.c_float if dtype == "f32" else ctypes.c_double
    kinds = {"i": ctypes.c_int64, "p": ctypes.c_void_p, "f": number}
    layout = [kinds[letter] for letter in ROUTINES["gemm"]]
    gemm = ctypes.CFUNCTYPE(None, *layout)(linked.addresses[names[0]])
    chosen = ctypes.CFUNCTYPE(ctypes.c_bool, *[ctypes.c_int64] * 5)(linked.addresses[names[1]])
    gemm.machine_code = chosen.machine_code = linked
    return gemm, chosen


def multiply(machine, a, b, c, alpha=1.0, beta=0.0, ta=False, tb=False, gap=0):
    """alpha a b + beta c by tiles; the operands stored as the flags say, `gap` numbers between
    their rows. Numbers around the result must stay."""
    dtype = "f32" if a.dtype == np.float32 else "f64"
    gemm, _ = functions(machine, dtype)
    left, right = spread(a.T if ta else a, gap), spread(b.T if tb else b, gap)
    (m, k), n = a.shape, b.shape[1]
    out = np.full((m + 1, n + 3), 7, a.dtype)
    out[:m, :n] = c
    gemm(ta, tb, m, n, k, alpha, left.ctypes.data, left.shape[1], right.ctypes.data,
         right.shape[1], beta, out.ctypes.data, n + 3)  # fmt: skip
    assert (out[:m, n:] == 7).all()
    assert (out[m] == 7).all()
    return out[:m, :n]


def spread(matrix, gap):
    stored = np.full((matrix.shape[0], matrix.shape[1] + gap), np.nan, matrix.dtype)
    stored[:, : matrix.shape[1]] = matrix
    return stored


@pytest.mark.parametrize("machine", RUNNABLE, ids=lambda machine: f"{8 * machine.bytes}")
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (-0.5, 1.0), (2.0, 0.5)])
@pytest.mark.parametrize(("ta", "tb"), FLAGS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_every_size_is_within_the_rounding_of_its_sum(machine, dtype, ta, tb, alpha, beta):
    random = np.random.default_rng(0)
    epsilon = np.finfo(DTYPES[dtype]).eps
    for m, n, k in itertools.product(SIZES, COLUMNS, SUMMED):
        a, b, c = (
            random.normal(size=shape).astype(DTYPES[dtype]) for shape in ((m, k), (k, n), (m, n))
        )
        x, y, z = (v.astype(np.longdouble) for v in (a, b, c))
        start = np.full_like(c, np.nan) if beta == 0 else c  # which is not read
        out = multiply(machine, a, b, start, alpha, beta, ta, tb, gap=m % 3)
        bound = (k + 3) * epsilon * (abs(alpha) * (abs(x) @ abs(y)) + abs(beta * z))
        assert (abs(out - (alpha * (x @ y) + beta * z)) <= bound).all(), (m, n, k)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("ta", "tb"), FLAGS)
def test_nan_and_infinities_reach_exactly_the_sums_they_are_in(dtype, ta, tb):
    a, b = np.ones((9, 21), DTYPES[dtype]), np.ones((21, 19), DTYPES[dtype])
    a[2, 3], a[4, 20], a[7, 0] = np.nan, np.inf, -np.inf
    b[5, 18], b[20, 1], b[0, 6] = np.inf, -np.inf, 0
    with np.errstate(invalid="ignore"):
        expected = sum(a[:, p : p + 1] * b[p] for p in range(21))
    assert np.isnan(expected).sum() > 19
    assert np.isinf(expected).sum() > 19
    out = multiply(HOST, a, b, np.zeros((9, 19)), ta=ta, tb=tb)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("machine", RUNNABLE, ids=lambda machine: f"{8 * machine.bytes}")
def test_a_sum_of_nothing_and_a_result_of_nothing(machine):
    c = np.ones((3, 5), np.float32)
    for beta, (ta, tb) in itertools.product((0.0, 0.5), FLAGS):
        nothing = np.ones((3, 0), np.float32), np.ones((0, 5), np.float32)
        np.testing.assert_array_equal(multiply(machine, *nothing, c, 1.0, beta, ta, tb), beta * c)
    empty = np.ones((0, 2), np.float32), np.ones((2, 5), np.float32)
    assert multiply(machine, *empty, np.ones((0, 5))).shape == (0, 5)


def test_subnormal_numbers_are_kept():
    a = np.full((2, 4), 2.0**-70, np.float32)
    b = np.full((4, 3), 2.0**-72, np.float32)
    np.testing.assert_array_equal(multiply(HOST, a, b, np.zeros((2, 3))), np.float32(2.0**-140))


PROCESSORS = {
    "avx512": (AVX512, "x86_64-unknown-linux-gnu", "znver4", r"vfmadd\w+ps.*zmm"),
    "avx2": (AVX2, "x86_64-unknown-linux-gnu", "haswell", r"vfmadd\w+ps.*ymm"),
    "plain": (PLAIN, "x86_64-unknown-linux-gnu", "x86-64", r"mulps.*xmm"),
    "neon": (NEON, "aarch64-unknown-linux-gnu", "generic", r"fmla\s+v\d+\.4s"),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_loop_of_the_tallest_tile_multiplies_in_registers(name):
    machine, triple, cpu, instruction = PROCESSORS[name]
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip(f"this LLVM has no {triple}")
    module = llvm.parse_assembly(tiles_text(machine, "f32"))
    module.triple = triple
    module.verify()
    code = target.create_target_machine(cpu=cpu, opt=3).emit_assembly(module)
    vectors = machine.widths[0]
    rows = machine.tallest(vectors)
    assert rows * vectors + vectors + 1 <= machine.count
    body = code.partition(f"\ntile_{rows}x{vectors}:")[2].partition("\n.Lfunc_end")[0]
    products = len(re.findall(instruction, body))
    assert products >= 3 * rows * vectors  # two steps in the long loop, one in the short one
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


@pytest.mark.parametrize(
    ("ta", "tb", "m", "n", "k", "expected"),
    [
        (False, False, 32, 128, 784, True),
        (True, False, 784, 128, 32, True),
        (False, False, 64, 64, 64, False),  # the BLAS has a kernel for it
        (False, True, 64, 64, 64, True),
        (True, True, 64, 64, 64, False),
        (False, True, 64, 33, 64, False),  # half a tile is wasted
        (False, False, 128, 33, 784, False),
        (False, False, 300, 48, 96, False),
        (False, False, 784, 10, 256, True),
        (False, True, 9, 256, 64, False),
        (False, False, 512, 512, 512, False),  # threads
        (False, False, 2**32, 2**32, 1, False),
    ],
)
def test_the_choice(ta, tb, m, n, k, expected):
    _, chosen = functions(RUNNABLE[-1], "f32")
    if HOST != MEASURED:
        pytest.skip("the choice was measured for other registers")
    assert chosen(ta, tb, m, n, k) == expected
