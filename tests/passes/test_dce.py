"""Dead nodes go, chains of them at once; what an update needs stays."""

from __future__ import annotations

from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.dce import dce

TEXT = """f(%x:f64[3], %w:f64[3]) {{
  %h:f64[3] = tanh %x
{dead}  %u:f64[3] = sub %w, %h
  %w <- %u
}} -> %x"""


def test_dead_chain() -> None:
    dead = "  %a:f64[3] = exp %h\n  %b:f64[3] = exp %a\n"
    before = parse(TEXT.format(dead=dead))
    after = dce(before)
    verify(after)
    assert str(after) == TEXT.format(dead="")
    assert str(before) == TEXT.format(dead=dead)


def test_nothing_dead_is_the_same_graph() -> None:
    graph = parse(TEXT.format(dead=""))
    assert dce(graph) is graph


def test_one_live_result_keeps_the_node() -> None:
    graph = parse(
        """f(%x:f64[]) {
          %a:f64[] = arg %x
          %b:f64[] = arg %x
          %y:f64[] = mul %a, %b
          %g:f64[], %h:f64[] = gradient %y wrt %a, %b
        } -> %h"""
    )
    assert dce(graph) is graph
