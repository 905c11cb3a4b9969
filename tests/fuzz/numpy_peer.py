"""The way of a user: programs as plain NumPy steps, traced, compiled and called by tapeless.

    python -m tests.fuzz --n 0 --numpy 1000 --seed 1

What the fuzzer's graphs pass over is here: the tracing of NumPy's functions, views and writes,
`tl.grad`, the call, and the call of a step that is already compiled. An op is NumPy's function for
it; where NumPy has none, that of the library.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import tapeless as tl
from numpy.lib.stride_tricks import sliding_window_view
from tapeless import numpy as tnp
from tapeless.compiler.primitive import apply

from .growing import Program
from .machine import Disagreement
from .peer import NUMPY_NAMES, Call, Found, Peer, cumsum, evaluated, slices, solve

# Writes


def writing(x: Any, write: Callable[[Any], None]) -> Any:
    """A copy of x after some statements."""
    y = x.copy()
    write(y)
    return y


def update(x: Any, part: Any, spec: Any) -> Any:
    def write(y: Any) -> None:
        y[slices(spec)] = part

    return writing(x, write) if spec else part


def add_at(x: Any, part: Any, spec: Any) -> Any:
    def write(y: Any) -> None:
        y[slices(spec)] += part

    return writing(x, write) if spec else x + part


def gather(x: Any, *indices: Any, axes: Any) -> Any:
    return np.moveaxis(x, axes, range(len(axes)))[indices]


def scatter(x: Any, part: Any, *indices: Any, axes: Any) -> Any:
    def write(y: Any) -> None:
        np.moveaxis(y, axes, range(len(axes)))[indices] = part

    return writing(x, write)


def scatter_add(x: Any, part: Any, *indices: Any, axes: Any) -> Any:
    def write(y: Any) -> None:
        np.add.at(np.moveaxis(y, axes, range(len(axes))), indices, part)

    return writing(x, write)


# Windows


def windows(x: Any, axes: Any, sizes: Any, strides: Any, dilations: Any) -> Any:
    spans = tuple((n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True))
    steps = dict(zip(axes, strides, strict=True))
    found = sliding_window_view(x, spans, axes)
    outside = (slice(None, None, steps.get(k, 1)) for k in range(len(x.shape)))
    return found[(*outside, *(slice(None, None, d) for d in dilations))]


def windows_add(g: Any, axes: Any, extents: Any, strides: Any, dilations: Any) -> Any:
    rank = len(g.shape) - len(axes)
    shape = list(g.shape[:rank])
    for axis, n in zip(axes, extents, strict=True):
        shape[axis] = n
    y = tnp.zeros(shape, g.dtype)
    for places in itertools.product(*map(range, g.shape[rank:])):
        where = [slice(None)] * rank
        for axis, k, stride, dilation in zip(axes, places, strides, dilations, strict=True):
            first, count = k * dilation, g.shape[axis]
            where[axis] = slice(first, first + (count - 1) * stride + 1 if count else first, stride)
        y[tuple(where)] += g[(..., *places)]
    return y


def along(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes: function(x, axis=axes)


OPS: Final[dict[str, Callable[..., Any]]] = {
    "constant": lambda value: tnp.asarray(value),
    "iota": lambda n, dtype: tnp.arange(n, dtype=dtype),
    "stop_gradient": tl.stop_gradient,
    "cast": lambda x, dtype: x.astype(dtype),
    "sigmoid": tl.nn.sigmoid,
    "softplus": tl.nn.softplus,
    "softmax": tl.nn.softmax,
    "logsumexp": tl.nn.logsumexp,
    **{
        name: partial(apply, name)
        for name in ("erf", "solve_triangular", "random_bits", "lu", "lu_solve", "recurrence")
    },
    "reshape": np.reshape,
    "transpose": lambda x, perm: np.transpose(x, perm),
    "broadcast": np.broadcast_to,
    "slice": lambda x, spec: x[slices(spec)],
    "concatenate": lambda *parts, axis: np.concatenate(parts, axis),
    "pad": lambda x, low, high: np.pad(x, list(zip(low, high, strict=True))) if low else x,
    "windows": windows,
    "windows_add": windows_add,
    "dot": lambda x, y, spec: np.einsum(spec, x, y),
    "update": update,
    "add_at": add_at,
    "gather": gather,
    "scatter": scatter,
    "scatter_add": scatter_add,
    "sum": lambda x, axes: np.sum(x, axis=axes, dtype=x.dtype),
    **{name: along(getattr(np, name)) for name in ("max", "min", "any", "all")},
    "argmax": np.argmax,
    "argmin": np.argmin,
    "sort": lambda x, axis: np.sort(x, axis, kind="stable"),
    "argsort": lambda x, axis: np.argsort(x, axis, kind="stable"),
    "argselect": lambda x, axis, kth: np.take(
        np.argsort(x, axis, kind="stable"), np.array(kth, np.int64), axis
    ),
    "searchsorted": lambda a, v, right: np.searchsorted(a, v, "right" if right else "left"),
    "cumsum": partial(cumsum, np),
    "cumprod": lambda x, axis: np.cumprod(x, axis, dtype=x.dtype),
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
    "solve": partial(solve, np),
    "cholesky": np.linalg.cholesky,
    "logabsdet": lambda a: np.linalg.slogdet(a)[1],
    "det_sign": lambda a: np.linalg.slogdet(a)[0],
}


def elementwise(name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(np, NUMPY_NAMES.get(name, name), None)
    return found


def step_of(program: Program) -> Callable[..., Any]:
    """A program as a step that writes its updates into its arguments and returns its outputs."""
    graph = program.graph

    def step(*arguments: Any) -> list[Any]:
        found = evaluated(PEER, graph, arguments)
        outputs, after = found[: len(graph.outputs)], found[len(graph.outputs) :]
        written = {target for target, _ in graph.updates}
        new = [x.copy() if v in written else None for v, x in zip(graph.inputs, after, strict=True)]
        outputs = [x.copy() for x in outputs]  # of an argument that is written to, say
        for argument, value in zip(arguments, new, strict=True):
            if value is not None:
                argument[...] = value
        return outputs

    return step


def compiled(program: Program, loss: Program | None) -> Call:
    floats = tuple(k for k, v in enumerate(program.graph.inputs) if v.type.is_float)
    step = tl.compile(step_of(program), cache=False)
    slope = None
    if loss is not None:
        value = step_of(loss)
        slope = tl.compile(tl.grad(lambda *a: value(*a)[0], argnums=floats), cache=False)

    def call(arguments: Sequence[np.ndarray]) -> Found:
        runs = []
        for _ in range(2):  # the first call compiles
            given = [a.copy() for a in arguments]
            runs.append([np.asarray(a) for a in (*step(*given), *given)])
        for k, (a, b) in enumerate(zip(*runs, strict=True)):
            if a.tobytes() != b.tobytes():
                raise Disagreement("numpy", f"result {k} has other bits in the second call")
        return runs[0], [] if slope is None else list(map(np.asarray, slope(*arguments)))

    return call


def converted(x: Any, dtype: np.dtype) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)


PEER: Final = Peer("numpy", OPS, elementwise, converted, compiled, foreign=False)

__all__ = ["PEER"]
