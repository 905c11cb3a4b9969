"""Convolution, as in `torch.nn.functional`: channels before the spatial axes, kernels not flipped.

The windows of the input are a view, and the convolution is their product with the weight:

    y[n, o, h, w] = sum over c, i, j of x[n, c, h + i, w + j] weight[o, c, i, j]
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ._shared import Array
from ._windows import Ints, Sizes, batched, padded, per_axis, windows

_PRODUCTS: Final = {
    1: ("nchi,oci->noh", "ngchi,goci->ngoh"),
    2: ("nchwij,ocij->nohw", "ngchwij,gocij->ngohw"),
}
"""Windows times weight by number of spatial axes, for one group and for several."""


def conv1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """Input (n, c, length) or (c, length), weight (o, c / groups, size): (n, o, length').

    Bias (o,) is added. `padding` is a number of zeros on both sides, "valid" (none) or "same" (as
    many as keep the length; stride 1). ShapeError where the shapes do not fit.
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Array:
    """Input (n, c, h, w) or (c, h, w), weight (o, c / groups, kh, kw): (n, o, h', w').

    Bias (o,) is added. `padding` is a number of zeros on all sides, one number per axis, "valid"
    (none) or "same" (as many as keep the shape; stride 1). ShapeError where the shapes do not fit.
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def _convolve(
    name: str,
    rank: int,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Array:
    x, has_batch = batched(name, input, rank)
    _check_shapes(name, rank, x, weight, bias, groups)
    strides = per_axis(name, "stride", stride, rank, 1)
    dilations = per_axis(name, "dilation", dilation, rank, 1)
    sizes = weight.shape[2:]
    x = padded(x, _widths(name, padding, sizes, strides, dilations))
    _check_extents(name, x, weight, dilations)
    y = _product(rank, x, weight, groups, strides, dilations)
    if bias is not None:
        y = y + np.reshape(bias, (len(bias),) + (1,) * rank)
    return y if has_batch else y[0]


def _product(
    rank: int, x: Array, weight: Array, groups: int, strides: Ints, dilations: Ints
) -> Array:
    plain, grouped = _PRODUCTS[rank]
    sizes = weight.shape[2:]
    if groups == 1:
        return np.einsum(plain, windows(x, sizes, strides, dilations), weight, optimize=True)
    x = np.reshape(x, (len(x), groups, x.shape[1] // groups, *x.shape[2:]))
    kernels = np.reshape(weight, (groups, len(weight) // groups, *weight.shape[1:]))
    y = np.einsum(grouped, windows(x, sizes, strides, dilations), kernels, optimize=True)
    return np.reshape(y, (len(x), len(weight), *y.shape[3:]))


def _check_shapes(
    name: str, rank: int, x: Array, weight: Array, bias: Array | None, groups: int
) -> None:
    shapes = f"input {x.shape} and weight {weight.shape}"
    if weight.ndim != rank + 2:
        raise ShapeError(f"{name}: weight {weight.shape} must have {rank + 2} axes")
    if not isinstance(groups, int) or groups < 1 or len(weight) % groups:
        raise ShapeError(f"{name}: groups={groups} do not divide the outputs of {weight.shape}")
    if x.shape[1] != weight.shape[1] * groups:
        raise ShapeError(
            f"{name}: {shapes} do not fit: {x.shape[1]} channels against"
            f" {weight.shape[1]} times groups={groups}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"{name}: bias {bias.shape} must have the shape {weight.shape[:1]}")


def _check_extents(name: str, x: Array, weight: Array, dilations: Ints) -> None:
    spans = [(n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilations, strict=True)]
    if 0 in weight.shape[2:] or any(s > n for s, n in zip(spans, x.shape[2:], strict=True)):
        raise ShapeError(
            f"{name}: kernels {weight.shape[2:]} with dilation {dilations} do not fit the padded"
            f" input {x.shape}"
        )


def _widths(
    name: str, padding: Sizes | str, sizes: Ints, strides: Ints, dilations: Ints
) -> list[tuple[int, int]]:
    """Zeros before and after each spatial axis."""
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    if padding == "same":
        if set(strides) != {1}:
            raise UnsupportedError(
                f'{name}: padding="same" needs stride 1, not {strides}; give padding as numbers'
            )
        totals = [d * (size - 1) for size, d in zip(sizes, dilations, strict=True)]
        return [(n // 2, n - n // 2) for n in totals]
    if isinstance(padding, str):
        raise UnsupportedError(f'{name}: padding {padding!r} is neither "same" nor "valid"')
    return [(n, n) for n in per_axis(name, "padding", padding, len(sizes), 0)]
