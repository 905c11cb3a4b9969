"""`flush_subnormals=True`: subnormals are zero inside native code, on every thread, and nowhere
else."""

import numpy as np
import pytest
import tapeless as tl
from tapeless.ir.errors import BoundsError, UnsupportedError
from tapeless.runtime import modes

SMALL = {np.float32: 1e-40, np.float64: 1e-310}


def keeps_subnormals():
    """Whether arithmetic of this thread does."""
    return all(np.array(x, d) * np.array(1, d) > 0 for d, x in SMALL.items())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", SMALL)
def test_only_in_native_code_and_only_if_asked(dtype, threads):
    def step(x, y):
        y += x
        return x * dtype(0.5)

    count = 300_000  # enough to be split
    x = np.full(count, SMALL[dtype], dtype)
    kept, y = tl.compile(step, threads=threads), np.zeros(count, dtype)
    assert (kept(x, y) > 0).all() and (y > 0).all()
    flushed, y = tl.compile(step, threads=threads, flush_subnormals=True), np.zeros(count, dtype)
    assert not flushed(x, y).any() and not y.any()
    assert keeps_subnormals()
    assert (flushed.interpret(x, y) > 0).all()


def test_what_is_not_subnormal_is_unchanged():
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 30))

    def step(x):
        return np.tanh(x @ x.T).sum(0)

    np.testing.assert_array_equal(tl.compile(step, flush_subnormals=True)(x), tl.compile(step)(x))


def test_the_modes_return_after_an_error():
    step = tl.compile(lambda x, i: x[i] * 0.5, flush_subnormals=True)
    with pytest.raises(BoundsError):
        step(np.ones(3), np.array([5]))
    assert keeps_subnormals()


def test_it_is_part_of_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    x = np.full(3, 1e-40, np.float32)
    for flush in (False, True, False, True):
        step = tl.compile(lambda x: x * np.float32(0.5), flush_subnormals=flush)
        assert step(x).any() == (not flush)
        assert step.programs[0].profile(x, seconds=0.001).rows


def test_a_machine_without_such_modes(monkeypatch):
    monkeypatch.setattr(modes.platform, "machine", lambda: "riscv64")
    with pytest.raises(UnsupportedError, match="flush_subnormals needs an x86-64 or AArch64"):
        tl.compile(lambda x: x, flush_subnormals=True)
    tl.compile(lambda x: x)


@pytest.mark.parametrize("machine", ["x86_64", "arm64"])
def test_the_text_is_valid_on_every_machine(machine, monkeypatch):
    from llvmlite import binding

    monkeypatch.setattr(modes.platform, "machine", lambda: machine)
    text = "define i64 @inner(ptr %t) {\n  ret i64 0\n}\n" + modes.flushing("outer", "inner")
    binding.parse_assembly(text).verify()
