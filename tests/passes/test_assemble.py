"""Parts of an array are computed where they belong."""

from __future__ import annotations

import pytest
from running import checked
from tapeless.ir.parse import parse
from tapeless.passes.assemble import assemble
from tapeless.passes.fuse import fuse

TWO_PARTS = """f(%c:bool[3,2], %g:f32[3,2]) {{
  %a:f32[3,2] = select %c, %g, 0.0
  %b:f32[3,2] = select %c, 0.0, %g
  %z0:f32[{shape}] = broadcast 0.0:f32 [shape=({shape})]
  %z1:f32[{shape}] = add_at %z0, %a [{first}]
  %z2:f32[{shape}] = add_at %z1, %b [{second}]
}} -> {outputs}"""


def two_parts(shape="3,4", first=":, 1:4:2", second=":, 0:3:2", outputs="%z2"):
    return TWO_PARTS.format(shape=shape, first=first, second=second, outputs=outputs)


def assembled(text):
    return [node.op.name for node in checked(assemble, text).nodes]


@pytest.mark.parametrize(
    "text",
    [
        two_parts(),
        two_parts("5,7", "2:5, 4:0:-2", "0:5:2, 1:6:4"),  # gaps are zeros
        two_parts(outputs="%z2, %z2"),
    ],
)
def test_parts_of_one_region(text):
    assert assembled(text) == ["fused"]


def test_one_value_in_several_places():
    text = """f(%g:f64[2,3]) {
  %z0:f64[2,6] = broadcast 0.0:f64 [shape=(2,6)]
  %z1:f64[2,6] = add_at %z0, %g [:, 0:5:2]
  %z2:f64[2,6] = add_at %z1, %g [:, 1:6:2]
} -> %z2"""
    assert assembled(text) == ["fused"]


def test_a_single_part_is_written_into_zeros_and_where_another_reader_is_between():
    text = """f(%g:f64[3]) {
  %z0:f64[16] = broadcast 0.0:f64 [shape=(16)]
  %z1:f64[16] = update %z0, %g [1:12:5]
} -> %z1"""
    assert assembled(text) == ["fused"]
    assert assembled(two_parts(outputs="%z1, %z2")) == ["fused", "fused", "add_at"]


def test_other_results_of_the_region_stay_its_results():
    text = two_parts().replace("%z0:f32", "%s:f32[3] = sum %b [axes=(1)]\n  %z0:f32")
    assert assembled(text.replace("-> %z2", "-> %s, %z2")) == ["fused"]


@pytest.mark.parametrize(
    "text",
    [
        two_parts(second=":, 1:3"),  # they meet
        two_parts(outputs="%a, %z2"),  # a part is wanted itself
        two_parts().replace("broadcast 0.0", "broadcast 1.0"),
    ],
)
def test_what_is_no_assembly_stays(text):
    before = fuse(parse(text))
    assert assemble(before) is before
