"""Regions: loops named and ordered, reductions classified, dense loops merged."""

from __future__ import annotations

import pytest
from tapeless.ir.arrange import as_region
from tapeless.ir.graph import Graph, Value
from tapeless.ir.parse import parse
from tapeless.ir.region import Axis, Region


def region_of(text: str) -> Region:
    region = as_region(parse(text))
    assert region is not None
    return region


def value(graph: Graph, name: str) -> Value:
    every = [*graph.inputs, *(v for n in graph.nodes for v in n.results)]
    return next(v for v in every if v.name == name)


def kinds(region: Region) -> dict[str, str]:
    return {node.result.name or "": r.kind for node, r in region.reductions.items()}


def test_an_elementwise_region_is_one_dense_loop() -> None:
    region = region_of("f(%x:f64[2,3,4], %y:f64[2,3,4]) {\n  %z:f64[2,3,4] = add %x, %y\n} -> %z")
    assert (region.extents, region.rows, region.phases) == ((24,), 1, 1)


def test_a_broadcast_operand_keeps_its_loop() -> None:
    region = region_of("f(%x:f64[2,3,4], %y:f64[4]) {\n  %z:f64[2,3,4] = add %x, %y\n} -> %z")
    assert region.extents == (6, 4)
    assert region.loads[value(region.body, "y")].axes == (Axis(1, 4),)


def test_axes_of_extent_one_are_no_loops() -> None:
    region = region_of("f(%x:f64[1,4], %y:f64[3,1]) {\n  %z:f64[3,4] = add %x, %y\n} -> %z")
    assert region.extents == (3, 4)
    assert region.loads[value(region.body, "x")].axes == (Axis(None, 1), Axis(1, 4))


def test_views_of_inputs_are_ways_to_index() -> None:
    region = region_of("""f(%x:f64[9,4], %y:f64[4,3]) {
  %s:f64[3,4] = slice %x [1:9:3, :]
  %t:f64[4,3] = transpose %s [perm=(1,0)]
  %z:f64[4,3] = add %t, %y
} -> %z""")
    assert region.loads[value(region.body, "t")].axes == (Axis(1, 9, 1, 3), Axis(0, 4))


def test_windows_of_inputs_are_walked_by_two_loops() -> None:
    region = region_of("""f(%x:f64[4,9]) {
  %w:f64[4,3,3] = windows %x [axes=(1), sizes=(3), strides=(2), dilations=(2)]
  %p:f64[4,2,3] = slice %w [:, 1:3, :]
  %m:f64[4,2] = max %p [axes=(2)]
} -> %m""")
    assert region.extents == (4, 2, 3) and region.rows == 2
    axes = (Axis(0, 4), Axis(1, 9, 2, 2, ((2, 2),)))
    assert region.loads[value(region.body, "p")].axes == axes


def test_a_window_at_one_position_is_walked_by_its_own_loop() -> None:
    region = region_of("""f(%x:f64[5]) {
  %w:f64[1,3] = windows %x [axes=(0), sizes=(3), strides=(1), dilations=(2)]
  %y:f64[1,3] = neg %w
} -> %y""")
    assert region.loads[value(region.body, "w")].axes == (Axis(0, 5, 0, 2),)


def test_row_total_and_column_reductions() -> None:
    region = region_of("""f(%x:f64[4,6]) {
  %r:f64[4] = sum %x [axes=(1)]
  %c:f64[6] = sum %x [axes=(0)]
  %t:f64[] = sum %x [axes=(0,1)]
  %m:f64[] = div %t, 24.0
} -> %r, %c, %m""")
    assert kinds(region) == {"r": "row", "c": "column", "t": "total"}
    assert region.rows == 1
    assert region.epilogue == {value(region.body, "t"), value(region.body, "m")}


def test_a_result_of_a_row_is_ready_for_the_next_phase() -> None:
    region = region_of("""f(%x:f64[4,6]) {
  %m:f64[4] = max %x [axes=(1)]
  %k:f64[4,1] = reshape %m [shape=(4,1)]
  %d:f64[4,6] = sub %x, %k
} -> %d""")
    assert region.phases == 2
    assert [region.phase[value(region.body, n)] for n in "xmd"] == [0, 1, 1]


def test_a_reduction_over_outer_and_inner_axes_keeps_the_middle_outside() -> None:
    region = region_of("f(%x:f64[2,3,4]) {\n  %s:f64[3] = sum %x [axes=(0,2)]\n} -> %s")
    assert region.extents == (3, 2, 4) and region.rows == 1


NOT_REGIONS = {
    "a product": "%y:f64[3,3] = matmul %x, %x",
    "a diagonal": "%e:f64[3,3] = exp %x\n  %t:f64[3,3] = transpose %e [perm=(1,0)]\n"
    "  %y:f64[3,3] = add %e, %t",
    "a slice of a computed value": "%e:f64[3,3] = exp %x\n  %y:f64[2,3] = slice %e [0:2, :]",
    "windows of a computed value": "%e:f64[7] = exp %w\n  %y:f64[6,2] = windows %e [axes=(0), "
    "sizes=(2), strides=(1), dilations=(1)]",
    "a column sum that is read": "%s:f64[3] = sum %x [axes=(0)]\n  %y:f64[3,3] = sub %x, %s",
    "an expensive row": "%r:f64[3] = exp %v\n  %y:f64[3,3] = sub %x, %r",
    "two spaces": "%r:f64[3] = exp %v\n  %y:f64[7] = exp %w\n  %z:f64[7] = neg %y",
    "a total that is read": "%s:f64[] = sum %v [axes=(0)]\n  %y:f64[3,3] = mul %x, %s",
    "a reshape across axes": "%e:f64[3,3] = exp %x\n  %y:f64[9] = reshape %e [shape=(9)]",
}


@pytest.mark.parametrize("lines", NOT_REGIONS.values(), ids=NOT_REGIONS.keys())
def test_what_is_no_region(lines: str) -> None:
    name, _, rest = lines.split("\n")[-1].strip().partition(":")
    results = f"{name}" + (", %r" if "%r:" in lines and "two" in lines else "")
    text = f"f(%x:f64[3,3], %v:f64[3], %w:f64[7]) {{\n  {lines}\n}} -> {results}"
    assert rest and as_region(parse(text)) is None
