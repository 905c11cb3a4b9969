"""Running graphs with NumPy, and what nodes refuse to be built or run."""

from dataclasses import replace

import numpy as np
import pytest
from tapeless.ir.builder import Builder
from tapeless.ir.errors import DTypeError, ShapeError, TapelessError, UnsupportedError
from tapeless.ir.evaluate import evaluate, run_node
from tapeless.ir.graph import Graph, Value
from tapeless.ir.jacobian import Form
from tapeless.ir.op import OPS
from tapeless.ir.parse import parse
from tapeless.ir.types import BOOL, F32, F64, I64, Type

STEP = parse("""\
step(%x:f64[2], %n:i64[]) {
  %y:f64[2] = add %x, 1.0
  %s:f64[] = sum %y [axes=(0)]
  %x <- %y
} -> %s, %x, %n
""")


def test_outputs_and_updates_are_fresh_arrays():
    x, n = np.array([1.0, 2.0]), np.array(3)
    (s, same, count), (new,) = evaluate(STEP, [x, n])
    assert (s.tolist(), same.tolist(), count.tolist(), new.tolist()) == (5, [1, 2], 3, [2, 3])
    assert x.tolist() == [1, 2]
    for array in (same, count, new):
        assert not np.shares_memory(array, x)
        assert not np.shares_memory(array, n)


def test_an_observer_sees_every_node():
    seen = []
    evaluate(STEP, [np.ones(2), 1], lambda node, results: seen.append((node.op.name, *results)))
    assert [name for name, *_ in seen] == ["constant", "add", "sum"]
    assert seen[-1][1] == 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.ones(2)], "step takes 2 arrays, got 1"),
        ([np.ones(3), 1], r"argument %x of step must be f64\[2\], got float64\[3\]"),
        ([np.ones(2, np.float32), 1], r"argument %x of step must be f64\[2\], got float32\[2\]"),
    ],
)
def test_arguments_have_the_types_of_the_inputs(arrays, message):
    with pytest.raises(ShapeError, match=message):
        evaluate(STEP, arrays)


def test_an_op_that_contradicts_its_type_rule_is_caught():
    wrong = replace(OPS["neg"], evaluate=lambda x: x.astype(np.float32))
    b = Builder()
    node = b.emit(wrong, [Value(Type(F64, (2,)))])
    with pytest.raises(TapelessError, match=r"neg evaluated to float32\[2\], its type rule says"):
        run_node(node, [np.ones(2)])


@pytest.mark.parametrize("request_", ["gradient %y wrt %x", "vjp %y wrt %x seed 1.0"])
def test_derivative_requests_have_no_value_of_their_own(request_):
    graph = parse(f"f(%x:f64[]) {{\n%y:f64[] = arg %x\n%g:f64[] = {request_}\n}} -> %g")
    with pytest.raises(UnsupportedError, match="run the pass 'autodiff' first"):
        evaluate(graph, [1.0])


def test_errors_of_floating_point_are_values_not_warnings():
    graph = parse("f(%x:f64[2]) {\n%y:f64[2] = div 1.0, %x\n%z:f64[2] = log %x\n} -> %y, %z")
    (y, z), _ = evaluate(graph, [np.array([0.0, -1.0])])
    assert y.tolist() == [np.inf, -1]
    assert z[0] == -np.inf
    assert np.isnan(z[1])


def test_regions_are_evaluated():
    graph = parse("""\
f(%x:f64[3]) {
  %y:f64[3], %s:f64[] = fused %x body(%a:f64[3]) {
    %y:f64[3] = mul %a, %a
    %s:f64[] = sum %y [axes=(0)]
  } -> %y, %s
} -> %s, %y
""")
    (s, y), _ = evaluate(graph, [np.arange(3.0)])
    assert (s.tolist(), y.tolist()) == (5, [0, 1, 4])


X, V, S, J = Type(F64, (2, 3)), Type(F64, (3,)), Type(F64), Type(F64, (2, 3, 3))
BODY = Graph("body", (Value(V),), (), ())
FORM = Form(1, 1, (3, 3), ())
REFUSED = [
    ("jacobian", [X], {"form": FORM}, ShapeError, "needs the result, the operand"),
    ("jacobian", [X, V], {"form": FORM}, ShapeError, r"the form has shape \(3, 3\)"),
    ("jacobian", [V, Type(I64, (3,))], {"form": FORM}, DTypeError, "derivatives need floats"),
    ("contract", [J], {}, ShapeError, "takes a Jacobian, a cotangent"),
    ("contract", [J, Type(F32, (3,))], {}, DTypeError, "different dtypes"),
    ("contract", [J, X], {}, ShapeError, "do not fit as vjp, batch 0"),
    ("contract", [J, V], {"side": "jvp"}, ShapeError, "do not fit as jvp"),
    ("contract", [J, X], {"side": "up"}, ShapeError, "do not fit as up"),
    ("contract", [J, V, V], {}, ShapeError, "do not fit"),
    ("contract", [J, X, Type(BOOL, (3,))], {"side": "jvp"}, ShapeError, "do not fit"),
    ("contract", [S, V], {}, ShapeError, "do not fit"),
    ("total_jacobian", [V, Type(I64)], {}, DTypeError, "derivatives need floats"),
    ("jvp", [V, X, V], {"outputs": 1, "wrt": 1}, ShapeError, "seeds"),
    ("dot_acc", [V, X, V, S], {"spec": "ab,b->a"}, ShapeError, "cannot add the product"),
    ("dot_acc", [Type(I64)] * 4, {"spec": ",->"}, DTypeError, "not defined for i64"),
    ("dot", [V, V], {"spec": "a,a->b"}, ShapeError, "no operand has"),
    ("fused", [X], {"body": BODY}, ShapeError, "the body takes"),
    ("gather", [X, Type(I64)], {"axes": (0, 0)}, ShapeError, "1 index operands"),
    ("gather", [X, Type(I64), Type(I64)], {"axes": (0, 0)}, ShapeError, "not distinct axes"),
    ("scatter", [X, V, V], {"axes": (0,)}, DTypeError, "must be i64"),
    ("update", [X, V], {"spec": ((0, 2, 0), (0, 3, 1))}, ShapeError, "does not fit an axis"),
    ("cast", [X], {"dtype": np.dtype("c16")}, DTypeError, "not supported"),
]


@pytest.mark.parametrize(("op", "types", "attrs", "error", "words"), REFUSED)
def test_type_rules_refuse(op, types, attrs, error, words):
    with pytest.raises(error, match=words):
        Builder().emit(op, [Value(t) for t in types], attrs)


@pytest.mark.parametrize("spec", ["a,bc->c", "bc,a->c", "a,ab->", "ba,a->"])
def test_a_contraction_of_nothing_is_zero_whatever_the_other_operand_holds(spec: str) -> None:
    extents = {"a": 3, "b": 0, "c": 2}
    x, y = (np.full([extents[c] for c in part], np.nan) for part in spec.split("->")[0].split(","))
    found = OPS["dot"].evaluate(x, y, spec=spec)
    np.testing.assert_array_equal(found, np.zeros([extents[c] for c in spec.partition("->")[2]]))
