"""Transposed convolution, as in `torch.nn.functional`: the linear map that is the derivative of a
convolution with respect to its input.

    y[n, o, h s + i, w s + j] += x[n, c, h, w] weight[c, o, i, j]

Its values spread an image over a larger one, as decoders and U-nets do.
"""

from __future__ import annotations

import numpy as np

from ...compiler.transforms import vjp
from ...ir.errors import ShapeError
from ._shared import Array
from ._windows import Ints, Sizes, batched, per_axis
from .convolution import conv1d, conv2d


def conv_transpose1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Array:
    """Input (n, c, length) or (c, length), weight (c, o / groups, size): (n, o, length').

    length' is (length - 1) * stride - 2 * padding + dilation * (size - 1) + output_padding + 1, in
    which output_padding is smaller than stride or dilation. Bias (o,) is added. ShapeError where
    the shapes do not fit.
    """
    options = stride, padding, output_padding, dilation
    return _transposed("conv_transpose1d", 1, input, weight, bias, groups, *options)


def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Array:
    """Input (n, c, h, w) or (c, h, w), weight (c, o / groups, kh, kw): (n, o, h', w').

    h' is (h - 1) * stride - 2 * padding + dilation * (kh - 1) + output_padding + 1, in which
    output_padding is smaller than stride or dilation, and w' alike; each is a number or one for
    each axis. Bias (o,) is added. ShapeError where the shapes do not fit.
    """
    options = stride, padding, output_padding, dilation
    return _transposed("conv_transpose2d", 2, input, weight, bias, groups, *options)


def _transposed(
    name: str,
    rank: int,
    input: Array,
    weight: Array,
    bias: Array | None,
    groups: int,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    dilation: Sizes,
) -> Array:
    x, has_batch = batched(name, input, rank)
    _check_shapes(name, rank, x, weight, bias, groups)
    strides = per_axis(name, "stride", stride, rank, 1)
    paddings = per_axis(name, "padding", padding, rank, 0)
    dilations = per_axis(name, "dilation", dilation, rank, 1)
    more = per_axis(name, "output_padding", output_padding, rank, 0)
    if any(n >= max(s, d) for n, s, d in zip(more, strides, dilations, strict=True)):
        raise ShapeError(
            f"{name}: output_padding {more} must be smaller than stride {strides} or dilation"
            f" {dilations}"
        )
    extents = _extents(name, x, weight, strides, paddings, dilations, more)
    dtype = np.result_type(x.dtype, weight.dtype)
    image = np.zeros((x.shape[0], weight.shape[1] * groups, *extents), dtype)
    conv = (conv1d, conv2d)[rank - 1]
    inside = (..., *(slice(n) for n in x.shape[2:]))

    def convolve(image: Array) -> Array:
        return conv(image, weight, None, strides, paddings, dilations, groups)[inside]

    (y,) = vjp(convolve, image)[1](x.astype(dtype))
    if bias is not None:
        y = y + np.reshape(bias, (len(bias),) + (1,) * rank)
    return y if has_batch else y[0]


def _extents(
    name: str, x: Array, weight: Array, strides: Ints, paddings: Ints, dilations: Ints, more: Ints
) -> Ints:
    """How long the spatial axes of the result are."""
    axes = zip(x.shape[2:], weight.shape[2:], strides, paddings, dilations, more, strict=True)
    found = tuple((n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in axes)
    if min(found) < 1:
        raise ShapeError(f"{name}: padding {paddings} leaves nothing: {found}")
    return found


def _check_shapes(
    name: str, rank: int, x: Array, weight: Array, bias: Array | None, groups: int
) -> None:
    if weight.ndim != rank + 2:
        raise ShapeError(f"{name}: weight {weight.shape} must have {rank + 2} axes")
    if not isinstance(groups, int) or groups < 1 or len(weight) % groups:
        raise ShapeError(f"{name}: groups={groups} do not divide the inputs of {weight.shape}")
    if x.shape[1] != len(weight):
        raise ShapeError(f"{name}: input {x.shape} and weight {weight.shape} do not fit")
    if bias is not None and bias.shape != (weight.shape[1] * groups,):
        count = weight.shape[1] * groups
        raise ShapeError(f"{name}: bias {bias.shape} must have the shape {(count,)}")
