"""Random bits, a pure function of a key. Every distribution is computed from them."""

from __future__ import annotations

import numpy as np

from ..errors import DTypeError, ShapeError
from ..op import REQUIRED, ZERO, Attrs, Op, Sample, define
from ..philox import random_bits
from ..types import I32, I64, Type, dtype_name
from .elementwise import check_arity


def _random_bits_type(types: tuple[Type, ...], attrs: Attrs) -> tuple[Type, ...]:
    check_arity("random_bits", types, 1)
    shape, dtype, domain = attrs["shape"], attrs["dtype"], attrs["domain"]
    if types[0] != Type(I64, (2,)):
        raise ShapeError(f"random_bits needs a key of type i64[2], got {types[0]}")
    if dtype not in (I32, I64):
        raise DTypeError(f"random_bits makes i32 or i64, not {dtype_name(dtype)}")
    if min(shape, default=0) < 0:
        raise ShapeError(f"random_bits: shape {shape} has a negative extent")
    if not isinstance(domain, int) or not 0 <= domain < 4:
        raise ShapeError(f"random_bits: domain must be 0, 1, 2 or 3, got {domain}")
    return (Type(dtype, tuple(shape)),)


_KEYS = (np.array([0, 0]), np.array([-(2**63), 2**62 + 5]), np.array([12345678901234567, -1]))

define(
    Op(
        "random_bits",
        "random",
        _random_bits_type,
        lambda key, shape, dtype, domain: random_bits(key, shape, dtype, domain),
        "random integers, every bit 0 or 1 with equal chance; domains of a key are independent",
        attrs={"shape": REQUIRED, "dtype": REQUIRED, "domain": 0},
        jacobian=ZERO,
        samples=tuple(
            Sample((key,), {"shape": shape, "dtype": dtype, "domain": domain})
            for key, domain in zip(_KEYS, (0, 1, 3), strict=True)
            for dtype in (I32, I64)
            for shape in ((), (0,), (1,), (3,), (8,), (2, 5), (3, 0), (43,))
        ),
    )
)
