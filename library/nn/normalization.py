"""Layers that shift and scale to mean 0 and variance 1 over some axes, and then by parameters."""

from __future__ import annotations

import math

import numpy as np

from ...compiler.tracing.handle import Handle
from ...ir.errors import ShapeError, TraceError
from ._shared import Array


def layer_norm(
    input: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, of shape normalized_shape.

    `weight` and `bias` have that shape too; ShapeError otherwise.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016.
    """
    shape = _last_axes("layer_norm", input, normalized_shape)
    _fits("layer_norm", shape, weight=weight, bias=bias)
    axes = tuple(range(-len(shape), 0))
    return _affine(_standardized(input, axes, eps), weight, bias)


def rms_norm(
    input: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    eps: float | None = None,
) -> Array:
    """x / sqrt(mean(x**2) + eps) * weight over the last axes, of shape normalized_shape.

    eps is by default the distance from 1 to the next number of the dtype. ShapeError if the shapes
    do not fit.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019.
    """
    shape = _last_axes("rms_norm", input, normalized_shape)
    _fits("rms_norm", shape, weight=weight)
    axes = tuple(range(-len(shape), 0))
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    square = np.mean(np.square(input), axis=axes, keepdims=True)
    return _affine(input * (1 / np.sqrt(square + eps)), weight, None)


def group_norm(
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """Normalize each sample of (n, channels, ...) over each of num_groups groups of channels.

    `weight` and `bias` have shape (channels,). ShapeError if they do not, or if the groups do not
    divide the channels.

    Source: Wu and He, "Group Normalization", ECCV 2018.
    """
    channels = _channels("group_norm", input)
    _fits("group_norm", (channels,), weight=weight, bias=bias)
    if num_groups < 1 or channels % num_groups:
        raise ShapeError(f"group_norm: {num_groups} groups do not divide {channels} channels")
    grouped = np.reshape(input, (input.shape[0], num_groups, -1))
    normal = np.reshape(_standardized(grouped, (-1,), eps), input.shape)
    return _affine(normal, *_along_channels(input, weight, bias))


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Normalize each channel of (n, channels, ...) over all samples and places.

    In training, by the mean and (biased) variance of the batch; the running statistics then change
    in place, r <- (1 - momentum) r + momentum s, where s is the mean, or the unbiased variance.
    Else by the running statistics, which stay. In a compiled step these must be arguments; the
    loss function may change them, if it is not differentiated with respect to them.

    All parameters have shape (channels,), None leaves them out; ShapeError if shapes do not fit,
    or if a batch has fewer than two numbers per channel. ValueError without running statistics
    outside training.

    Source: Ioffe and Szegedy, "Batch Normalization", ICML 2015.
    """
    channels = _channels("batch_norm", input)
    _fits(
        "batch_norm",
        (channels,),
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if training:
        axes = (0, *range(2, input.ndim))
        count = input.size // channels if channels else 0
        if count < 2:
            raise ShapeError(
                f"batch_norm: training needs two numbers per channel, {input.shape} has {count}"
            )
        mean = np.mean(input, axis=axes, keepdims=True)
        var = np.mean(np.square(input - mean), axis=axes, keepdims=True)
        _track("batch_norm", running_mean, np.reshape(mean, -1), momentum)
        unbiased = np.reshape(var, -1) * (count / (count - 1))
        _track("batch_norm", running_var, unbiased, momentum)
    elif running_mean is None or running_var is None:
        raise ValueError("batch_norm needs running_mean and running_var unless training=True")
    else:
        mean, var = _along_channels(input, running_mean, running_var)
    weight, bias = _along_channels(input, weight, bias)
    return _affine((input - mean) * (1 / np.sqrt(var + eps)), weight, bias)


def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Normalize each channel of each sample of (n, channels, ...) over its places.

    As `batch_norm`, with the statistics of single samples; the running statistics, if given, take
    their averages over the batch. use_input_stats=False normalizes by the running statistics.

    Source: Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    channels = _channels("instance_norm", input)
    _fits(
        "instance_norm",
        (channels,),
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    count = math.prod(input.shape[2:])
    if count < 2:
        raise ShapeError(f"instance_norm: shape {input.shape} needs two numbers per channel")
    axes = tuple(range(2, input.ndim))
    mean = np.mean(np.mean(input, axis=axes), axis=0)
    var = np.mean(np.var(input, axis=axes), axis=0)
    _track("instance_norm", running_mean, mean, momentum)
    _track("instance_norm", running_var, var * (count / (count - 1)), momentum)
    return _affine(_standardized(input, axes, eps), *_along_channels(input, weight, bias))


def _standardized(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    centered = x - np.mean(x, axis=axes, keepdims=True)
    var = np.mean(np.square(centered), axis=axes, keepdims=True)
    return centered * (1 / np.sqrt(var + eps))  # a division for each mean, not for each element


def _affine(x: Array, weight: Array | None, bias: Array | None) -> Array:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _along_channels(input: Array, *parameters: Array | None) -> list[Array]:
    """(channels,) as (channels, 1, ...), to stand beside axis 1 of the input."""
    shape = (-1,) + (1,) * (input.ndim - 2)
    return [p if p is None else np.reshape(p, shape) for p in parameters]


def _track(name: str, running: Array | None, now: Array, momentum: float) -> None:
    """Move a running statistic towards the one of this batch, in place."""
    if running is None:
        return
    if isinstance(now, Handle) and not isinstance(running, Handle):
        raise TraceError(
            f"{name}: running statistics of shape {np.shape(running)} come from outside the step,"
            " which cannot change them; pass them as arguments"
        )
    running[...] = (1 - momentum) * running + momentum * now


def _last_axes(name: str, input: Array, normalized_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or np.shape(input)[-len(shape) :] != shape:
        raise ShapeError(f"{name}: the last axes of {np.shape(input)} are not {shape}")
    return shape


def _channels(name: str, input: Array) -> int:
    if np.ndim(input) < 2:
        raise ShapeError(f"{name}: input must be (n, channels, ...), not {np.shape(input)}")
    return int(input.shape[1])


def _fits(name: str, shape: tuple[int, ...], **parameters: Array | None) -> None:
    for parameter, value in parameters.items():
        if value is not None and np.shape(value) != shape:
            raise ShapeError(f"{name}: {parameter} {np.shape(value)} must have shape {shape}")
