"""Building graphs, and the rewriting skeleton of the passes."""

import numpy as np
import pytest
from tapeless.ir.builder import Builder, inline, keep, prune, rebuild, with_nodes
from tapeless.ir.errors import DTypeError, ShapeError
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Loc, Value
from tapeless.ir.parse import parse
from tapeless.ir.types import BOOL, F32, F64, I32, Type
from tapeless.ir.verify import verify


def value(dtype=F64, shape=(2,), name="x"):
    return Value(Type(dtype, shape), name)


def test_numbers_take_the_dtype_of_the_other_operands():
    b = Builder()
    assert b.add(value(F32), 1.0).type == Type(F32, (2,))
    assert b.mul(2, value(I32)).type == Type(I32, (2,))
    assert getattr(b, "and")(value(BOOL), True).type == Type(BOOL, (2,))
    assert b.select(value(BOOL), 1.0, value(F32)).type == Type(F32, (2,))
    assert b.add(1.0, 2.0).type == Type(F64)


def test_errors_come_from_the_type_rule():
    b = Builder()
    with pytest.raises(DTypeError, match="one dtype"):
        b.add(value(F32), value(F64))
    with pytest.raises(ShapeError, match="do not broadcast"):
        b.add(value(), value(shape=(3,)))
    with pytest.raises(AttributeError, match="no op 'frobnicate'"):
        b.frobnicate(value())
    assert b.nodes == []


def test_constants_are_private_and_read_only():
    array = np.ones(3)
    b = Builder()
    constant = b.constant(array)
    array[0] = 7
    stored = b.producer[constant].attrs["value"]
    assert stored.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        stored[0] = 2
    assert b.constant(2, F32).type == Type(F32)


def test_full_is_a_broadcast_scalar():
    b = Builder()
    assert b.full((), 1.0, F32).type == Type(F32)
    assert b.full((2, 3), 1.0, F32).type == Type(F32, (2, 3))
    assert [node.op.name for node in b.nodes] == ["constant", "constant", "broadcast"]


def test_nodes_are_stamped_with_location_and_origin():
    b = Builder()
    with b.at(Loc("a.py", 1), "outer"):
        b.neg(value())
        with b.at(None):
            b.neg(value())
        y = b.neg(value(), name_hint="y")
    b.neg(value())
    stamps = [(str(n.loc), n.origin) for n in b.nodes]
    assert stamps == [("a.py:1", "outer"), ("None", ""), ("a.py:1", "outer"), ("None", "")]
    assert y.name == "y"
    assert b.producer[y] is b.nodes[2]


CHAIN = """\
f(%x:f64[2]) {
  %a:f64[2] = neg %x                                          # f.py:1
  %b:f64[2] = exp %a                                          # f.py:2 via before
  %c:f64[2] = neg %b
  %x <- %c
} -> %c, %a"""


def test_rebuild_gives_the_same_graph_when_nothing_changes():
    graph = parse(CHAIN)
    assert rebuild(graph, lambda b, node, operands: None) is graph


def test_rebuild_replaces_and_names():
    graph = parse(CHAIN)

    def visit(b, node, operands):
        return [b.sub(0.0, operands[0])] if node.op.name == "neg" else None

    changed = rebuild(graph, visit, origin="shake")
    verify(changed)
    assert (
        str(changed)
        == """\
f(%x:f64[2]) {
  %a:f64[2] = sub 0.0, %x                                     # f.py:1 via shake
  %b:f64[2] = exp %a                                          # f.py:2 via before
  %c:f64[2] = sub 0.0, %b                                     # via shake
  %x <- %c
} -> %c, %a"""
    )
    assert str(graph) == CHAIN


def test_rebuild_does_not_rename_existing_values():
    graph = parse("f(%x:f64[2]) {\n%y:f64[2] = reshape %x [shape=(2)]\n%z:f64[2] = neg %y\n} -> %z")
    graph.inputs[0].name = None
    changed = rebuild(graph, lambda b, node, xs: xs if node.op.name == "reshape" else None)
    assert [node.op.name for node in changed.nodes] == ["neg"]
    assert changed.nodes[0].operands == graph.inputs
    assert graph.inputs[0].name is None


def test_keep_copies_only_over_new_operands():
    graph = parse(CHAIN)
    b = Builder()
    node = graph.nodes[1]
    assert keep(b, node, node.operands) is node.results
    (copied,) = keep(b, node, graph.inputs)
    assert copied is not node.result
    assert (copied.name, b.nodes[-1].loc, b.nodes[-1].origin) == ("b", node.loc, "before")


def test_with_nodes_maps_what_leaves_the_graph():
    graph = parse(CHAIN)
    (x,) = graph.inputs
    a, _, c = graph.nodes
    shorter = with_nodes(graph, [a], {c.result: a.result})
    assert (shorter.nodes, shorter.outputs) == ((a,), (a.result, a.result))
    assert shorter.updates == ((x, a.result),)


def test_inline_runs_one_graph_inside_another():
    graph = parse("g(%x:f64[2], %y:f64[2]) {\n%z:f64[2] = sub %x, %y\n} -> %z, %x")
    b = Builder()
    u, v = value(name="u"), value(name="v")
    first, second = inline(b, graph, [b.neg(u), v])
    whole = Graph("f", (u, v), tuple(b.nodes), (first, second))
    verify(whole)
    (difference, negated), _ = evaluate(whole, [np.array([1.0, 2.0]), np.array([3.0, 5.0])])
    assert difference.tolist() == [-4, -7]
    assert negated.tolist() == [-1, -2]


def test_prune_drops_what_nothing_depends_on():
    graph = parse(CHAIN)
    assert prune(graph) is graph
    _, b, c = graph.nodes
    lone = with_nodes(graph, graph.nodes, {c.result: graph.nodes[0].result})
    assert prune(lone).nodes == graph.nodes[:1]
    assert b not in prune(lone).nodes
