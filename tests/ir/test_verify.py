"""Every invariant of the verifier, each broken on purpose."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tapeless.ir.ops  # noqa: F401
from tapeless.ir.builder import Builder
from tapeless.ir.errors import VerifyError
from tapeless.ir.graph import Graph, Loc, Node, Value
from tapeless.ir.jacobian import Delta, Form, Map, Mask, Term, Val
from tapeless.ir.op import OPS
from tapeless.ir.parse import parse
from tapeless.ir.types import BOOL, F32, F64, I64, Type
from tapeless.ir.verify import verify

X = Value(Type(F64, (2, 3)), "x")
M = Value(Type(BOOL, (2, 3)), "m")


def graph(nodes, *outputs, inputs=(X, M), updates=()):
    return Graph("f", tuple(inputs), tuple(nodes), outputs, tuple(updates))


def node(op, operands, *types, **attrs):
    """A node with whatever types and attributes are wanted, right or wrong."""
    results = tuple(Value(t, f"y{k}") for k, t in enumerate(types))
    return Node(OPS[op], tuple(operands), results, attrs, Loc("train.py", 12))


def neg(value=X):
    return node("neg", [value], value.type)


def jacobian(form, *values, wrt=X, result=X):
    shape = wrt.shape + result.shape
    return node("jacobian", [result, wrt, *values], Type(wrt.type.dtype, shape), form=form)


def form(*factors, summed=()):
    """A Jacobian of x (2, 3) with respect to x with one term."""
    return Form(2, 2, (2, 3, 2, 3, *summed), (Term(1.0, factors),))


def check(number, message, broken):
    with pytest.raises(VerifyError) as caught:
        verify(broken, after="shake")
    error = str(caught.value)
    assert error.startswith(f"invariant {number} is broken after shake: ")
    assert message in error
    return error


def test_a_valid_graph_passes():
    y = neg()
    verify(graph([y], y.result, X, updates=[(X, y.result)]))


def test_errors_cite_pass_node_and_line():
    error = check(6, "f64[2,3]", graph([node("neg", [X], Type(F32, (2, 3)))]))
    assert error == (
        "invariant 6 is broken after shake: the type rule gives f64[2,3], "
        "in `%y0:f32[2,3] = neg %x` at train.py:12"
    )


def test_errors_without_a_line_or_a_pass():
    y = replace(node("neg", [X], Type(F32, (2, 3))), loc=None)
    with pytest.raises(VerifyError, match=r"^invariant 6 is broken: .*neg %x`$"):
        verify(graph([y]))


def test_1_a_value_is_defined_once():
    y = neg()
    check(1, "defined twice", graph([], inputs=(X, X)))
    check(1, "defined twice", graph([y, y]))
    check(1, "defined twice", graph([replace(y, results=(X,))]))


def test_2_operands_are_defined_before_and_results_at_all():
    y = neg()
    z = neg(y.result)
    check(2, "operand %y0_1:f64[2,3] is not defined before its use", graph([z, y]))
    error = check(2, "is not defined, in f", graph([], y.result))
    assert "result %?y0:f64[2,3] is" in error
    check(2, "is not defined", graph([], updates=[(X, y.result)]))


def test_3_updates_target_inputs_once_with_their_type():
    y, z = neg(), node("not", [M], M.type)
    check(3, "does not target an input", graph([y], updates=[(y.result, X)]))
    check(3, "is updated twice", graph([y], updates=[(X, y.result), (X, X)]))
    check(3, "has type bool[2,3]", graph([z], updates=[(X, z.result)]))


@pytest.mark.parametrize("shape", [(-1,), (1,) * 17])
def test_4_types_are_sound(shape):
    check(4, "is not a type", graph([], inputs=(Value(Type(F64, shape)),)))


def test_4_dtypes_are_known():
    check(4, "complex128", graph([], inputs=(Value(Type(np.dtype("c16"))),)))


def test_5_ops_are_the_registered_records_with_their_attributes():
    copy = replace(OPS["neg"])
    check(5, "'neg' is not a registered op", graph([replace(neg(), op=copy)]))
    check(5, "attributes ['axes'] are not []", graph([node("neg", [X], X.type, axes=1)]))
    check(5, "attributes [] are not ['axes']", graph([node("sum", [X], Type(F64, (3,)))]))


def test_6_results_have_the_inferred_types():
    check(6, "the type rule gives f64[2,3]", graph([node("neg", [X], X.type, X.type)]))
    check(6, "neg is not defined for bool", graph([node("neg", [M], M.type)]))
    check(6, "the type rule rejects", graph([node("sum", [X], X.type, axes="wrong")]))


def test_7_constants_are_read_only_and_letters_canonical():
    constant = node("constant", [], Type(F64, (2,)), value=np.zeros(2))
    check(7, "can be written to", graph([constant]))
    product = node("dot", [X, X], Type(F64, (2, 2)), spec="xy,zy->xz")
    check(7, "the letters of xy,zy->xz are not canonical", graph([product]))


def region(body, *operands):
    return node("fused", operands, *(v.type for v in body.outputs), body=body)


def test_8_regions_are_valid_and_closed():
    a = Value(X.type, "a")
    inner = neg(a)
    body = graph([inner], inner.result, inputs=(a,))
    verify(graph([region(body, X)]))
    check(2, "not defined before", graph([region(replace(body, nodes=(neg(X),)), X)]))
    check(8, "updates its inputs", graph([region(replace(body, updates=((a, a),)), X)]))
    open_body = graph([inner], inner.result, X, inputs=(a, X))
    check(8, "shares a value", graph([region(open_body, X, X)]))
    outer = region(body, X)
    check(8, "shares a value", graph([replace(outer, results=(inner.result,))]))


def test_9_forms_have_one_letter_per_axis():
    identity = (Delta(0, 2), Delta(1, 3))
    verify(graph([jacobian(form(*identity))]))
    swapped = Form(1, 3, (2, 3, 2, 3), ())
    check(9, "one letter per axis", graph([jacobian(swapped)]))
    check(9, "the letters are not those", graph([jacobian(form(Delta(0, 9)))]))
    check(9, "the letters are not those", graph([jacobian(form(*identity, summed=(5,)))]))


def test_10_values_are_the_operands():
    check(10, "the values are not", graph([jacobian(form(Val(3, (0, 1))), X)]))
    check(10, "the values are not", graph([jacobian(form(Val(2, (0, 1))), X, M)]))
    check(10, "the values are not", graph([jacobian(form(Val(0, (0, 1))))]))


def test_11_deltas_join_equal_extents():
    check(11, "extents 2 and 3", graph([jacobian(form(Delta(0, 1)))]))


def test_12_letters_fit_the_axes_of_values():
    verify(graph([jacobian(form(Val(2, (0, 3))), X)]))
    check(12, "extents (3, 2)", graph([jacobian(form(Val(2, (1, 0))), X)]))
    check(12, "extents (2,)", graph([jacobian(form(Val(2, (0,))), X)]))
    check(12, "extents (2, 1)", graph([jacobian(form(Val(2, (0, None))), X)]))
    check(12, "extents (1, 3)", graph([jacobian(form(Mask(2, (None, 1))), M)]))


def test_13_values_are_floats_and_masks_bool():
    check(13, "where float64 is needed", graph([jacobian(form(Val(2, (0, 1))), M)]))
    check(13, "where bool is needed", graph([jacobian(form(Mask(2, (0, 1))), X)]))


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (Map("shake", (), (), (0,), (2,)), "there is no map 'shake'"),
        (Map("reshape", (), (), (0,), (1,)), "reshape does not map extents (2,) to (3,)"),
        (Map("slice", (("spec", ((0, 2, 1),)),), (), (0,), (1,)), "slice does not map"),
        (Map("slice", (), (), (0,), (2,)), "slice does not map"),
        (Map("erase", (("spec", "wrong"),), (), (0,), (2,)), "erase does not map"),
        (Map("gather", (("axes", (0,)),), (), (0,), (2,)), "gather does not map"),
        (Map("cumsum", (), (), (0,), (1,)), "cumsum does not map"),
        (Map("roll", (("shift", 0),), (), (0,), (2,)), "roll does not map"),
        (Map("cumsum", (("reverse", 1.5),), (), (0,), (2,)), "cumsum does not map"),
    ],
    ids=lambda x: getattr(x, "op", ""),
)
def test_14_maps_fit_their_rules(link, message):
    check(14, message, graph([jacobian(form(link))]))


def test_15_jacobians_are_only_contracted():
    j = jacobian(form(Delta(0, 2), Delta(1, 3)))
    contract = node("contract", [j.result, X], X.type, side="vjp", batch=0)
    verify(graph([j, contract], contract.result, j.result))
    used = node("neg", [j.result], j.result.type)
    check(15, "is not contracted", graph([j, used]))
    flat = Value(Type(F64, (6, 6)), "g")
    swapped = node("contract", [flat, j.result], Type(F64, (6, 6)), side="vjp", batch=0)
    check(6, "the type rule rejects", graph([j, swapped], inputs=(X, flat)))
    wide = Value(j.result.type, "wide")
    loose = node("contract", [wide, X], X.type, side="vjp", batch=0)
    check(15, "is not a Jacobian", graph([loose], inputs=(X, wide)))


def test_every_invariant_has_a_test():
    listed = {int(number) for number in re.findall(r"^ *(\d+)\. ", verify.__doc__, re.MULTILINE)}
    tested = {int(name.split("_")[1]) for name in globals() if name[5:6].isdigit()}
    assert listed == tested == set(range(1, 16))


def test_traced_like_graphs_are_valid():
    b = Builder()
    index = b.constant([0, 1], I64)
    y = b.gather(X, index, axes=(0,))
    verify(graph(b.nodes, y))
    assert str(parse(str(graph(b.nodes, y)))) == str(graph(b.nodes, y))
