"""JAX as a second opinion: what each op is there; see `peer.py`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

# Every program is compiled once and run twice.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf
from jax.scipy.special import logsumexp as log_sum_exp

from .growing import Program
from .peer import (
    NUMPY_NAMES,
    Call,
    Found,
    Peer,
    Unknown,
    cumsum,
    evaluated,
    floats_of,
    once_each,
    recurrence,
    slices,
    solve,
    with_floats,
)

jax.config.update("jax_enable_x64", True)


def known(value: Any) -> np.ndarray:
    """An array that does not depend on what is differentiated."""
    if isinstance(value, jax.core.Tracer):
        raise Unknown("it is traced")
    return np.asarray(value)


def windows(x: Any, axes: Any, sizes: Any, strides: Any, dilations: Any) -> Any:
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        count = (x.shape[axis] - (size - 1) * dilation - 1) // stride + 1
        places = np.arange(count)[:, None] * stride + np.arange(size) * dilation
        x = jnp.moveaxis(jnp.take(x, places, axis=axis), axis + 1, -1)
    return x


def windows_add(g: Any, axes: Any, extents: Any, strides: Any, dilations: Any) -> Any:
    rank = g.ndim - len(axes)
    shape = list(g.shape[:rank])
    for axis, n in zip(axes, extents, strict=True):
        shape[axis] = n
    apart = partial(windows, axes=axes, sizes=g.shape[rank:], strides=strides, dilations=dilations)
    return jax.vjp(apart, jnp.zeros(shape, g.dtype))[1](g)[0]


def gather(x: Any, *indices: Any, axes: Any) -> Any:
    return jnp.moveaxis(x, axes, range(len(axes)))[indices]


def scatter(x: Any, part: Any, *indices: Any, axes: Any, add: bool) -> Any:
    if add and x.dtype == bool:
        raise Unknown("adding Booleans")
    front = jnp.moveaxis(x, axes, range(len(axes)))
    if not add:
        once_each(list(map(known, indices)), front.shape[: len(axes)])
    written = front.at[indices].add(part) if add else front.at[indices].set(part)
    return jnp.moveaxis(written, range(len(axes)), axes)


def cast(x: Any, dtype: np.dtype) -> Any:
    if dtype.kind not in "iu" or x.dtype.kind != "f":
        return x.astype(dtype)
    if dtype.itemsize < 4 or dtype.kind == "u":
        raise Unknown("a small integer that a NaN or a large number is")
    ends = np.iinfo(dtype)
    return jnp.where(abs(x) < -float(ends.min), x.astype(dtype), ends.min)


def solve_triangular(a: Any, b: Any, lower: bool, transposed: bool) -> Any:
    return jax.lax.linalg.triangular_solve(
        a, b, left_side=True, lower=lower, transpose_a=transposed
    )


def extremes(scan: Callable[..., Any], x: Any, axis: int) -> Any:
    return scan(x.astype(np.int8) if x.dtype == bool else x, axis)


def region(name: str) -> Callable[..., Any]:
    def write(x: Any, part: Any, spec: Any) -> Any:
        if name == "add" and x.dtype == bool:
            raise Unknown("adding Booleans")
        return getattr(jnp.asarray(x).at[slices(spec)], name)(part)

    return write


def along(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes: function(x, axis=axes)


OPS: Final[dict[str, Callable[..., Any]]] = {
    "constant": lambda value: jnp.asarray(value),
    "iota": lambda n, dtype: jnp.arange(n, dtype=dtype),
    "stop_gradient": jax.lax.stop_gradient,
    "cast": cast,
    # At 0 the derivative is 0, as NumPy's sign says; JAX's own is 1.
    "abs": lambda x: jnp.where(x == 0, x * 0, jnp.abs(x)),
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "erf": erf,
    "softmax": jax.nn.softmax,
    "logsumexp": log_sum_exp,
    "reshape": lambda x, shape: jnp.reshape(x, shape),
    "transpose": lambda x, perm: jnp.transpose(x, perm),
    "broadcast": lambda x, shape: jnp.broadcast_to(x, shape),
    "slice": lambda x, spec: x[slices(spec)],
    "concatenate": lambda *parts, axis: jnp.concatenate(parts, axis),
    "pad": lambda x, low, high: jnp.pad(x, list(zip(low, high, strict=True))) if x.ndim else x,
    "windows": windows,
    "windows_add": windows_add,
    "dot": lambda x, y, spec: jnp.einsum(spec, x, y, precision="highest"),
    "update": region("set"),
    "add_at": region("add"),
    "gather": gather,
    "scatter": partial(scatter, add=False),
    "scatter_add": partial(scatter, add=True),
    "sum": lambda x, axes: jnp.sum(x, axes, dtype=x.dtype),
    **{name: along(getattr(jnp, name)) for name in ("max", "min", "any", "all")},
    "argmax": jnp.argmax,
    "argmin": jnp.argmin,
    "sort": lambda x, axis: jnp.sort(x, axis, stable=True),
    "argsort": lambda x, axis: jnp.argsort(x, axis, stable=True),
    "argselect": lambda x, axis, kth: jnp.take(
        jnp.argsort(x, axis, stable=True), np.array(kth, np.int64), axis
    ),
    "searchsorted": lambda a, v, right: jnp.searchsorted(a, v, "right" if right else "left"),
    "cumsum": partial(cumsum, jnp),
    "cumprod": lambda x, axis: jnp.cumprod(x, axis, dtype=x.dtype),
    "cummax": lambda x, axis: extremes(jax.lax.cummax, x, axis),
    "cummin": lambda x, axis: extremes(jax.lax.cummin, x, axis),
    "recurrence": partial(recurrence, jnp),
    "solve": partial(solve, jnp),
    "solve_triangular": solve_triangular,
    "logabsdet": lambda a: jnp.linalg.slogdet(a)[1],
    "det_sign": lambda a: jnp.linalg.slogdet(a)[0],
}


def elementwise(name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(jnp, NUMPY_NAMES.get(name, name), None)
    return found


def compiled(program: Program, loss: Program | None) -> Call:
    """Both graphs as one function of JAX. Arguments that are not floats stay known, for what they
    index."""

    @jax.jit  # type: ignore[untyped-decorator, unused-ignore]
    def both(moving: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        values = evaluated(PEER, program.graph, with_floats(program, moving))
        if loss is None:
            return values, []
        return values, jax.grad(lambda m: evaluated(PEER, loss.graph, with_floats(loss, m))[0])(
            moving
        )

    def call(arguments: Sequence[np.ndarray]) -> Found:
        values, slopes = both(floats_of(program, arguments))
        return list(map(np.asarray, values)), list(map(np.asarray, slopes))

    return call


PEER: Final = Peer(
    "jax", OPS, elementwise, lambda x, dtype: x.astype(dtype), compiled, flushes=True
)

__all__ = ["PEER"]
