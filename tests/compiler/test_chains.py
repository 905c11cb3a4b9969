"""Chains: what may share a region, and that neither order nor threads change a bit."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from hypothesis import given, settings
from running import (
    assert_order_is_free,
    assert_runs_alike,
    assert_same_on_threads,
    random_arguments,
    region_graphs,
)
from tapeless.compiler.codegen import generate, rows, splitting
from tapeless.compiler.codegen.chains import find_chains
from tapeless.compiler.memory import plan_memory
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse
from tapeless.passes.fuse import fuse


@pytest.fixture(scope="module", autouse=True)
def tiny_rows():
    """Whatever can be in a chain is, in up to four chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "GRAIN", 1e-6)
        patch.setattr(splitting, "MOST_CHUNKS", 4)
        patch.setattr(rows, "COUNTS", (2, 4))
        for name in ("LEAST_ELEMENTS", "LEAST_ROWS", "TURNING_ROWS", "LINE"):
            patch.setattr(rows, name, 1)
        yield


def chained(graph: Graph) -> list[list[str]]:
    """The chains of a planned graph, by the names of what their nodes compute."""
    return [[str(n.results[0].name) for n in c.nodes] for c in find_chains(graph)]


def planned(inputs: str, *lines: str) -> Graph:
    *body, results = lines
    return plan_memory(parse("\n".join([f"f({inputs}) {{", *body, f"}} -> {results}"])))


def assert_any_order(graph: Graph) -> None:
    arrays = random_arguments(graph)
    assert_order_is_free(graph, arrays)
    assert_runs_alike(graph, arrays, native=False)


@settings(max_examples=60)
@given(region_graphs())
def test_random_programs(graph):
    for version in (graph, fuse(graph)):
        assert_any_order(version)


def test_rows_go_through_layers_without_a_barrier():
    graph = planned(
        "%x:f32[32,16], %W:f32[16,16], %V:f32[16,8]",
        "%a:f32[32,16] = matmul %x, %W",
        "%b:f32[32,16] = tanh %a",
        "%c:f32[32,8] = matmul %b, %V",
        "%d:f32[32] = sum %c [axes=(1)]",
        "%d",
    )
    assert chained(graph) == [["a", "b", "c", "d"]]
    assert_any_order(graph)


OTHER_ROWS = {
    "a whole matrix": "%c:f32[32,16] = matmul %x, %b",
    "columns": "%c:f32[16,32] = transpose %b [perm=(1,0)]",
    "the next row": "%c:f32[30,16] = slice %b [1:31,0:16]",
    "the last rows first": "%c:f32[32,16] = slice %b [::-1,0:16]",
    "sums of columns": "%c:f32[16] = fused %b, %x body(%b:f32[32,16], %x:f32[32,32]) {\n"
    "  %c:f32[16] = sum %b [axes=(0)]\n} -> %c",
}


@pytest.mark.parametrize("name", OTHER_ROWS)
def test_a_reader_of_other_rows_waits(name):
    line = OTHER_ROWS[name]
    result = "%c"
    if name == "sums of columns":  # made by chunks, but joined behind the chain
        line += "\n%d:f32[32,16] = add %x1, %c"
        result = "%d"
    graph = planned(
        "%x:f32[32,32], %x1:f32[32,16], %W:f32[32,16]",
        "%a:f32[32,16] = matmul %x, %W",
        "%b:f32[32,16] = tanh %a",
        line,
        result,
    )
    inside = {name for chain in chained(graph) for name in chain}
    assert {"a", "b"} <= inside
    assert not any({"b", result[1:]} <= set(chain) for chain in chained(graph))
    assert_any_order(graph)


def test_an_update_in_place_waits_for_all_readers():
    """Every chunk reads all of %W for %h: none may overwrite its part of it before."""
    graph = planned(
        "%x:f32[32,16], %W:f32[16,16], %g:f32[16,16]",
        "%z:f32[32,16] = tanh %x",
        "%h:f32[32,16] = matmul %z, %W",
        "%V:f32[16,16] = sub %W, %g",
        "%U:f32[16,16] = tanh %V",
        "%W <- %V",
        "%h, %U",
    )
    assert chained(graph) == [["z", "h"], ["V", "U"]]
    assert_any_order(graph)


def test_updates_of_several_arrays_share_a_region():
    graph = planned(
        "%x:f32[32,16], %g:f32[32,8], %h:f32[32,8], %W:f32[16,8], %V:f32[16,8], %s:f32[]",
        "%A:f32[16,8] = dot_acc %W, %x, %g, %s [ab,ac->bc]",
        "%B:f32[16,8] = dot_acc %V, %x, %h, %s [ab,ac->bc]",
        "%W <- %A",
        "%V <- %B",
        "%h",
    )
    assert chained(graph) == [["A", "B"]]
    assert_any_order(graph)


REUSED = """f(%x:f32[32,16], %y:f32[32,16]) {{
  %a:f32[32,16]@arena+0 = tanh %x
  %b:f32[32,16]@arena+2048 = add %a, %y
  %c:f32[{shape}]@arena+{offset} = {op}
  %d:f32[32,16]@out0 = add %b, %x
  %e:f32[{shape}]@out1 = neg %c
}} -> %d, %e"""


@pytest.mark.parametrize(
    ("shape", "offset", "op", "chains"),
    [
        ("32,16", 0, "mul %x, %y", [["a", "b", "c", "d", "e"]]),  # the rows that %a had
        ("32,8", 0, "slice %y [0:32,0:8]", [["a", "b"], ["c", "d", "e"]]),
        ("32,16", 1024, "mul %x, %y", [["a", "b"], ["d", "e"]]),  # half of %a, half of %b
    ],
)
def test_memory_is_taken_over_within_a_chain_only_row_by_row(shape, offset, op, chains):
    places = {"x": "in0", "y": "in1"}
    text = REUSED.format(shape=shape, offset=offset, op=op)
    for name, place in places.items():
        text = text.replace(f"%{name}:f32[32,16]", f"%{name}:f32[32,16]@{place}", 1)
    if offset == 1024:  # no sound plan: looked at, and not run
        found = chained(parse(text))
        assert not any({"a", "c"} <= set(chain) or {"b", "c"} <= set(chain) for chain in found)
        return
    assert chained(parse(text)) == chains


def test_what_a_chain_needs_lives_to_its_end():
    """%a, read by the first chunk, may not give way to %c, which the second one has yet to make;
    arrays of one size in the same rows may."""
    graph = planned(
        "%x:f32[32,16], %V:f32[16,8]",
        "%a:f32[32,16] = tanh %x",
        "%b:f32[32] = sum %a [axes=(1)]",
        "%c:f32[32,8] = matmul %x, %V",
        "%d:f32[32] = sum %c [axes=(1)]",
        "%e:f32[32,16] = neg %x",
        "%f:f32[32] = sum %e [axes=(1)]",
        "%b, %d, %f",
    )
    assert chained(graph) == [["a", "b", "c", "d", "e", "f"]]
    place = {v.name: v.place for n in graph.nodes for v in n.results}
    assert place["e"] == place["a"] != place["c"]
    assert_any_order(graph)


def network(p, x, y):
    for k in range(3):
        x = np.maximum(x @ p[f"w{k}"] + p[f"b{k}"], 0)
    return tl.nn.cross_entropy(x @ p["v"], y)


def training(p, m, x, y):
    loss, g = tl.value_and_grad(network)(p, x, y)
    for k in p:
        m[k][...] = 0.9 * m[k] + g[k]
        p[k] -= 0.1 * m[k]
    return loss


def recurrent(w, u, x):
    def loss(w):
        h = x[0] @ u
        for k in range(1, 4):
            h = np.tanh(x[k] @ u + h @ w)
        return np.sum(h * h)

    value, g = tl.value_and_grad(loss)(w)
    w -= 0.01 * g
    return value


def drawn(dtype, *shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def parameters(dtype):
    found = {f"w{k}": drawn(dtype, 16, 16) for k in range(3)} | {"v": drawn(dtype, 16, 4)}
    return found | {f"b{k}": drawn(dtype, 16) for k in range(3)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", [training, recurrent])
def test_steps_have_the_same_bits_on_any_threads(function, dtype):
    p, m, x, y = parameters(dtype), parameters(dtype), drawn(dtype, 32, 16), np.arange(32) % 4
    recurring = drawn(dtype, 16, 16), drawn(dtype, 8, 16), drawn(dtype, 4, 32, 8)
    args = (p, m, x, y) if function is training else recurring
    program = tl.compile(function, cache=False).lower(*args)
    graph = program.graph("planned")
    assert max(map(len, chained(graph))) >= 6
    assert "split(chain0, 4, t)" in generate(graph).source
    arrays = program.typed(program.described.leaves)
    assert_order_is_free(graph, arrays)
    assert_runs_alike(graph, arrays, native=False)
    assert_same_on_threads(graph, arrays, rounds=5)  # chunks meet at other moments
