"""`schedule`: places of outputs and updates, all checks before the first write, less memory."""

from __future__ import annotations

import pytest
from running import assert_runs_alike, random_arguments
from tapeless.compiler.checker import check_plan
from tapeless.compiler.memory import plan_memory
from tapeless.compiler.schedule import CHECKED, schedule
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse
from tapeless.passes.dce import dce


def order(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def places(graph: Graph) -> dict[str, str | None]:
    return {v.name or "": v.place for node in graph.nodes for v in node.results}


def test_outputs_and_updates_are_placed_and_values_are_fresh() -> None:
    before = parse(
        "f(%W:f64[3], %g:f64[3]) {\n  %v:f64[3] = sub %W, %g\n  %h:f64[3] = tanh %g\n"
        "  %W <- %v\n} -> %h"
    )
    after = schedule(before)
    assert places(after) == {"v": "in0", "h": "out0"}
    assert [v.place for v in after.inputs] == ["in0", "in1"]
    assert all(v.place is None for node in before.nodes for v in node.results)


def test_readers_of_the_old_value_come_first() -> None:
    after = schedule(
        parse("""f(%W:f64[3], %g:f64[3]) {
  %v:f64[3] = sub %W, %g
  %d:f64[3] = exp %W
  %W <- %v
} -> %d""")
    )
    assert order(after) == ["exp", "sub"] and places(after)["v"] == "in0"


def test_readers_through_a_view_come_first() -> None:
    after = schedule(
        parse("""f(%W:f64[2,3], %g:f64[2,3]) {
  %v:f64[2,3] = sub %W, %g
  %r:f64[6] = reshape %W [shape=(6)]
  %d:f64[6] = exp %r
  %W <- %v
} -> %d""")
    )
    assert order(after).index("exp") < order(after).index("sub") and places(after)["v"] == "in0"


def test_checks_come_before_writes() -> None:
    after = schedule(
        parse("""f(%W:f64[3], %g:f64[3], %x:f64[5], %i:i64[2]) {
  %v:f64[3] = sub %W, %g
  %e:f64[2] = gather %x, %i [axes=(0)]
  %W <- %v
} -> %e""")
    )
    assert order(after) == ["gather", "sub"]


def test_a_write_on_which_a_check_depends_is_out_of_place() -> None:
    after = schedule(
        parse("""f(%W:f64[3], %i:i64[2]) {
  %v:f64[3] = neg %W
  %e:f64[2] = gather %v, %i [axes=(0)]
  %W <- %v
} -> %e""")
    )
    assert order(after) == ["neg", "gather", "reshape"]
    assert after.nodes[0].result.place is None and after.updates[0][1].place == "in0"


def test_two_updates_by_index_cannot_both_be_in_place() -> None:
    after = schedule(
        parse("""f(%A:f64[3], %B:f64[3], %v:f64[2], %i:i64[2]) {
  %a:f64[3] = scatter_add %A, %v, %i [axes=(0)]
  %b:f64[3] = scatter_add %B, %v, %i [axes=(0)]
  %A <- %a
  %B <- %b
}""")
    )
    written = [k for k, n in enumerate(after.nodes) if (n.result.place or "").startswith("in")]
    assert min(written) >= max(k for k, n in enumerate(after.nodes) if n.op.name in CHECKED)


ROWS = """f(%A:f64[3], %B:f64[3], %v:f64[2], %i:i64[2], %j:i64[2]) {
  %x:f64[2] = gather %A, %i [axes=(0)]
  %y:f64[2] = gather %B, %i [axes=(0)]
  %z:f64[2] = gather %B, %j [axes=(0)]
  %a:f64[3] = scatter_add %A, %x, %i [axes=(0)]
  %b:f64[3] = scatter_add %B, %y, %i [axes=(0)]
  %c:f64[3] = scatter_add %b, %z, %j [axes=(0)]
  %A <- %a
  %B <- %c
}"""


def test_rows_that_were_read_are_all_written_in_place() -> None:
    """Their indices are in range by then; and two nodes may add to one argument in turn."""
    planned = plan_memory(parse(ROWS))
    check_plan(planned)
    assert order(planned) == ["gather"] * 3 + ["scatter_add"] * 3
    found = places(planned)
    assert [found[v] for v in "abc"] == ["in0", "in1", "in1"]


def test_rows_read_with_other_indices_prove_nothing() -> None:
    text = ROWS.replace("gather %A, %i", "gather %v, %i").replace("gather %B, %i", "gather %v, %i")
    after = schedule(parse(text))  # in range of the two elements of %v
    written = [k for k, n in enumerate(after.nodes) if (n.result.place or "").startswith("in")]
    checks = [k for k, n in enumerate(after.nodes) if n.op.name == "scatter_add"]
    assert min(written) >= max(checks[:2])


def test_a_value_between_two_writes_that_is_read_is_kept() -> None:
    after = schedule(parse(ROWS.replace("  %B <- %c\n}", "  %B <- %c\n} -> %b")))
    assert places(after)["b"] == "out0"


def test_a_swap_of_arguments_copies_one() -> None:
    after = schedule(parse("f(%a:f64[3], %b:f64[3]) {\n  %a <- %b\n  %b <- %a\n}"))
    assert order(after) == ["reshape"] * 3
    assert [n.result.place for n in after.nodes].count("arena") == 1


def test_values_handed_through_and_returned_twice_are_copied() -> None:
    after = schedule(parse("f(%a:f64[3]) {\n  %h:f64[3] = exp %a\n} -> %a, %h, %h"))
    assert [v.place for v in after.outputs] == ["out0", "out1", "out2"]
    assert len(set(after.outputs)) == 3


def test_what_is_returned_under_another_shape_is_computed_in_its_place() -> None:
    """But one place holds one result, and not what is written into an argument."""
    before = parse("""f(%v:f32[6], %w:f32[4]) {
  %a:f32[6] = mul %v, 2.0
  %b:f32[2,3] = reshape %a [shape=(2,3)]
  %c:f32[3,2] = reshape %b [shape=(3,2)]
  %d:f32[4] = mul %w, 3.0
  %e:f32[2,2] = reshape %d [shape=(2,2)]
  %w <- %d
} -> %c, %a, %e""")
    after = plan_memory(before)
    check_plan(after)
    assert [v.place for v in after.outputs] == ["out0", "out1", "out2"]
    assert after.producer[after.outputs[0]].op.name == "reshape"
    copied = [n.operands[0].name for n in after.nodes if n.origin == "copy"]
    assert copied == ["a", "e"]
    assert places(after)["d"] == "in1"


def test_an_update_by_itself_is_nothing() -> None:
    assert schedule(parse("f(%a:f64[3]) {\n  %a <- %a\n}")).updates == ()


def test_the_order_with_the_smaller_peak_is_taken() -> None:
    """Given: four large arrays made first, then each reduced. Better: one after the other."""
    lines = [f"  %a{k}:f64[1000] = mul %x, {k}.5" for k in range(4)]
    lines += [f"  %s{k}:f64[] = sum %a{k} [axes=(0)]" for k in range(4)]
    text = "f(%x:f64[1000]) {\n" + "\n".join(lines) + "\n} -> %s0, %s1, %s2, %s3"
    names = [n for n in order(schedule(parse(text))) if n != "constant"]
    assert names == ["mul", "sum"] * 4


def test_scheduling_is_deterministic() -> None:
    text = (
        "f(%x:f64[4]) {\n  %a:f64[4] = exp %x\n  %b:f64[4] = sin %x\n"
        "  %c:f64[4] = add %a, %b\n} -> %c"
    )
    assert len({str(schedule(parse(text))) for _ in range(3)}) == 1


CHAIN = """f(%W:f64[4,4], %A:f64[2,4], %B:f64[2,4], %C:f64[4,4], %s:f64[]) {
  %u:f64[4,4] = reshape %W [shape=(4,4)]
  %a:f64[4,4] = dot_acc %W, %A, %B, %s [ab,ac->bc]
  %r:f64[4,4] = reshape %a [shape=(4,4)]
  %v:f64[4,4] = dot_acc %a, %C, FACTOR, %s [ab,bc->ac]
  %W <- %v
}"""


@pytest.mark.parametrize("factor", ["%W", "%u", "%a", "%r"])
def test_a_later_part_of_an_update_that_reads_what_it_is_added_to(factor: str) -> None:
    """The argument or the earlier part, directly or through a view."""
    graph = dce(parse(CHAIN.replace("FACTOR", factor)))
    planned = plan_memory(graph)
    check_plan(planned)
    assert places(planned)["a"] != "in0"
    assert_runs_alike(graph, random_arguments(graph))


def test_parts_of_an_update_that_read_other_arrays_are_all_in_place() -> None:
    graph = dce(parse(CHAIN.replace("FACTOR", "%C")))
    planned = plan_memory(graph)
    check_plan(planned)
    assert [places(planned)[v] for v in "av"] == ["in0", "in0"]
    assert_runs_alike(graph, random_arguments(graph))
