"""What elementwise functions, reductions, sorts and searches are called with."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from . import standard
from .drawing import (
    BOOL,
    EVERY,
    FLOAT,
    KINDS,
    NUMERIC,
    Call,
    Draw,
    arrays,
    axes_of,
    call,
    numbers,
    pairs,
    reduced,
)


@call(*standard.UNARY)
def unary(draw: Draw, name: str) -> Call:
    return (draw(arrays(KINDS.get(name, FLOAT))),), {}


@call(*standard.BINARY)
def binary(draw: Draw, name: str) -> Call:
    x, y = draw(pairs(KINDS.get(name, FLOAT)))
    if name.endswith("_shift"):
        limit = 8 * (x if isinstance(x, np.ndarray) else y).itemsize
        y = np.abs(y) % limit if isinstance(y, np.ndarray) else abs(y) % limit
    return (x, y), {}


@call("clip")
def clip(draw: Draw, name: str) -> Call:
    x = draw(arrays(NUMERIC))
    kind = str(x.dtype)
    bound = st.none() | numbers(kind) | arrays([kind], x.shape)
    return (x, draw(bound), draw(bound)), {}


@call("max", "min")
def extremes(draw: Draw, name: str) -> Call:
    return draw(reduced(NUMERIC, side=1))


@call("all", "any", "count_nonzero")
def of_truth(draw: Draw, name: str) -> Call:
    return draw(reduced(EVERY))


@call("argmax", "argmin")
def of_places(draw: Draw, name: str) -> Call:
    return draw(reduced(NUMERIC, several=False, side=1))


@call("sum", "prod")
def sums(draw: Draw, name: str) -> Call:
    return draw(reduced(NUMERIC, dtype=st.sampled_from([None, "float32", "float64", "int64"])))


@call("mean")
def mean(draw: Draw, name: str) -> Call:
    return draw(reduced(FLOAT))


@call("std", "var")
def spread(draw: Draw, name: str) -> Call:
    return draw(reduced(FLOAT, side=2, correction=st.sampled_from([0.0, 1.0, 0.5])))


@call("cumulative_sum", "cumulative_prod")
def running(draw: Draw, name: str) -> Call:
    x = draw(arrays(NUMERIC, least=1, moderate=True))
    axis = draw(axes_of(x) if x.ndim > 1 else st.none() | axes_of(x))
    return (x,), {"axis": axis, "include_initial": draw(st.booleans())}


@call("diff")
def diff(draw: Draw, name: str) -> Call:
    x = draw(arrays(NUMERIC, least=1, side=1))
    axis = draw(axes_of(x))
    end = st.none() | st.just(np.take(x, [0], axis))
    kwargs = {"axis": axis, "n": draw(st.integers(0, 3))}
    return (x,), kwargs | {"prepend": draw(end), "append": draw(end)}


@call("sort", "argsort")
def ordered(draw: Draw, name: str) -> Call:
    x = draw(arrays(NUMERIC, least=1))
    return (x,), {"axis": draw(axes_of(x)), "descending": draw(st.booleans())}


@call("searchsorted")
def places(draw: Draw, name: str) -> Call:
    dtype = draw(st.sampled_from(NUMERIC))
    x = draw(arrays([dtype], draw(st.integers(1, 6))))
    wanted = draw(arrays([dtype]))
    order = np.argsort(x)
    sorter = draw(st.sampled_from([None, order]))
    side = draw(st.sampled_from(["left", "right"]))
    return (x if sorter is not None else x[order], wanted), {"side": side, "sorter": sorter}


@call("where")
def where(draw: Draw, name: str) -> Call:
    x, y = draw(pairs())
    shape = (x if isinstance(x, np.ndarray) else y).shape
    return (draw(arrays(BOOL, shape)), x, y), {}
