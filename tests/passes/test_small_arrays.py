"""Small arrays that are put together and taken apart are computed number by number."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from rewriting import assert_same_values
from running import assert_runs_alike, random_arguments
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes import small_arrays
from tapeless.passes.fuse import fuse
from tapeless.passes.small_arrays import replace_small_arrays

TAKEN = """
  %p:f32[1] = slice %y [0:1]
  %a:f32[] = reshape %p [shape=()]
  %q:f32[1] = slice %y [1:2]
  %b:f32[] = reshape %q [shape=()]"""
JOINED = """
  %k:f32[2] = concatenate %u, %v [axis=0]
  %y:f32[2] = mul %k, %x"""
INPUTS = "%u:f32[1], %v:f32[1], %x:f32[2], %W:f32[2,2]"


def graph_of(lines: str, results: str) -> Graph:
    return parse(f"f({INPUTS}) {{{lines}\n}} -> {results}")


def names_after(lines: str, results: str = "%a, %b") -> list[str]:
    """The ops of what is left, after every check."""
    before = graph_of(lines, results)
    after = replace_small_arrays(before)
    verify(after, after="replace_small_arrays")
    assert_same_values(before, after, exact=True)
    assert_runs_alike(fuse(after), random_arguments(after))
    assert replace_small_arrays(after) is after
    return [node.op.name for node in after.nodes]


def test_what_is_joined_to_be_taken_apart_is_numbers() -> None:
    names = names_after(JOINED + TAKEN)
    assert "concatenate" not in names and names.count("mul") == 2


def test_what_reads_the_whole_gets_it() -> None:
    """A result, an update of an argument, and an op that does not go number by number."""
    assert names_after(JOINED + TAKEN, "%a, %b, %y").count("concatenate") == 1
    product = "\n  %m:f32[2] = dot %W, %y [ab,b->a]"
    assert names_after(JOINED + TAKEN + product, "%a, %b, %m").count("concatenate") == 1


@pytest.mark.parametrize(
    "lines",
    [
        "\n  %t:f32[2,1] = reshape %y [shape=(2,1)]\n  %r:f32[1,2] = transpose %t [perm=(1,0)]",
        "\n  %r:f32[2,2] = add %W, %y\n  %s:f32[2,2] = transpose %r [perm=(1,0)]",
        "\n  %r:f32[3,2] = broadcast %y [shape=(3,2)]",
        "\n  %r:f32[2] = slice %y [1:-1:-1]",
        "\n  %r:f32[2] = update %y, %v [1:2]",
        "\n  %r:f32[2] = add_at %y, %v [0:1]",
        "\n  %r:f32[4] = concatenate %y, %x [axis=0]",
    ],
    ids=["moved", "spread over rows", "repeated", "backwards", "replaced", "added to", "longer"],
)
def test_every_way_numbers_go(lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_arrays, "WORTH", 10)
    names = names_after(JOINED + TAKEN + lines, "%a, %b, %r")
    assert names.count("mul") == 2 and not {"transpose", "update", "add_at"} & set(names)


def test_sums_are_added_in_double() -> None:
    lines = JOINED + TAKEN + "\n  %r:f32[] = sum %y [axes=(0)]"
    assert names_after(lines, "%a, %r").count("cast") == 3  # two numbers, and back


def test_a_sum_of_one_row_is_that_row_and_one_of_none_stays() -> None:
    row = "\n  %l:f32[1,2] = reshape %y [shape=(1,2)]\n  %r:f32[2] = sum %l [axes=(0)]"
    assert not {"cast", "sum"} & set(names_after(JOINED + TAKEN + row, "%a, %r"))
    none = "\n  %n:f32[0] = slice %y [0:0]\n  %r:f32[] = sum %n [axes=(0)]"
    assert names_after(JOINED + TAKEN + none, "%a, %r").count("sum") == 1


def test_what_is_put_into_zeros() -> None:
    zeros = "\n  %z:f32[2] = broadcast 0.0:f32 [shape=(2)]\n  %y0:f32[2] = add_at %z, %u [0:1]"
    lines = zeros + "\n  %y1:f32[2] = add_at %z, %v [1:2]\n  %y:f32[2] = add %y0, %y1" + TAKEN
    names = names_after(lines, "%a, %b")
    assert set(names) == {"reshape"}


@pytest.mark.parametrize(
    ("lines", "results"),
    [
        (JOINED, "%y"),
        ("\n  %y:f32[2] = neg %x" + TAKEN, "%a, %b"),
        (JOINED + "\n  %e:f32[2,2] = exp %W\n  %f:f32[2,2] = add %e, %y" + TAKEN, "%f"),
    ],
    ids=["never taken apart", "never put together", "nothing is read of what is taken"],
)
def test_what_stays(lines: str, results: str) -> None:
    names = [node.op.name for node in replace_small_arrays(graph_of(lines, results)).nodes]
    assert names.count("concatenate") == lines.count("concatenate")


def test_work_on_arrays_stays_where_little_is_moved() -> None:
    turns = "".join(f"\n  %y{k}:f32[2] = tanh %{'y' + str(k - 1) if k else 'k'}" for k in range(20))
    lines = JOINED.replace("\n  %y:f32[2] = mul %k, %x", turns) + TAKEN.replace("%y", "%y19")
    graph = graph_of(lines, "%a, %b")
    assert replace_small_arrays(graph) is graph


def predator_prey(steps: int):
    """Steps of the explicit midpoint rule; and how far from a curve they are."""

    def change(z, p):
        return np.stack([p[0] * z[0] - p[1] * z[0] * z[1], p[1] * z[0] * z[1] - p[2] * z[1]])

    def loss(p, curve):
        z, far = curve[0], 0.0
        for k in range(steps):
            z = z + 0.1 * change(z + 0.05 * change(z, p), p)
            far = far + np.sum((z - curve[k]) ** 2)
        return far

    return loss


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_system_and_its_derivatives(dtype: type) -> None:
    rng = np.random.default_rng(0)
    arguments = np.array([1.0, 0.6, 0.8], dtype), rng.random((4, 2)).astype(dtype) + 1
    loss = predator_prey(4)
    step = tl.compile(tl.value_and_grad(loss))
    names = [node.op.name for node in step.lower(*arguments).graph("fused").nodes]
    assert "concatenate" not in names and names.count("add_at") == 3  # the gradient itself
    limit = 1e-5 if dtype is np.float32 else 1e-13
    for found, expected in zip(step(*arguments), step.interpret(*arguments), strict=True):
        np.testing.assert_allclose(found, expected, rtol=limit, atol=limit)
    if dtype is np.float64:
        tl.check_grads(predator_prey(2), arguments, order=2)
