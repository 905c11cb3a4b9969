"""The checker catches every kind of wrong plan, each seeded into a right one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import Arrays, assert_same, random_arguments, region_graphs, run_interpreted
from tapeless.compiler.checker import check_plan
from tapeless.compiler.codegen import generate
from tapeless.compiler.layout import layout_of
from tapeless.compiler.memory import plan_memory
from tapeless.ir.errors import VerifyError
from tapeless.ir.graph import Graph, Value
from tapeless.ir.parse import parse
from tapeless.passes.convolutions import join_convolutions
from tapeless.passes.fuse import fuse
from tapeless.runtime.engine import run_plain
from tapeless.runtime.executable import aligned_bytes

STEP = """f(%W:f64[8], %g:f64[8], %i:i64[3]) {
  %a:f64[8] = exp %g
  %b:f64[8] = sin %g
  %c:f64[8] = mul %a, %b
  %e:f64[3] = gather %W, %i [axes=(0)]
  %t:f64[8] = tanh %W
  %v:f64[8] = sub %W, %c
  %W <- %v
} -> %e, %t"""

SOFTMAX = """f(%x:f64[4,6], %W:f64[6,6]) {
  %z:f64[4,6] = matmul %x, %W
  %m:f64[4] = max %z [axes=(1)]
  %k:f64[4,1] = reshape %m [shape=(4,1)]
  %d:f64[4,6] = sub %z, %k
  %y:f64[4,6] = matmul %d, %W
} -> %y"""


def value(graph: Graph, name: str) -> Value:
    return next(v for n in graph.nodes for v in n.results if v.name == name)


def place(name: str, where: str | None) -> Callable[[Graph], Graph]:
    def seed(graph: Graph) -> Graph:
        value(graph, name).place = where
        return graph

    return seed


def share(name: str, other: str) -> Callable[[Graph], Graph]:
    def seed(graph: Graph) -> Graph:
        value(graph, name).place = value(graph, other).place
        return graph

    return seed


def late(name: str) -> Callable[[Graph], Graph]:
    """Move the node that defines a value to the end."""

    def seed(graph: Graph) -> Graph:
        node = graph.producer[value(graph, name)]
        nodes = (*(n for n in graph.nodes if n is not node), node)
        return Graph(graph.name, graph.inputs, nodes, graph.outputs, graph.updates)

    return seed


WRONG = {
    "no place": (STEP, place("a", None), "M1"),
    "unaligned": (STEP, place("a", "arena+8"), "M1"),
    "not a place": (STEP, place("a", "arena"), "M1"),
    "live slot reused": (STEP, share("b", "a"), "M2"),
    "partly overlapping slot": (SOFTMAX, place("d", "arena+64"), "M4"),
    "input overwritten": (STEP, place("a", "in1"), "M5"),
    "constant overwritten": (STEP, place("a", "const0"), "M5"),
    "output written twice": (STEP, share("e", "t"), "M5"),
    "old value read after the update": (STEP, late("t"), "M2"),
    "check after the update": (STEP, late("e"), "M"),
    "operand overwritten by a product": (SOFTMAX, share("y", "d"), "M4"),
    "update left in the arena": (STEP, place("v", "arena+512"), "M7"),
    "output in the wrong place": (STEP, place("t", "out7"), "M7"),
}


@pytest.mark.parametrize(("text", "seed", "invariant"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_plan_is_caught(text: str, seed: Callable[[Graph], Graph], invariant: str) -> None:
    graph = plan_memory(parse(text))
    check_plan(graph)
    with pytest.raises(VerifyError, match=invariant):
        check_plan(seed(graph))


def test_a_region_that_reads_its_operand_again_may_not_overwrite_it() -> None:
    graph = plan_memory(fuse(parse(SOFTMAX)))
    check_plan(graph)
    with pytest.raises(VerifyError, match="M4"):
        check_plan(share("d", "z")(graph))


def test_two_results_may_not_share_a_place() -> None:
    text = """f(%x:f64[4]) {
  %a:f64[4] = exp %x
  %c:f64[4] = tanh %x
} -> %a, %c"""
    graph = plan_memory(fuse(parse(text)))
    with pytest.raises(VerifyError, match="M3"):
        check_plan(share("a", "c")(graph))


def test_a_check_after_a_write_is_caught_even_when_it_reads_nothing_written() -> None:
    graph = plan_memory(
        parse("""f(%W:f64[8], %x:f64[5], %i:i64[3]) {
  %v:f64[8] = neg %W
  %e:f64[3] = gather %x, %i [axes=(0)]
  %W <- %v
} -> %e""")
    )
    with pytest.raises(VerifyError, match="M6"):
        check_plan(late("e")(graph))


def test_indices_that_were_in_range_of_the_same_extent_may_be_used_after_a_write() -> None:
    text = """f(%W:f64[8], %x:f64[8], %i:i64[3]) {{
  %e:f64[3] = gather %x, %i [axes=(0)]
  %v:f64[8] = neg %W
  %d:f64[3] = gather %{0}, %i [axes=(0)]
  %W <- %v
}} -> %e, %d"""
    check_plan(late("d")(plan_memory(parse(text.format("x")))))
    shorter = text.replace("%W:f64[8], %x", "%W:f64[8], %u:f64[4], %x").format("u")
    with pytest.raises(VerifyError, match="M6"):
        check_plan(late("d")(plan_memory(parse(shorter))))


def test_windows_of_the_array_that_is_added_to_must_lie_elsewhere() -> None:
    graph = join_convolutions(parse("""f(%k:f64[3,3,3], %g:f64[3,3,5], %s:f64[]) {
  %w:f64[3,3,3,3] = windows %g [axes=(2), sizes=(3), strides=(1), dilations=(1)]
  %v:f64[3,3,3] = dot_acc %k, %w, %k, %s [abcd,ebd->aec]
  %k <- %v
}"""))  # fmt: skip
    assert [node.op.name for node in graph.nodes] == ["fused"]
    planned = plan_memory(graph)
    check_plan(planned)
    with pytest.raises(VerifyError, match="M4"):
        check_plan(place("v", "in0")(planned))


def run_plan(graph: Graph, arrays: Arrays) -> tuple[Arrays, Arrays]:
    """Run a plan as it stands, right or wrong."""
    generated, layout = generate(graph), layout_of(graph)
    arguments = [a.copy() for a in arrays]
    outputs = [
        aligned_bytes(max(t.nbytes, 1))[: t.nbytes].view(t.dtype).reshape(t.shape)
        for t in layout.outputs
    ]
    arena = aligned_bytes(layout.arena + generated.scratch + 64)
    areas = [*arguments, *outputs, *(c.copy() for c in layout.constants)]
    table = (
        [a.reshape(-1) for a in areas] + [arena[k:] for k in layout.slots] + [arena[layout.arena :]]
    )
    assert run_plain(generated.source, table) == 0
    return outputs, arguments


@settings(max_examples=150)
@given(region_graphs(), st.data())
def test_a_mutated_plan_is_caught_or_still_right(graph: Graph, data: st.DataObject) -> None:
    """Move one value onto another's place: when the checker lets it pass, the numbers are right."""
    planned = plan_memory(fuse(graph))
    values = [v for n in planned.nodes for v in n.results if n.op.kind != "constant"]
    if len(values) < 2:
        return
    victim, other = data.draw(st.sampled_from(values)), data.draw(st.sampled_from(values))
    if victim.type.nbytes > other.type.nbytes:
        return
    victim.place = other.place
    try:
        check_plan(planned)
    except VerifyError:
        return
    arrays = random_arguments(graph)
    for mine, wanted in zip(run_plan(planned, arrays), run_interpreted(graph, arrays), strict=True):
        for a, e in zip(mine, wanted, strict=True):
            assert_same(a, e)
