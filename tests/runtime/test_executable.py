"""The executable: no allocation, arguments checked, numbers in cells, threads, fork."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from soak.children import in_child, in_threads
from tapeless.compiler.native import build
from tapeless.ir.errors import BoundsError, ScalarRangeError
from tapeless.ir.parse import parse
from tapeless.runtime.callpath import Array, Number
from tapeless.runtime.executable import Executable, aligned_bytes

SGD = """f(%W:f32[64,8], %x:f32[4,64], %g:f32[4,8], %lr:f32[]) {
  %d:f32[64,8] = matmul %x, %g [ta]
  %s:f32[64,8] = mul %lr, %d
  %v:f32[64,8] = sub %W, %s
  %n:f32[] = sum %v [axes=(0,1)]
  %W <- %v
} -> %n"""


def sgd_arguments() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    arrays = (rng.standard_normal(s).astype(np.float32) for s in ((64, 8), (4, 64), (4, 8)))
    return (*arrays, 0.5)


@pytest.fixture(scope="module", autouse=True)
def plain_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TAPELESS_POISON")
        yield


@pytest.fixture(scope="module")
def sgd() -> Executable:
    return build(parse(SGD)).executable


def test_the_callers_array_is_updated_in_place(sgd: Executable) -> None:
    W, x, g, lr = sgd_arguments()
    expected = W - np.float32(lr) * (x.T @ g)
    address = W.ctypes.data
    outputs = sgd.call((W, x, g, lr))
    assert outputs is not None and W.ctypes.data == address
    np.testing.assert_allclose(W, expected, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(outputs[0], expected.sum(), rtol=1e-5)


def test_a_number_never_recompiles_and_is_read_at_every_call(sgd: Executable) -> None:
    W, x, g, _ = sgd_arguments()
    before = W.copy()
    assert sgd.call((W, x, g, 0.0)) is not None
    np.testing.assert_array_equal(W, before)
    assert sgd.call((W, x, g, np.array(1.0, np.float32))) is not None
    np.testing.assert_allclose(W, before - x.T @ g, rtol=2e-6, atol=1e-5)


def test_nothing_is_allocated_but_the_results(sgd: Executable) -> None:
    arguments = sgd_arguments()
    for _ in range(10):
        sgd.call(arguments)
    blocks = sys.getallocatedblocks()
    for _ in range(100):
        sgd.call(arguments)
    assert sys.getallocatedblocks() - blocks < 50  # not one per call
    tracemalloc.start()
    try:
        sgd.call(arguments)
        start = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(100):
            sgd.call(arguments)
        end, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert end - start < 256
    assert peak - start < 1500  # the tuple, the list and one result; the weights alone have 2048


def test_outputs_are_fresh_and_never_the_arena(sgd: Executable) -> None:
    arguments = sgd_arguments()
    first, second = sgd.call(arguments), sgd.call(arguments)
    assert first is not None and second is not None
    assert not np.shares_memory(first[0], second[0])
    assert first[0].flags.owndata and first[0].flags.writeable


def wrong_arguments() -> dict[str, tuple[Any, ...]]:
    W, x, g, lr = sgd_arguments()
    read_only = W.copy()
    read_only.flags.writeable = False
    big = np.zeros(2000, np.float32)
    return {
        "dtype": (W.astype(np.float64), x, g, lr),
        "shape": (W, x[:2], g, lr),
        "strided": (W, np.asfortranarray(x), g, lr),
        "read-only": (read_only, x, g, lr),
        "overlap": (big[:512].reshape(64, 8), big[256:512].reshape(4, 64), g, lr),
        "not an array": ([1.0], x, g, lr),
        "too few": (W, x, g),
    }


@pytest.mark.parametrize("case", wrong_arguments())
def test_other_arguments_are_refused_and_nothing_is_written(sgd: Executable, case: str) -> None:
    arguments = wrong_arguments()[case]
    before = [np.copy(a) for a in arguments]
    assert sgd.call(arguments) is None
    for a, b in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_overlap_of_arguments_that_are_only_read_is_fine() -> None:
    executable = build(
        parse("f(%a:f64[4], %b:f64[4]) {\n  %c:f64[4] = add %a, %b\n} -> %c")
    ).executable
    a = np.arange(4.0)
    outputs = executable.call((a, a))
    assert outputs is not None
    np.testing.assert_array_equal(outputs[0], a + a)


def test_an_index_out_of_range_writes_nothing() -> None:
    program = build(
        parse("""f(%W:f64[5], %i:i64[2]) {
  %e:f64[2] = gather %W, %i [axes=(0)]  # train.py:7
  %s:f64[] = sum %e [axes=(0)]
  %v:f64[5] = mul %W, %s
  %W <- %v
} -> %e""")
    )
    W = np.arange(5.0)
    for bad in (5, -6):
        with pytest.raises(BoundsError, match=r"train\.py:7.*axis 0 with size 5"):
            program.call((W, np.array([0, bad])))
        np.testing.assert_array_equal(W, np.arange(5.0))
    outputs = program.call((W, np.array([4, -5])))
    assert outputs is not None
    np.testing.assert_array_equal(outputs[0], [4.0, 0.0])


def test_a_number_that_does_not_fit_is_an_overflow_error() -> None:
    executable = build(parse("f(%n:i64[]) {\n  %m:i64[] = add %n, 1\n} -> %m")).executable
    with pytest.raises(ScalarRangeError):
        executable.call((2**63,))
    outputs = executable.call((41,))
    assert outputs is not None and outputs[0] == 42 and outputs[0].shape == ()


@pytest.mark.parametrize("native", [True, False])
def test_threads_do_not_mix_their_calls(native: bool) -> None:
    program = build(
        parse("""f(%x:f64[256], %k:f64[]) {
  %a:f64[256] = mul %x, %k
  %b:f64[256] = exp %a
  %s:f64[] = sum %b [axes=(0)]
} -> %s""")
    )
    executable = Executable(program.module, program.product.manifest.layout, native=native)
    wrong: list[float] = []

    def work(k: float) -> None:
        x = np.full(256, 0.5)
        for _ in range(300):
            outputs = executable.call((x, k))
            if outputs is None or abs(float(outputs[0]) / (256 * np.exp(0.5 * k)) - 1) > 1e-12:
                wrong.append(k)

    in_threads(work, 4)
    assert not wrong


@pytest.mark.parametrize("native", [True, False])
def test_a_call_from_within_the_garbage_collector_does_no_harm(native: bool) -> None:
    """What a native call makes that may start it is the tuple of its outputs; in Python it may be
    anything."""
    program = build(
        parse("f(%x:i64[1], %n:i64[]) {\n  %y:i64[1] = add %x, %n\n  %x <- %y\n} -> %y, %x")
    )
    executable = Executable(program.module, program.product.manifest.layout, native=native)
    entry = executable.entry([Array(0), Number(1, int)])
    other, running = np.zeros(1, np.int64), []

    def nested(phase: str, info: object) -> None:
        if phase == "start" and not running:
            running.append(phase)
            entry.call(other, 1000)
            running.clear()

    x, threshold = np.zeros(1, np.int64), gc.get_threshold()
    used_up = [(k, k) for k in range(5000)]  # the tuples that Python keeps for reuse
    gc.callbacks.append(nested)
    gc.set_threshold(1)
    try:
        results = [entry.call(x, n) for n in range(200)]
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(nested)
    assert x == sum(range(200))
    assert all(after - before == n for n, (after, before) in enumerate(results))
    assert used_up and other[0] >= 1000 * 10 and other[0] % 1000 == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_call(sgd: Executable) -> None:
    arguments = sgd_arguments()
    sgd.call(arguments)

    def finite() -> bool:
        outputs = sgd.call(arguments)
        return outputs is not None and bool(np.isfinite(outputs[0]))

    assert in_child(finite) == (True, 0)


def test_aligned_bytes() -> None:
    for count in (1, 64, 100):
        area = aligned_bytes(count)
        assert area.ctypes.data % 64 == 0 and area.nbytes == count
