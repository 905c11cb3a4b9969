"""What functions of shapes, and those that make new arrays, are called with."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from .drawing import (
    EVERY,
    FLOAT,
    NUMERIC,
    SIGNED,
    UNSIGNED,
    Call,
    Draw,
    arrays,
    axes_of,
    call,
    numbers,
    pairs,
)


@call("matrix_transpose", "linalg.matrix_transpose")
def matrices(draw: Draw, name: str) -> Call:
    return (draw(arrays(least=2)),), {}


@call("tril", "triu")
def triangles(draw: Draw, name: str) -> Call:
    return (draw(arrays(least=2)),), {"k": draw(st.integers(-3, 3))}


@call("reshape")
def reshape(draw: Draw, name: str) -> Call:
    x = draw(arrays(side=1))
    shapes = [(-1,), x.shape[::-1], (x.size, 1), (1, *x.shape)]
    return (x, draw(st.sampled_from(shapes))), {"copy": draw(st.sampled_from([None, True]))}


@call("permute_dims")
def permute(draw: Draw, name: str) -> Call:
    x = draw(arrays())
    return (x, tuple(draw(st.permutations(range(x.ndim))))), {}


@call("moveaxis")
def moveaxis(draw: Draw, name: str) -> Call:
    x = draw(arrays(least=1))
    return (x, draw(axes_of(x)), draw(axes_of(x))), {}


@call("expand_dims")
def expand(draw: Draw, name: str) -> Call:
    x = draw(arrays())
    return (x,), {"axis": draw(st.integers(-x.ndim - 1, x.ndim))}


@call("squeeze")
def squeeze(draw: Draw, name: str) -> Call:
    x = draw(arrays())
    k = draw(st.integers(0, x.ndim))
    return (np.expand_dims(x, k), k), {}


@call("flip", "roll")
def turned(draw: Draw, name: str) -> Call:
    x = draw(arrays())
    axis: Any = draw(st.none() | axes_of(x)) if x.ndim else None
    shift = draw(st.integers(-9, 9))
    if name == "flip":
        return (x,), {"axis": axis}
    if axis is not None and draw(st.booleans()):
        return (x, (shift, 1)), {"axis": (axis, 0)}
    return (x, shift), {"axis": axis}


@call("concat", "stack")
def joined(draw: Draw, name: str) -> Call:
    x, y = draw(pairs().filter(lambda pair: all(isinstance(a, np.ndarray) for a in pair)))
    x, y = np.broadcast_arrays(x, y)
    if name == "stack":
        return ([x.copy(), y.copy()],), {"axis": draw(st.integers(-x.ndim - 1, x.ndim))}
    axis = draw(st.none() | axes_of(x)) if x.ndim else None
    return ((x.copy(), y.copy()),), {"axis": axis}


@call("unstack")
def unstack(draw: Draw, name: str) -> Call:
    x = draw(arrays(least=1, side=1))
    return (x,), {"axis": draw(axes_of(x))}


@call("tile")
def tile(draw: Draw, name: str) -> Call:
    return (draw(arrays()), tuple(draw(st.lists(st.integers(0, 3), max_size=4)))), {}


@call("repeat")
def repeat(draw: Draw, name: str) -> Call:
    x = draw(arrays(least=1))
    axis = draw(st.none() | axes_of(x))
    n = x.size if axis is None else x.shape[axis]
    counts = st.integers(0, 3)
    return (x, draw(counts | hnp.arrays("int64", n, elements=counts))), {"axis": axis}


@call("broadcast_to", "broadcast_arrays")
def broadcast(draw: Draw, name: str) -> Call:
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
    x, y = (draw(arrays(shape=s)) for s in shapes.input_shapes)
    return ((x, shapes.result_shape) if name == "broadcast_to" else (x, y)), {}


@call("meshgrid")
def meshgrid(draw: Draw, name: str) -> Call:
    dtype = draw(st.sampled_from(NUMERIC))
    lines = draw(st.lists(arrays([dtype], (3,)) | arrays([dtype], (2,)), min_size=1, max_size=3))
    return tuple(lines), {"indexing": draw(st.sampled_from(["xy", "ij"]))}


@call("take", "take_along_axis")
def take(draw: Draw, name: str) -> Call:
    x = draw(arrays(least=1, side=1))
    axis = draw(axes_of(x))
    n = x.shape[axis]
    shape: Any = draw(st.integers(0, 4))
    if name == "take_along_axis":
        shape = (*x.shape[: axis % x.ndim], shape, *x.shape[axis % x.ndim + 1 :])
    wanted = draw(hnp.arrays("int64", shape, elements=st.integers(-n, n - 1)))
    return (x, wanted), {"axis": axis}


@call("ones", "zeros")
def filled(draw: Draw, name: str) -> Call:
    shape = draw(st.integers(0, 4) | hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
    return (shape,), {"dtype": draw(st.none() | st.sampled_from(EVERY))}


@call("ones_like", "zeros_like")
def filled_like(draw: Draw, name: str) -> Call:
    return (draw(arrays()),), {"dtype": draw(st.none() | st.sampled_from(EVERY))}


@call("full", "full_like")
def full(draw: Draw, name: str) -> Call:
    dtype = draw(st.sampled_from(EVERY))
    first = (
        draw(arrays()) if name == "full_like" else draw(hnp.array_shapes(min_side=0, max_side=3))
    )
    return (first, draw(numbers(dtype))), {"dtype": dtype}


@call("eye")
def eye(draw: Draw, name: str) -> Call:
    sizes = st.integers(0, 4)
    kwargs = {"k": draw(st.integers(-4, 4)), "dtype": draw(st.none() | st.sampled_from(NUMERIC))}
    return (draw(sizes), draw(st.none() | sizes)), kwargs


@call("arange")
def arange(draw: Draw, name: str) -> Call:
    bound = st.integers(-9, 9)
    step = draw(st.integers(1, 3) | st.integers(-3, -1))
    return (draw(bound), draw(bound), step), {
        "dtype": draw(st.sampled_from([None, *SIGNED, *FLOAT]))
    }


@call("linspace")
def linspace(draw: Draw, name: str) -> Call:
    bound = st.floats(-8, 8, width=32)
    kwargs = {"endpoint": draw(st.booleans()), "dtype": draw(st.sampled_from([None, *FLOAT]))}
    return (draw(bound), draw(bound), draw(st.integers(0, 9))), kwargs


@call("astype")
def astype(draw: Draw, name: str) -> Call:
    """Floats that do not fit an integer are undefined."""
    to = draw(st.sampled_from(EVERY))
    x = draw(arrays([d for d in EVERY if d not in FLOAT]) | arrays(FLOAT, moderate=to not in FLOAT))
    if to in UNSIGNED and str(x.dtype) in FLOAT:
        x = np.abs(x)
    return (x, np.dtype(to)), {"copy": draw(st.booleans())}
