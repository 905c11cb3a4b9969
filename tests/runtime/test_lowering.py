"""Kernels to LLVM text, by the two engines: what they refuse, and that they agree bit by bit."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import tapeless as tl
from tapeless.compiler.fingerprint import program_key
from tapeless.ir.types import DTYPES
from tapeless.runtime.engine import compile_source, run_plain
from tapeless.runtime.kernel import VOCABULARY, KernelSpec
from tapeless.runtime.kernels import kernel_symbol
from tapeless.runtime.lowering import lower
from tapeless.runtime.words import word

HEADER = '"""A test."""\nfrom tapeless.runtime.kernel import *\n\n\n'


def lowered(*lines: str, kinds: tuple[str, ...] = ("f32*", "i64*", "bool*", "i64")):
    body = "\n".join("    " + line for line in lines)
    (function,) = ast.parse(f"def k(x, i, b, n):\n{body}\n").body
    assert isinstance(function, ast.FunctionDef)
    return lower(function, kinds, "k")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["x[0] = exp(x[0])"], "exp is not a word"),
        (["x[0] = exp_f32(x[0], 1.0)"], "takes 1 operands"),
        (["x[0] = exp_f32(x)"], r"f32\* where f32"),
        (["x[0] = y"], "y is not assigned"),
        (["v = 1", "v = 1.0"], "v is i64, and is given f64"),
        (["x[0] = x[0] ** 2"], "outside the grammar"),
        (["x[0] = i[0] / n"], "outside the grammar"),
        (["x[0] = x[0] & x[1]"], "outside the grammar"),
        (["x[0] = n[0]"], "where a buffer is expected"),
        (["x[0] = b[0] + n"], "arithmetic with a bool"),
        (["x[0] = x + n"], r"arithmetic with a f32\*"),
        (["with x:", "    pass"], "outside the grammar"),
        (["for j in x:", "    pass"], "outside the grammar"),
        (["for j in range(0, n, i[0]):", "    pass"], "must be a literal"),
        (["copy(x, i, n)"], "outside the grammar"),
        (["x[0] = u64(n) + n"], "u64 beside i64"),
        (["v = x[0] if n else n"], "a choice between f32 and i64"),
        (["x[0] = max(x[0], x[1])"], "max is not a word"),
    ],
)
def test_what_is_outside_the_grammar_is_refused_with_its_line(lines, complaint):
    with pytest.raises(ValueError, match=complaint) as failed:
        lowered(*lines)
    assert "line " in str(failed.value)


def test_types_follow_numbas_rules():
    """i64 + f32 is f64, an f32 beside a literal becomes f64, u32 computes in u64."""
    text = lowered("x[0] = n + x[0]", "b[0] = x[0] < 0.5").text
    assert "sitofp i64 %n.in to double" in text
    assert "fcmp olt double" in text
    assert "fptrunc double" in text
    unsigned = lowered("i[0] = x[0] + x[1]", kinds=("u32*", "u64*", "bool*", "i64")).text
    assert unsigned.count("zext i32") == 2


FORMS = """def k0(x0, i0, b0, y0, y1, n0):
    for i in range(n0 - 1, -1, -1):
        y0[i] = x0[i] if b0[i] else -x0[n0 - 1 - i]
    low, high = 0, n0
    while low < high:
        middle = (low + high) >> 1
        if not (x0[middle] < 0.5 or i0[middle] == 3 and b0[middle]):
            high = middle
            continue
        low = middle + 1
        if low & 1:
            break
    y1[0] = low
    for i in range(1, n0, 2):
        y1[i] = ~i ^ i0[i] | i << 3
        y0[i] += i
        if i0[i] > 4:
            return i
        elif b0[i]:
            y0[i] *= f32(2)
        else:
            pass
    last, found = 0, n0 > 3 and not b0[0]
    for last in range(n0):
        if x0[last] != x0[last]:
            break
    y1[n0 - 1] = last
    y0[0] = f32(found)
    return 0


def step(t):
    if k0(f32_at(t, 0), i64_at(t, 1), bool_at(t, 2), f32_at(t, 3), i64_at(t, 4), 9): return 7
    return 0
"""


@pytest.mark.parametrize("engine", ["direct", "numba"])
@pytest.mark.parametrize("seed", range(4))
def test_every_form_of_statement(monkeypatch, engine, seed):
    monkeypatch.setenv("TAPELESS_ENGINE", engine)
    rng = np.random.default_rng(seed)
    x, i = np.sort(rng.random(9).astype(np.float32)), rng.integers(0, 4 + 2 * (seed & 1), 9)
    x[5 + seed :] = np.nan
    arrays = [x, i, rng.random(9) < 0.5, np.zeros(9, np.float32), np.zeros(9, np.int64)]
    plain = [a.copy() for a in arrays]
    specs = [KernelSpec("k0", ("f32", "i64", "bool", "f32", "i64"), 1)]
    module = compile_source(HEADER + FORMS, specs)
    table = np.array([a.ctypes.data for a in arrays], np.uintp)
    assert module.call(table.ctypes.data) == run_plain(HEADER + FORMS, plain)
    for native, expected in zip(arrays, plain, strict=True):
        np.testing.assert_array_equal(native, expected)


def test_every_word_but_the_generic_ones_has_a_signature():
    generic = {"at", "copy", "zero", "split", *DTYPES}
    unknown = {name for name in VOCABULARY if word(name) is None}
    assert unknown == {*generic - {"bool"}, *(f"{name}_at" for name in DTYPES)}


# --- whole steps by both engines ---------------------------------------------------------------


def _train(W, x, y):
    value, g = tl.value_and_grad(lambda W: tl.nn.cross_entropy(np.tanh(x @ W), y))(W)
    W -= 0.5 * g
    return value, np.argmax(x @ W, axis=1)


STEPS = {
    "cross entropy": (_train, [(70, 9), (33, 70), "labels"]),
    "moments": (lambda x: (x.std(axis=0), np.max(x), np.prod(x, axis=1)), [(130, 7)]),
    "select": (lambda x, y: np.where(x > y, np.exp(x), y * y) + np.floor(x), [(5, 40), (40,)]),
    "cumsum": (lambda x: np.cumsum(x, axis=0) + np.cumsum(x[::-1], axis=1), [(11, 6)]),
    "sort": (lambda x: (np.sort(x), np.argsort(x[:, ::-1], axis=0)), [(50, 3)]),
    "search": (lambda x, y: np.searchsorted(np.sort(x), y), [(40,), (9,)]),
    "solve": (lambda x, y: np.linalg.solve(x, y), [(40, 40), (40, 3)]),
    "cholesky": (lambda x: np.linalg.cholesky(x @ x.T + np.eye(40)), [(40, 40)]),
    "gather": (lambda x, y: tl.grad(lambda x: (x[y] ** 2).sum())(x), [(9, 4), "labels"]),
    "integers": (lambda x, y: ((x * 100).astype("i4") // 7, y % 3 << y), [(20,), "labels"]),
    "batched": (lambda x, y: x @ y, [(3, 20, 12), (3, 12, 5)]),
    "long product": (lambda x, y: x @ y, [(2, 5000), (5000, 3)]),
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", STEPS)
def test_both_engines_make_the_same_bits(monkeypatch, name, dtype):
    function, shapes = STEPS[name]
    rng = np.random.default_rng(0)
    arguments = [
        rng.integers(0, 9, 33) if shape == "labels" else rng.standard_normal(shape).astype(dtype)
        for shape in shapes
    ]
    results = {}
    for engine in ("direct", "numba"):
        monkeypatch.setenv("TAPELESS_ENGINE", engine)
        copies = [a.copy() for a in arguments]
        step = tl.compile(function, cache=False)
        results[engine] = [*tl.tree.leaves(step(*copies)), *copies]
    # Beside elementary functions the engines add in another order (`runtime/vectors.py`), and of
    # small products that are written out Numba leaves some in vectors, which LLVM contracts less.
    differs = name in ("cross entropy", "batched")
    error = {"f4": 2e-6, "f8": 1e-14}[dtype] if differs else 0.0
    for direct, numba in zip(results["direct"], results["numba"], strict=True):
        np.testing.assert_allclose(direct, numba, rtol=error, atol=error)


def test_the_engine_is_part_of_every_key(monkeypatch):
    text = "def k(x):\n    x[0] = x[1]\n"
    program = tl.compile(lambda x: x + 1.0).lower(np.ones(3))
    keys = set()
    for engine in ("direct", "numba", ""):
        monkeypatch.setenv("TAPELESS_ENGINE", engine)
        symbol = kernel_symbol(text, KernelSpec("k", ("f32",)))
        keys.add((symbol, program_key(program.traced.graph, program._step.options)))
    assert len(keys) == 2
    assert len({symbol for symbol, _ in keys}) == len({key for _, key in keys}) == 2


def test_an_unknown_engine_is_refused(monkeypatch):
    monkeypatch.setenv("TAPELESS_ENGINE", "jit")
    with pytest.raises(tl.errors.TapelessError, match="no engine named jit; there are direct"):
        tl.compile(lambda x: x + 1.0)(np.ones(3))
