"""Values that need no operands: constants and counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..graph import Node, Value
from ..op import REQUIRED, ZERO, Attrs, Op, Sample, define
from ..types import I64, Type, dtype_name


def _constant_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    value = attrs["value"]
    dtype_name(value.dtype)
    return (Type(value.dtype, value.shape),)


def _iota_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    if attrs["n"] < 0:
        raise ShapeError(f"iota: n must not be negative, got {attrs['n']}")
    return (Type(attrs["dtype"], (attrs["n"],)),)


define(
    Op(
        "constant",
        "constant",
        _constant_type,
        lambda value: value,
        "A captured array or a literal; `value` is a read-only ndarray.",
        attrs={"value": REQUIRED},
        jacobian=ZERO,
        samples=(
            Sample((), {"value": np.array([1.5, -2.0, 0.0])}),
            Sample((), {"value": np.array([[1, 2], [3, 4]], np.int32)}),
        ),
    )
)

define(
    Op(
        "iota",
        "constant",
        _iota_type,
        lambda n, dtype: np.arange(n, dtype=dtype),
        "0, 1, ... n-1.",
        attrs={"n": REQUIRED, "dtype": I64},
        jacobian=ZERO,
        samples=(Sample((), {"n": 5}),),
    )
)


def scalar_constant(producer: Mapping[Value, Node], value: Value) -> Any | None:
    """The NumPy scalar a value is known to hold when it is a constant of shape (), else None."""
    node = producer.get(value)
    if node is not None and node.op.name == "constant" and value.shape == ():
        return node.attrs["value"][()]
    return None


def uniform_value(producer: Mapping[Value, Node], value: Value) -> Any | None:
    """The NumPy scalar that every element of `value` is known to equal, else None.

    Looks through broadcasts, reshapes, transposes and casts of scalar constants.
    """
    casts = []
    node = producer.get(value)
    while node is not None and node.op.name in ("broadcast", "reshape", "transpose", "cast"):
        if node.op.name == "cast":
            casts.append(node.attrs["dtype"])
        value = node.operands[0]
        node = producer.get(value)
    scalar = scalar_constant(producer, value)
    if scalar is None:
        return None
    for dtype in reversed(casts):
        with np.errstate(all="ignore"):
            scalar = scalar.astype(dtype)
    return scalar
