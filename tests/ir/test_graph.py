"""Graphs, nodes, values and locations."""

import copy
from dataclasses import FrozenInstanceError

import pytest
from tapeless.ir.graph import Loc, Value
from tapeless.ir.parse import parse
from tapeless.ir.types import F64, Type

TEXT = """\
f(%x:f64[2], %y:f64[2]) {
  %a:f64[2] = mul %x, %x
  %b:f64[2] = add %a, %x
  %x <- %b
} -> %b, %a"""


def test_producers_and_users():
    graph = parse(TEXT)
    x, y = graph.inputs
    mul, add = graph.nodes
    assert graph.producer == {mul.result: mul, add.result: add}
    assert graph.users == {x: (mul, add), mul.result: (add,)}
    assert y not in graph.users
    assert list(graph.results) == [add.result, mul.result, add.result]


def test_graphs_and_nodes_are_immutable():
    graph = parse(TEXT)
    with pytest.raises(FrozenInstanceError):
        graph.name = "g"
    with pytest.raises(FrozenInstanceError):
        graph.nodes[0].origin = "here"


def test_values_are_compared_by_identity():
    a, b = Value(Type(F64), "a"), Value(Type(F64), "a")
    assert a != b
    assert len({a, b, a}) == 2
    assert a.shape == ()
    assert repr(a) == "Value(%a:f64[])"
    assert repr(Value(Type(F64, (2,)))) == "Value(%?:f64[2])"
    assert copy.copy(a) != a


def test_the_result_of_a_node_is_its_only_one():
    text = "f(%x:f64[]) {\n%a:f64[], %b:f64[] = vjp %x wrt %x, %x seed %x\n} -> %a"
    (node,) = parse(text).nodes
    with pytest.raises(ValueError, match="too many values"):
        _ = node.result


def test_locations_show_the_base_name():
    assert str(Loc("/home/me/train.py", 12)) == "train.py:12"
