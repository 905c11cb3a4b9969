"""Products of indirect left factors, and transposes, against their formula; on processors with
other registers too."""

import ctypes
from functools import cache

import numpy as np
import pytest
from llvmlite import binding as llvm
from processors import PROCESSORS, RUNNABLE, machine_for
from tapeless.ir.types import DTYPES
from tapeless.runtime.indirect import BLOCK, indirect_text
from tapeless.runtime.kernel import VOCABULARY, WINDOW_ROUTINES, routine_symbol
from tapeless.runtime.loading import assemble, link


@cache
def functions(name, dtype):
    text = indirect_text(RUNNABLE[name], dtype)
    if name == "host":
        image = assemble(text, None)
    else:
        image = machine_for(name).emit_object(llvm.parse_assembly(text))
    symbols = {word: routine_symbol(word, dtype) for word in WINDOW_ROUTINES}
    linked = link([image], symbols.values(), {})
    kinds = {"i": ctypes.c_int64, "p": ctypes.c_void_p, "o": ctypes.c_void_p}
    found = {}
    for word, symbol in symbols.items():
        kind = ctypes.CFUNCTYPE(None, *(kinds[letter] for letter in WINDOW_ROUTINES[word]))
        found[word] = kind(linked.addresses[symbol])
        found[word].machine_code = linked
    return found


def call(function, *arguments):
    function(*(x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments))


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_every_size_is_within_the_rounding_of_its_sum(name, dtype):
    """Into places in any order; what lies between them stays."""
    rng, own = np.random.default_rng(0), DTYPES[dtype]
    for m in (1, 3, 8, 13, 25):
        for n in (8, 16, 24, 56):
            for k in (0, 1, 2, 7, BLOCK + 9):
                a, b = rng.standard_normal(900).astype(own), rng.standard_normal((k, n + 3))
                rows, steps = rng.integers(0, 400, m), rng.integers(0, 400, k)
                b, places = b.astype(own), rng.permutation(m) * (n + 2) + 1
                c = rng.standard_normal(m * (n + 2)).astype(own)
                wide, sums = a[np.add.outer(rows, steps)].astype(np.longdouble), c.copy()
                expected = c.astype(np.longdouble)
                there = np.add.outer(places, np.arange(n))
                expected[there] += wide @ b[:, :n]
                sums[there] = abs(sums[there]) + abs(wide) @ abs(b[:, :n])
                plain = c.copy()
                operands = m, n, k, a, rows, steps, b, n + 3
                VOCABULARY[f"indirect_{dtype}"](*operands[:6], b.ravel(), n + 3, plain, places)
                call(functions(name, dtype)["indirect"], *operands, c, places)
                for found in (c, plain):
                    assert (abs(found - expected) <= (k + 3) * np.finfo(own).eps * abs(sums)).all()


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_transposes(name, dtype):
    """A corner of one matrix into a corner of another one, of which the rest stays."""
    rng = np.random.default_rng(0)
    for m, n in ((1, 1), (3, 17), (8, 8), (25, 16), (16, 25), (9, 40)):
        a = rng.standard_normal((m, n + 3)).astype(DTYPES[dtype])
        c = np.full((n, m + 2), 7, a.dtype)
        call(functions(name, dtype)["turned"], m, n, a, n + 3, c, m + 2)
        np.testing.assert_array_equal(c[:, :m], a[:, :n].T)
        assert (c[:, m:] == 7).all()
        plain = np.zeros_like(c)
        VOCABULARY[f"turned_{dtype}"](m, n, a.ravel(), n + 3, plain.ravel(), m + 2)
        np.testing.assert_array_equal(plain[:, :m], c[:, :m])


def test_neon_has_code_of_its_own():
    machine = machine_for("neon")
    if machine is None:
        pytest.skip("this LLVM makes no code for AArch64")
    text = indirect_text(PROCESSORS["neon"][0], "f32")
    assert "fmla" in machine.emit_assembly(llvm.parse_assembly(text))
