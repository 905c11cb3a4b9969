"""PyTorch as a second opinion: what each op is there; see `peer.py`.

The nodes `arg` and `gradient` of training steps are autograd's, so that whole steps are compared,
their updates included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch

from .growing import Program
from .peer import (
    Call,
    Found,
    Peer,
    Unknown,
    evaluated,
    floats_of,
    once_each,
    recurrence,
    slices,
    with_floats,
)

torch.set_num_threads(1)


def dtype_of(dtype: np.dtype) -> Any:
    if dtype.kind == "u" and dtype.itemsize > 1:
        raise Unknown("torch stores these, and has few operations on them")
    try:
        return torch.from_numpy(np.empty(0, dtype)).dtype
    except TypeError as error:
        raise Unknown(str(error)) from None


def tensor(array: Any) -> Any:
    """A copy of an array, or of a number."""
    array = np.array(array)
    return torch.from_numpy(array.reshape(-1)).reshape(array.shape).to(dtype_of(array.dtype))


# Moves


def part_of(x: Any, spec: Any) -> Any:
    """The places of a regular part among all elements: torch has no steps backward."""
    return torch.from_numpy(np.array(np.arange(x.numel()).reshape(x.shape)[slices(spec)]))


def part(x: Any, spec: Any) -> Any:
    return x.reshape(-1)[part_of(x, spec)]


def write(x: Any, values: Any, spec: Any, add: bool) -> Any:
    if add and x.dtype == torch.bool:
        raise Unknown("adding Booleans")
    places = (part_of(x, spec),)
    return x.reshape(-1).index_put(places, values, accumulate=add).reshape(x.shape)


def padded(x: Any, low: Any, high: Any) -> Any:
    both = [n for pair in zip(reversed(low), reversed(high), strict=True) for n in pair]
    return torch.nn.functional.pad(x, both) if x.ndim else x


def windows(x: Any, axes: Any, sizes: Any, strides: Any, dilations: Any) -> Any:
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        x = x.unfold(axis, (size - 1) * dilation + 1, stride)[..., ::dilation]
    return x


def windows_add(g: Any, axes: Any, extents: Any, strides: Any, dilations: Any) -> Any:
    if not g.is_floating_point():
        raise Unknown("the adjoint of windows of integers")
    rank = g.ndim - len(axes)
    shape = list(g.shape[:rank])
    for axis, n in zip(axes, extents, strict=True):
        shape[axis] = n
    zeros = torch.zeros(shape, dtype=g.dtype, requires_grad=True)
    apart = windows(zeros, axes, g.shape[rank:], strides, dilations)
    return torch.autograd.grad(apart, zeros, g, create_graph=g.requires_grad)[0]


def gather(x: Any, *indices: Any, axes: Any) -> Any:
    return x.movedim(axes, tuple(range(len(axes))))[indices]


def scatter(x: Any, values: Any, *indices: Any, axes: Any, add: bool) -> Any:
    if add and x.dtype == torch.bool:
        raise Unknown("adding Booleans")
    ordered = tuple(range(len(axes)))
    front = x.movedim(axes, ordered)
    if not add:
        once_each([np.asarray(i.detach()) for i in indices], front.shape[: len(axes)])
    return front.index_put(indices, values, accumulate=add).movedim(ordered, axes)


# Reductions and systems


def along(function: Callable[..., Any]) -> Callable[..., Any]:
    """No axes are all of them to torch."""
    return lambda x, axes: function(x, dim=axes) if axes else x


def cumsum(x: Any, axis: int, reverse: bool) -> Any:
    flip = (lambda y: y.flip(axis)) if reverse else (lambda y: y)
    return flip(flip(x).cumsum(axis, dtype=x.dtype))


def numbers(x: Any) -> Any:
    return x.to(torch.uint8) if x.dtype == torch.bool else x


def searchsorted(a: Any, v: Any, right: bool) -> Any:
    if bool(torch.isnan(a).any() or torch.isnan(v).any()):
        raise Unknown("where a NaN belongs")
    return torch.searchsorted(a, v, right=right)


def solve(a: Any, b: Any, transposed: bool) -> Any:
    return torch.linalg.solve(a.mT if transposed else a, b)


def solve_triangular(a: Any, b: Any, lower: bool, transposed: bool) -> Any:
    matrix = a.tril() if lower else a.triu()
    turned = matrix.mT if transposed else matrix
    return torch.linalg.solve_triangular(turned, b, upper=lower == transposed)


def dot(x: Any, y: Any, spec: str) -> Any:
    if x.dtype == torch.bool:
        raise Unknown("a contraction of Booleans")
    return torch.einsum(spec, x, y)


# Derivatives


def gradient(loss: Any, *wrt: Any) -> tuple[Any, ...]:
    if not loss.requires_grad:
        return tuple(map(torch.zeros_like, wrt))
    found: tuple[Any, ...] = torch.autograd.grad(
        loss, wrt, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return found


OTHER_NAMES: Final = {
    "and": "logical_and", "or": "logical_or", "xor": "logical_xor", "not": "logical_not",
    "bit_and": "bitwise_and", "bit_or": "bitwise_or", "bit_xor": "bitwise_xor",
    "bit_not": "bitwise_not", "shift_left": "bitwise_left_shift",
    "shift_right": "bitwise_right_shift", "rint": "round", "select": "where", "power": "pow",
}  # fmt: skip
OPS: Final[dict[str, Callable[..., Any]]] = {
    "constant": lambda value: tensor(value),
    "iota": lambda n, dtype: torch.arange(n, dtype=dtype_of(dtype)),
    "stop_gradient": lambda x: x.detach(),
    "cast": lambda x, dtype: x.to(dtype_of(dtype)),
    "floor_divide": lambda x, y: torch.floor_divide(
        x.detach(), y.detach()
    ),  # constant but for jumps
    "erf": torch.special.erf,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "cbrt": lambda x: torch.sign(x) * torch.abs(x) ** (1 / 3),
    "softmax": lambda x, axis: torch.softmax(x, axis),
    "logsumexp": lambda x, axis: torch.logsumexp(x, axis),
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, perm: x.permute(perm),
    "broadcast": lambda x, shape: x.broadcast_to(shape),
    "slice": part,
    "concatenate": lambda *parts, axis: torch.cat(parts, axis),
    "pad": padded,
    "windows": windows,
    "windows_add": windows_add,
    "dot": dot,
    "update": partial(write, add=False),
    "add_at": partial(write, add=True),
    "gather": gather,
    "scatter": partial(scatter, add=False),
    "scatter_add": partial(scatter, add=True),
    "sum": along(torch.sum),
    "max": along(torch.amax),
    "min": along(torch.amin),
    "any": along(torch.any),
    "all": along(torch.all),
    "argmax": lambda x, axis: torch.argmax(numbers(x), axis),
    "argmin": lambda x, axis: torch.argmin(numbers(x), axis),
    "sort": lambda x, axis: torch.sort(x, dim=axis, stable=True).values,
    "argsort": lambda x, axis: torch.argsort(x, dim=axis, stable=True),
    "argselect": lambda x, axis, kth: torch.argsort(x, dim=axis, stable=True).index_select(
        axis, torch.tensor(kth, dtype=torch.int64)
    ),
    "searchsorted": searchsorted,
    "cumsum": cumsum,
    "cumprod": lambda x, axis: x.cumprod(axis, dtype=x.dtype),
    "cummax": lambda x, axis: numbers(x).cummax(axis).values,
    "cummin": lambda x, axis: numbers(x).cummin(axis).values,
    "recurrence": partial(recurrence, torch),
    "solve": solve,
    "solve_triangular": solve_triangular,
    "cholesky": torch.linalg.cholesky,
    "logabsdet": lambda a: torch.linalg.slogdet(a)[1],
    "det_sign": lambda a: torch.linalg.slogdet(a)[0],
    "arg": lambda x: x.detach().clone().requires_grad_(),
    "gradient": gradient,
}


def elementwise(name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(torch, OTHER_NAMES.get(name, name), None)
    return found


def compiled(program: Program, loss: Program | None) -> Call:
    def call(arguments: Sequence[np.ndarray]) -> Found:
        values = evaluated(PEER, program.graph, list(map(tensor, arguments)))
        slopes: tuple[Any, ...] = ()
        if loss is not None:
            moving = [tensor(a).requires_grad_() for a in floats_of(loss, arguments)]
            whole = [x if torch.is_tensor(x) else tensor(x) for x in with_floats(loss, moving)]
            slopes = gradient(evaluated(PEER, loss.graph, whole)[0], *moving)
        return [x.detach().numpy() for x in values], [x.numpy() for x in slopes]

    return call


PEER: Final = Peer("torch", OPS, elementwise, lambda x, dtype: x.to(dtype_of(dtype)), compiled)

__all__ = ["PEER"]
