"""Graphs that are alike are arranged once, and each gets a region of its own values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from running import region_graphs
from tapeless.ir import arrange
from tapeless.ir.alike import Form
from tapeless.ir.arrange import as_region
from tapeless.ir.builder import Builder, inline
from tapeless.ir.graph import Graph, Value
from tapeless.ir.parse import parse
from tapeless.ir.region import Axis, Region
from tapeless.passes.fuse import fuse


def copy_of(graph: Graph) -> Graph:
    """A graph with other values and nodes."""
    b = Builder()
    inputs = tuple(Value(v.type) for v in graph.inputs)
    outputs = inline(b, graph, inputs)
    return Graph("copy", inputs, tuple(b.nodes), outputs)


def described(region: Region | None) -> Any:
    """All that a region says, values and nodes by their numbers: KeyError for one of another."""
    if region is None:
        return None
    body = region.body
    number = {
        v: k for k, v in enumerate([*body.inputs, *(v for n in body.nodes for v in n.results)])
    }
    position = {node: k for k, node in enumerate(body.nodes)}
    return (
        region.extents,
        region.rows,
        [(number[v], number[load.source], load.axes) for v, load in region.loads.items()],
        [(number[v], axes) for v, axes in region.axes.items()],
        [(position[n], reduction) for n, reduction in region.reductions.items()],
        [(number[v], depth) for v, depth in region.depth.items()],
        [(number[v], phase) for v, phase in region.phase.items()],
        {number[v] for v in region.epilogue},
    )


@settings(max_examples=100)
@given(region_graphs())
def test_a_region_carried_over_is_the_one_that_is_found(graph: Graph) -> None:
    fused = [node.attrs["body"] for node in fuse(graph).nodes if node.op.name == "fused"]
    for body in [graph, *fused]:
        first, second = copy_of(body), copy_of(body)
        arrange._of_form.cache_clear()
        found = described(as_region(first))
        assert arrange._of_form.cache_info().misses == 1
        carried = as_region(second)
        assert arrange._of_form.cache_info().misses == 1
        assert carried is None or carried.body is second
        assert described(carried) == found
        arrange._of_form.cache_clear()
        assert described(as_region(copy_of(body))) == found


PLAIN = """f(%x:f64[3,3], %y:f64[3,3]) {
  %t:f64[3,3] = transpose %x [perm=(1,0)]
  %d:f64[3,3] = sub %y, %t
  %s:f64[3] = sum %d [axes=(1)]
} -> %s"""
SAME = {
    "names": PLAIN.replace("%x", "%W"),
    "dtypes": PLAIN.replace("f64", "f32"),
}
DIFFERENT = {
    "an attribute": PLAIN.replace("axes=(1)", "axes=(0)"),
    "no move": PLAIN.replace("perm=(1,0)", "perm=(0,1)"),
    "an op": PLAIN.replace("sub", "add"),
    "the order of operands": PLAIN.replace("%y, %t", "%t, %y"),
    "one operand twice": PLAIN.replace("%y, %t", "%t, %t"),
    "extents": PLAIN.replace("3", "4"),
    "outputs": PLAIN.replace("-> %s", "-> %s, %d"),
    "what is read": PLAIN.replace("transpose %x", "transpose %y"),
}


@pytest.mark.parametrize("what", SAME)
def test_they_are_alike_whatever(what: str) -> None:
    one, other = (Form(parse(text), {}) for text in (PLAIN, SAME[what]))
    assert one == other and hash(one) == hash(other)


@pytest.mark.parametrize("what", DIFFERENT)
def test_they_are_not_alike_because_of(what: str) -> None:
    assert Form(parse(PLAIN), {}) != Form(parse(DIFFERENT[what]), {})


def test_what_is_written_into_parts_of_other_buffers_is_arranged_for_these() -> None:
    one, other = parse(PLAIN), parse(PLAIN)
    regions = [
        as_region(body, {body.outputs[0]: (Axis(0, 9, start),)})
        for body, start in ((one, 2), (other, 5))
    ]
    starts = [r.axes[r.body.outputs[0]][0].start for r in regions if r is not None]
    assert starts == [2, 5]
