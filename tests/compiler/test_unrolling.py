"""Rows of few numbers: which are written out, and the same values in every way of running them."""

from __future__ import annotations

import pytest
from running import assert_runs_alike, random_arguments
from tapeless.compiler.codegen import generate
from tapeless.compiler.memory import plan_memory
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse
from tapeless.passes.fuse import fuse

SOFTMAX = """f(%x:DTYPE[ROWS,COLS], %y:i64[ROWS]) {
  %m:DTYPE[ROWS] = max %x [axes=(1)]
  %k:DTYPE[ROWS,1] = reshape %m [shape=(ROWS,1)]
  %d:DTYPE[ROWS,COLS] = sub %x, %k
  %e:DTYPE[ROWS,COLS] = exp %d
  %s:DTYPE[ROWS] = sum %e [axes=(1)]
  %r:DTYPE[ROWS,1] = reshape %s [shape=(ROWS,1)]
  %p:DTYPE[ROWS,COLS] = div %e, %r
  %n:i64[COLS] = iota [n=COLS]
  %c:i64[ROWS,1] = reshape %y [shape=(ROWS,1)]
  %h:bool[ROWS,COLS] = eq %c, %n
  %o:DTYPE[ROWS,COLS] = cast %h [dtype=DTYPE]
  %g:DTYPE[ROWS,COLS] = sub %p, %o
  %q:DTYPE[ROWS,COLS] = mul %o, %d
  %t:DTYPE[] = sum %q [axes=(0,1)]
  %l:DTYPE[ROWS] = log %s
  %z:DTYPE[] = sum %l [axes=(0)]
  %loss:DTYPE[] = sub %z, %t
} -> %loss, %g"""


def softmax(rows: int, columns: int, dtype: str = "f32") -> Graph:
    text = SOFTMAX.replace("ROWS", str(rows)).replace("COLS", str(columns))
    return fuse(parse(text.replace("DTYPE", dtype)))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("rows", "columns"), [(16, 2), (37, 5), (150, 16)])
def test_values(rows: int, columns: int, dtype: str) -> None:
    graph = softmax(rows, columns, dtype)
    assert_runs_alike(graph, random_arguments(graph, high=columns))


def written_out(graph: Graph) -> bool:
    return " + 1]" in generate(plan_memory(graph)).source


def test_which_rows() -> None:
    assert written_out(softmax(16, 3))
    assert written_out(softmax(3, 3)), "what takes long is done for three rows at once"
    assert not written_out(softmax(2, 3)), "too few to fill a vector"
    assert not written_out(softmax(15, 5)), "too few for rows that half fill vectors"
    assert not written_out(softmax(16, 17)), "rows fill vectors themselves"
    across = """f(%x:f32[3,40]) {
  %t:f32[40,3] = transpose %x [perm=(1,0)]
  %e:f32[40,3] = exp %t
  %s:f32[40] = sum %e [axes=(1)]
} -> %s"""
    assert not written_out(fuse(parse(across))), "memory does not hold rows one after the other"
    sums = "f(%x:f32[40,COLS]) {\n  %s:f32[40] = sum %x [axes=(1)]\n} -> %s"
    assert written_out(parse(sums.replace("COLS", "3"))), "shuffled"
    assert not written_out(parse(sums.replace("COLS", "9"))), "nothing but a sum of numbers apart"
    assert written_out(parse(sums.replace("COLS", "9").replace("sum", "max")))


PAIRS = """f(%x:DTYPE[ROWS,COLS]) {
  %i:DTYPE[ROWS,1,COLS] = reshape %x [shape=(ROWS,1,COLS)]
  %d:DTYPE[ROWS,ROWS,COLS] = sub %i, %x
  %q:DTYPE[ROWS,ROWS,COLS] = mul %d, %d
  %r:DTYPE[ROWS,ROWS] = sum %q [axes=(2)]
  %e:DTYPE[ROWS,ROWS] = add %r, 0.5
  %w:DTYPE[ROWS,ROWS] = div 1.0, %e
  %k:DTYPE[ROWS,ROWS,1] = reshape %w [shape=(ROWS,ROWS,1)]
  %f:DTYPE[ROWS,ROWS,COLS] = mul %d, %k
  %g:DTYPE[ROWS,COLS] = sum %f [axes=(1)]
  %h:DTYPE[ROWS,COLS] = sum %f [axes=(0)]
  %m:DTYPE[ROWS,COLS] = max %f [axes=(1)]
  %t:DTYPE[COLS] = sum %q [axes=(0,1)]
  %l:DTYPE[COLS] = min %f [axes=(0,1)]
} -> %g, %h, %m, %t, %l"""


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(("rows", "columns"), [(9, 2), (21, 3), (70, 2)])
def test_sums_across_short_rows(rows: int, columns: int, dtype: str) -> None:
    """Forces between pairs: each particle's are added up in variables, and their totals, in chunks
    too; those on the others lie in memory."""
    text = PAIRS.replace("ROWS", str(rows)).replace("COLS", str(columns))
    graph = fuse(parse(text.replace("DTYPE", dtype)))
    source = generate(plan_memory(graph)).source
    assert f"_{columns - 1} = add_reassoc_f64(" in source
    assert ("split(" in source) == (rows > 9)
    assert_runs_alike(graph, random_arguments(graph))


def test_sums_across_rows_that_stay_in_memory() -> None:
    text = """f(%x:DTYPE[40,COLS]) {
  %e:DTYPE[40,COLS] = exp %x
  %s:DTYPE[COLS] = sum %e [axes=(0)]
} -> %e, %s"""

    def of(dtype: str, columns: int) -> Graph:
        return fuse(parse(text.replace("DTYPE", dtype).replace("COLS", str(columns))))

    assert written_out(of("f32", 6)) and written_out(of("f64", 9))
    assert not written_out(of("f32", 9)), "sums in f64 take two vectors each"


SMALL = """f(%x:DTYPE[ROWS,3,2], %y:DTYPE[ROWS,2,4]) {
  %z:DTYPE[ROWS,3,4] = matmul %x, %y
  %t:DTYPE[ROWS,3,3] = matmul %x, %x [tb]
  %s:DTYPE[ROWS,4] = sum %y [axes=(1)]
  %m:DTYPE[ROWS,2] = max %x [axes=(1)]
} -> %z, %t, %s, %m"""


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("rows", [40, 600])
def test_small_nests(rows: int, dtype: str) -> None:
    """Many of them are written out, few are not."""
    graph = parse(SMALL.replace("ROWS", str(rows)).replace("DTYPE", dtype))
    assert written_out(graph) == (rows > 40)
    assert_runs_alike(graph, random_arguments(graph))


SHORT_SUMS = """f(%x:DTYPE[ROWS,5,7], %y:DTYPE[ROWS,7,8]) {
  %z:DTYPE[ROWS,5,8] = matmul %x, %y
  %t:DTYPE[ROWS,8,5] = matmul %y, %x [ta, tb]
  %s:DTYPE[5,ROWS,8] = dot %y, %x [abc,adb->dac]
  %u:DTYPE[ROWS,7,5] = transpose %x [perm=(0,2,1)]
} -> %z, %t, %s, %u"""


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("rows", [3, 70])
def test_short_sums_are_written_out_in_many_small_products(rows: int, dtype: str) -> None:
    graph = parse(SHORT_SUMS.replace("ROWS", str(rows)).replace("DTYPE", dtype))
    source = generate(plan_memory(graph)).source
    assert source.count("n1 = ") == (0 if rows < 64 else 2)
    assert_runs_alike(graph, random_arguments(graph))


REPEATED = """f(%x:DTYPE[90], %y:DTYPE[90,3]) {
  %c:DTYPE[90,1] = reshape %x [shape=(90,1)]
  %r:DTYPE[90,3] = broadcast %c [shape=(90,3)]
  %s:DTYPE[90,3] = mul %y, %c
} -> %r, %s"""


@pytest.mark.parametrize("dtype", ["f32", "f64", "i64", "bool"])
def test_rows_of_a_few_numbers(dtype: str) -> None:
    text = REPEATED.replace("DTYPE", dtype)
    if dtype == "bool":
        text = text.replace("mul", "and")
    graph = parse(text)
    assert written_out(graph)
    assert_runs_alike(graph, random_arguments(graph))


def test_which_nests() -> None:
    long = "f(%x:f64[600,3,30]) {\n  %s:f64[600,30] = sum %x [axes=(1)]\n} -> %s"
    assert not written_out(parse(long)), "rows fill vectors themselves"
    total = "f(%x:f64[600,3,3]) {\n  %s:f64[3] = sum %x [axes=(0,2)]\n} -> %s"
    assert not written_out(parse(total)), "it adds up over all of the nests"
