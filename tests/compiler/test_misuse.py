"""What cannot be traced raises its own error: what, the user's line, why, and what to write."""

import math

import numpy as np
import pytest
from conformance import run_traced
from tapeless import errors
from tapeless.compiler import transforms as tl
from tapeless.compiler.trace import trace
from tapeless.library import nn

TABLE = np.eye(3)
X = np.ones((3, 3))
KEPT = []
TOTAL = 0.0


def if_statement(x):
    if x.sum() > 0:
        x += 1


def while_loop(x):
    while x.sum() < 3:
        x = x + 1


def chained(x):
    return 0 < x < 1


def logical_and(x):
    return (x > 0) and (x < 1)


def assertion(x):
    assert x.sum() > 0


def builtin_max(x):
    return max(x[0, 0], x[0, 1])


def builtin_any(x):
    return any(x[0] > 0)


def builtin_sorted(x):
    return sorted(x[0])


def to_float(x):
    return float(x.sum())


def to_int(x):
    return int(x.sum())


def item(x):
    return x.sum().item()


def tolist(x):
    return x.tolist()


def formatted(x):
    return f"loss {x.sum():.3f}"


def math_function(x):
    return math.exp(x.sum())


def array_of_traced(x):
    return np.array([x, x])


def array_of_a_list_variable(x):
    rows = [row * 2 for row in x]
    return np.array(rows)


def asarray(x):
    return np.asarray(x)


def sum_of_list(x):
    return np.sum([x, x])


def random_argument(x):
    return np.random.normal(x)


def random_array(x):
    return x + np.random.normal(size=3)


def random_number(x):
    return x * np.random.uniform()


GENERATOR = np.random.default_rng(0)


def random_generator(x):
    return x + GENERATOR.normal(size=3)


def concrete_index(x):
    return TABLE[x[0].astype(np.int64)]


def concrete_take(x):
    return np.take(TABLE, x[0].astype(np.int64), axis=0)


def list_index(x):
    return [1, 2][x[0].astype(np.int64)[0]]


def range_of_traced(x):
    return list(range(x.argmax()))


def concrete_store(x):
    buffer = np.zeros(3)
    buffer[0] = x.sum()
    return buffer


def concrete_store_row(x):
    buffer = np.zeros((3, 3))
    buffer[0] = x[0]
    return buffer


def concrete_method(x):
    return TABLE.dot(x)


def unknown_function(x):
    return np.histogram(x)


def unknown_ufunc(x):
    return np.spacing(x)


def unknown_method(x):
    return x.byteswap()


def unknown_argument(x):
    return np.sum(x, axis=0, out=None, keepdims=True, foo=1)


def unsupported_solver(x):
    return np.linalg.svd(x)


def unsupported_option(x):
    return np.take(x, [0], mode="wrap")


def unique(x):
    return np.unique(x)


def mask_read(x):
    return x[x > 0]


def mask_rows(x):
    x[x > 0] = x[0]


def nonzero(x):
    return np.nonzero(x)


def where_one(x):
    return np.where(x > 0)


def slice_bound(x):
    return x[: x.argmax()]


def broadcast_write(x):
    y = np.broadcast_to(x, (2, 3, 3))
    y[0] = 1


def diagonal_write(x):
    np.diagonal(x)[0] = 1


def shared_accumulator(x):
    a = b = np.zeros((3, 3))
    a += x
    return a, b


def accumulator_in_a_list(x):
    buffers = [np.zeros((3, 3))]
    for b in buffers:
        b += x
    return buffers


def accumulator_in_a_dict(x):
    d = {"g": np.zeros((3, 3))}
    d["g"] += x
    return d


def global_accumulator(x):
    global TABLE
    TABLE += x


def accumulator_attribute(x):
    class Box:
        total = np.zeros((3, 3))

    Box.total += x


def dropped_out(x):
    out = np.zeros((3, 3))
    np.add(x, 1, out=out)
    return out


def function_out(x):
    out = np.zeros(3)
    np.sum(x, axis=0, out=out)


def add_at_concrete(x):
    np.add.at(TABLE, [0], x[0])


def shape_mismatch(x):
    return x @ np.ones((4, 2))


def broadcast_mismatch(x):
    return x + np.ones(4)


def bool_minus_bool(x):
    return (x > 0) - (x < 1)


def float_into_int(x):
    n = np.zeros(3, np.int64, like=x)
    n += x[0]


def out_of_bounds(x):
    return x[5]


def index_array_out_of_bounds(x):
    return x[[0, 7]]


def too_many_indices(x):
    return x[0, 0, 0]


def float_index(x):
    return x[[0.5]]


def bad_axis(x):
    return x.sum(axis=2)


def bad_reshape(x):
    return x.reshape(2, 2)


def literal_out_of_range(x):
    return x.astype(np.int32) + 2**31


def bool_index(x):
    return x[True]


def object_array(x):
    return x + np.array([None, 1, 2])


def complex_array(x):
    return x * np.array([1j, 2, 3])


def masked_array(x):
    return x + np.ma.masked_array(np.ones(3), [0, 1, 0])


def shape_assignment(x):
    x.shape = (9,)


def mutated_argument_of_gradient(x):
    def loss(w):
        w += 1
        return w.sum()

    return tl.grad(loss)(x)


def mutated_container_in_gradient(x):
    def loss(p):
        p["W"] = p["W"] * 2
        return p["W"].sum()

    return tl.grad(loss)({"W": x})


def argnums_too_large(x):
    return tl.grad(np.sum, argnums=3)(x)


def labels_of_another_shape(x):
    return nn.cross_entropy(x, np.zeros(5, np.int64))


def kept_in_a_list(x):
    KEPT.append(x * 2)


def kept_in_a_global(x):
    global TOTAL
    TOTAL = TOTAL + x.sum()


MISUSE = [
    (if_statement, TypeError, r"np\.where"),
    (while_loop, TypeError, r"np\.where"),
    (chained, TypeError, r"chained comparison.*\(a < x\) & \(x < b\)"),
    (logical_and, TypeError, r"np\.where|logical_and"),
    (assertion, TypeError, r"np\.where"),
    (builtin_max, TypeError, r"built-in max.*np\.max"),
    (builtin_any, TypeError, r"built-in any\(\).*use np\.any, at"),
    (builtin_sorted, TypeError, r"built-in sorted\(\).*use np\.sort"),
    (to_float, TypeError, r"Python float.*results of shape \(\) work like numbers"),
    (to_int, TypeError, r"Python int.*astype\(np\.int64\)"),
    (item, TypeError, r"converted to a Python number"),
    (tolist, TypeError, r"converted to a Python list"),
    (formatted, TypeError, r"formatted.*return it and print it outside"),
    (math_function, TypeError, r"use np\.exp"),
    (array_of_traced, TypeError, r"np\.array\(\).*np\.stack"),
    (array_of_a_list_variable, TypeError, r"np\.array\(\).*np\.stack"),
    (asarray, TypeError, r"use x itself"),
    (sum_of_list, TypeError, r"np\.stack"),
    (random_argument, TypeError, r"np\.random\.normal.*draw with tl\.random"),
    (random_array, TypeError, r"draw with tl\.random"),
    (random_number, TypeError, r"draw with tl\.random"),
    (random_generator, TypeError, r"draw with tl\.random"),
    (concrete_index, TypeError, r"np\.asarray\(C, like=x\)\[x\]"),
    (concrete_take, TypeError, r"np\.take\(\) would turn.*use np\.asarray\(C, like=x\)\[x\]"),
    (list_index, TypeError, r"concrete array or list is indexed"),
    (range_of_traced, TypeError, r"range\(\).*static_argnames"),
    (concrete_store, TypeError, r"np\.zeros_like\(x\) or np\.zeros\(shape, like=x\)"),
    (concrete_store_row, TypeError, r"np\.zeros_like\(x\)"),
    (concrete_method, TypeError, r"np\.dot\(C, x\)"),
    (unknown_function, errors.UnsupportedError, r"np\.histogram is not supported"),
    (unknown_ufunc, errors.UnsupportedError, r"np\.spacing is not supported; write it with"),
    (unknown_method, errors.UnsupportedError, r"ndarray\.byteswap is not supported"),
    (unsupported_solver, errors.UnsupportedError, r"np\.linalg\.svd.*outside the step"),
    (unsupported_option, errors.UnsupportedError, r"np\.take: mode 'wrap'"),
    (unique, errors.UnsupportedError, r"np\.unique is not supported.*depends on the data"),
    (mask_read, errors.TraceError, r"x\[mask\].*np\.where"),
    (mask_rows, errors.TraceError, r"depends on the data"),
    (nonzero, errors.UnsupportedError, r"np\.nonzero"),
    (where_one, errors.TraceError, r"np\.where\(mask, x, y\)"),
    (slice_bound, errors.TraceError, r"slice bound.*x\[start \+ np\.arange\(n\)\]"),
    (broadcast_write, ValueError, r"read-only"),
    (diagonal_write, ValueError, r"read-only"),
    (shared_accumulator, errors.TraceError, r"np\.zeros_like\(x\)"),
    (accumulator_in_a_list, errors.TraceError, r"np\.zeros_like\(x\)"),
    (accumulator_in_a_dict, errors.TraceError, r"np\.zeros_like\(x\)"),
    (global_accumulator, errors.TraceError, r"np\.zeros_like\(x\)"),
    (accumulator_attribute, errors.TraceError, r"np\.zeros_like\(x\)"),
    (dropped_out, errors.TraceError, r"concrete array of shape \(3, 3\)"),
    (function_out, errors.TraceError, r"concrete array of shape \(3,\)"),
    (add_at_concrete, errors.TraceError, r"concrete array"),
    (shape_mismatch, errors.ShapeError, r"matmul: \(3,3\) @ \(4,2\) do not match \(3 vs 4\)"),
    (broadcast_mismatch, errors.ShapeError, r"\(3, 3\) and \(4,\) do not broadcast"),
    (bool_minus_bool, errors.DTypeError, r"boolean subtract"),
    (float_into_int, errors.DTypeError, r"same_kind"),
    (out_of_bounds, IndexError, r"index 5 is out of bounds for axis 0 with size 3"),
    (index_array_out_of_bounds, IndexError, r"index 7 is out of bounds"),
    (too_many_indices, errors.ShapeError, r"too many indices"),
    (float_index, errors.DTypeError, r"integers or bool"),
    (bad_axis, errors.ShapeError, r"axis 2 is out of bounds"),
    (bad_reshape, errors.ShapeError, r"cannot reshape array of size 9"),
    (literal_out_of_range, OverflowError, r"2147483648 out of bounds for int32"),
    (bool_index, errors.UnsupportedError, r"single True or False"),
    (object_array, errors.UnsupportedError, r"dtype object"),
    (complex_array, errors.UnsupportedError, r"dtype complex128"),
    (masked_array, errors.UnsupportedError, r"MaskedArray"),
    (shape_assignment, errors.TraceError, r"x = x\.reshape"),
    (mutated_argument_of_gradient, errors.TraceError, r"w is being differentiated"),
    (mutated_container_in_gradient, errors.TraceError, r"container .* is being differentiated"),
    (argnums_too_large, errors.TraceError, r"argnums 3 does not fit 1 positional"),
    (labels_of_another_shape, errors.ShapeError, r"cross_entropy: labels \(5,\) do not fit"),
]


@pytest.mark.parametrize(("step", "kind", "message"), MISUSE, ids=[m[0].__name__ for m in MISUSE])
def test_misuse(step, kind, message):
    first = step.__code__.co_firstlineno
    with pytest.raises(errors.TapelessError, match=message) as caught:
        run_traced(step, X.copy())
    assert isinstance(caught.value, kind)
    text = str(caught.value)
    assert text.count("\n") == 0
    if step is not random_number:
        line = int(text.rpartition("test_misuse.py:")[2].partition(":")[0])
        assert first < line < first + 9, text


def test_a_concrete_table_is_indexed_as_the_message_says():
    rows = np.array([2, 0, 1])
    actual = run_traced(lambda i: np.asarray(TABLE, like=i)[i], rows)
    np.testing.assert_array_equal(actual, TABLE[rows])


def test_the_line_and_its_text_are_named():
    with pytest.raises(errors.ShapeError) as caught:
        run_traced(shape_mismatch, X.copy())
    line = shape_mismatch.__code__.co_firstlineno + 1
    assert str(caught.value) == (
        "matmul: (3,3) @ (4,2) do not match (3 vs 4), at "
        f"test_misuse.py:{line}: return x @ np.ones((4, 2))"
    )


class Keeper:
    """The attributes of a class are not followed."""

    array = None


def test_a_handle_used_after_its_trace():
    trace(lambda x: setattr(Keeper, "array", x * 2), (X,), {})
    dead = Keeper.array
    for use in (lambda h: h + 1, lambda h: np.sum(h), lambda h: h[0], lambda h: h.sum()):
        with pytest.raises(errors.TraceError, match="finished trace"):
            use(dead)
    with pytest.raises(errors.TraceError, match="trace"):
        run_traced(lambda x: x + Keeper.array, X)


def test_a_traced_array_kept_behind_the_traces_back(monkeypatch):
    monkeypatch.setitem(globals(), "TOTAL", 0.0)

    variable = None

    def kept_in_a_variable(x):
        nonlocal variable
        variable = x

    keeper = Keeper()

    def kept_in_an_attribute(x):
        keeper.array = x

    def kept_by_a_static_argument(x, model):
        model.array = x

    for step, name in ((kept_in_a_list, "KEPT"), (kept_in_a_global, "TOTAL"),
                       (kept_in_a_variable, "variable"),
                       (kept_in_an_attribute, "keeper")):  # fmt: skip
        with pytest.raises(errors.TraceError, match=f"{name} holds a traced array"):
            trace(step, (X,), {})
    with pytest.raises(errors.TraceError, match=r"model\.array holds a traced array"):
        trace(kept_by_a_static_argument, (X, Keeper()), {}, static_argnames=("model",))
    KEPT.clear()
