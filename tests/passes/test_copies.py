"""Chains of moves become one copy."""

from __future__ import annotations

from rewriting import assert_same_values
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify
from tapeless.passes.copies import copy_once


def ops(graph):
    return [node.op.name for node in graph.nodes]


def joined(text):
    before = parse(text)
    after = copy_once(before)
    verify(after, after="copy_once")
    assert_same_values(before, after, exact=True)
    assert ops(copy_once(after)) == ops(after)
    return after


def test_windows_are_copied_in_the_order_in_which_they_are_needed():
    after = joined("""f(%x:f64[2,6], %k:f64[3,2]) {
  %w:f64[2,5,2] = windows %x [axes=(1), sizes=(2), strides=(1), dilations=(1)]
  %t:f64[2,2,5] = transpose %w [perm=(0,2,1)]
  %y:f64[2,3,5] = dot %t, %k [abc,db->adc]
} -> %y""")
    assert ops(after) == ["fused", "dot"]


def test_what_windows_add_reads():
    after = joined("""f(%x:f64[2,2,5]) {
  %t:f64[2,5,2] = transpose %x [perm=(0,2,1)]
  %y:f64[2,6] = windows_add %t [axes=(1), extents=(6), strides=(1), dilations=(1)]
} -> %y""")
    assert ops(after) == ["fused"]


def test_a_reshape_below_the_chain_costs_nothing_and_stays():
    after = joined("""f(%x:f64[6]) {
  %r:f64[1,6] = reshape %x [shape=(1,6)]
  %b:f64[3,6] = broadcast %r [shape=(3,6)]
  %t:f64[6,3] = transpose %b [perm=(1,0)]
} -> %t""")
    assert ops(after) == ["reshape", "fused"]


def test_single_moves_and_what_others_read_stay():
    text = """f(%x:f64[3,2]) {
  %t:f64[2,3] = transpose %x [perm=(1,0)]
} -> %t"""
    graph = parse(text)
    assert copy_once(graph) is graph
    after = joined("""f(%x:f64[3,4]) {
  %t:f64[4,3] = transpose %x [perm=(1,0)]
  %s:f64[2,3] = slice %t [::2, :]
} -> %t, %s""")
    assert ops(after) == ["transpose", "fused"]


def test_moves_of_what_is_joined():
    after = joined("""f(%x:f64[3,4], %y:f64[5,3]) {
  %t:f64[4,3] = transpose %x [perm=(1,0)]
  %s:f64[2,3] = slice %y [4:0:-3, :]
  %j:f64[10,3] = concatenate %t, %s, %t [axis=0]
  %r:f64[12] = reshape %x [shape=(12)]
  %k:f64[15] = reshape %y [shape=(15)]
  %u:f64[27] = concatenate %r, %k [axis=0]
} -> %j, %u""")
    assert ops(after) == ["fused", "reshape", "reshape", "concatenate"]
