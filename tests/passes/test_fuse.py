"""`fuse`: golden texts, legality, bounds, and equal values."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from hypothesis import given, settings
from running import assert_same, random_arguments, region_graphs, run_interpreted
from tapeless.ir.arrange import as_region
from tapeless.ir.builder import Builder
from tapeless.ir.graph import Graph, Node, Value
from tapeless.ir.parse import parse
from tapeless.ir.region import EXPENSIVE
from tapeless.ir.types import F64, Type
from tapeless.ir.verify import verify
from tapeless.passes.fuse import MAX_BUFFERS, MAX_NODES, fuse


def bodies(graph: Graph) -> list[Graph]:
    return [node.attrs["body"] for node in graph.nodes if node.op.name == "fused"]


def ops(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def assert_same_values(before: Graph, after: Graph) -> None:
    verify(after, after="fuse")
    arrays = random_arguments(before)
    for mine, wanted in zip(
        run_interpreted(after, arrays), run_interpreted(before, arrays), strict=True
    ):
        for a, e in zip(mine, wanted, strict=True):
            assert_same(a, e)


CHAIN = """f(%z:f32[32,10], %m:f32[32,1]) {
  %d:f32[32,10] = sub %z, %m
  %e:f32[32,10] = exp %d
  %s:f32[32] = sum %e [axes=(1)]
} -> %e, %s"""


def test_a_chain_with_a_reduction_is_one_node_with_two_results() -> None:
    after = fuse(parse(CHAIN))
    assert ops(after) == ["fused"]
    (body,) = bodies(after)
    assert ops(body) == ["sub", "exp", "sum"]
    assert len(body.outputs) == len(after.nodes[0].results) == 2
    assert_same_values(parse(CHAIN), after)


ONE_REGION = {
    "softmax": """f(%x:f64[4,6]) {
  %m:f64[4] = max %x [axes=(1)]
  %k:f64[4,1] = reshape %m [shape=(4,1)]
  %d:f64[4,6] = sub %x, %k
  %e:f64[4,6] = exp %d
  %s:f64[4] = sum %e [axes=(1)]
  %t:f64[4,1] = reshape %s [shape=(4,1)]
  %p:f64[4,6] = div %e, %t
} -> %p""",
    "one-hot": """f(%y:i64[4], %p:f64[4,6]) {
  %k:i64[4,1] = reshape %y [shape=(4,1)]
  %c:i64[6] = iota [n=6]
  %h:bool[4,6] = eq %k, %c
  %f:f64[4,6] = cast %h [dtype=f64]
  %g:f64[4,6] = sub %p, %f
} -> %g""",
    "row and column sums": """f(%x:f64[4,6]) {
  %y:f64[4,6] = tanh %x
  %r:f64[4] = sum %y [axes=(1)]
  %c:f64[6] = sum %y [axes=(0)]
  %a:f64[] = sum %y [axes=(0,1)]
} -> %r, %c, %a""",
    "transposed operand": """f(%x:f64[4,6], %y:f64[6,4]) {
  %t:f64[4,6] = transpose %y [perm=(1,0)]
  %s:f64[4,6] = add %x, %t
} -> %s""",
    "sliced operand": """f(%x:f64[9,4], %y:f64[3,4]) {
  %t:f64[3,4] = slice %x [1:9:3, :]
  %s:f64[3,4] = add %t, %y
} -> %s""",
    "diamond": """f(%x:f64[5]) {
  %a:f64[5] = exp %x
  %b:f64[5] = neg %a
  %c:f64[5] = tanh %a
  %d:f64[5] = add %b, %c
} -> %d""",
    "siblings": """f(%x:f64[5]) {
  %a:f64[5] = exp %x
  %b:f64[5] = neg %x
} -> %a, %b""",
    "mean of squares": """f(%x:f64[5,3]) {
  %a:f64[5,3] = mul %x, %x
  %s:f64[] = sum %a [axes=(0,1)]
  %m:f64[] = div %s, 15.0
} -> %m""",
    "a number for all": """f(%x:f64[5,3], %lr:f64[]) {
  %l:f64[] = neg %lr
  %y:f64[5,3] = mul %x, %l
} -> %y""",
}


@pytest.mark.parametrize("text", ONE_REGION.values(), ids=ONE_REGION.keys())
def test_what_becomes_one_kernel(text: str) -> None:
    before = parse(text)
    after = fuse(before)
    assert ops(after) == ["fused"]
    assert_same_values(before, after)


APART = {
    "a path through a product": (
        """f(%x:f64[4,4]) {
  %a:f64[4,4] = exp %x
  %m:f64[4,4] = matmul %a, %a
  %b:f64[4,4] = add %a, %m
} -> %b""",
        ["exp", "dot", "add"],
    ),
    "the result of a column sum": (
        """f(%x:f64[4,6]) {
  %s:f64[6] = sum %x [axes=(0)]
  %y:f64[4,6] = sub %x, %s
} -> %y""",
        ["sum", "sub"],
    ),
    "an expensive row used everywhere": (
        """f(%x:f64[4,6], %b:f64[6]) {
  %e:f64[6] = exp %b
  %y:f64[4,6] = add %x, %e
} -> %y""",
        ["exp", "add"],
    ),
    "a transposed use of its own value": (
        """f(%x:f64[4,4]) {
  %e:f64[4,4] = exp %x
  %t:f64[4,4] = transpose %e [perm=(1,0)]
  %y:f64[4,4] = add %e, %t
} -> %y""",
        ["exp", "fused"],
    ),
    "a number that others read too": (
        """f(%x:f64[5,3], %lr:f64[]) {
  %l:f64[] = neg %lr
  %y:f64[5,3] = mul %x, %l
} -> %y, %l""",
        ["neg", "mul"],
    ),
    "different spaces": (
        """f(%x:f64[5], %y:f64[3]) {
  %a:f64[5] = exp %x
  %b:f64[3] = exp %y
} -> %a, %b""",
        ["exp", "exp"],
    ),
}


@pytest.mark.parametrize(("text", "expected"), APART.values(), ids=APART.keys())
def test_what_stays_apart(text: str, expected: list[str]) -> None:
    before = parse(text)
    after = fuse(before)
    assert ops(after) == expected
    assert_same_values(before, after)


def test_a_value_needed_in_a_later_sweep_is_stored_not_computed_twice() -> None:
    after = fuse(parse(ONE_REGION["softmax"]))
    (body,) = bodies(after)
    region = as_region(body)
    assert region is not None and region.phases == 3
    assert set(region.spills()) <= set(body.outputs)
    assert [body.producer[v].op.name for v in body.outputs] == ["div", "exp"]


def test_nothing_to_fuse_gives_the_same_graph() -> None:
    graph = parse("f(%x:f64[4,4]) {\n  %m:f64[4,4] = matmul %x, %x\n} -> %m")
    assert fuse(graph) is graph


def test_regions_are_bounded() -> None:
    b = Builder()
    xs = tuple(Value(Type(F64, (7,)), f"x{k}") for k in range(60))
    total = xs[0]
    for x in xs[1:]:
        total = b.add(b.mul(total, 0.5), x)
    before = Graph("f", xs, tuple(b.nodes), (total,))
    after = fuse(before)
    for node, body in zip(after.nodes, bodies(after), strict=True):
        assert sum(n.op.name != "constant" for n in body.nodes) <= MAX_NODES
        assert len(node.operands) + len(node.results) <= MAX_BUFFERS + len(node.results)
    assert_same_values(before, after)


@settings(max_examples=150)
@given(region_graphs())
def test_random_graphs_keep_their_values(before: Graph) -> None:
    after = fuse(before)
    assert_same_values(before, after)
    computed = [n for n in after.nodes if n.op.name in EXPENSIVE]
    computed += [n for body in bodies(after) for n in body.nodes if n.op.name in EXPENSIVE]
    assert len(computed) <= sum(n.op.name in EXPENSIVE for n in before.nodes)


def test_fusion_is_deterministic() -> None:
    texts = {str(fuse(parse(ONE_REGION["row and column sums"]))) for _ in range(3)}
    assert len(texts) == 1


def test_values_survive_special_numbers() -> None:
    before = parse(ONE_REGION["softmax"])
    x = np.array([[np.inf, 0, 1, 2, 3, 4], [-np.inf] * 6, [np.nan] + [0.0] * 5, [1e4] * 6])
    for a, e in zip(
        run_interpreted(fuse(before), [x])[0], run_interpreted(before, [x])[0], strict=True
    ):
        np.testing.assert_array_equal(a, e)


def test_a_count_read_along_two_axes_is_stored() -> None:
    """One loop cannot be both; the comparison reads two arrays instead."""
    before = parse("""f(%x:f64[3,1]) {
  %n:i64[3] = iota [n=3]
  %c:i64[3,1] = reshape %n [shape=(3,1)]
  %d:bool[3,3] = eq %c, %n
  %y:f64[3,3] = select %d, %x, 0.0
} -> %y""")
    after = fuse(before)
    verify(after)
    assert_same_values(before, after)


def test_a_step_of_a_recurrent_cell_is_one_kernel_each_way() -> None:
    """Gates are computed from slices of one product, and their gradients where they belong in the
    gradient of that product: nothing else but products and their biases runs once per step."""

    def loss(p: Any, x: Any) -> Any:
        h = c = x[0] @ p["H"]
        for t in range(len(x)):
            z = x[t] @ p["W"] + h @ p["U"] + p["b"]
            i, f, o = (tl.nn.sigmoid(z[:, k : k + 6]) for k in (0, 6, 12))
            c = f * c + i * np.tanh(z[:, 18:])
            h = o * np.tanh(c)
        return np.sum(h * h)

    def nodes(steps: int) -> list[str]:
        rng = np.random.default_rng(0)
        shapes = {"H": (3, 6), "W": (3, 24), "U": (6, 24), "b": (24,)}
        p = {k: rng.standard_normal(shape) for k, shape in shapes.items()}
        x = rng.standard_normal((steps, 5, 3))
        return ops(tl.compile(tl.grad(loss)).lower(p, x).graph("fused"))

    few, more = Counter(nodes(4)), Counter(nodes(7))
    assert more["fused"] - few["fused"] == 3 * 2
    assert more["add_at"] == few["add_at"] == 0


@pytest.mark.parametrize("seed", range(10))
def test_short_cuts_say_of_two_regions_what_arranging_all_nodes_says(seed, monkeypatch):
    """The outline for one more elementwise node, and the borders of any two."""
    answers: list[bool] = []
    fusion: Any = sys.modules[fuse.__module__]
    fits = fusion._Fusion._fits

    def checked(self: Any, one: Any, two: Any, nodes: list[Node], joined: Any) -> bool:
        known = one.outline is not None and nodes[-1:] == two.nodes
        phase = known and one.outline.phase_with(nodes[-1], self.graph.producer)
        found: bool = fits(self, one, two, nodes, joined)
        body = self._body(nodes)
        region = fusion._kernel_region(body)
        assert found == (region is not None)
        assert (joined.read, joined.written) == (set(body.inputs), set(body.outputs))
        if phase is not None and phase is not False:
            assert region is None or region.phase[nodes[-1].result] == phase
            answers.append(found)
        return found

    monkeypatch.setattr(fusion._Fusion, "_fits", checked)
    monkeypatch.setattr(fusion, "MAX_PHASES", 2)
    for k in range(4):
        fuse(_tangle(np.random.default_rng((seed, k)), 5 + k % 2))
    assert answers


def _tangle(rng: np.random.Generator, n: int) -> Graph:
    """Elementwise ops, reductions, views and numbers, each of any values before it that fit; with 5
    rows arrays may be read both ways."""
    b = Builder()
    shapes = [(n, 5), (n, 5), (1, 5), (n, 1), (), (5,), (5, n)]
    inputs = [Value(Type(F64, shape), f"x{k}") for k, shape in enumerate(shapes)]
    values = list(inputs)
    for _ in range(60):
        full = [v for v in values if v.shape == (n, 5)]
        x = full[rng.integers(len(full))]
        other = values[rng.integers(len(values))]
        choice = rng.integers(9)
        if choice == 0:
            y = b.sum(x, axes=(int(rng.integers(2)),))
        elif choice == 8:  # one element, of an array or of what is moved
            moved = b.transpose(x, perm=(1, 0)) if rng.integers(3) == 0 else x
            y = b.reshape(b.slice(moved, spec=((1, 2, 1), (0, 1, 1))), shape=())
            y = b.mul(y, other) if other.shape == () else b.exp(y)
        elif choice == 1:
            y = b.reshape(b.sum(x, axes=(1,)), shape=(n, 1))
        elif choice == 2 and other.shape == (5, n):
            y = b.transpose(other, perm=(1, 0))
        elif choice == 3:
            y = b.sum(x, axes=(0, 1))
        elif choice == 4:
            y = b.exp(x)
        elif other.shape in ((n, 5), (1, 5), (n, 1), (5,), ()):
            y = b.mul(x, other)
        else:
            y = b.neg(x)
        values.append(y)
    leaving = [values[-1], *(v for v in values[len(inputs) :] if rng.random() < 0.1)]
    return Graph("tangle", tuple(inputs), tuple(b.nodes), tuple(leaving))
