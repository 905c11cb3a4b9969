"""Drawing arguments: elements, arrays, pairs that promote, and the table of strategies.

The strategies leave out only what the standard leaves undefined, or what `EXCLUDED` explains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Call = tuple[tuple[Any, ...], dict[str, Any]]
Draw = st.DrawFn

BOOL: Final = ("bool",)
SIGNED: Final = ("int8", "int16", "int32", "int64")
UNSIGNED: Final = ("uint8", "uint16", "uint32", "uint64")
INTEGER: Final = (*SIGNED, *UNSIGNED)
FLOAT: Final = ("float32", "float64")
NUMERIC: Final = (*INTEGER, *FLOAT)
EVERY: Final = (*BOOL, *NUMERIC)

EXCLUDED: Final[dict[str, str]] = {
    "signed integers with uint64": "the standard leaves it undefined; NumPy computes in float64",
    "pow of an integer array to an array": "NumPy raises for a negative exponent, which a trace"
    " cannot see: tracing it raises an error that says so",
    "a float that does not fit the integer it is cast to": "the standard leaves it undefined",
    "shifts by less than 0 or by all bits": "the standard leaves them undefined",
    "std, var and reciprocal of integers": "the standard asks for floats",
    "matrix_norm of the orders 2, -2, 'nuc'": "they need singular values, for which there is no op",
    "reshape with copy=False": "results of a call never share memory with its arguments",
}
"""What no test draws, and why."""

KINDS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert"), BOOL + INTEGER),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift"), INTEGER),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor", "logical_not"), BOOL),
    **dict.fromkeys(("equal", "not_equal"), EVERY),
    **dict.fromkeys(
        (
            *("abs", "add", "ceil", "floor", "floor_divide", "greater", "greater_equal"),
            *("isfinite", "isinf", "isnan", "less", "less_equal", "maximum", "minimum"),
            *("multiply", "negative", "positive", "remainder", "round", "sign", "square"),
            *("subtract", "trunc"),
        ),
        NUMERIC,
    ),
}
"""The dtypes of an elementwise function; floats for all others."""

WIDTH: Final = {"float32": 32, "float64": 64}


def numbers(dtype: str, *, moderate: bool = False) -> st.SearchStrategy[Any]:
    """Elements: all of the dtype's values, or (moderate) floats whose sums and products are
    small."""
    if dtype in FLOAT:
        bounds = {"min_value": -4, "max_value": 4} if moderate else {}
        extremes = (
            [0.0, -0.0] if moderate else [0.0, -0.0, 1.0, -0.5, math.inf, -math.inf, math.nan]
        )
        large = [] if moderate else [88.9, -88.9, 710.0, -710.0, 1e30]
        kept = st.floats(width=WIDTH[dtype], allow_subnormal=not moderate, **bounds)
        return kept | st.sampled_from([float(np.dtype(dtype).type(v)) for v in extremes + large])
    if dtype == "bool":
        return st.booleans()
    limits = np.iinfo(dtype)
    small = st.integers(max(-3, limits.min), 5)
    return small if moderate else small | st.integers(limits.min, limits.max)


@st.composite
def arrays(
    draw: Draw,
    dtypes: Sequence[str] = EVERY,
    shape: Any = None,
    *,
    least: int = 0,
    side: int = 0,
    moderate: bool = False,
) -> np.ndarray:
    """An array of one of the dtypes; `least` dimensions of at least `side` elements."""
    dtype = draw(st.sampled_from(dtypes))
    if shape is None:
        shape = draw(hnp.array_shapes(min_dims=least, max_dims=3, min_side=side, max_side=4))
    return draw(hnp.arrays(dtype, shape, elements=numbers(dtype, moderate=moderate)))


@st.composite
def pairs(draw: Draw, dtypes: Sequence[str] = EVERY, **options: Any) -> list[Any]:
    """Two arrays of one kind that broadcast, or an array and a Python number of its kind."""
    first = draw(st.sampled_from(dtypes))
    second = draw(st.sampled_from([d for d in dtypes if promotes(first, d)]))
    shapes = draw(
        hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4)
    ).input_shapes
    x = draw(arrays([first], shapes[0], **options))
    if draw(st.integers(0, 3)) == 0:
        number = draw(numbers(first, **options))
        pair = [x, number]
        return pair if draw(st.booleans()) else pair[::-1]
    return [x, draw(arrays([second], shapes[1], **options))]


def promotes(first: str, second: str) -> bool:
    """Whether the standard promotes the two dtypes."""
    kinds = [next(k for k in (BOOL, INTEGER, FLOAT) if d in k) for d in (first, second)]
    mixed = "uint64" in (first, second) and (first in SIGNED or second in SIGNED)
    return kinds[0] == kinds[1] and not mixed


def axes_of(x: np.ndarray) -> st.SearchStrategy[int]:
    return st.integers(-x.ndim, x.ndim - 1)


@st.composite
def reduced(
    draw: Draw, dtypes: Sequence[str], *, several: bool = True, side: int = 0, **more: Any
) -> Call:
    """A call of a reduction: over all axes, one or several."""
    moderate = any(d in FLOAT for d in dtypes)
    x = draw(arrays(dtypes, side=side, moderate=moderate))
    axis: Any = None
    if x.ndim and draw(st.booleans()):
        axis = draw(axes_of(x))
        if several and draw(st.booleans()):
            axis = tuple(draw(st.lists(st.integers(0, x.ndim - 1), unique=True)))
    kwargs = {"axis": axis, "keepdims": draw(st.booleans())}
    return (x,), kwargs | {k: draw(s) for k, s in more.items()}


STRATEGIES: Final[dict[str, Callable[[], st.SearchStrategy[Call]]]] = {}


def call(*names: str) -> Callable[[Any], Any]:
    """Enter a strategy for functions; it gets `draw` and the name."""

    def enter(function: Any) -> Any:
        for name in names:
            STRATEGIES[name] = lambda name=name: st.composite(function)(name)
        return function

    return enter
