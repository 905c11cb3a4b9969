"""Loops over joined arrays fall into one loop for each piece."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from running import checked
from tapeless.ir.parse import parse
from tapeless.ir.pieces import pieces
from tapeless.passes.fuse import fuse
from tapeless.passes.split_pieces import split_pieces


def split(text):
    """The ops left and the numbers of pieces, after every check."""
    after = checked(split_pieces, text)
    bodies = [node.attrs["body"] for node in after.nodes if node.op.name == "fused"]
    counts = [len(pieces(body)) for body in bodies if "concatenate" in str(body)]
    return [node.op.name for node in after.nodes if node.op.name != "constant"], counts


def stencil(rows=12, columns=16, dtype="f64", outputs="%y"):
    """roll(x, 1, 0) - roll(x, -2, 1), and twice that."""
    m, n = rows, columns
    return f"""f(%x:{dtype}[{m},{n}]) {{
  %a:{dtype}[1,{n}] = slice %x [{m - 1}:{m}, :]
  %b:{dtype}[{m - 1},{n}] = slice %x [0:{m - 1}, :]
  %r:{dtype}[{m},{n}] = concatenate %a, %b [axis=0]
  %c:{dtype}[{m},{n - 2}] = slice %x [:, 2:{n}]
  %d:{dtype}[{m},2] = slice %x [:, 0:2]
  %s:{dtype}[{m},{n}] = concatenate %c, %d [axis=1]
  %y:{dtype}[{m},{n}] = sub %r, %s
  %z:{dtype}[{m},{n}] = mul %y, 2.0
}} -> {outputs}"""


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("outputs", ["%y", "%z, %y"])
def test_a_stencil_with_periodic_boundaries(dtype, outputs):
    assert split(stencil(dtype=dtype, outputs=outputs)) == (["fused"], [4])


def test_joins_of_joins_and_parts_of_joins():
    """Both corners of roll(roll(x)), and a slice of it that leaves out one of them."""
    text = """f(%x:f64[12,16], %w:f64[16]) {
      %a:f64[3,16] = slice %x [9:12, :]
      %b:f64[9,16] = slice %x [0:9, :]
      %r:f64[12,16] = concatenate %a, %b [axis=0]
      %c:f64[12,13] = slice %r [:, 3:16]
      %d:f64[12,3] = slice %r [:, 0:3]
      %s:f64[12,16] = concatenate %c, %d [axis=1]
      %k:f64[12,11] = slice %s [:, 5:16]
      %v:f64[11] = slice %w [0:11]
      %t:f64[12,11] = tanh %k
      %y:f64[12,11] = mul %t, %v
    } -> %y"""
    assert split(text) == (["fused"], [4])


def test_operands_that_spread_over_the_pieces():
    text = """f(%x:f64[30], %y:f64[34], %u:f64[1], %c:f64[]) {
      %r:f64[64] = concatenate %x, %y [axis=0]
      %t:f64[64] = exp %r
      %v:f64[64] = mul %t, %u
      %z:f64[64] = add %v, %c
    } -> %z"""
    assert split(text) == (["fused"], [2])


@pytest.mark.parametrize(
    "text",
    [
        stencil(4, 5),  # so small that starting loops costs more
        """f(%x:f64[200], %y:f64[200]) {
          %r:f64[400] = concatenate %x, %y [axis=0]
        } -> %r""",
        """f(%x:f64[200], %y:f64[200]) {
          %r:f64[400] = concatenate %x, %y [axis=0]
          %e:f64[400] = exp %r
          %s:f64[] = sum %e [axes=(0)]
        } -> %s""",
    ],
)
def test_what_stays(text):
    before = fuse(parse(text))
    assert split_pieces(before) is before


def test_a_join_that_is_also_a_result_is_read_as_it_is():
    assert split(stencil(outputs="%y, %r")) == (["fused", "fused"], [2, 2])
    ops, counts = split(stencil(outputs="%y, %r, %s"))
    assert (sorted(counts), len(ops)) == ([2, 2], 3)


def test_joins_of_slices_backwards_in_steps_and_repeated():
    """What np.pad makes by reflection and at edges, and every second row."""
    text = """f(%x:f64[12,16]) {
      %a:f64[2,16] = slice %x [2:0:-1, :]
      %b:f64[1,16] = slice %x [11:12, :]
      %c:f64[3,16] = broadcast %b [shape=(3,16)]
      %r:f64[17,16] = concatenate %a, %x, %c [axis=0]
      %d:f64[17,2] = slice %r [:, 14:12:-1]
      %e:f64[17,5] = slice %r [:, 1:16:3]
      %s:f64[17,23] = concatenate %d, %r, %e [axis=1]
      %t:f64[6,23] = slice %s [15:-1:-3, :]
      %y:f64[23,23] = concatenate %s, %t [axis=0]
    } -> %y"""
    assert split(text) == (["fused"], [18])


def test_a_whole_array_backwards_is_not_the_array():
    text = """f(%x:f64[3,40], %y:f64[80]) {
      %a:f64[3,40] = slice %x [:, ::-1]
      %r:f64[3,80] = concatenate %a, %x [axis=1]
      %z:f64[3,80] = mul %r, %y
    } -> %z, %r"""
    assert split(text) == (["fused", "mul"], [2])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_of_the_heat_equation(dtype, threads):
    def heat(np, u):
        for _ in range(3):
            near = np.roll(u, 1, 0) + np.roll(u, -1, 0) + np.roll(u, 1, 1) + np.roll(u, -1, 1)
            u = u + 0.1 * (near - 4 * u)
        return u

    u = np.random.default_rng(0).standard_normal((90, 70)).astype(dtype)
    step = tl.compile(lambda u: heat(np, u), threads=threads)
    tolerance = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(step(u), heat(np, u), rtol=tolerance, atol=tolerance)
    assert "concatenate" not in {node.op.name for node in step.lower(u).graph("planned").nodes}
