"""The contraction order is the cheapest one, and only a cheaper one replaces what was written."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from rewriting import assert_same_values
from tapeless.ir.dotspec import parse_spec
from tapeless.ir.graph import Graph
from tapeless.ir.ops.dot import letter_extents
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.reassociate import LARGEST_PRODUCT, reassociate


def work(graph: Graph) -> int:
    """Multiplications in all dots of a graph."""
    return sum(
        math.prod(letter_extents(n.attrs["spec"], [v.type for v in n.operands]).values())
        for n in graph.nodes
        if n.op.name == "dot"
    )


def chain(extents: list[int]) -> Graph:
    """w0 @ w1 @ ... from left to right; the last extent 0 stands for a vector."""
    *sizes, columns = extents
    shapes = [f"{a},{b}" for a, b in pairwise(sizes)]
    shapes.append(f"{sizes[-1]},{columns}" if columns else f"{sizes[-1]}")
    inputs = ", ".join(f"%w{i}:f64[{s}]" for i, s in enumerate(shapes))
    lines, last = [], "%w0"
    for i, shape in enumerate(shapes[1:], start=1):
        result = f"{sizes[0]}" + ("," + shape.split(",")[1] if "," in shape else "")
        lines.append(f"  %v{i}:f64[{result}] = matmul {last}, %w{i}")
        last = f"%v{i}"
    return parse(f"f({inputs}) {{\n" + "\n".join(lines) + f"\n}} -> {last}")


def test_a_deep_linear_network_multiplies_its_input_first() -> None:
    after = reassociate(chain([4, 5, 6, 7, 0]))
    verify(after)
    assert str(after) == (
        "f(%w0:f64[4,5], %w1:f64[5,6], %w2:f64[6,7], %w3:f64[7]) {\n"
        "  %v0:f64[6] = matmul %w2, %w3                                # via reassociate\n"
        "  %v1:f64[5] = matmul %w1, %v0                                # via reassociate\n"
        "  %v3:f64[4] = matmul %w0, %v1                                # via reassociate\n"
        "} -> %v3"
    )


@pytest.mark.parametrize(
    ("extents", "best"),
    [
        ([10, 100, 5, 50], 7500),
        ([30, 35, 15, 5, 10, 20, 25], 15125),  # Cormen et al., Introduction to Algorithms, 15.2
        ([40, 20, 30, 10, 30], 26000),
        ([9, 8, 7, 6, 5, 4, 3, 2, 0], 9 * 8 + 8 * 7 + 7 * 6 + 6 * 5 + 5 * 4 + 4 * 3 + 3 * 2),
    ],
)
def test_matrix_chains(extents: list[int], best: int) -> None:
    before = chain(extents)
    after = reassociate(before)
    verify(after)
    assert work(after) == best
    assert_same_values(before, after, special=False, rtol=1e-9)
    assert reassociate(after) is after


def test_a_chain_longer_than_one_search() -> None:
    extents = [5] * (2 * LARGEST_PRODUCT) + [0]
    after = reassociate(chain(extents))
    verify(after)
    assert work(after) == 25 * (len(extents) - 2)


def test_cheap_order_stays_the_same_graph() -> None:
    graph = chain([2, 3, 100])
    assert reassociate(graph) is graph


def test_a_product_somebody_else_reads_stays() -> None:
    graph = parse(
        """f(%a:f64[9,9], %b:f64[9,9], %x:f64[9]) {
          %c:f64[9,9] = matmul %a, %b
          %y:f64[9] = matmul %c, %x
        } -> %y, %c"""
    )
    assert reassociate(graph) is graph


def test_a_factor_that_only_the_product_reads_is_opened_however_often() -> None:
    """The transformation of integrals over four orbitals: 4 n^5 instead of n^4 + 2 n^6."""
    before = parse(
        """f(%g:f64[4,4,4,4], %c:f64[4,4]) {
          %w:f64[4,4,4,4] = outer %c, %c
          %h:f64[4,4,4,4] = dot %g, %w [abcd,aebf->cdef]
          %y:f64[4,4,4,4] = dot %w, %h [abcd,acef->efbd]
        } -> %y"""
    )
    after = reassociate(before)
    verify(after)
    assert work(after) == 4 * 4**5
    assert_same_values(before, after, special=False)
    assert reassociate(after) is after


def test_batches_and_transposes() -> None:
    before = parse(
        """f(%a:f64[3,8,9], %b:f64[3,7,9], %x:f64[3,7]) {
          %c:f64[3,8,7] = dot %a, %b [abc,adc->abd]
          %y:f64[3,8] = dot %x, %c [ab,acb->ac]
          %z:f64[3,8] = tanh %y
        } -> %z"""
    )
    after = reassociate(before)
    verify(after)
    assert work(after) == 3 * 7 * 9 + 3 * 8 * 9
    specs = [parse_spec(n.attrs["spec"]) for n in after.nodes if n.op.name == "dot"]
    assert [spec.batch for spec in specs] == ["a", "a"]
    assert_same_values(before, after, special=False)


def test_two_products_one_inside_the_other() -> None:
    before = parse(
        """f(%a:f64[9,9], %b:f64[9,9], %x:f64[9], %c:f64[9,9]) {
          %d:f64[9,9] = matmul %a, %b
          %y:f64[9] = matmul %d, %x
          %h:f64[9] = tanh %y
          %e:f64[9,9] = matmul %c, %a
          %z:f64[9] = matmul %e, %h
        } -> %z"""
    )
    after = reassociate(before)
    verify(after)
    assert work(after) == 4 * 81
    assert_same_values(before, after, special=False)
