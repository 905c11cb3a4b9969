"""A few large products in one region: what panels they are cut into, and that it shows nowhere."""

import numpy as np
import pytest
import tapeless as tl
from running import assert_order_is_free, assert_runs_alike, assert_same_on_threads
from tapeless.compiler.codegen import generate
from tapeless.compiler.codegen.paneled import Panels, choose_panels
from tapeless.ir.matmul import Loop, Matmul


def halves(m, n, k, **changes):
    """The product of both halves of a matrix: k summed elements in all."""
    loop = Loop(2, k // 2, k // 2 * n, m * n)
    given = {"loops": (loop,), "rows": (k, n, n)} | changes
    return Matmul(m, n, k // 2, False, False, False, **given)


@pytest.mark.parametrize(
    ("m", "n", "k", "panels", "count"),
    [
        (128, 512, 784, Panels(False, 512, 128, (0, 1, 1)), 4),
        (128, 150, 784, Panels(False, 150, 48, (0, 1, 1)), 4),
        (32, 128, 784, Panels(False, 128, 32, (0, 1, 1)), 4),
        (128, 10, 3072, Panels(True, 128, 32, (3072, 0, 10)), 4),
        (40, 20, 3072, Panels(True, 40, 32, (3072, 0, 20)), 2),
    ],
)
def test_the_panels(m, n, k, panels, count):
    chosen = choose_panels(halves(m, n, k))
    assert chosen == panels
    assert chosen.count == count


@pytest.mark.parametrize(
    "product",
    [
        halves(32, 20, 3072),  # one panel of each
        halves(32, 128, 64),  # small
        halves(128, 512, 784, loops=()),
        halves(128, 512, 784, loops=(Loop(4, 1, 1, 1),)),  # enough of them
        halves(128, 512, 784, loops=(Loop(2, 1, 1, 0),)),  # which add up
        Matmul(128, 512, 392, True, False, False, (Loop(2, 1, 1, 1),)),
        Matmul(128, 512, 392, False, True, False, (Loop(2, 1, 1, 1),)),
        Matmul(128, 512, 392, False, False, True, (Loop(2, 1, 1, 1),)),
    ],
)
def test_what_is_not_cut(product):
    assert choose_panels(product) is None


def descend(w, b, x, y):
    def loss(w, b):
        return np.mean((np.tanh(x @ w + b) - y) ** 2)

    value, (dw, db) = tl.value_and_grad(loss, argnums=(0, 1))(w, b)
    w -= 0.1 * dw
    b -= 0.1 * db
    return value


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "k"), [(40, 150, 304), (70, 20, 1040)])
def test_a_step_is_the_same_on_any_threads(m, n, k, dtype):
    """Panels of columns, the last narrower, and panels of rows, the last lower."""
    rng = np.random.default_rng(m)
    w, b, x, y = (rng.standard_normal(s).astype(dtype) for s in ((k, n), (n,), (m, k), (m, n)))
    w /= np.sqrt(k).astype(dtype)
    program = tl.compile(descend, cache=False).lower(w, b, x, y)
    graph = program.graph("planned")
    code = generate(graph).source
    assert "whole_gemm" in code and f"split(k0, {2 * (4 if n > 100 else 3)}, " in code
    arrays = program.typed(program.described.leaves)
    calls = [line.split(", ") for line in code.splitlines() if "whole_gemm" in line]
    assert len(calls) == 2  # the last panel is smaller
    assert all(extent.isdecimal() for call in calls for extent in call[2:5])
    assert_order_is_free(graph, arrays)
    assert_runs_alike(graph, arrays)
    assert_same_on_threads(graph, arrays, steps=2)
