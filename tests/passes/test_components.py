"""States that are taken apart and put together again are computed part by part."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from rewriting import assert_same_values
from running import assert_runs_alike, random_arguments
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.components import split_components
from tapeless.passes.fuse import fuse

STEP = """f(%x:f64[40,2], %k:f64[1,2]) {
  %p:f64[40,1] = slice %x [:, 0:1]
  %q:f64[40,1] = slice %x [:, 1:2]
  %m:f64[40,1] = neg %p
  %s:f64[40,2] = concatenate %q, %m [axis=1]
  %t:f64[40,2] = mul %s, %k
  %y:f64[40,2] = add %x, %t
  %a:f64[20,1] = slice %y [0:40:2, 0:1]
  %b:f64[40,1] = slice %y [:, 1:2]
  MORE
} -> RESULTS"""


def ops_after(more: str = "", results: str = "%a, %b") -> list[str]:
    """The names of what is left, after every check."""
    before = parse(STEP.replace("MORE", more).replace("RESULTS", results))
    after = split_components(before)
    verify(after, after="split_components")
    assert_same_values(before, after, exact=True)
    assert split_components(after) is after
    assert_runs_alike(fuse(after), random_arguments(after))
    return [node.op.name for node in after.nodes]


def test_parts_are_never_joined() -> None:
    names = ops_after()
    assert "concatenate" not in names
    assert names.count("add") == names.count("mul") == 2


def test_a_result_is_joined_from_its_parts() -> None:
    names = ops_after(results="%a, %y")
    assert names.count("concatenate") == 1 and names.count("add") == 2


@pytest.mark.parametrize(
    ("more", "results"),
    [
        ("%w:f64[40] = sum %y [axes=(1)]", "%a, %w"),
        ("%w:f64[40,2] = slice %y [:, 0:2]", "%a, %w"),
        ("%e:f64[40,2] = exp %x\n  %w:f64[40,2] = sub %y, %e", "%a, %w"),
    ],
    ids=["read whole", "read across parts", "computed with something whole"],
)
def test_what_stays_whole(more: str, results: str) -> None:
    text = STEP.replace("MORE", more).replace("RESULTS", results)
    graph = parse(text)
    assert split_components(graph) is graph


def test_other_joins_beside_are_read_and_cut_as_they_are() -> None:
    """One of many small operands, which each part reads whole and a result takes a part of."""
    parts = ", ".join(f"%c{k}" for k in range(9))
    cut = "\n".join(f"  %c{k}:f64[1,1] = slice %w [{k}:{k + 1}, :]" for k in range(9))
    before = parse(f"""f(%a:f64[9,4], %b:f64[9,4], %w:f64[9,1]) {{
      %s:f64[9,8] = concatenate %a, %b [axis=1]
      {cut}
      %z:f64[9,1] = concatenate {parts} [axis=0]
      %y:f64[9,8] = mul %s, %z
      %p:f64[9,4] = slice %y [:, 0:4]
      %q:f64[9,4] = slice %y [:, 4:8]
      %r:f64[2,1] = slice %z [2:4, :]
    }} -> %p, %q, %r""")
    after = split_components(before)
    assert_same_values(before, after, exact=True)
    assert [node.op.name for node in after.nodes].count("mul") == 2


def test_nothing_is_taken_apart() -> None:
    text = STEP.replace("%a:", "%c:").replace("MORE", "").replace("%b:", "%d:")
    start = text.index("  %c:")
    graph = parse(text[:start] + "} -> %y")
    assert split_components(graph) is graph


def test_small_parts_stay_together() -> None:
    text = STEP.replace("40", "8").replace("20,1", "4,1").replace("MORE", "")
    graph = parse(text.replace("RESULTS", "%a, %b"))
    assert split_components(graph) is graph


def lorenz(axis: int):
    def change(s, k):
        x, y, z = (s[:, 0], s[:, 1], s[:, 2]) if axis else (s[0], s[1], s[2])
        return np.stack([k[0] * (y - x), x * (k[1] - z) - y, x * y - k[2] * z], axis=axis)

    def loss(s, k):
        for _ in range(3):
            s = s + 0.05 * change(s + 0.02 * change(s, k), k)
        return np.mean(s * s)

    return loss


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_ensemble_of_systems_and_its_derivatives(axis: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    state = rng.standard_normal((20, 3) if axis else (3, 20)).astype(dtype)
    constants = np.array([1.5, 0.5, 0.7], dtype)
    step = tl.compile(tl.value_and_grad(lorenz(axis), (0, 1)))
    (loss, found), (other, expected) = step(state, constants), step.interpret(state, constants)
    limit = 1e-5 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(loss, other, rtol=limit)
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=limit, atol=limit)
    if dtype is np.float64 and axis:
        tl.check_grads(lorenz(axis), (state[:3], constants), order=2)
