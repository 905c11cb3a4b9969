"""Routines made of what given products run through: the bits of the whole ones."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tapeless.ir.types import DTYPES
from tapeless.runtime.host import host_features
from tapeless.runtime.kernel import ROUTINES, routine_symbol
from tapeless.runtime.loading import link
from tapeless.runtime.matrix import export_routines
from tapeless.runtime.product_parts import Parts, Product
from tapeless.runtime.routines import ALL
from tapeless.runtime.spec import called_products
from tapeless.runtime.vector_text import AVX2, AVX512, PLAIN, Target, registers

HOST = registers(host_features())
RUNNABLE = {AVX512: [AVX512, AVX2, PLAIN], AVX2: [AVX2, PLAIN]}.get(HOST, [HOST])
EXTENTS = (1, 2, 5, 9, 16, 33, 48, 70, 300)


def gemm(ta: int, tb: int, m: int, n: int, k: int) -> Product:
    return "gemm", (ta, tb, m, n, k, m if ta else k, k if tb else n, n)


def gemv(ta: int, m: int, n: int) -> Product:
    return "gemv", (ta, m, n, n)


def some(count: int, seed: int) -> list[Product]:
    """Products of any extents, and a few large ones."""
    rng = np.random.default_rng(seed)
    found = [gemm(*rng.integers(0, 2, 2), *rng.choice(EXTENTS, 3)) for _ in range(count)]
    found += [gemv(rng.integers(0, 2), *rng.choice(EXTENTS, 2)) for _ in range(count // 3)]
    large = [gemm(1, 0, 784, 128, 32), gemm(0, 1, 512, 300, 600), gemv(1, 700, 900)]
    return [(name, tuple(map(int, integers))) for name, integers in (*found, *large)]


@cache
def operands(dtype: str) -> list[NDArray[Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(-8, 8, 700_000).astype(DTYPES[dtype]) / 2 for _ in range(2)]


def run(address: int, dtype: str, product: Product) -> bytes:
    """The result of a product of small integers and halves, which every order of adding up gives
    exactly, and of what was there before."""
    routine, integers = product
    a, b = operands(dtype)
    arrays = [a, b, b[:200_000].copy()]
    numbers = iter((0.5, 2.0))
    pointers, whole = iter(x.ctypes.data for x in arrays), iter(integers)
    kinds: dict[str, Any] = {
        "i": ctypes.c_int64, "p": ctypes.c_void_p,
        "f": ctypes.c_float if dtype == "f32" else ctypes.c_double,
    }  # fmt: skip
    values: dict[str, Any] = {"i": whole, "p": pointers, "f": numbers}
    layout = ROUTINES[routine]
    function = ctypes.CFUNCTYPE(None, *(kinds[letter] for letter in layout))(address)
    function(*(next(values[letter]) for letter in layout))
    return arrays[2].tobytes()


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_the_parts_a_product_needs_make_what_all_make(dtype):
    """Each alone, so that nothing else's parts are there; one that is missing ends the process."""
    whole = export_routines(dtype, None)
    for product in some(18, seed=1):
        parts = export_routines(dtype, None, frozenset([product]))
        symbol = routine_symbol(product[0], dtype)
        assert list(parts) == [symbol]
        assert run(parts[symbol], dtype, product) == run(whole[symbol], dtype, product), product


@pytest.mark.parametrize("machine", RUNNABLE, ids=lambda m: f"{8 * m.bytes} bits")
def test_parts_for_each_kind_of_registers(machine):
    """Without a BLAS, whatever is not needed replaced by what notes that it was called."""
    parts = Parts(Target(machine, "f32"), None, None, None, {})
    assert parts.tiled == ALL
    called: list[str] = []
    for product in some(20, seed=2):
        images, absent = parts.images([product])
        assert absent and not parts.needed(product) & set(absent)
        notes = [ctypes.CFUNCTYPE(None)(lambda name=name: called.append(name)) for name in absent]
        addresses = (ctypes.cast(note, ctypes.c_void_p).value or 0 for note in notes)
        others = {k: ctypes.cast(f, ctypes.c_void_p).value or 0 for k, f in parts.others.items()}
        symbol = routine_symbol(product[0], "f32")
        imports = {**others, **dict(zip(absent, addresses, strict=True))}
        linked = link(images, [symbol], imports)
        run(linked.addresses[symbol], "f32", product)
        assert not called, (product, called)


def test_parts_of_some_products():
    if HOST != AVX512:
        pytest.skip("what is needed depends on the registers")
    parts = Parts(Target(AVX512, "f32"), None, None, None, {})
    assert parts.needed(gemm(0, 0, 32, 16, 64)) == {"tiles_gemm_f32", "wide", "panel", "tile_8x1"}
    assert parts.needed(gemm(0, 0, 0, 16, 64)) == {"tiles_gemm_f32"}
    assert {"flipped", "merge"} <= parts.needed(gemm(1, 0, 128, 10, 32))
    tall = parts.needed(gemm(1, 0, 128, 10, 32))
    assert tall & {name for name in parts.bodies if name.startswith("tile_")} == {
        f"tile_5x{vectors}" for vectors in (2, 3)
    }
    paged, dense = gemm(0, 0, 64, 1024, 64), gemm(0, 0, 64, 1040, 64)
    assert parts.needed(paged) - parts.needed(dense) == {"pack"}
    inner = {"tiles_gemm_f32", "narrow", "pack_transposed"}
    assert parts.needed(gemm(0, 0, 64, 3, 900)) == inner | {"inner_4x3"}
    assert parts.needed(gemm(0, 0, 66, 7, 900)) == inner | {
        f"inner_{rows}x{columns}" for rows in (4, 1) for columns in (4, 3)
    }
    assert "panel" not in parts.needed(gemv(0, 40, 50))


def test_products_that_a_text_calls():
    call = (
        '  call void @"tapeless_gemm_f32"(i64 0, i64 1, i64 32, i64 10, i64 {k}, float %v, ptr %a, '
        "i64 7, ptr %b, i64 8, float 0.0, ptr %c, i64 10)"
    )
    other = (
        "  tail call void @tapeless_whole_gemv_f64(i64 0, i64 32, i64 noundef 10, double %v1, "
        "ptr nonnull %a, i64 10, ptr %b, double 1.0, ptr %c) #2"
    )
    text = "\n".join([call.format(k=7), other, call.format(k=7), call.format(k=8)])
    assert called_products(text) == {
        "f32": frozenset({("gemm", (0, 1, 32, 10, k, 7, 8, 10)) for k in (7, 8)}),
        "f64": frozenset({("whole_gemv", (0, 32, 10, 10))}),
    }
    unknown = call.format(k="%n")
    assert called_products("\n".join([unknown, call.format(k=8)])) == {"f32": None}
    strange = call.format(k=8).replace("ptr %b", "ptr getelementptr (i8, ptr @t, i64 8)")
    assert called_products(strange) == {"f32": None}
