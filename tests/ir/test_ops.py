"""Every op record: the type rule tells what evaluation gives, and evaluation is pure."""

import numpy as np
import pytest
from sampling import all_samples, sample_graph
from tapeless.ir.builder import Builder
from tapeless.ir.errors import BoundsError, DTypeError, ShapeError
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Value
from tapeless.ir.op import OPS
from tapeless.ir.ops import uniform_value
from tapeless.ir.ops.move import reshape_groups
from tapeless.ir.types import BOOL, F32, F64, I64, Type

SAMPLES = list(all_samples())


@pytest.mark.parametrize(("op", "sample"), [s[1:] for s in SAMPLES], ids=[s[0] for s in SAMPLES])
def test_type_rule_equals_evaluation(op, sample):
    graph, arrays = sample_graph(op, sample)
    before = [a.copy() for a in arrays]
    outputs, updates = evaluate(graph, arrays)
    for value, array in zip(graph.outputs, outputs, strict=True):
        assert (value.type.dtype, value.shape) == (array.dtype, array.shape)
        assert not any(np.shares_memory(array, a) for a in arrays)
    assert updates == ()
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_every_op_that_has_a_value_has_samples():
    without = {name for name, op in OPS.items() if not op.samples}
    assert without == {
        "gradient", "vjp", "jvp", "total_jacobian", "jacobian", "contract", "fused",
    }  # fmt: skip


def test_every_op_says_what_it_is():
    assert all(op.doc and op.name == name for name, op in OPS.items())


def steps(axes, sizes, strides, dilations):
    return {"axes": axes, "sizes": sizes, "strides": strides, "dilations": dilations}


def added(extents, strides):
    return {"axes": (0,), "extents": extents, "strides": strides, "dilations": (1,)}


def values(*types):
    return [Value(t) for t in types]


@pytest.mark.parametrize(
    ("op", "types", "attrs", "error", "words"),
    [
        ("add", [Type(F32, (3,)), Type(F64, (3,))], {}, DTypeError, "one dtype"),
        ("add", [Type(F64, (3,)), Type(F64, (4,))], {}, ShapeError, "broadcast"),
        ("add", [Type(BOOL, (3,)), Type(BOOL, (3,))], {}, DTypeError, "not defined for bool"),
        ("exp", [Type(I64, (3,))], {}, DTypeError, "not defined for i64"),
        ("add", [Type(F64)], {}, ShapeError, "takes 2"),
        ("select", [Type(F64), Type(F64), Type(F64)], {}, DTypeError, "bool condition"),
        ("sum", [Type(F64, (3,))], {"axes": (1,)}, ShapeError, "axes"),
        ("sum", [Type(BOOL, (3,))], {"axes": (0,)}, DTypeError, "not defined"),
        ("max", [Type(F64, (0,))], {"axes": (0,)}, ShapeError, "empty"),
        ("argmax", [Type(F64, (0,))], {"axis": 0}, ShapeError, "empty"),
        ("softmax", [Type(F64, (3, 0))], {"axis": 1}, ShapeError, "empty"),
        ("softmax", [Type(F64, (3,))], {"axis": 1}, ShapeError, "out of range"),
        ("logsumexp", [Type(I64, (3,))], {"axis": 0}, DTypeError, "not defined"),
        ("reshape", [Type(F64, (3,))], {"shape": (2,)}, ShapeError, "3 elements"),
        ("transpose", [Type(F64, (3, 2))], {"perm": (0, 0)}, ShapeError, "permute"),
        ("broadcast", [Type(F64, (3,))], {"shape": (4,)}, ShapeError, "does not broadcast"),
        ("slice", [Type(F64, (3,))], {"spec": ((0, 5, 1),)}, ShapeError, "does not fit"),
        ("slice", [Type(F64, (3,))], {"spec": ()}, ShapeError, "rank 1"),
        ("pad", [Type(F64, (3,))], {"low": (-1,), "high": (0,)}, ShapeError, "fit"),
        ("concatenate", [], {"axis": 0}, ShapeError, "at least one"),
        ("concatenate", [Type(F64)], {"axis": 0}, ShapeError, "out of range"),
        ("concatenate", [Type(F64, (2, 3)), Type(F64, (2, 4))], {"axis": 0}, ShapeError, "fit"),
        ("dot", [Type(F64, (2, 3)), Type(F64, (4, 5))], {"spec": "ab,bc->ac"}, ShapeError, "3"),
        ("dot", [Type(F64, (2,)), Type(F64, (2,))], {"spec": "ab,b->a"}, ShapeError, "axes"),
        ("dot", [Type(BOOL, (2,)), Type(BOOL, (2,))], {"spec": "a,a->"}, DTypeError, "bool"),
        ("update", [Type(F64, (3,)), Type(F64, (2,))], {"spec": ((0, 1, 1),)}, ShapeError, "reg"),
        ("windows", [Type(F64, (3,))], steps((0,), (4,), (1,), (1,)), ShapeError, "does not fit"),
        ("windows", [Type(F64, (5,))], steps((0,), (3,), (1,), (3,)), ShapeError, "window of 7"),
        ("windows", [Type(F64, (3,))], steps((0,), (2,), (0,), (1,)), ShapeError, "positive"),
        ("windows", [Type(F64, (3,))], steps((1,), (2,), (1,), (1,)), ShapeError, "distinct axes"),
        ("windows", [Type(F64, (3,))], steps((0,), (2,), (1, 1), (1,)), ShapeError, "number"),
        ("windows_add", [Type(F64, (3, 2))], added((5,), (1,)), ShapeError, r"\(4, 2\), not"),
        ("windows_add", [Type(F64, (3, 2))], added((4, 4), (1,)), ShapeError, "extents"),
        ("windows_add", [Type(BOOL, (3, 2))], added((4,), (1,)), DTypeError, "bool"),
        ("gather", [Type(F64, (3,)), Type(F64, (2,))], {"axes": (0,)}, DTypeError, "i64"),
        ("gather", [Type(F64, (3,))], {"axes": (0,)}, ShapeError, "index operands"),
        ("gather", [Type(F64, (3,)), Type(I64, (2,))], {"axes": (1,)}, ShapeError, "axes"),
        (
            "gather", [Type(F64, (3, 3)), Type(I64, (2,)), Type(I64, (3,))], {"axes": (0, 1)},
            ShapeError, "broadcast",
        ),
        ("scatter", [Type(F64, (3,)), Type(F64, (2,))], {"axes": (0,)}, ShapeError, "needs"),
        (
            "scatter_add", [Type(F64, (3,)), Type(F64, (3,)), Type(I64, (2,))], {"axes": (0,)},
            ShapeError, "target",
        ),
        ("gradient", [Type(F64, (3,)), Type(F64)], {}, ShapeError, "loss"),
        ("gradient", [Type(F64), Type(I64)], {}, DTypeError, "floats"),
        ("vjp", [Type(F64), Type(F64)], {"outputs": 1, "wrt": 1}, ShapeError, "seeds"),
        ("iota", [], {"n": -1}, ShapeError, "negative"),
    ],
)  # fmt: skip
def test_type_rules_refuse(op, types, attrs, error, words):
    with pytest.raises(error, match=words):
        Builder().emit(op, values(*types), attrs)


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_out_of_range_raises(index):
    x, i = values(Type(F64, (3,)), Type(I64))
    b = Builder()
    y = b.gather(x, i, axes=(0,))
    with pytest.raises(BoundsError, match=f"index {index} is out of bounds for axis 0 with size 3"):
        evaluate(Graph("f", (x, i), tuple(b.nodes), (y,)), [np.zeros(3), np.int64(index)])


def test_reshape_factors_into_minimal_groups():
    assert reshape_groups((2, 3, 4), (6, 4)) == [((0, 1), (0,)), ((2,), (1,))]
    assert reshape_groups((5, 1, 6), (5, 2, 3)) == [((0,), (0,)), ((2,), (1, 2))]
    assert reshape_groups((2, 3), (3, 2)) == [((0, 1), (0, 1))]
    assert reshape_groups((1, 1), ()) == []


def test_uniform_values_are_seen_through_moves_and_casts():
    b = Builder()
    x = b.transpose(b.broadcast(b.cast(b.constant(2, I64), dtype=F32), shape=(2, 3)), perm=(1, 0))
    assert uniform_value(b.producer, x) == np.float32(2)
    assert uniform_value(b.producer, b.constant([1.0, 1.0])) is None
