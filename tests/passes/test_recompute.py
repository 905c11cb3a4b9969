"""`recompute`: what is computed again, what is stored, and that values stay."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewriting import assert_same_values
from running import region_graphs
from tapeless.ir.arrange import as_region
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes import fuse as fusion
from tapeless.passes.recompute import recompute

TWO_SWEEPS = """f(%x:f32[8,8], %u:f32[8,8]) {{
  %z:f32[8,8] = matmul %x, %x
{}
  %w:f32[8,8] = matmul %h, %u
{}
}} -> {}"""

RELU = TWO_SWEEPS.format(
    """  %h:f32[8,8] = maximum %z, 0.0
  %m:bool[8,8] = ge %z, 0.0
  %t:bool[8,8] = eq %z, 0.0
  %s:f32[8,8] = select %t, 0.5:f32, 1.0:f32""",
    """  %v:f32[8,8] = mul %s, %w
  %g:f32[8,8] = select %m, %v, 0.0""",
    "%g",
)
TANH = TWO_SWEEPS.format(
    """  %h:f32[8,8] = tanh %z
  %q:f32[8,8] = mul %h, %h
  %s:f32[8,8] = sub 1.0, %q""",
    "  %g:f32[8,8] = mul %s, %w",
    "%g",
)


def swept(text: str) -> tuple[Graph, Graph]:
    """The fused graph, and what `recompute` makes of it."""
    before = fusion.fuse(parse(text))
    after = recompute(before)
    assert_right(before, after)
    return before, after


def assert_right(before: Graph, after: Graph) -> None:
    verify(after, after="recompute")
    assert_same_values(before, after, exact=True)
    assert stored(after) <= stored(before)
    for node in after.nodes:
        if node.op.name == "fused":
            region = as_region(node.attrs["body"])
            assert region is not None
            assert set(region.spills()) <= set(region.body.outputs)


def stored(graph: Graph) -> int:
    """Bytes that regions write."""
    regions = (n for n in graph.nodes if n.op.kind in ("fused", "elementwise"))
    return sum(v.type.nbytes for node in regions for v in node.results)


def test_a_slope_is_computed_again_from_the_activation() -> None:
    _, after = swept(TANH)
    assert (
        str(after)
        == """f(%x:f32[8,8], %u:f32[8,8]) {
  %z:f32[8,8] = matmul %x, %x
  %h:f32[8,8] = fused %z body(%z:f32[8,8]) {
    %h:f32[8,8] = tanh %z
  } -> %h                                                     # via recompute
  %w:f32[8,8] = matmul %h, %u
  %g:f32[8,8] = fused %w, %h body(%w:f32[8,8], %h:f32[8,8]) {
    %q:f32[8,8] = mul %h, %h
    %s:f32[8,8] = sub 1.0, %q
    %g:f32[8,8] = mul %s, %w
  } -> %g                                                     # via recompute
} -> %g"""
    )
    assert recompute(after) is after


def test_few_numbers_are_stored_instead_of_the_distances_from_them() -> None:
    """A little more is in memory then: they, beside what the distances are computed from."""
    before, after = swept("""f(%x:f32[32,8], %u:f32[8,8]) {
      %z:f32[32,8] = matmul %x, %u
      %s:f32[8] = sum %z [axes=(0)]
      %m:f32[8] = tanh %s
      %c:f32[32,8] = sub %z, %m
      %h:f32[32,8] = tanh %c
      %w:f32[32,8] = matmul %h, %u
      %g:f32[32,8] = mul %c, %w
    } -> %g""")
    assert stored(after) == stored(before) - 4 * 32 * 8


def test_masks_are_stored_instead_of_what_they_select() -> None:
    before, after = swept(RELU)
    kinds = [[v.type.dtype.kind for v in n.results] for n in after.nodes if n.op.name == "fused"]
    assert kinds == [["f", "b", "b"], ["f"]]
    assert stored(before) - stored(after) == 64 * 4 - 64


STAYS = {
    "a product reads it": TWO_SWEEPS.format(
        "  %h:f32[8,8] = tanh %z\n  %s:f32[8,8] = mul %h, %h",
        "  %k:f32[8,8] = matmul %s, %w\n  %g:f32[8,8] = mul %s, %k",
        "%g",
    ),
    "it is an output": TWO_SWEEPS.format(
        "  %h:f32[8,8] = tanh %z\n  %s:f32[8,8] = mul %h, %h",
        "  %g:f32[8,8] = mul %s, %w",
        "%g, %s",
    ),
    "it is expensive": TWO_SWEEPS.format(
        "  %h:f32[8,8] = tanh %z\n  %s:f32[8,8] = exp %h",
        "  %g:f32[8,8] = mul %s, %w",
        "%g",
    ),
    "what it needs would have to stay in memory": TWO_SWEEPS.format(
        "  %h:f32[8,8] = tanh %z\n  %s:bool[8,8] = gt %z, 0.5",
        "  %g:f32[8,8] = select %s, %w, 0.0",
        "%g",
    ),
    "it takes many operations": TWO_SWEEPS.format(
        "  %h:f32[8,8] = tanh %z\n"
        + "\n".join(f"  %s{k + 1}:f32[8,8] = add %s{k}, %h" for k in range(6)).replace("s0,", "h,"),
        "  %g:f32[8,8] = mul %s6, %w",
        "%g",
    ),
    "its elements are each read many times": """f(%x:f32[8,8], %u:f32[8]) {
  %s:f32[8] = add %u, 1.0
  %h:f32[8] = tanh %s
  %z:f32[8,8] = matmul %x, %x
  %k:f32[8] = matmul %h, %z
  %w:f32[8,8] = tanh %z
  %g:f32[8,8] = mul %s, %w
} -> %g, %k""",
}


@pytest.mark.parametrize("text", STAYS.values(), ids=STAYS.keys())
def test_what_stays_stored(text: str) -> None:
    before = fusion.fuse(parse(text))
    assert recompute(before) is before


def test_what_is_read_with_an_update_stays_in_place() -> None:
    """The old parameter is not read after what reads the new one."""
    before, after = swept("""f(%p:f32[8,8], %x:f32[8,8]) {
  %s:f32[8,8] = sub %p, 1.0
  %h:f32[8,8] = tanh %s
  %v:f32[8,8] = matmul %h, %x
  %n:f32[8,8] = matmul %p, %v
  %w:f32[8,8] = matmul %n, %v
  %g:f32[8,8] = mul %s, %w
  %p <- %n
} -> %g""")
    assert after is before


@settings(max_examples=100)
@given(region_graphs(), st.sampled_from((1, 3)))
def test_random_graphs_keep_their_values(graph: Graph, bound: int) -> None:
    """In regions of few operations, which read each other's results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "MAX_NODES", bound)
        before = fusion.fuse(graph)
    assert_right(before, recompute(before))
