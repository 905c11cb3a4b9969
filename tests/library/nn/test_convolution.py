"""Convolution against explicit loops: values and both gradients, interpreted and compiled."""

import itertools
import re

import numpy as np
import pytest
import tapeless as tl
from loops import convolution_gradients, convolved
from numpy.lib.stride_tricks import sliding_window_view
from tapeless.ir.errors import ShapeError, UnsupportedError

nn = tl.nn
LIMIT = {np.float32: 2e-5, np.float64: 1e-12}
OPTIONS = ("stride", "padding", "dilation", "groups")
CASES = [
    # input, weight, stride, padding, dilation, groups
    ((2, 3, 6, 7), (4, 3, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((2, 3, 6, 7), (4, 3, 3, 2), (2, 3), (1, 1), (1, 1), 1),
    ((2, 3, 7, 8), (2, 3, 2, 3), (2, 1), (2, 1), (3, 2), 1),
    ((2, 4, 6, 5), (6, 2, 3, 2), (2, 1), (1, 0), (1, 2), 2),
    ((1, 3, 5, 5), (3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3),
    ((2, 2, 4, 5), (3, 2, 4, 5), (1, 1), (0, 0), (1, 1), 1),
    ((3, 2, 4, 4), (2, 2, 1, 1), (2, 2), (0, 0), (1, 1), 1),
]


def numbers(*shapes, dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def close(found, expected, dtype):
    assert found.dtype == dtype and found.shape == expected.shape
    limit = LIMIT[dtype] * max(1.0, np.max(np.abs(expected), initial=0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_equals_six_loops_and_so_do_both_gradients(case, dtype):
    x, w, b = numbers(case[0], case[1], (case[1][0],), dtype=dtype)
    options = dict(zip(OPTIONS, case[2:], strict=True))
    y = convolved(*(a.astype(np.float64) for a in (x, w)), *case[2:]) + b[:, None, None]
    (g,) = numbers(y.shape, dtype=dtype)

    def step(x, w, b, g):
        y, back = tl.vjp(lambda x, w, b: nn.conv2d(x, w, b, **options), x, w, b)
        return y, *back(g)

    gx, gw = convolution_gradients(*(a.astype(np.float64) for a in (g, x, w)), *case[2:])
    wanted = (y, gx, gw, g.astype(np.float64).sum((0, 2, 3)))
    compiled = tl.compile(step)
    close(nn.conv2d(x, w, b, **options), y, dtype)
    for run in (compiled, compiled.interpret):
        for found, expected in zip(run(x, w, b, g), wanted, strict=True):
            close(found, expected, dtype)


@pytest.mark.parametrize("stride,padding,dilation", list(itertools.product((1, 2), (0, 1), (1, 2))))
def test_conv1d_is_conv2d_of_one_row(stride, padding, dilation):
    x, w, b = numbers((2, 3, 8), (4, 3, 3), (4,))
    expected = convolved(x[:, :, None], w[:, :, None], (1, stride), (0, padding), (1, dilation))[
        :, :, 0
    ]
    step = tl.compile(lambda x, w, b: nn.conv1d(x, w, b, stride, padding, dilation))
    for run in (step, step.interpret):
        close(run(x, w, b), expected + b[:, None], np.float64)


def test_derivatives_of_first_and_second_order():
    x, w, b = numbers((2, 4, 5), (4, 2, 2), (4,))

    def loss(x, w, b):
        return np.sum(np.sin(nn.conv1d(x, w, b, stride=2, padding=1, groups=2)))

    tl.check_grads(loss, (x, w, b), order=2)
    x, w = numbers((2, 4, 5), (3, 2, 2, 2))
    tl.check_grads(lambda x, w: np.sum(np.sin(nn.conv2d(x, w, dilation=2))), (x, w), order=2)


def test_without_a_batch_axis():
    x, w = numbers((3, 5, 6), (2, 3, 2, 2))
    for run in (nn.conv2d, tl.compile(nn.conv2d)):
        close(run(x, w), nn.conv2d(x[None], w)[0], np.float64)


def test_padding_by_name():
    x, w = numbers((2, 3, 6, 5), (2, 3, 4, 3))
    assert nn.conv2d(x, w, padding="same").shape == (2, 2, 6, 5)
    odd = np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 1)))  # the larger half at the end
    close(nn.conv2d(x, w, padding="same"), nn.conv2d(odd, w), np.float64)
    close(nn.conv2d(x, w, padding="valid"), nn.conv2d(x, w), np.float64)
    with pytest.raises(UnsupportedError, match="stride 1"):
        nn.conv2d(x, w, stride=2, padding="same")
    with pytest.raises(UnsupportedError, match="reflect"):
        nn.conv2d(x, w, padding="reflect")


@pytest.mark.parametrize(
    ("x", "w", "b", "options", "words"),
    [
        ((2, 3, 5, 5), (4, 2, 3, 3), None, {}, r"\(2, 3, 5, 5\) and weight \(4, 2, 3, 3\)"),
        ((2, 3, 5, 5), (4, 3, 3), None, {}, "weight"),
        ((3, 5), (4, 3, 3, 3), None, {}, "batch, channels, height, width"),
        ((2, 3, 5, 5), (4, 3, 6, 3), None, {}, "do not fit the padded input"),
        ((2, 3, 5, 5), (4, 3, 3, 3), (3,), {}, r"bias \(3,\)"),
        ((2, 4, 5, 5), (3, 2, 3, 3), None, {"groups": 2}, "groups=2"),
        ((2, 3, 5, 5), (4, 3, 3, 3), None, {"stride": 0}, "stride"),
        ((2, 3, 5, 5), (4, 3, 3, 3), None, {"dilation": (1, 1, 1)}, "dilation"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(x, w, b, options, words):
    x, w = numbers(x, w)
    b = None if b is None else np.zeros(b)
    for run in (nn.conv2d, tl.compile(nn.conv2d, static_argnames=tuple(options))):
        with pytest.raises(ShapeError, match=words):
            run(x, w, b, **options)


# --- how it runs ---------------------------------------------------------------------------


PRODUCTS = [
    ((4, 1, 12, 12), (8, 1, 5, 5), 1),
    ((4, 8, 8, 8), (16, 8, 5, 5), 1),
    ((4, 8, 8, 8), (16, 4, 5, 5), 2),
]


@pytest.mark.parametrize(("x", "w", "groups"), PRODUCTS)
def test_forward_and_both_gradients_are_matrix_products(x, w, groups):
    x, w = numbers(x, w, dtype=np.float32)

    def loss(x, w):
        return np.sum(np.tanh(nn.conv2d(x, w, padding=1, groups=groups)))

    program = tl.compile(lambda x, w: tl.value_and_grad(loss, argnums=(0, 1))(x, w)).lower(x, w)
    names = [n.op.name for n in program.graph("planned").nodes]
    assert not {"dot", "windows", "windows_add"} & set(names)  # all inside of three kernels
    products = re.findall(r"(?:gemm|indirect)_f32\(", str(program.source()))
    assert len(products) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_array_of_windows_around_a_kernel_for_each_channel(dtype):
    """Not before a batch norm either, whose mean could be that of the windows, and behind which
    the derivative is a selection."""
    x, w, g = numbers((2, 3, 7, 7), (3, 1, 3, 3), (3,), dtype=dtype)

    def loss(x, w, g):
        y = nn.conv2d(x, w, stride=2, padding=1, groups=3)
        y = nn.relu(nn.batch_norm(y, None, None, g, g, training=True))
        return np.sum(y * y)

    step = tl.compile(lambda *a: tl.value_and_grad(loss, argnums=(0, 1, 2))(*a))
    assert "windows" not in step.lower(x, w, g).ir("planned")
    found, expected = tl.tree.leaves(step(x, w, g)), tl.tree.leaves(step.interpret(x, w, g))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e3 * np.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_is_trained_as_the_interpreter_trains_it(dtype):
    shapes = {"k1": (4, 1, 3, 3), "b1": (4,), "k2": (6, 4, 3, 3), "b2": (6,), "w": (24, 5)}
    params = dict(zip(shapes, numbers(*shapes.values(), dtype=dtype), strict=True))
    (x,) = numbers((8, 1, 14, 14), dtype=dtype)
    y = np.arange(8) % 5

    def loss(p, x, y):
        h = nn.max_pool2d(nn.relu(nn.conv2d(x, p["k1"], p["b1"])), 2)
        h = nn.avg_pool2d(nn.relu(nn.conv2d(h, p["k2"], p["b2"])), 2)
        return nn.cross_entropy(np.reshape(h, (len(h), -1)) @ p["w"], y)

    @tl.compile
    def step(p, x, y, lr):
        value, g = tl.value_and_grad(loss)(p, x, y)
        for k in p:
            p[k] -= lr * g[k]
        return value

    other = {k: v.copy() for k, v in params.items()}
    losses = []
    for _ in range(3):
        losses.append(float(step(params, x, y, 0.05)))
        close(np.asarray(losses[-1], dtype), step.interpret(other, x, y, 0.05), dtype)
    for k, found in params.items():
        close(found, other[k], dtype)
    assert losses[-1] < losses[0]


def test_the_jacobian_shows_one_map_for_stride_and_dilation():
    x, w = numbers((1, 2, 9, 9), (2, 2, 3, 3))
    program = tl.compile(
        lambda x, w: tl.grad(lambda x: np.sum(nn.conv2d(x, w, stride=2, dilation=2) ** 2))(x)
    ).lower(x, w)
    assert "windows(strides=(2,2), dilations=(2,2))" in program.ir("autodiff")
    assert "slice" not in program.ir("autodiff")


# --- written by hand -----------------------------------------------------------------------


def by_windows(x, w):
    n, c = x.shape[:2]
    o, _, i, j = w.shape
    windows = sliding_window_view(x, (i, j), axis=(2, 3))[:, :, ::2]
    rows, columns = windows.shape[2:4]
    flat = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * rows * columns, c * i * j)
    return (flat @ w.reshape(o, -1).T).reshape(n, rows, columns, o).transpose(0, 3, 1, 2)


def by_index_arrays(x, w):
    n, c, h, v = x.shape
    o, _, i, j = w.shape
    rows, columns = (h - i) // 2 + 1, v - j + 1
    k, a, b = (m.reshape(-1, 1) for m in np.indices((c, i, j)))
    p, q = (m.reshape(1, -1) for m in np.indices((rows, columns)))
    patches = x[:, k, 2 * p + a, q + b]
    return (w.reshape(o, -1) @ patches).reshape(n, o, rows, columns)


@pytest.mark.parametrize("im2col", [by_windows, by_index_arrays])
def test_im2col_by_hand(im2col):
    x, w = numbers((2, 3, 6, 5), (4, 3, 3, 2))
    y = convolved(x, w, (2, 1), (0, 0), (1, 1))
    (g,) = numbers(y.shape)

    def step(x, w, g):
        y, back = tl.vjp(im2col, x, w)
        return y, *back(g)

    wanted = (y, *convolution_gradients(g, x, w, (2, 1), (0, 0), (1, 1)))
    compiled = tl.compile(step)
    for run in (compiled, compiled.interpret):
        for found, expected in zip(run(x, w, g), wanted, strict=True):
            close(found, expected, np.float64)


def test_equals_torch():
    torch = pytest.importorskip("torch")
    for case in CASES:
        x, w, b = numbers(case[0], case[1], (case[1][0],))
        expected = torch.nn.functional.conv2d(*map(torch.tensor, (x, w, b)), *case[2:])
        close(nn.conv2d(x, w, b, *case[2:]), expected.numpy(), np.float64)
