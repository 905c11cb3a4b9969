"""P11. The same arguments give the same bits: run to run, from the cache or not, wherever they lie,
in every thread."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import tapeless as tl
from soak.children import in_threads
from soak.functions import GROUPS, N, matrices, together

BITS = """
import hashlib, numpy as np, tapeless as tl

def loss(p, x, y):
    h = np.tanh(x @ p["w"] + p["b"])
    return tl.nn.cross_entropy(h @ p["v"], y) + 1e-3 * np.sum(p["w"] ** 2)

@tl.compile
def step(p, x, y, lr):
    value, g = tl.value_and_grad(loss)(p, x, y)
    for k in p:
        p[k] -= lr * g[k]
    return value

r = np.random.default_rng(0)
p = {"w": r.normal(size=(37, 29)), "b": np.zeros(29), "v": r.normal(size=(29, 7))}
p = {k: v.astype(np.float32) for k, v in p.items()}
x, y = r.normal(size=(101, 37)).astype(np.float32), r.integers(0, 7, 101)
losses = [step(p, x, y, 0.1) for _ in range(5)]
bits = b"".join(a.tobytes() for a in [*losses, *p.values()])
print(hashlib.sha256(bits).hexdigest())
"""


def test_the_same_bits_run_to_run_and_cold_or_warm(python, monkeypatch, tmp_path):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    assert len({python("-c", BITS) for _ in range(2)}) == 1


def test_the_same_bits_wherever_the_arrays_lie():
    @tl.compile
    def step(x, w):
        return np.sum(np.exp(x) * w), x @ w, np.mean(x)

    values = np.random.default_rng(0).normal(size=(2, 1003)).astype(np.float32)
    digests = set()
    for offset in range(0, 64, 4):
        memory = np.empty(2 * 1003 + 16, np.float32)
        x, w = memory[offset // 4 :][: 2 * 1003].reshape(2, 1003)
        x[:], w[:] = values
        bits = b"".join(a.tobytes() for a in step(x, w))
        digests.add(hashlib.sha256(bits).hexdigest())
    assert len(digests) == 1


def test_the_same_bits_in_every_call_whatever_ran_before():
    """Other steps in between, other threads, memory that is poisoned or not."""
    x, y = matrices(np.float32)
    noise = tl.compile(lambda x, y: np.linalg.solve(x @ y + 9 * np.eye(N, dtype=x.dtype), y))
    for names in GROUPS:
        digests = set()

        def note(step, digests=digests):
            results = tl.tree.leaves(step(x, y))
            digests.add(hashlib.sha256(b"".join(a.tobytes() for a in results)).hexdigest())

        step = tl.compile(together(names))
        for _ in range(5):
            note(step)
            noise(y, x)
        in_threads(lambda _, step=step, note=note: note(step), 4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TAPELESS_POISON", "0")
            note(tl.compile(together(names)))
        assert len(digests) == 1, names
