"""Calculus for neural networks: pooling and convolution."""

import numpy as np
import pytest
import tapeless as tl
from loops import convolution_gradients, convolved, pooled
from numpy.lib.stride_tricks import sliding_window_view

POOLING = {
    "max 2-D": (tl.nn.max_pool2d, "max", (2, 3), (2, 1), (1, 1)),
    "max 1-D": (tl.nn.max_pool1d, "max", (1, 3), (1, 2), (0, 1)),
    "average 2-D": (tl.nn.avg_pool2d, "avg", (2, 3), (2, 1), (1, 1)),
    "average 1-D": (tl.nn.avg_pool1d, "avg", (1, 3), (1, 2), (0, 1)),
}


@pytest.mark.parametrize("name", POOLING)
def test_C4_pooling(agrees, normal, name):
    """Average pooling spreads the gradient evenly, max pooling routes it to the arg max."""
    pool, kind, size, stride, padding = POOLING[name]
    line = size[0] == 1
    x = normal(2, 3, 1, 7) if line else normal(2, 3, 5, 6)
    y, _ = pooled(kind, x, None, size, stride, padding)
    g = normal(*y.shape)

    def value_and_gradient(x, g):
        value, back = tl.vjp(lambda x: pool(x, size[-1:] if line else size, *own), x)
        return value, back(g)[0]

    own = [pair[-1:] if line else pair for pair in (stride, padding)]
    given = [a[:, :, 0] for a in (x, g)] if line else [x, g]

    def loop(x, g):
        parts = (x[:, :, None], g[:, :, None]) if line else (x, g)
        found = pooled(kind, *parts, size, stride, padding)
        return tuple(a[:, :, 0] for a in found) if line else found

    agrees(value_and_gradient, given, loop)


def test_C4_the_arg_max_is_saved_in_the_forward_pass(normal):
    step = tl.compile(tl.value_and_grad(lambda x: np.sum(tl.nn.max_pool2d(x, 2) ** 2)))
    graph = step.lower(normal(2, 3, 4, 4)).graph("optimized")
    compared = [n.result for n in graph.nodes if n.op.name == "ge"]
    assert len(compared) == 3  # of four elements, and no more where derivatives are routed
    largest = [n.result for n in graph.nodes if n.op.name == "or"]
    assert all(len(graph.users[v]) == 3 for v in largest)  # chooses a value and two derivatives


def by_im2col(x, w, stride, padding, dilation):
    """The windows as columns of a matrix, times the kernels as rows of another."""
    low, high = padding
    x = np.pad(x, ((0, 0), (0, 0), (low, low), (high, high)))
    spans = tuple((n - 1) * d + 1 for n, d in zip(w.shape[2:], dilation, strict=True))
    windows = sliding_window_view(x, spans, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    n, c, rows, columns, i, j = windows.shape
    cols = windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * i * j, rows * columns)
    return (w.reshape(len(w), -1) @ cols).reshape(n, len(w), rows, columns)


def direct(x, w, stride, padding, dilation):
    return tl.nn.conv2d(x, w, stride=stride, padding=padding, dilation=dilation)


GEOMETRIES = [((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 2), (1, 1)), ((1, 2), (2, 1), (2, 2))]


@pytest.mark.parametrize("way", [by_im2col, direct])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_C8_convolution(agrees, normal, way, geometry):
    """N_o x N_i x F_r x F_c on a batch of N_i x L_r x L_c: the six loops, and both gradients."""
    x, w = normal(2, 3, 6, 7), normal(4, 3, 3, 2)
    g = normal(*convolved(x, w, *geometry).shape)

    def value_and_gradients(x, w, g):
        y, back = tl.vjp(lambda x, w: way(x, w, *geometry), x, w)
        return y, *back(g)

    def loops(x, w, g):
        return convolved(x, w, *geometry), *convolution_gradients(g, x, w, *geometry)

    agrees(value_and_gradients, [x, w, g], loops)
