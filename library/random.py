"""Random numbers as pure functions of a key, eagerly and inside a compiled step alike.

    key = tl.random.key(0)
    key, sub = tl.random.split(key)
    x = tl.random.normal(sub, (3, 4))

A key is an i64 array of shape (2,). The same key gives the same numbers, so a key is used for one
draw and split for more. A step that gets its key as an argument and writes the next one back,
`key[:] = tl.random.fold_in(key, 1)`, or returns it, draws other numbers in every call; a key made
of numbers inside the step is a constant, and so are its draws.

The bits are Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
those of two keys, and of drawing, splitting and folding with one key, come from different blocks.
Everything else is NumPy on top of the op `random_bits`; NumPy, interpreter and native code have the
same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from ..compiler.primitive import apply
from ..ir.errors import DTypeError, ShapeError

Array: TypeAlias = Any
"""A NumPy array or, inside a trace, what stands for one."""
Key: TypeAlias = Any
"""An i64 array of shape (2,), traced or not."""
Shape: TypeAlias = int | Sequence[int]

_SPLIT, _FOLD = 1, 2
"""Domains of the block numbers that are not drawn from."""
_LOW = 0xFFFFFFFF


# --- keys ------------------------------------------------------------------------------------


def key(seed: int | Array) -> Key:
    """The key of a seed: an integer from -2**63 to 2**64 - 1, or a traced integer of shape ().

    DTypeError for a float or bool, OverflowError for an integer out of range.
    """
    first = _integer("a seed", seed)
    return np.stack([first, first ^ first])


def split(key: Key, num: int = 2) -> Array:
    """`num` new keys, an i64 array of shape (num, 2): `k1, k2 = tl.random.split(key)`.

    They are independent of each other and of everything drawn from `key`, which should not be split
    or drawn from again.
    """
    return _random(key, (_static("num", num), 2), np.int64, _SPLIT)


def fold_in(key: Key, data: int | Array) -> Key:
    """The key for a number, such as a step or a layer: different numbers give different keys."""
    stream = _checked(key)[1] ^ _integer("data", data)
    return _random(np.stack([key[0], stream]), (2,), np.int64, _FOLD)


# --- draws -----------------------------------------------------------------------------------


def bits(key: Key, shape: Shape = (), dtype: DTypeLike = np.int64) -> Array:
    """Random integers of `dtype`, int32 or int64, over its whole range."""
    return _random(key, _shape(shape), dtype, 0)


def uniform(
    key: Key,
    shape: Shape = (),
    low: float | Array = 0.0,
    high: float | Array = 1.0,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Uniform floats in [low, high), multiples of (high - low) / 2**53 from `low` on, or of
    (high - low) / 2**24 in float32. (Rounding may give `high` when it is not 1.)

    `low` and `high` are numbers or arrays that broadcast to `shape`.
    """
    shape, dtype = _shape(shape), _float(dtype)
    if np.dtype(dtype) == np.float32:
        unit = ((bits(key, shape, np.int32) >> 8) & 0xFFFFFF).astype(dtype) * 2.0**-24
    else:
        unit = ((bits(key, shape) >> 11) & (2**53 - 1)).astype(dtype) * 2.0**-53
    if _is(low, 0) and _is(high, 1):
        return unit
    low, high = _parameter("low", low, shape, dtype), _parameter("high", high, shape, dtype)
    return low + (high - low) * unit


def normal(
    key: Key,
    shape: Shape = (),
    mean: float | Array = 0.0,
    std: float | Array = 1.0,
    dtype: DTypeLike = np.float64,
) -> Array:
    """Normal floats with this mean and standard deviation, which broadcast to `shape`.

    Pairs by the method of Box and Muller (1958), from radii of 63 bits (32 in float32), so that
    values reach 9.4 (6.7) standard deviations.
    """
    shape, dtype = _shape(shape), _float(dtype)
    size = math.prod(shape)
    half = -(-size // 2)
    if np.dtype(dtype) == np.float32:
        raw = bits(key, (2, half), np.int32)
        radius = (raw[0].astype(np.float64) + (2.0**31 + 0.5)).astype(dtype) * 2.0**-32
        angle = raw[1].astype(dtype) * (math.pi * 2.0**-31)
    else:
        raw = bits(key, (2, half))
        radius = ((raw[0] & (2**63 - 1)).astype(dtype) + 0.5) * 2.0**-63
        angle = raw[1].astype(dtype) * (math.pi * 2.0**-63)
    radius = np.sqrt(-2.0 * np.log(radius))
    pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    standard = np.reshape(pairs[:size], shape)[()]
    if not _is(std, 1):
        standard = _parameter("std", std, shape, dtype) * standard
    return standard if _is(mean, 0) else _parameter("mean", mean, shape, dtype) + standard


def bernoulli(key: Key, p: float | Array = 0.5, shape: Shape | None = None) -> Array:
    """Booleans that are true with probability `p`, resolved to 2**-32; `shape` defaults to p's."""
    shape = np.shape(p) if shape is None else _shape(shape)
    raw = bits(key, shape, np.int32).astype(np.float64)
    return (raw + 2.0**31) * 2.0**-32 < _parameter("p", p, shape, np.float64)


def randint(
    key: Key, shape: Shape, low: int | Array, high: int | Array, dtype: DTypeLike = np.int64
) -> Array:
    """Integers from `low` up to but not including `high`, of dtype int32 or int64.

    A random 64-bit word times high - low, its upper half: no number's probability is off by more
    than 2**-64, and those that differ are spread evenly (Lemire, "Fast random integer generation in
    an interval", 2019, without its rejection step). ValueError if low >= high, when both are
    numbers; where a traced or array interval is empty, `low`.
    """
    shape, dtype = _shape(shape), np.dtype(dtype)
    if dtype not in (np.int32, np.int64):
        raise DTypeError(f"randint makes int32 or int64, not {dtype}")
    first = _bound("low", low, shape)
    if isinstance(low, int) and isinstance(high, int):
        _check_interval(low, high, dtype)
        span = np.int64(_wrapped(high - low))
    else:
        span = np.maximum(_bound("high", high, shape) - first, 0)
    with np.errstate(over="ignore"):
        return (first + _upper_product(bits(key, shape), span)).astype(dtype)


def permutation(key: Key, x: int | Array, axis: int = 0) -> Array:
    """A random order: of 0 .. x - 1 for an int, else of an array's parts along `axis`."""
    if isinstance(x, int | np.integer):
        return _order(key, _static("x", x))
    if np.ndim(x) == 0:
        raise ShapeError(
            "permutation of a number needs it when the step is compiled: make it a static argument"
            " (static_argnames), or pass an array with an axis"
        )
    order = _order(key, np.shape(x)[axis])
    return np.take(np.asarray(x, like=order), order, axis=axis)


# --- inside ----------------------------------------------------------------------------------


def _random(key: Key, shape: tuple[int, ...], dtype: DTypeLike, domain: int) -> Array:
    dtype = np.dtype(dtype)
    if dtype not in (np.int32, np.int64):
        raise DTypeError(f"random bits are int32 or int64, not {dtype}")
    return apply("random_bits", _checked(key), shape=shape, dtype=dtype, domain=domain)


def _checked(key: Key) -> Key:
    """The key itself; DTypeError or ShapeError that says how to make one."""
    make = "make one with tl.random.key(seed)"
    if isinstance(key, np.random.Generator | np.random.RandomState | np.random.BitGenerator):
        raise DTypeError(f"a key is an array, not a NumPy generator (which has a state); {make}")
    if getattr(key, "dtype", None) != np.int64:
        given = getattr(key, "dtype", type(key).__name__)
        raise DTypeError(f"a key is an int64 array of shape (2,), not {given}; {make}")
    if np.shape(key) != (2,):
        fix = "use one of its rows" if np.shape(key)[1:] == (2,) else make
        raise ShapeError(f"a key is an int64 array of shape (2,), not {np.shape(key)}; {fix}")
    return key


def _integer(what: str, x: Any) -> Array:
    """A number as an i64 of shape (), the unsigned half wrapped."""
    if isinstance(x, int | np.integer) and not isinstance(x, bool):
        if not -(2**63) <= x < 2**64:
            raise OverflowError(f"{what} must be from -2**63 to 2**64 - 1, got {x}")
        return np.int64(_wrapped(int(x)))
    if getattr(getattr(x, "dtype", None), "kind", "") not in ("i", "u"):
        given = getattr(x, "dtype", type(x).__name__)
        raise DTypeError(f"{what} must be an integer, not {given}")
    if np.shape(x) != ():
        raise ShapeError(f"{what} must be one integer, not of shape {np.shape(x)}")
    return x.astype(np.int64)


def _wrapped(x: int) -> int:
    return (x + 2**63) % 2**64 - 2**63


def _static(what: str, n: Any) -> int:
    if not isinstance(n, int | np.integer) or isinstance(n, bool):
        kind = "a traced value" if hasattr(n, "__array_ufunc__") else type(n).__name__
        raise DTypeError(
            f"{what} must be an int, not {kind}: it decides a shape; make it a constant or a static"
            " argument (static_argnames)"
        )
    if n < 0:
        raise ShapeError(f"{what} must not be negative, got {n}")
    return int(n)


def _shape(shape: Shape) -> tuple[int, ...]:
    extents = shape if isinstance(shape, Sequence) else (shape,)
    return tuple(_static("a shape's extent", n) for n in extents)


def _float(dtype: DTypeLike) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise DTypeError(f"dtype must be float32 or float64, not {dtype}")
    return dtype


def _is(x: Any, number: float) -> bool:
    return isinstance(x, int | float) and x == number


def _parameter(name: str, x: Any, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A parameter of a distribution: a number as it is, an array in the dtype of the result."""
    if isinstance(x, int | float):
        return float(x)
    if np.broadcast_shapes(np.shape(x), shape) != shape:
        raise ShapeError(f"{name} of shape {np.shape(x)} does not fit shape {shape}; give `shape`")
    return x.astype(dtype)


def _bound(name: str, x: Any, shape: tuple[int, ...]) -> Array:
    if isinstance(x, int):
        return _integer(name, x)
    if getattr(getattr(x, "dtype", None), "kind", "") not in ("i", "u"):
        raise DTypeError(f"{name} must be an integer, not {getattr(x, 'dtype', type(x).__name__)}")
    return _parameter(name, x, shape, np.int64)


def _check_interval(low: int, high: int, dtype: np.dtype) -> None:
    limits = np.iinfo(dtype)
    if not low < high:
        raise ValueError(f"randint: the interval from {low} up to {high} is empty")
    if low < limits.min or high > limits.max + 1:
        raise OverflowError(f"randint: the interval from {low} up to {high} is beyond {dtype}")


def _upper_product(x: Array, span: Array) -> Array:
    """The upper half of the product of two numbers of 64 bits without sign, from four products of
    32-bit halves."""
    x_low, x_high = x & _LOW, (x >> 32) & _LOW
    low, high = span & _LOW, (span >> 32) & _LOW
    middle = x_high * low + (((x_low * low) >> 32) & _LOW)
    other = x_low * high + (middle & _LOW)
    return x_high * high + ((middle >> 32) & _LOW) + ((other >> 32) & _LOW)


def _order(key: Key, n: int) -> Array:
    """Random keys of 64 bits, sorted: a tie, which would keep its order, has a chance of n**2 /
    2**65."""
    return np.argsort(bits(key, (n,)), kind="stable")
