"""The arithmetic that `runtime/vecmath.py` is written in.

A function such as `exp(m, x)` names its steps once; `m` decides what they mean. `ArrayLanes` works
on NumPy arrays and scalars; `runtime.builder_lanes.BuilderLanes` emits LLVM instructions. Operators
(+ - * / comparisons, & | << >> on bit patterns) work on the values of both, and Python numbers take
the other operand's dtype. A bit pattern is a signed integer as wide as the float.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..ir.record import dataclass
from ..ir.types import DTYPES

Table = tuple[float, ...]
"""As many numbers as AVX-512 chooses from at once: 16 or 32 in f32, 8 or 16 in f64."""

Lane = Any
"""A value of the arithmetic: a NumPy array here, a wrapped LLVM value in generated code."""


@dataclass(frozen=True)
class Format:
    """The constants of a binary floating-point format that elementary functions need."""

    name: str
    fraction_bits: int
    bias: int
    magic: float  # adding it rounds to an integer, which then sits in the low bits
    magic_bits: int
    ln2_high: float  # n * ln2_high is exact for every exponent n
    ln2_low: float  # positive, so that infinity times both is infinity
    exp_low: float  # exp(exp_low) rounds to 0, exp(exp_high) to inf
    exp_high: float
    expm1_low: float  # expm1(expm1_low) rounds to -1
    tiny: float  # below it f(x) = x for functions with slope 1 at 0
    huge: float  # above it x**2 + 1 = x**2 and x - 1 = x, and x**2 does not overflow far above
    smallest_normal: float
    sqrt_half_bits: int
    one_bits: int


F32 = Format(
    name="f32", fraction_bits=23, bias=127, magic=1.5 * 2.0**23, magic_bits=0x4B400000,
    ln2_high=0.693115234375, ln2_low=3.1946184945309414e-05, exp_low=-105.0, exp_high=89.0,
    expm1_low=-20.0, tiny=2.0**-30, huge=2.0**30, smallest_normal=2.0**-126,
    sqrt_half_bits=0x3F3504F3, one_bits=0x3F800000,
)  # fmt: skip
F64 = Format(
    name="f64", fraction_bits=52, bias=1023, magic=1.5 * 2.0**52, magic_bits=0x4338000000000000,
    ln2_high=6.93145751953125e-1, ln2_low=1.42860682030941723212e-6, exp_low=-746.0, exp_high=710.0,
    expm1_low=-40.0, tiny=2.0**-60, huge=2.0**60, smallest_normal=2.0**-1022,
    sqrt_half_bits=0x3FE6A09E667F3BCD, one_bits=0x3FF0000000000000,
)  # fmt: skip

FORMATS = {"f32": F32, "f64": F64}

SPLIT = {"f32": 2.0**12 + 1, "f64": 2.0**27 + 1}
"""Veltkamp's factor: it cuts a number into halves."""


class Lanes(Protocol):
    """What an arithmetic offers besides operators."""

    format: Format
    avx512: bool
    """Whether there are the functions of `runtime/avx512.py`."""

    def exponent(self, x: Lane) -> Lane:
        """floor(log2|x|) as a float; -inf of 0, inf of infinity."""

    def mantissa(self, x: Lane) -> Lane:
        """x / 2**exponent(x), from 1 to 2; 1 of 0 and infinity, NaN below 0."""

    def balanced(self, x: Lane) -> Lane:
        """The mantissa, halved from 3/2 on: from 3/4 to 3/2."""

    def magnitude(self, x: Lane) -> Lane:
        """mantissa(|x|)"""

    def scale(self, x: Lane, n: Lane) -> Lane:
        """x * 2**n for a whole n, with a single rounding."""

    def select(self, condition: Lane, x: Lane | float, y: Lane | float) -> Lane:
        """x where the condition holds, else y; two Python numbers are floats of the format."""

    def rint(self, x: Lane) -> Lane:
        """Round half to even."""

    def floor(self, x: Lane) -> Lane:
        """Round down."""

    def abs(self, x: Lane) -> Lane:
        """Clear the sign."""

    def sqrt(self, x: Lane) -> Lane:
        """Square root."""

    def copysign(self, x: Lane, sign: Lane) -> Lane:
        """The magnitude of x with the sign of `sign`."""

    def product(self, x: Lane, y: Lane | float) -> tuple[Lane, Lane]:
        """x * y, and what its rounding lost; exact unless that underflows."""

    def fma(self, x: Lane, y: Lane | float, z: Lane | float) -> Lane:
        """x * y + z, rounded once."""

    def lookup(self, table: Table, index: Lane) -> Lane:
        """The number at the place that the low digits of an integer say."""

    def bits(self, x: Lane) -> Lane:
        """The bit pattern of a float, and"""

    def from_bits(self, pattern: Lane) -> Lane:
        """the float of a bit pattern."""

    def widen(self, x: Lane) -> Lane:
        """An f32 as f64."""

    def narrow(self, x: Lane) -> Lane:
        """An f64 rounded to f32."""

    def within(self, limit: float, size: Lane, value: Lane, name: str, *operands: Lane) -> Lane:
        """`value` where |size| <= limit; beyond, the platform's function of the operands, one
        element at a time, which takes no time if there is none."""


_FLOAT = {np.dtype(np.int32): np.dtype(np.float32), np.dtype(np.int64): np.dtype(np.float64)}
_PATTERN = {float_: integer for integer, float_ in _FLOAT.items()}


class ArrayLanes:
    """The arithmetic on NumPy arrays; `name` is "f32" or "f64"."""

    avx512 = False

    def __init__(self, name: str) -> None:
        self.format = FORMATS[name]

    def exponent(self, x: Lane) -> Lane:
        raise NotImplementedError

    def mantissa(self, x: Lane) -> Lane:
        raise NotImplementedError

    def balanced(self, x: Lane) -> Lane:
        raise NotImplementedError

    def magnitude(self, x: Lane) -> Lane:
        raise NotImplementedError

    def scale(self, x: Lane, n: Lane) -> Lane:
        raise NotImplementedError

    def select(self, condition: Lane, x: Lane | float, y: Lane | float) -> Lane:
        dtypes = [v.dtype for v in (x, y) if isinstance(v, np.ndarray | np.generic)]
        dtype = dtypes[0] if dtypes else DTYPES[self.format.name]
        return np.where(condition, np.asarray(x, dtype), np.asarray(y, dtype))

    def rint(self, x: Lane) -> Lane:
        return np.rint(x)

    def floor(self, x: Lane) -> Lane:
        return np.floor(x)

    def abs(self, x: Lane) -> Lane:
        return np.abs(x)

    def sqrt(self, x: Lane) -> Lane:
        return np.sqrt(x)

    def copysign(self, x: Lane, sign: Lane) -> Lane:
        return np.copysign(x, sign)

    def product(self, x: Lane, y: Lane | float) -> tuple[Lane, Lane]:
        """Dekker's, from halves of the factors whose products are exact."""
        (u, x_scale), (v, y_scale) = self._scaled(x), self._scaled(y)
        (u_high, u_low), (v_high, v_low) = self._halves(u), self._halves(v)
        rest = u_high * v_high - u * v + u_high * v_low + u_low * v_high + u_low * v_low
        return x * y, rest / x_scale / y_scale

    def fma(self, x: Lane, y: Lane | float, z: Lane | float) -> Lane:
        """All but rounded once: the product as two numbers, and Knuth's sum."""
        product, rest = self.product(x, y)
        result = product + z
        part = result - product
        lost = (product - (result - part)) + (z - part)
        return np.where(np.isfinite(result), result + (lost + rest), result)

    def lookup(self, table: Table, index: Lane) -> Lane:
        return np.asarray(table, DTYPES[self.format.name])[index & (len(table) - 1)]

    def _scaled(self, x: Lane | float) -> tuple[Lane, Lane]:
        """A number whose halves do not overflow, and its ratio to x."""
        x = np.asarray(x, DTYPES[self.format.name])
        scale = np.where(np.abs(x) > self.format.huge, 2.0**-30, 1.0).astype(x.dtype)
        return x * scale, scale

    def _halves(self, x: Lane) -> tuple[Lane, Lane]:
        scaled = x * SPLIT[self.format.name]
        high = scaled - (scaled - x)
        return high, x - high

    def bits(self, x: Lane) -> Lane:
        return np.asarray(x).view(_PATTERN[x.dtype])

    def from_bits(self, pattern: Lane) -> Lane:
        return np.asarray(pattern).view(_FLOAT[pattern.dtype])

    def widen(self, x: Lane) -> Lane:
        return np.asarray(x).astype(np.float64)

    def narrow(self, x: Lane) -> Lane:
        return np.asarray(x).astype(np.float32)

    def within(self, limit: float, size: Lane, value: Lane, name: str, *operands: Lane) -> Lane:
        beyond = getattr(np, name)(*map(self.widen, operands))
        return np.where(np.abs(size) > limit, beyond.astype(value.dtype), value)
