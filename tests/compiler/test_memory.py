"""The memory plan: slots, reuse, views, places in the text, and the report."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tapeless as tl
from hypothesis import given, settings
from running import assert_runs_alike, random_arguments, region_graphs
from tapeless.compiler import memory
from tapeless.compiler.checker import check_plan
from tapeless.compiler.codegen.chains import find_chains
from tapeless.compiler.layout import ALIGNMENT, arena_bytes, layout_of
from tapeless.compiler.memory import memory_report, plan_memory
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse
from tapeless.passes.fuse import fuse


def planned(text: str) -> Graph:
    graph = plan_memory(parse(text))
    check_plan(graph)
    return graph


def places(graph: Graph) -> list[str | None]:
    return [v.place for node in graph.nodes for v in node.results]


def test_golden_plan() -> None:
    graph = planned("""f(%x:f32[4,8], %W:f32[8,16]) {
  %z:f32[4,16] = matmul %x, %W
  %h:f32[4,16] = tanh %z
  %r:f32[64] = reshape %h [shape=(64)]
  %y:f32[64] = exp %r
} -> %y""")
    assert (
        str(graph)
        == """f(%x:f32[4,8]@in0, %W:f32[8,16]@in1) {
  %z:f32[4,16]@arena+0 = matmul %x, %W
  %h:f32[4,16]@arena+0 = tanh %z
  %r:f32[64]@arena+0 = reshape %h [shape=(64)]
  %y:f32[64]@out0 = exp %r
} -> %y"""
    )


def test_the_text_of_a_plan_parses_back() -> None:
    text = str(
        planned("f(%x:f32[8]) {\n  %z:f32[8] = exp %x\n  %s:f32[] = sum %z [axes=(0)]\n} -> %s")
    )
    assert str(parse(text)) == text


def test_a_slot_is_reused_when_its_value_is_dead() -> None:
    graph = planned("""f(%x:f64[100,100]) {
  %a:f64[100,100] = matmul %x, %x
  %b:f64[100,100] = matmul %a, %x
  %c:f64[100,100] = matmul %b, %x
  %d:f64[100,100] = matmul %c, %x
} -> %d""")
    assert arena_bytes(graph) == 2 * (80000 + 80000 % ALIGNMENT)


def test_an_operand_that_lives_on_is_not_overwritten() -> None:
    graph = planned("""f(%x:f64[8]) {
  %a:f64[8] = exp %x
  %b:f64[8] = neg %a
  %c:f64[8] = add %a, %b
} -> %c""")
    assert len(set(places(graph)[:2])) == 2


def test_a_broadcast_operand_is_not_overwritten() -> None:
    graph = planned(
        "f(%x:f64[8,8]) {\n  %a:f64[8] = sum %x [axes=(0)]\n  %b:f64[8,8] = add %x, %a\n"
        "  %c:f64[8,8] = tanh %b\n} -> %c"
    )
    assert places(graph)[0] != places(graph)[1]


def test_a_sweep_after_a_reduction_does_not_overwrite_its_operand() -> None:
    graph = plan_memory(
        fuse(
            parse("""f(%x:f64[4,6], %W:f64[6,6]) {
  %z:f64[4,6] = matmul %x, %W
  %m:f64[4] = max %z [axes=(1)]
  %k:f64[4,1] = reshape %m [shape=(4,1)]
  %d:f64[4,6] = sub %z, %k
  %y:f64[4,6] = matmul %d, %W
} -> %y""")
        )
    )
    check_plan(graph)
    assert len(set(places(graph))) == 3


def test_slots_are_aligned_and_the_table_covers_every_place() -> None:
    graph = planned(
        "f(%x:f32[3]) {\n  %a:f32[3] = exp %x\n  %b:f32[3] = sin %x\n"
        "  %c:f32[3] = mul %a, %b\n  %d:f32[] = sum %c [axes=(0)]\n} -> %d"
    )
    layout = layout_of(graph)
    assert all(offset % ALIGNMENT == 0 for offset in layout.slots)
    assert set(places(graph)) <= layout.table.keys()
    assert sorted(layout.table.values()) == list(range(len(layout.table)))


def test_the_report_says_why_a_value_is_kept() -> None:
    graph = planned("""f(%x:f64[8], %W:f64[8]) {
  %a:f64[8] = exp %x
  %b:f64[8] = tanh %a  # train.py:3
  %v:f64[8] = sub %W, %b
  %s:f64[] = sum %b [axes=(0)]  # train.py:4
  %W <- %v
} -> %s""")
    report = {info.value.name: info for info in memory_report(graph)}
    assert report["a"].kept_for == "tanh at train.py:3" and report["a"].last == 1
    assert report["b"].in_place_of is report["a"].value and report["b"].place == report["a"].place
    assert report["v"].kept_for == "update of %W" and report["v"].place == "in1"
    assert report["s"].kept_for == "output 0"


@settings(max_examples=150)
@given(region_graphs())
def test_every_plan_of_a_random_graph_is_proved(graph: Graph) -> None:
    for form in (graph, fuse(graph)):
        check_plan(plan_memory(form))


def most_live(graph: Graph) -> int:
    """The most bytes of the arena, in slots, that values need at once: those that are read later,
    and what the node that runs reads and writes, unless one is written over the other. What a chain
    touches it needs to its end."""
    number = {node: k for k, node in enumerate(graph.nodes)}
    last = number | {n: number[c.nodes[-1]] for c in find_chains(graph) for n in c.nodes}
    end = {v: last[node] for node in graph.nodes for v in (*node.operands, *node.results)}
    end.update((v, len(graph.nodes)) for v in graph.results)
    ends: dict[str, int] = {}  # by place, of the values that lie there so far
    sizes: dict[str, int] = {}
    most = 0
    for k, node in enumerate(graph.nodes):
        for value in node.results:
            place = str(value.place)
            if place.startswith("arena"):
                shared = place in ends and ends[place] >= k
                sizes[place] = max(-(-value.type.nbytes // 64) * 64, sizes.get(place, 0) * shared)
                ends[place] = max(end[value], ends.get(place, 0) * shared)
        ends = {place: last for place, last in ends.items() if last >= k}
        most = max(most, sum(sizes[place] for place in ends))
    return most


@settings(max_examples=150)
@given(region_graphs())
def test_the_arena_of_a_random_graph_is_no_larger_than_what_is_live(graph: Graph) -> None:
    for form in (graph, fuse(graph)):
        made = plan_memory(form)
        assert most_live(made) <= arena_bytes(made) <= 1.1 * most_live(made)


def test_slots_that_no_order_of_first_fit_places_well_are_placed_anew() -> None:
    lives = [(0, 5, 64), (1, 1, 64), (2, 2, 64), (3, 3, 128), (4, 7, 64), (5, 5, 64), (6, 6, 128)]
    slots = [memory._Slot(size, first, last, []) for first, last, size in lives]
    firsts = [memory._peak(memory._first_fit(sorted(slots, key=key))) for key in memory.ORDERS]
    offsets = memory._arrange(slots)
    assert min(firsts) == 256 and memory._peak(offsets) == max(memory._live(slots)) == 192
    for a, b in itertools.combinations(slots, 2):
        if a.first <= b.last and b.first <= a.last:
            assert offsets[a] + a.size <= offsets[b] or offsets[b] + b.size <= offsets[a]


@pytest.mark.parametrize("name", ["mlp_adam", "deep", "lenet", "lstm", "attention"])
def test_the_arena_of_a_training_step_is_no_larger_than_what_is_live(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    from benchmarks.workloads import _MORE, _PROBLEMS

    (problem,) = (p for p in (*_PROBLEMS, *_MORE) if p.name == name)
    rng = np.random.default_rng(0)
    params, (x, y) = problem.params(rng), problem.batch(rng)
    opt = tl.optim.adam(1e-3) if problem.optimizer == "adam" else tl.optim.sgd(1e-3, 0.9)

    def step(p: Any, state: Any, x: Any, y: Any) -> Any:
        value, g = tl.value_and_grad(lambda p: problem.loss(tl.nn, p, x, y))(p)
        opt.update(p, g, state)
        return value

    made = tl.compile(step).lower(params, opt.init(params), x, y).graph("planned")
    assert most_live(made) <= arena_bytes(made) <= 1.1 * most_live(made)


def test_running_totals_are_taken_in_place() -> None:
    graph = planned("""f(%x:f64[4,3]) {
  %a:f64[4,3] = exp %x
  %b:f64[4,3] = cumsum %a [axis=0]
  %c:f64[4,3] = cumsum %b [axis=1, reverse=true]
  %s:f64[3] = sum %c [axes=(0)]
  %d:f64[4,3] = cumsum %x [axis=0, reverse=true]
  %x <- %d
} -> %s""")
    places = {v.name: v.place for node in graph.nodes for v in node.results}
    assert {places[name] for name in "abc"} == {"arena+0"} and places["d"] == "in0"
    assert_runs_alike(graph, random_arguments(graph))


def test_a_sort_does_not_overwrite_what_it_sorts() -> None:
    graph = planned("""f(%x:i64[40]) {
  %a:i64[40] = neg %x
  %b:i64[40] = argsort %a [axis=0]
  %c:i64[40] = neg %b
} -> %c""")
    places = {v.name: v.place for node in graph.nodes for v in node.results}
    assert places["a"] != places["b"]
    assert_runs_alike(graph, random_arguments(graph))


@pytest.mark.parametrize("seed", range(5))
def test_slots_in_the_order_of_time_lie_where_first_fit_puts_them(seed):
    rng = np.random.default_rng(seed)
    for _ in range(30):
        firsts = sorted(rng.integers(0, 30, rng.integers(0, 40)).tolist())
        ends = [first + int(rng.integers(0, 12)) for first in firsts]
        sizes = (64 * rng.integers(1, 5, len(firsts))).tolist()
        slots = [memory._Slot(*s, []) for s in zip(sizes, firsts, ends, strict=True)]
        found, expected = memory._first_fit_in_time(slots), memory._first_fit(slots)
        assert [found[s] for s in slots] == [expected[s] for s in slots]
