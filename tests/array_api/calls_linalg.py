"""What products and linear algebra are called with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from .drawing import FLOAT, NUMERIC, Call, Draw, arrays, call, reduced


@call("matmul", "linalg.matmul")
def matmul(draw: Draw, name: str) -> Call:
    dtype = draw(st.sampled_from(NUMERIC))
    n = draw(st.integers(0, 4))
    sizes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)
    (a, b), batch = draw(sizes), draw(st.sampled_from([(), (2,), (3, 1)]))
    left = draw(st.sampled_from([(n,), (a, n), (*batch, a, n)]))
    right = draw(st.sampled_from([(n,), (n, b), (2, n, b)]))
    return tuple(draw(arrays([dtype], s, moderate=True)) for s in (left, right)), {}


@call("vecdot", "linalg.vecdot")
def vecdot(draw: Draw, name: str) -> Call:
    dtype, n = draw(st.sampled_from(NUMERIC)), draw(st.integers(0, 4))
    x, y = (
        draw(arrays([dtype], s, moderate=True))
        for s in ((3, n), draw(st.sampled_from([(n,), (2, 1, n)])))
    )
    if draw(st.booleans()) and y.ndim > 1:
        return (np.moveaxis(x, -1, 0).copy(), np.moveaxis(y[:, 0], -1, 0)[:, :1].copy()), {
            "axis": -2
        }
    return (x, y), {}


@call("tensordot", "linalg.tensordot")
def tensordot(draw: Draw, name: str) -> Call:
    dtype = draw(st.sampled_from(NUMERIC))
    shapes, axes = draw(st.sampled_from([
        (((2, 3), (3, 2)), 1), (((2, 3), (2, 3)), 2), (((2,), (3, 1)), 0),
        (((2, 3, 4), (4, 2)), ((2, 0), (0, 1))), (((2, 3), (4, 3)), ((-1,), (-1,))),
    ]))  # fmt: skip
    return tuple(draw(arrays([dtype], s, moderate=True)) for s in shapes), {"axes": axes}


@call("linalg.cross")
def cross(draw: Draw, name: str) -> Call:
    x, y = (draw(arrays(FLOAT[1:], s, moderate=True)) for s in ((2, 3), (2, 3)))
    return (x, y), {}


@call("linalg.outer")
def outer(draw: Draw, name: str) -> Call:
    dtype = draw(st.sampled_from(NUMERIC))
    return tuple(draw(arrays([dtype], draw(st.integers(0, 4)), moderate=True)) for _ in "xy"), {}


@call("linalg.diagonal", "linalg.trace")
def diagonals(draw: Draw, name: str) -> Call:
    return (draw(arrays(NUMERIC, least=2, moderate=True)),), {"offset": draw(st.integers(-2, 2))}


@call("linalg.vector_norm")
def vector_norm(draw: Draw, name: str) -> Call:
    (x,), kwargs = draw(reduced(FLOAT, side=1))
    return (x,), kwargs | {"ord": draw(st.sampled_from([2, 1, 0, math.inf, -math.inf, 3, 2.5]))}


@call("linalg.matrix_norm")
def matrix_norm(draw: Draw, name: str) -> Call:
    """The orders 2, -2 and 'nuc' need singular values."""
    orders = st.sampled_from(["fro", 1, -1, math.inf, -math.inf])
    x = draw(arrays(FLOAT, least=2, side=1, moderate=True))
    return (x,), {"ord": draw(orders), "keepdims": draw(st.booleans())}


def regular(draw: Draw) -> Any:
    """A stack of matrices with a dominant diagonal: far from singular, positive definite when
    symmetric."""
    n = draw(st.integers(1, 4))
    x = draw(arrays(FLOAT, (*draw(st.sampled_from([(), (2,)])), n, n), moderate=True))
    return x + (8 * n * np.eye(n)).astype(x.dtype)


@call("linalg.det", "linalg.inv", "linalg.slogdet")
def square(draw: Draw, name: str) -> Call:
    return (regular(draw),), {}


@call("linalg.cholesky")
def cholesky(draw: Draw, name: str) -> Call:
    x = regular(draw)
    return (x + np.swapaxes(x, -1, -2),), {"upper": draw(st.booleans())}


@call("linalg.matrix_power")
def matrix_power(draw: Draw, name: str) -> Call:
    return (regular(draw), draw(st.integers(-2, 4))), {}


@call("linalg.solve")
def solve(draw: Draw, name: str) -> Call:
    x = regular(draw)
    n = x.shape[-1]
    shape = draw(st.sampled_from([(n,), (*x.shape[:-1], 2)]))
    return (x, draw(arrays([str(x.dtype)], shape, moderate=True))), {}
