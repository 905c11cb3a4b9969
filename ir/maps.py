"""The linear maps a Jacobian may name: what `slice(2:8:2)[a;i]` and its kin mean.

A map relates the axes `src` to the axes `dst` by a fixed linear function and is the identity on
every other axis. It is known by two emitters, `forward` (src to dst) and `adjoint` (dst to src),
each taking a value whose *trailing* axes are the map's, all leading ones being batch.

    slice(spec)     dst is a regular part of src
    reshape         the same elements under other axes
    windows(steps)  dst is every window along src: first the positions, then inside the windows
    gather(axes)    dst indexes src by the operands
    erase(spec)     the identity with zeros in a region
    erase_at(axes)  the identity with zeros where the operands index
    roll(shift)     dst is src moved along the one axis, from its end to its beginning
    cumsum(reverse) running totals along the one axis
    recurrence(a)   dst is the linear recurrence with weights a along one axis of src
    solve(A)        dst is A^-1 src, A's leading axes being equal in both
    solve_triangular(A)   the same for one triangle of A

The last three depend on float operands, hence have a derivative of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .builder import Builder
from .evaluate import run_node
from .graph import Value
from .jacobian import Axes, Map, Term
from .record import dataclass
from .types import F64
from .windows import windows_shape

Extents = tuple[int, ...]
Emit = Callable[[Builder, Value, Mapping[str, Any], Sequence[Value], Extents, Extents], Value]
Partial = Callable[[Builder, Map, Axes], Term]


@dataclass(frozen=True)
class MapRule:
    """`forward` and `adjoint` emit(b, v, attrs, operands, src extents, dst extents);
    `fits` checks src against dst and the operands' shapes. `partial`, of a map that depends on a
    float operand, is its derivative: a term over the map's letters and those of that operand,
    `axes.a`."""

    name: str
    forward: Emit
    adjoint: Emit
    fits: Callable[[Mapping[str, Any], Sequence[Extents], Extents, Extents], bool]
    partial: Partial | None = None


def _batched(v: Value, rank: int) -> Extents:
    return v.shape[: v.type.rank - rank]


def _zeros(b: Builder, like: Value, shape: Extents) -> Value:
    return b.full(shape, 0, like.type.dtype)


def _whole(batch: Extents, spec: Any) -> Any:
    return (*((0, n, 1) for n in batch), *spec)


def _slice(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    return b.slice(v, spec=_whole(_batched(v, len(src)), attrs["spec"]))


def _unslice(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    batch = _batched(v, len(dst))
    return b.add_at(_zeros(b, v, batch + src), v, spec=_whole(batch, attrs["spec"]))


def _reshape(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    return b.reshape(v, shape=_batched(v, len(src)) + dst)


def _unreshape(
    b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents
) -> Value:
    return b.reshape(v, shape=_batched(v, len(dst)) + src)


def _windows(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    axes = tuple(range(v.type.rank - len(src), v.type.rank))
    return b.windows(v, axes=axes, sizes=dst[len(src) :], **attrs)


def _unwindows(
    b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents
) -> Value:
    first = v.type.rank - len(dst)
    return b.windows_add(v, axes=tuple(range(first, first + len(src))), extents=src, **attrs)


def _windows_fit(attrs: Any, operands: Any, src: Extents, dst: Extents) -> bool:
    axes = tuple(range(len(src)))
    return dst == windows_shape("windows", src, axes, dst[len(src) :], **attrs)


def _shifted(axes: Sequence[int], batch: int) -> tuple[int, ...]:
    return tuple(k + batch for k in axes)


def _gather(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    batch = v.type.rank - len(src)
    out = b.gather(v, *operands, axes=_shifted(attrs["axes"], batch))
    return _rotate(b, out, len(dst))


def _ungather(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    batch = _batched(v, len(dst))
    front = _rotate(b, v, len(batch))
    axes = _shifted(attrs["axes"], len(batch))
    return b.scatter_add(_zeros(b, v, batch + src), front, *operands, axes=axes)


def _rotate(b: Builder, v: Value, count: int) -> Value:
    """Move the first `count` axes behind the others."""
    perm = (*range(count, v.type.rank), *range(count))
    return v if perm == tuple(range(v.type.rank)) else b.transpose(v, perm=perm)


def _erase(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    batch = _batched(v, len(src))
    region = tuple(len(range(*s)) for s in attrs["spec"])
    return b.update(v, _zeros(b, v, batch + region), spec=_whole(batch, attrs["spec"]))


def _erase_at(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    batch = _batched(v, len(src))
    index = np.broadcast_shapes(*(i.shape for i in operands))
    axes = _shifted(attrs["axes"], len(batch))
    return b.scatter(v, _zeros(b, v, index + batch), *operands, axes=axes)


def _roll(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    return b.roll(v, axis=v.type.rank - 1, shift=attrs["shift"])


def _unroll(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    return b.roll(v, axis=v.type.rank - 1, shift=-attrs["shift"])


def _roll_fits(attrs: Any, operands: Any, src: Extents, dst: Extents) -> bool:
    return src == dst and len(src) == 1 and 0 < attrs["shift"] < src[0] and len(attrs) == 1


def _cumsum(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    return b.cumsum(v, axis=v.type.rank - 1, reverse=attrs.get("reverse", False))


def _uncumsum(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
    return b.cumsum(v, axis=v.type.rank - 1, reverse=not attrs.get("reverse", False))


def _cumsum_fits(attrs: Any, operands: Any, src: Extents, dst: Extents) -> bool:
    return src == dst and len(src) == 1 and attrs in ({}, {"reverse": True})


def _recurrence(adjoint: bool) -> Emit:
    def emit(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
        (weights,), batch = operands, v.type.rank - len(src)
        turned = {**attrs, "axis": attrs["axis"] + batch, "reverse": attrs["reverse"] != adjoint}
        return b.recurrence(b.broadcast(weights, shape=v.shape) if batch else weights, v, **turned)

    return emit


def _recurrence_fits(attrs: Any, operands: Any, src: Extents, dst: Extents) -> bool:
    named = attrs.keys() == {"axis", "exclusive", "reverse"}
    return named and src == dst and list(operands) == [src] and 0 <= attrs["axis"] < len(src)


def _recurrence_partial(b: Builder, link: Map, axes: Axes) -> Term:
    """A weight multiplies what has come to it, and goes on from there: one of the two ways leaves
    it out."""
    cut = tuple((name, True if name == "exclusive" else value) for name, value in link.attrs)
    into, on = (link.attrs, cut) if dict(link.attrs)["reverse"] else (cut, link.attrs)
    return Term(1.0, (replace(link, attrs=into, dst=axes.a), replace(link, attrs=on, src=axes.a)))


def _slice_fits(attrs: Any, operands: Any, src: Extents, dst: Extents) -> bool:
    spec = attrs["spec"]
    inside = all(max(a, b) <= n for (a, b, _), n in zip(spec, src, strict=False))
    return len(spec) == len(src) and inside and dst == tuple(len(range(*s)) for s in spec)


def _gather_fits(attrs: Any, operands: Any, src: Extents, dst: Extents) -> bool:
    return len(attrs["axes"]) == len(src) == len(operands) and np.broadcast_shapes(*operands) == dst


def triangle(b: Builder, n: int, *, lower: bool) -> Value:
    """bool[n,n]: true in the lower or upper triangle, diagonal included."""
    column = b.iota(n=n)
    row = b.reshape(column, shape=(n, 1))
    return b.ge(row, column) if lower else b.le(row, column)


def _inverse(op: str, adjoint: bool) -> Emit:
    """Multiply by A^-1 or its transpose: the axes that are not the map's become the columns."""

    def emit(b: Builder, v: Value, attrs: Any, operands: Any, src: Extents, dst: Extents) -> Value:
        columns = _batched(v, len(src))
        right = b.reshape(_rotate(b, v, len(columns)), shape=(*src, math.prod(columns)))
        transposed = attrs["transposed"] != adjoint
        x = b.emit(op, (*operands, right), {**attrs, "transposed": transposed}).result
        return _rotate(b, b.reshape(x, shape=(*src, *columns)), len(src))

    return emit


def _inverse_fits(attrs: Any, operands: Any, src: Extents, dst: Extents) -> bool:
    return src == dst and list(operands) == [(*src, src[-1])]


def _inverse_partial(b: Builder, link: Map, axes: Axes) -> Term:
    """d(A^-1) = -A^-1 dA A^-1"""
    *batch, row, column = axes.a
    if dict(link.attrs)["transposed"]:
        row, column = column, row
    into, out_of = replace(link, src=(*batch, row)), replace(link, dst=(*batch, column))
    return Term(-1.0, (into, out_of))


def _triangular_partial(b: Builder, link: Map, axes: Axes) -> Term:
    """The same; of A only one triangle counts."""
    inverse = _inverse_partial(b, link, axes)
    chosen = triangle(b, axes.extent[axes.a[-1]], lower=dict(link.attrs)["lower"])
    return Term(inverse.coef, (axes.mask(chosen, axes.a[-2:]), *inverse.factors))


MAPS: Mapping[str, MapRule] = {
    rule.name: rule
    for rule in (
        MapRule("slice", _slice, _unslice, _slice_fits),
        MapRule(
            "reshape", _reshape, _unreshape,
            lambda attrs, operands, src, dst: math.prod(src) == math.prod(dst),
        ),
        MapRule("windows", _windows, _unwindows, _windows_fit),
        MapRule("gather", _gather, _ungather, _gather_fits),
        MapRule(
            "erase", _erase, _erase,
            lambda attrs, operands, src, dst: src == dst and len(attrs["spec"]) == len(src),
        ),
        MapRule(
            "erase_at", _erase_at, _erase_at,
            lambda attrs, operands, src, dst: src == dst and len(operands) == len(src),
        ),
        MapRule("roll", _roll, _unroll, _roll_fits),
        MapRule("cumsum", _cumsum, _uncumsum, _cumsum_fits),
        MapRule(
            "recurrence", _recurrence(False), _recurrence(True), _recurrence_fits,
            _recurrence_partial,
        ),
        *(
            MapRule(op, _inverse(op, False), _inverse(op, True), _inverse_fits, partial)
            for op, partial in (
                ("solve", _inverse_partial), ("solve_triangular", _triangular_partial),
            )
        ),
    )
}  # fmt: skip


def dense_map(factor: Map, operands: Sequence[np.ndarray], extents: Sequence[int]) -> np.ndarray:
    """The map as a matrix of shape src + dst: its forward applied to the identity."""
    src, dst = tuple(extents[x] for x in factor.src), tuple(extents[x] for x in factor.dst)
    b = Builder()
    size = math.prod(src)
    identity = b.constant(np.eye(size).reshape((size, *src)), F64)
    values = [b.constant(v, F64 if v.dtype.kind == "f" else None) for v in operands]
    out = MAPS[factor.op].forward(b, identity, dict(factor.attrs), values, src, dst)
    env: dict[Value, Any] = {}
    for node in b.nodes:
        env.update(zip(node.results, run_node(node, [env[v] for v in node.operands]), strict=True))
    return np.asarray(env[out]).reshape(src + dst)
