"""`fuse_updates`: golden texts, what must not be touched, and equal values."""

from __future__ import annotations

import numpy as np
import pytest
from running import assert_same, random_arguments, run_interpreted
from tapeless.ir.parse import parse
from tapeless.passes.update_fusion import fuse_updates

SGD = """f(%W:f32[8,5], %x:f32[4,8], %g:f32[4,5], %lr:f32[]) {
  %d:f32[8,5] = matmul %x, %g [ta]
  %s:f32[8,5] = mul %lr, %d
  %v:f32[8,5] = sub %W, %s
  %W <- %v
}"""

SGD_FUSED = """f(%W:f32[8,5], %x:f32[4,8], %g:f32[4,5], %lr:f32[]) {
  %v0:f32[] = neg %lr                                         # via fuse_updates
  %v:f32[8,5] = dot_acc %W, %x, %g, %v0 [ab,ac->bc]           # via fuse_updates
  %W <- %v
}"""


def test_sgd_becomes_one_contraction() -> None:
    assert str(fuse_updates(parse(SGD))) == SGD_FUSED


HEAD = """f(%W:f64[3,4], %x:f64[2,3], %g:f64[2,4], %a:f64[], %b:f64[]) {
  %d:f64[3,4] = matmul %x, %g [ta]
"""
FORMS = {
    "plus": "%v:f64[3,4] = add %W, %d",
    "plus, commuted": "%v:f64[3,4] = add %d, %W",
    "minus": "%v:f64[3,4] = sub %W, %d",
    "negated": "%n:f64[3,4] = neg %d\n  %v:f64[3,4] = add %W, %n",
    "constant": "%s:f64[3,4] = mul %d, 0.5\n  %v:f64[3,4] = sub %W, %s",
    "two factors": "%s:f64[3,4] = mul %a, %d\n  %t:f64[3,4] = mul %s, %b\n"
    "  %v:f64[3,4] = sub %W, %t",
    "divided": "%s:f64[3,4] = div %d, %a\n  %v:f64[3,4] = add %W, %s",
    "factor of a difference": "%s:f64[3,4] = mul %d, %a\n  %n:f64[3,4] = neg %s\n"
    "  %v:f64[3,4] = sub %W, %n",
    "broadcast factor": "%l:f64[3,4] = broadcast %a [shape=(3,4)]\n  %s:f64[3,4] = mul %l, %d\n"
    "  %v:f64[3,4] = sub %W, %s",
    "two gradients": "%e:f64[3,4] = matmul %x, %g [ta]\n  %t:f64[3,4] = add %d, %e\n"
    "  %s:f64[3,4] = mul %a, %t\n  %v:f64[3,4] = sub %W, %s",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_scaled_forms(form: str) -> None:
    before = parse(HEAD + f"  {form}\n  %W <- %v\n}}")
    after = fuse_updates(before)
    names = [node.op.name for node in after.nodes]
    assert "dot" not in names and "dot_acc" in names
    assert not {"add", "sub"} & set(names)
    arrays = random_arguments(before)
    for a, e in zip(
        run_interpreted(after, arrays)[1], run_interpreted(before, arrays)[1], strict=True
    ):
        assert_same(a, e)


KEPT = {
    "the gradient is an output": "%s:f64[3,4] = mul %a, %d\n  %v:f64[3,4] = sub %W, %s\n"
    "  %W <- %v\n} -> %d",
    "the gradient is read twice": "%s:f64[3,4] = mul %d, %d\n  %v:f64[3,4] = sub %W, %s\n"
    "  %W <- %v\n}",
    "the old value is scaled": "%s:f64[3,4] = mul %a, %W\n  %v:f64[3,4] = sub %s, %d\n"
    "  %W <- %v\n}",
    "the old value is subtracted": "%v:f64[3,4] = sub %d, %W\n  %W <- %v\n}",
    "something else is added": "%v:f64[3,4] = add %d, 1.0\n  %W <- %v\n}",
    "not an update": "%v:f64[3,4] = sub %W, %d\n} -> %v",
}


@pytest.mark.parametrize("form", KEPT.values(), ids=KEPT.keys())
def test_what_is_left_alone(form: str) -> None:
    graph = parse(HEAD + "  " + form)
    assert fuse_updates(graph) is graph


def test_a_sum_of_contractions_accumulates_in_the_first() -> None:
    text = (
        HEAD
        + """  %e:f64[3,4] = matmul %x, %g [ta]
  %s:f64[3,4] = sub %d, %e
  %t:f64[3,4] = tanh %s
} -> %t"""
    )
    before = parse(text)
    after = fuse_updates(before)
    assert [node.op.name for node in after.nodes if node.op.name != "constant"] == [
        "dot",
        "dot_acc",
        "tanh",
    ]
    arrays = random_arguments(before)
    np.testing.assert_allclose(
        run_interpreted(after, arrays)[0][0], run_interpreted(before, arrays)[0][0], atol=1e-15
    )


def test_one_learning_rate_is_negated_once() -> None:
    text = """f(%W:f32[3,4], %V:f32[3,4], %x:f32[2,3], %g:f32[2,4], %lr:f32[]) {
  %d:f32[3,4] = matmul %x, %g [ta]
  %e:f32[3,4] = matmul %x, %g [ta]
  %s:f32[3,4] = mul %lr, %d
  %t:f32[3,4] = mul %lr, %e
  %v:f32[3,4] = sub %W, %s
  %w:f32[3,4] = sub %V, %t
  %W <- %v
  %V <- %w
}"""
    assert [n.op.name for n in fuse_updates(parse(text)).nodes] == ["neg", "dot_acc", "dot_acc"]


TABLE = """f(%E:f32[9,3], %g:f32[2,3], %d:f32[4,3], %i:i64[2], %j:i64[4], %lr:f32[]) {
  %z:f32[9,3] = broadcast 0.0:f32 [shape=(9,3)]
  %a:f32[9,3] = scatter_add %z, %d, %j [axes=(0)]
  %b:f32[9,3] = scatter_add %a, %g, %i [axes=(0)]
  %s:f32[9,3] = mul %lr, %b
  %v:f32[9,3] = sub %E, %s
  %E <- %v
}"""

TABLE_FUSED = """f(%E:f32[9,3], %g:f32[2,3], %d:f32[4,3], %i:i64[2], %j:i64[4], %lr:f32[]) {
  %v0:f32[] = neg %lr                                         # via fuse_updates
  %v1:f32[4,3] = mul %d, %v0                                  # via fuse_updates
  %v2:f32[9,3] = scatter_add %E, %v1, %j [axes=(0)]           # via fuse_updates
  %v3:f32[2,3] = mul %g, %v0                                  # via fuse_updates
  %v:f32[9,3] = scatter_add %v2, %v3, %i [axes=(0)]           # via fuse_updates
  %E <- %v
}"""


def test_gradients_of_gathered_rows_are_added_to_the_table() -> None:
    before = parse(TABLE)
    after = fuse_updates(before)
    assert str(after) == TABLE_FUSED
    arrays = random_arguments(before)
    for a, e in zip(
        run_interpreted(after, arrays)[1], run_interpreted(before, arrays)[1], strict=True
    ):
        assert_same(a, e)


def test_more_rows_than_the_table_has_are_added_up_first() -> None:
    graph = parse("""f(%E:f64[3,2], %g:f64[4,2], %i:i64[4], %lr:f64[]) {
  %z:f64[3,2] = broadcast 0.0:f64 [shape=(3,2)]
  %a:f64[3,2] = scatter_add %z, %g, %i [axes=(0)]
  %s:f64[3,2] = mul %lr, %a
  %v:f64[3,2] = sub %E, %s
  %E <- %v
}""")
    assert fuse_updates(graph) is graph
