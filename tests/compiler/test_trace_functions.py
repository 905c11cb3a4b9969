"""Every traced NumPy function against NumPy: values, shapes and dtypes."""

import operator

import numpy as np
import pytest
from conformance import conforms, conforms_or_both_refuse, run_traced, sample
from tapeless.compiler.trace import trace
from tapeless.ir.errors import TapelessError

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.bool_, np.uint8]
UNARY = [
    np.negative, np.abs, np.sign, np.square, np.floor, np.ceil, np.rint, np.trunc, np.isnan,
    np.isinf, np.isfinite, np.logical_not, np.exp, np.expm1, np.tanh, np.sin, np.cos, np.tan,
    np.arctan, np.sinh, np.cosh, np.exp2, np.positive, np.deg2rad, np.degrees, np.fix, np.round,
    np.invert, np.cbrt, np.arcsinh, np.signbit, np.sinc,
]  # fmt: skip
POSITIVE = [np.sqrt, np.log, np.log1p, np.log2, np.log10, np.arccosh]
BINARY = [
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.maximum,
    np.minimum, np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal,
    np.logical_and, np.logical_or, np.logical_xor, np.arctan2, np.hypot, np.logaddexp,
    np.float_power, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift,
    np.fmod, np.fmax, np.fmin, np.copysign, np.heaviside, np.logaddexp2,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fn", UNARY, ids=lambda f: f.__name__)
def test_unary(fn, dtype):
    conforms_or_both_refuse(lambda x: fn(x), sample(dtype, 3, 4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("fn", POSITIVE, ids=lambda f: f.__name__)
def test_positive(fn, dtype):
    conforms(lambda x: fn(x), sample(dtype, 3, 4, low=1, high=9), exact=False)


@pytest.mark.parametrize("fn", [np.arcsin, np.arccos, np.arctanh], ids=lambda f: f.__name__)
def test_inverse_trigonometric(fn):
    conforms(lambda x: fn(x), np.linspace(-1, 1, 9), exact=False)


@pytest.mark.parametrize("left", [np.float32, np.int32, np.bool_, np.uint8])
@pytest.mark.parametrize("right", DTYPES)
@pytest.mark.parametrize("fn", BINARY, ids=lambda f: f.__name__)
def test_binary(fn, left, right):
    x, y = sample(left, 3, 4), sample(right, 4)
    conforms_or_both_refuse(lambda x, y: fn(x, y), x, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,), ()])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    "fn", [np.sum, np.mean, np.max, np.min, np.prod, np.var, np.std, np.any, np.all],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_reductions(fn, axis, keepdims, dtype):
    x = sample(dtype, 2, 3, 4)
    conforms(lambda x: fn(x, axis=axis, keepdims=keepdims), x, exact=False)
    conforms(lambda x: getattr(x, fn.__name__)(axis=axis, keepdims=keepdims), x, exact=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("fn", [np.argmax, np.argmin])
def test_arg_reductions(fn, axis, dtype):
    conforms(lambda x: fn(x, axis), sample(dtype, 3, 4))
    conforms(lambda x: fn(x, axis, keepdims=True), sample(dtype, 3, 4))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: np.sum(x, 0, np.float64),
        lambda x: np.sum(x, where=x > 0),
        lambda x: np.sum(x, initial=3.0),
        lambda x: np.mean(x, axis=1, where=x > -9),
        lambda x: np.max(x, initial=0.5),
        lambda x: np.max(x, where=x < 0, initial=-9.0),
        lambda x: np.var(x, axis=0, ddof=1),
        lambda x: np.std(x, ddof=1, keepdims=True),
        lambda x: np.average(x, axis=1, weights=np.array([1.0, 2.0, 3.0, 4.0])),
        lambda x: np.ptp(x, axis=0),
        lambda x: np.count_nonzero(x > 0, axis=1),
        lambda x: np.add.reduce(x),
        lambda x: np.maximum.reduce(x, axis=1),
        lambda x: np.logaddexp.reduce(x, axis=None),
        lambda x: np.logaddexp.reduce(x, axis=1, keepdims=True),
        lambda x: np.multiply.outer(x[0], x[:, 1]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reduction_options(fn, dtype):
    conforms(fn, sample(dtype, 3, 4), exact=False)


@pytest.mark.parametrize("order", [None, 1, 2, 3, np.inf, -np.inf, 0])
@pytest.mark.parametrize("axis", [0, -1])
def test_vector_norms(order, axis):
    conforms(lambda x: np.linalg.norm(x, order, axis), sample(np.float64, 3, 4), exact=False)
    conforms(lambda x: np.linalg.norm(x, order, axis, True), sample(np.float32, 3, 4), exact=False)


@pytest.mark.parametrize("order", [None, "fro", 1, -1, np.inf, -np.inf])
def test_matrix_norms(order):
    conforms(lambda x: np.linalg.norm(x, order), sample(np.float64, 3, 4), exact=False)
    conforms(lambda x: np.linalg.norm(x, order, (2, 0)), sample(np.float64, 3, 2, 4), exact=False)


def test_norm_of_everything():
    conforms(lambda x: np.linalg.norm(x), sample(np.float32, 2, 3, 4), exact=False)


SHAPES = [
    lambda x: x.reshape(4, 6),
    lambda x: x.reshape((-1, 3)),
    lambda x: np.reshape(x, -1),
    lambda x: x.ravel(),
    lambda x: x.flatten(),
    lambda x: x.T,
    lambda x: x.transpose(1, 0, 2),
    lambda x: x.transpose((2, 0, 1)),
    lambda x: np.transpose(x),
    lambda x: np.swapaxes(x, 0, -1),
    lambda x: np.moveaxis(x, 0, -1),
    lambda x: np.moveaxis(x, (0, 1), (2, 0)),
    lambda x: np.moveaxis(x, [2, 1], range(2)),
    lambda x: x.T.reshape(6, 4),
    lambda x: np.broadcast_to(x, (5, 2, 3, 4)),
    lambda x: np.expand_dims(x, (0, -1)),
    lambda x: np.squeeze(x[:, None, :1]),
    lambda x: np.squeeze(x[:1], axis=0),
    lambda x: np.concatenate([x, x[:1] * 2]),
    lambda x: np.concatenate([x, x], axis=None),
    lambda x: np.concatenate([x, np.ones((2, 3, 1))], axis=-1),
    lambda x: np.stack([x, x + 1], axis=1),
    lambda x: np.stack([x, x], axis=-1),
    lambda x: np.hstack([x[0, 0], x[0, 0, :2]]),
    lambda x: np.hstack([x, x]),
    lambda x: np.vstack([x[0, 0], x[0, 1]]),
    lambda x: np.column_stack([x[0, 0], x[0, 1]]),
    lambda x: np.append(x, 1.0),
    lambda x: np.split(x, 2, axis=2),
    lambda x: np.split(x, [1, 3], axis=2),
    lambda x: np.array_split(x, 3, axis=2),
    lambda x: np.hsplit(x, 3),
    lambda x: np.flip(x),
    lambda x: np.flip(x, 1),
    lambda x: np.fliplr(x),
    lambda x: np.roll(x, 2),
    lambda x: np.roll(x, -1, axis=1),
    lambda x: np.repeat(x, 2, axis=1),
    lambda x: x.repeat(3),
    lambda x: np.tile(x, (2, 1, 1, 2)),
    lambda x: np.tile(x, 2),
    lambda x: np.pad(x[0], 1),
    lambda x: np.pad(x[0], ((1, 0), (2, 1)), constant_values=7),
    lambda x: np.diff(x),
    lambda x: np.diff(x, n=2, axis=1),
    lambda x: np.diagonal(x),
    lambda x: np.diagonal(x, 1, 1, 2),
    lambda x: np.diagonal(x, -1, 0, 2),
    lambda x: np.trace(x),
    lambda x: np.diag(x[0, 0]),
    lambda x: np.diag(x[0, 0], 1),
    lambda x: np.diag(x[0, 0], -2),
    lambda x: np.diag(x[0]),
    lambda x: np.tril(x),
    lambda x: np.triu(x[0], 1),
    lambda x: np.take(x, [2, 0], axis=1),
    lambda x: np.take(x, 5),
    lambda x: np.take_along_axis(x, np.argmax(x, -1, keepdims=True), -1),
    lambda x: np.atleast_2d(x[0, 0]),
    lambda x: np.broadcast_arrays(x, x[0])[1],
    lambda x: np.matrix_transpose(x),
    lambda x: (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1), len(x), x.nbytes),
]


@pytest.mark.parametrize("fn", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_shapes(fn, dtype):
    conforms(fn, sample(dtype, 2, 3, 4))


@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)),
     ((2, 3, 4), (2, 4, 5)), ((1, 3, 4), (6, 4, 5)), ((5, 1, 3, 4), (2, 4, 2)), ((4,), (2, 4, 5)),
     ((2, 3, 4), (4,)), ((2, 0), (0, 3)), ((1, 1), (1, 5)), ((3, 1), (1, 1))],
)  # fmt: skip
def test_matmul(left, right):
    for dtypes in ((np.float64, np.float64), (np.float32, np.int32), (np.int32, np.int32)):
        x, y = sample(dtypes[0], *left), sample(dtypes[1], *right)
        conforms(lambda x, y: x @ y, x, y, exact=False)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, y: np.dot(x, y),
        lambda x, y: x.dot(y),
        lambda x, y: np.dot(x[0], y[:, 0]),
        lambda x, y: np.dot(x, 2.0),
        lambda x, y: np.dot(np.stack([x, x]), y),
        lambda x, y: np.outer(x, y),
        lambda x, y: np.inner(x, y.T),
        lambda x, y: np.vdot(x, x + 1),
        lambda x, y: np.vecdot(x, x + 1),
        lambda x, y: np.tensordot(x, y, 1),
        lambda x, y: np.tensordot(x, x, ([0, 1], [0, 1])),
        lambda x, y: np.tensordot(x, y, (1, 0)),
        lambda x, y: np.linalg.multi_dot([x[0], y, y.T, x.T[:, 0]]),
        lambda x, y: np.linalg.multi_dot([x, y, y.T]),
        lambda x, y: (x > 0) @ (y > 0),
        lambda x, y: np.ones((2, 3)) @ x,
    ],
)
def test_products(fn):
    conforms(fn, sample(np.float64, 3, 4), sample(np.float64, 4, 5), exact=False)


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [("ij,jk->ik", [(3, 4), (4, 5)]), ("ij,jk", [(3, 4), (4, 5)]), ("ij,j", [(3, 4), (4,)]),
     ("il,ljk", [(2, 3), (3, 4, 5)]), ("ij->ji", [(3, 4)]), ("ji", [(3, 4)]), ("ii->i", [(3, 3)]),
     ("ii", [(3, 3)]), ("iij->j", [(3, 3, 2)]), ("ij->", [(3, 4)]), ("i,j->ij", [(3,), (4,)]),
     ("i,i,i->i", [(3,), (3,), (3,)]), ("ij,jk,kl->il", [(3, 4), (4, 5), (5, 2)]),
     ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
     ("...i,i", [(2, 3, 4), (4,)]), ("ij,ij->i", [(3, 4), (3, 4)]), ("ij,kl->", [(3, 4), (2, 5)]),
     ("ij,ik->jk", [(3, 4), (3, 5)]), ("ij,j->ij", [(3, 1), (4,)]),
     ("a,b,c->", [(2,), (3,), (4,)])],
)  # fmt: skip
def test_einsum(spec, shapes):
    arrays = [sample(np.float64, *shape) for shape in shapes]
    conforms(lambda *xs: np.einsum(spec, *xs), *arrays, exact=False)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: np.where(x > 0, x, 0),
        lambda x: np.where(x > 0, x, 0.5),
        lambda x: np.where(x > 0, 1, 2),
        lambda x: np.where([True, False, True, False], x, np.float64(1)),
        lambda x: np.clip(x, -1, 1),
        lambda x: x.clip(0),
        lambda x: np.clip(x, None, 0.5),
        lambda x: np.clip(x, min=0, max=1),
        lambda x: np.round(x, 1),
        lambda x: x.round(-1),
        lambda x: np.nan_to_num(x / 0),
        lambda x: np.isclose(x, x + 1e-9),
        lambda x: np.allclose(x, x),
        lambda x: np.array_equal(x, x + 1),
        lambda x: np.zeros_like(x),
        lambda x: np.ones_like(x, dtype=np.int32),
        lambda x: np.full_like(x, 7),
        lambda x: np.full_like(x, x[0, 0], shape=(2,)),
        lambda x: np.zeros(3, like=x),
        lambda x: np.ones((2, 2), np.float32, like=x),
        lambda x: np.full(2, 1.5, like=x),
        lambda x: np.array([1, 2], like=x),
        lambda x: np.arange(3, like=x),
        lambda x: x.astype(np.int32),
        lambda x: x.astype(bool),
        lambda x: x.copy(),
        lambda x: np.copy(x),
        lambda x: np.divmod(x, 2),
        lambda x: (x > 0) & (x < 1) | ~(x > -1) ^ (x == 0),
        lambda x: abs(-x) + +x,
        lambda x: [row * 2 for row in x],
        lambda x: np.result_type(x, 1.0) == np.promote_types(x.dtype, np.float32),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_selection_creation_conversion(fn, dtype):
    conforms(fn, sample(dtype, 3, 4))


def test_special_values():
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-320, 709.0])
    conforms(lambda x: (np.sign(x), np.maximum.reduce(x), np.floor(x)), x)
    conforms(lambda x: np.logaddexp(x, x), x, exact=False)
    conforms(lambda x: np.logaddexp(x, 0), x, exact=False)
    conforms(lambda x: np.hypot(x, 3.0), x[1:], exact=False)
    conforms(lambda x: np.hypot(x, x), np.array([1e200, 1e-200, 0.0]), exact=False)
    conforms(lambda x: np.clip(x, 0, 1), x)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_empty_reductions():
    x = np.zeros((0, 3))
    for fn in (np.sum, np.prod, np.any, np.all):
        conforms(lambda x, fn=fn: fn(x, axis=0), x)
    conforms(lambda x: np.mean(x), x)
    for extremum in (np.max, np.argmax):
        with pytest.raises(ValueError):
            run_traced(lambda x, fn=extremum: fn(x), x)


def test_captured_arrays_become_the_smallest_constant():
    counter, uniform, table = np.arange(6).reshape(2, 3), np.full((2, 3), 2.5), np.eye(2, 3)
    text = str(trace(lambda x: x * counter + uniform - table, (np.ones((2, 3)),), {}).graph)
    assert "iota" in text and "broadcast 2.5" in text and text.count("constant") == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.split(x, 2, axis=1),
        lambda x: np.array_split(x, 0),
        lambda x: np.vsplit(x[0], 2),
        lambda x: np.sum(x, where=x),
        lambda x: np.sum(x[0], where=x > 0),
        lambda x: np.mean(x, axis=0, out=x),
        lambda x: np.argmax(x, axis=(0, 1)),
        lambda x: np.max(x, axis=True),
        lambda x: np.take(x, [0, 1], axis=2),
        lambda x: np.take_along_axis(x, np.array([[0]]), axis=5),
        lambda x: np.put_along_axis(x, np.array([0]), 1.0, axis=0),
        lambda x: np.rollaxis(x, 0, 3),
        lambda x: np.resize(x, (2, -1)),
        lambda x: np.linspace(x[0, 0], 1, -1),
        lambda x: np.select([x], [x]),
        lambda x: np.piecewise(x, [x[0] > 0], [1.0, 2.0]),
        lambda x: np.putmask(x, x[0] > 0, 1.0),
        lambda x: np.copyto(x, x, where=x),
        lambda x: np.copyto(x.astype(int), x),
        lambda x: np.einsum(x, [0, -1]),
        lambda x: np.matvec(x[0], x[0]),
        lambda x: np.triu_indices_from(x[None]),
        lambda x: np.gradient(x > 0),
        lambda x: np.vander(x[0], -1),
        lambda x: x[0][np.array([True, False])],
        lambda x: np.add(np.zeros(3), x, out=np.zeros(3)),
        lambda x: operator.iadd(np.zeros(3), x),
    ],
)
def test_what_numpy_refuses_is_refused(function):
    x = np.arange(6.0).reshape(2, 3)
    with pytest.raises((ValueError, TypeError, IndexError)):
        function(x.copy())
    with pytest.raises(TapelessError):
        run_traced(function, x)


def test_initial_values_have_the_dtype_of_the_result():
    n, m = np.arange(6).reshape(2, 3), np.array([[True, False, True], [False, False, True]])
    conforms(lambda n: np.sum(n, initial=1.5), n)
    conforms(lambda n: np.prod(n, axis=0, initial=2.5), n)
    conforms(lambda n: np.max(n, axis=0, initial=2.5), n)
    conforms(lambda m: np.max(m, axis=0, initial=True), m)
    conforms(lambda m: np.max(m, axis=0, initial=False, where=[False, True, True]), m)
    conforms(lambda m: np.min(m, axis=0, initial=True, where=[False, True, True]), m)
    conforms(lambda m: np.max(m[:0], axis=0, initial=True), m)


def test_integers_to_the_powers_0_and_1_are_arrays_of_their_own():
    def powers(n):
        same, ones = n**1, n[:, :1] ** 0
        same += 1
        ones += n[:, 1:2]
        return n * 1, same, ones

    conforms(powers, np.arange(6).reshape(2, 3))


def test_variances_without_freedom_are_nan_beside_nan():
    x = np.array([[1.0, 2.0, np.nan, np.nan], [1.0, 2.0, 4.0, 8.0]])
    with pytest.warns(RuntimeWarning, match="freedom"):
        conforms(lambda x: np.nanvar(x, axis=1, ddof=3), x)
