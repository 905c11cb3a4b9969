"""A second opinion: random programs and their gradients, computed by JAX.

    python -m tests.fuzz --n 0 --jax 1000 --seed 1

A graph is evaluated node by node with `jax.numpy`, its gradient is JAX's own. Both are held to the
margins of `check.Reference`. JAX follows other conventions where a derivative does not exist, gives
NaN where a structural zero gives 0, and leaves the order of equal indices open: such elements and
such programs say nothing. This module is imported only where JAX is installed.
"""

from __future__ import annotations

import os
import random
from collections import Counter
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
from tapeless.compiler.pipeline import lower
from tapeless.ir.errors import RUN_TIME_ERRORS, UnsupportedError
from tapeless.ir.graph import Graph, Node

from .check import Reference, indeterminate, otherwise
from .gradients import differentiable, kinked, with_gradient
from .growing import Program
from .machine import Disagreement

jax.config.update("jax_enable_x64", True)

LOOSER: Final = 16
"""How many margins JAX may be away: it adds in another order, with other functions."""


class Unknown(Exception):
    """JAX has no such op, or none with the same meaning."""


def known(value: Any) -> np.ndarray:
    """An array that does not depend on what is differentiated."""
    if isinstance(value, jax.core.Tracer):
        raise Unknown("it is traced")
    return np.asarray(value)


def slices(spec: Sequence[tuple[int, int, int]]) -> tuple[slice, ...]:
    return tuple(slice(a, None if b < 0 else b, step) for a, b, step in spec)


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
    front = jnp.moveaxis(x, axes, range(len(axes)))
    places = [known(i) % n for i, n in zip(indices, front.shape, strict=False)]
    flat = np.ravel_multi_index(np.broadcast_arrays(*places), front.shape[: len(axes)])
    if not add and len(np.unique(flat)) < flat.size:
        raise Unknown("which of equal indices wins")
    written = front.at[indices].add(part) if add else front.at[indices].set(part)
    return jnp.moveaxis(written, range(len(axes)), axes)


def cumsum(x: Any, axis: int, reverse: bool) -> Any:
    if not reverse:
        return jnp.cumsum(x, axis, dtype=x.dtype)
    return jnp.flip(jnp.cumsum(jnp.flip(x, axis), axis, dtype=x.dtype), axis)


def solve(a: Any, b: Any, transposed: bool) -> Any:
    return jnp.linalg.solve(jnp.swapaxes(a, -1, -2) if transposed else a, b)


def solve_triangular(a: Any, b: Any, lower: bool, transposed: bool) -> Any:
    return jax.lax.linalg.triangular_solve(
        a, b, left_side=True, lower=lower, transpose_a=transposed
    )


def region(name: str) -> Callable[..., Any]:
    def write(x: Any, part: Any, spec: Any) -> Any:
        if x.dtype == bool:
            raise Unknown("adding Booleans")
        return getattr(jnp.asarray(x).at[slices(spec)], name)(part)

    return write


def along(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes: function(x, axis=axes)


OTHER_NAMES: Final = {
    "sub": "subtract", "mul": "multiply", "div": "true_divide", "neg": "negative",
    "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "eq": "equal", "ne": "not_equal", "and": "logical_and",
    "or": "logical_or", "xor": "logical_xor", "not": "logical_not", "bit_and": "bitwise_and",
    "bit_or": "bitwise_or", "bit_xor": "bitwise_xor", "bit_not": "bitwise_not",
    "shift_left": "left_shift", "shift_right": "right_shift", "select": "where",
}  # fmt: skip
OPS: Final[dict[str, Callable[..., Any]]] = {
    "constant": lambda value: jnp.asarray(value),
    "iota": lambda n, dtype: jnp.arange(n, dtype=dtype),
    "stop_gradient": jax.lax.stop_gradient,
    "cast": lambda x, dtype: x.astype(dtype),
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
    "argsort": lambda x, axis: jnp.argsort(x, axis, stable=True),
    "searchsorted": lambda a, v, right: jnp.searchsorted(a, v, "right" if right else "left"),
    "cumsum": cumsum,
    "solve": solve,
    "solve_triangular": solve_triangular,
    "logabsdet": lambda a: jnp.linalg.slogdet(a)[1],
    "det_sign": lambda a: jnp.linalg.slogdet(a)[0],
}


def run(node: Node, operands: list[Any]) -> Any:
    """A node by JAX."""
    op = node.op
    function = OPS.get(op.name)
    if function is None and op.kind == "elementwise":
        function = getattr(jnp, OTHER_NAMES.get(op.name, op.name))
    if function is None:
        raise Unknown(op.name)
    found = function(*operands, **node.attrs)
    if found.shape != node.result.shape:
        raise Disagreement("jax", f"{op.name} has shape {found.shape}")
    return found.astype(node.result.type.dtype)


def by_jax(graph: Graph, arguments: Sequence[Any]) -> list[Any]:
    """Outputs, then every argument as the step leaves it."""
    return otherwise(graph, arguments, run, lambda x: x)


def compiled(
    program: Program, loss: Program | None
) -> Callable[[Sequence[np.ndarray]], tuple[list[np.ndarray], list[np.ndarray]]]:
    """What JAX makes of a program and its loss, of the floating arguments: all results, and the
    gradients. Other arguments stay known, for what they index."""
    floats = [k for k, v in enumerate(program.graph.inputs) if v.type.is_float]

    def whole(moving: Sequence[Any]) -> list[Any]:
        arguments: list[Any] = list(program.arguments)
        for k, x in zip(floats, moving, strict=True):
            arguments[k] = x
        return arguments

    @jax.jit  # type: ignore[untyped-decorator, unused-ignore]
    def both(moving: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        values = by_jax(program.graph, whole(moving))
        if loss is None:
            return values, []
        return values, jax.grad(lambda m: by_jax(loss.graph, whole(m))[0])(moving)

    def call(arguments: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        values, slopes = both([arguments[k] for k in floats])
        return list(map(np.asarray, values)), list(map(np.asarray, slopes))

    return call


def against_jax(program: Program, rng: random.Random) -> Counter[str]:
    """Disagreement if JAX computes other values, or another gradient; how much was compared."""
    try:
        reference = Reference(program)
        loss = differentiable(program, rng)
        if indeterminate(program.graph, program.arguments) or (
            loss is not None and indeterminate(loss.graph, loss.arguments)
        ):
            return Counter(indeterminate=1)
        call = compiled(program, loss)
        agree(reference, "jax", call(program.arguments)[0])
        if loss is None:
            return Counter(values=1)
        return Counter(values=1, slopes=against_jax_gradient(loss, call, rng))
    except (Unknown, UnsupportedError, *RUN_TIME_ERRORS) as reason:
        return Counter({f"left out: {type(reason).__name__}": 1})


def against_jax_gradient(
    loss: Program, call: Callable[..., tuple[Any, list[Any]]], rng: random.Random
) -> int:
    """Whether the gradients of a loss could be compared."""
    if kinked(loss, rng):
        return 0
    gradient = lower(with_gradient(loss.graph), optimize=False, until="jacobian-free")
    reference = Reference(Program(gradient.graphs["jacobian-free"], loss.arguments))
    agree(reference, "jax gradient", [*call(loss.arguments)[1], *loss.arguments])
    return 1


def agree(reference: Reference, where: str, found: Sequence[Any]) -> None:
    """Compare what both executors have as numbers."""
    for k, (expected, array) in enumerate(zip(reference.results, found, strict=True)):
        other = np.asarray(array)
        if other.dtype != expected.dtype:
            raise Disagreement(where, f"result {k} is {other.dtype}")
        both = np.isfinite(expected) & np.isfinite(other)
        if expected.dtype.kind != "f":
            away = float(np.any(expected != other))
        else:
            away = float(np.max(np.abs(expected - other), where=both, initial=0.0))
        if away > 0 and away > LOOSER * reference.margin[k]:
            raise Disagreement(where, f"result {k} is off by {away:.2e}: {reference.margin[k]:.1e}")


__all__ = ["against_jax", "by_jax"]
