"""Rules for writes into parts of arrays.

    %a:f64[5] = add_at 0.0, %v [1:3]
    %y:f64[5] = add %x, %a
=>
    %y:f64[5] = add_at %x, %v [1:3]

Adding into an array of zeros and then adding that array is one accumulation. Where x is -0.0 and
nothing is added, it stays -0.0 instead of becoming 0.0; and several terms are added one by one to
x instead of to each other first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...ir.assembly import are_disjoint
from ...ir.graph import Node, Value
from ...ir.ops.move import SliceSpec, full_slice
from .movement import ELEMENTWISE
from .patterns import c, p, x, y, z
from .rules import Rule, Site, rule

FAR_FEWER = 4
"""How many times smaller a gather must be to be computed apart from the whole array."""


@rule(p.add(x, y), getattr(p, "or")(x, y))
def accumulate(site: Site, x: Value, y: Value) -> Value | None:
    """x + add_at(0, v) = add_at(x, v), and scatter_add likewise. Rounds differently. So for `or`,
    which adds truth values."""
    node = _added_to_zeros(site, y)
    if node is None or x.shape != y.shape:
        return None
    return site.b.emit(node.op, (x, *node.operands[1:]), node.attrs).results[0]


@rule(p.sub(x, y))
def accumulate_negated(site: Site, x: Value, y: Value) -> Value | None:
    """x - add_at(0, v) = add_at(x, -v), and scatter_add likewise. Rounds differently."""
    node = _added_to_zeros(site, y)
    if node is None or x.shape != y.shape:
        return None
    v, *indices = node.operands[1:]
    return site.b.emit(node.op, (x, site.b.neg(v), *indices), node.attrs).results[0]


@rule(p.add(x, p.pad(y, name="z")))
def accumulate_padded(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """x + pad(v) = add_at(x, v)"""
    if not site.used_once(z) or x.shape != z.shape:
        return None
    low = site.producers[z].attrs["low"]
    spec = tuple((a, a + n, 1) for a, n in zip(low, y.shape, strict=True))
    return site.b.add_at(x, y, spec=spec)


def _added_to_zeros(site: Site, value: Value) -> Node | None:
    node = site.producer(value, "add_at", "scatter_add")
    if node is None or not site.used_once(value) or site.uniform(node.operands[0]) != 0:
        return None
    return node


@rule(p.add_at(0.0, y), p.update(x, y))
def write_everywhere(site: Site, y: Value, **_: Value) -> Value | None:
    """update(x, v) = v, and add_at(0, v) = v, when the region is the whole array; v backwards when
    that is the region"""
    spec, shape = site.node.attrs["spec"], site.result.shape
    if _is_whole(spec, shape):
        return y
    every = (s in (full_slice(n), (n - 1, -1, -1)) for s, n in zip(spec, shape, strict=True))
    return site.b.slice(y, spec=spec) if all(every) else None


@rule(p.update(p.update(x, z, name="u"), y))
def overwrite(site: Site, x: Value, y: Value, u: Value, **_: Value) -> Value | None:
    """update(update(x, w), v) = update(x, v) when both write the same region"""
    spec = site.node.attrs["spec"]
    return site.b.update(x, y, spec=spec) if site.producers[u].attrs["spec"] == spec else None


@rule(p.slice(p.update(x, y, name="u")))
def read_what_was_written(site: Site, x: Value, y: Value, u: Value) -> Value | None:
    """slice(update(x, v)) = v for the same region; = slice(x) for one that does not meet it"""
    written, read = site.producers[u].attrs["spec"], site.node.attrs["spec"]
    if written == read:
        return y
    return site.b.slice(x, spec=read) if are_disjoint(written, read) else None


@rule(p.slice(p.add_at(x, y, name="u")))
def read_beside_what_was_added(site: Site, x: Value, u: Value, **_: Value) -> Value | None:
    """slice(add_at(x, v)) = slice(x) for a region that does not meet the one added to"""
    read = site.node.attrs["spec"]
    if not are_disjoint(site.producers[u].attrs["spec"], read):
        return None
    return site.b.slice(x, spec=read)


@rule("gather", "scatter", "scatter_add")
def every_index(site: Site) -> Value | None:
    """gather(x, 0..n-1) = x, scatter(x, v, 0..n-1) = v, scatter_add(x, v, 0..n-1) = x + v (x or
    v for Booleans) along the first axis"""
    *_, index = site.operands
    if site.node.attrs["axes"] != (0,) or not _counts(site, index, site.operands[0].shape[0]):
        return None
    if site.node.op.name == "gather":
        return site.operands[0]
    x, v, _ = site.operands
    if site.node.op.name == "scatter" or site.uniform(x) == 0:
        return v
    return site.b.emit("or", (x, v)).result if x.type.is_bool else site.b.add(x, v)


@rule("gather", "scatter", "scatter_add")
def narrow_indices(site: Site) -> Value | None:
    """gather(x, broadcast(i), j) = gather(x, i, j), scatters likewise: indices broadcast anyway"""
    skip = 1 if site.node.op.name == "gather" else 2
    arrays, indices = site.operands[:skip], site.operands[skip:]
    nodes = [site.producer(v, "broadcast") for v in indices]
    narrow = [v if n is None else n.operands[0] for v, n in zip(indices, nodes, strict=True)]
    batch = np.broadcast_shapes(*(v.shape for v in indices))
    if not any(nodes) or np.broadcast_shapes(*(v.shape for v in narrow)) != batch:
        return None
    return site.b.emit(site.node.op, (*arrays, *narrow), site.node.attrs).results[0]


@rule("gather", below=("transpose",))
def gather_of_transpose(site: Site) -> Value | None:
    """gather(transpose(x), i, j) = gather(x, j, i) when every axis is indexed"""
    node, axes = site.producer(site.operands[0], "transpose"), site.node.attrs["axes"]
    if node is None or len(axes) < site.operands[0].type.rank:
        return None
    axes, indices = _in_order([node.attrs["perm"][a] for a in axes], site.operands[1:])
    return site.b.gather(node.operands[0], *indices, axes=axes)


@rule(p.transpose(p.scatter_add(c, z, x, y)))
def transpose_of_scattered(site: Site, **_: Value) -> Value | None:
    """transpose(scatter_add(c, v, i, j)) = scatter_add(c, v, j, i) for a matrix of equal numbers"""
    node = site.producers[site.operands[0]]
    whole, v, *indices = node.operands
    if site.uniform(whole) is None or site.node.attrs["perm"] != (1, 0):
        return None
    axes, swapped = _in_order([1 - a for a in node.attrs["axes"]], indices)
    return site.b.scatter_add(site.b.transpose(whole, perm=(1, 0)), v, *swapped, axes=axes)


def _in_order(axes: Sequence[int], indices: Sequence[Value]) -> tuple[tuple[int, ...], list[Value]]:
    """The axes in order, each with its index operand."""
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return tuple(axes[k] for k in order), [indices[k] for k in order]


@rule("transpose", below=("gather",))
def gather_in_place(site: Site) -> Value | None:
    """transpose(gather(x, i)) = gather(x, 0..n-1, i) where the elements taken along an axis go back
    to where it was: each row is read and written in order"""
    node = site.producer(site.operands[0], "gather")
    if node is None or not site.used_once(site.operands[0]) or len(node.operands) > 2:
        return None
    (x, index), (axis,) = node.operands, node.attrs["axes"]
    rest = range(1, x.type.rank)
    if index.type.rank != 1 or site.node.attrs["perm"] != (*rest[:axis], 0, *rest[axis:]):
        return None
    counts = [site.b.iota(n=n) for n in x.shape[:axis]]
    places = [
        site.b.reshape(v, shape=(v.shape[0], *[1] * (axis - k)))
        for k, v in enumerate((*counts, index))
    ]
    return site.b.gather(x, *places, axes=tuple(range(axis + 1)))


@rule("sum")
def sum_of_scattered(site: Site) -> Value | None:
    """sum_j scatter_add(0, v, i, j) = scatter_add(0, v, i), without the axis j. Only where another
    reader of the scattered array keeps the check that j is in range. Rounds differently."""
    node = site.producer(site.operands[0], "scatter_add")
    if node is None or site.used_once(site.operands[0]) or site.uniform(node.operands[0]) != 0:
        return None
    (x, v, *indices), axes, gone = node.operands, node.attrs["axes"], site.node.attrs["axes"]
    kept = [(a, i) for a, i in zip(axes, indices, strict=True) if a not in gone]
    batch = np.broadcast_shapes(*(i.shape for _, i in kept)) if kept else ()
    if not (kept and set(gone) <= set(axes) and v.shape[: len(batch)] == batch):
        return None
    if len(batch) != v.type.rank - (x.type.rank - len(axes)):
        return None
    zeros = site.b.full(site.result.shape, 0, x.type.dtype)
    left = tuple(a - sum(g < a for g in gone) for a, _ in kept)
    return site.b.scatter_add(zeros, v, *(i for _, i in kept), axes=left)


@rule("gather")
def gather_below_elementwise(site: Site) -> Value | None:
    """gather(f(x, y), i) = f(gather(x, i), gather(y, i)) when every axis is indexed and fewer
    elements are left to compute. If f(x, y) has other readers: far fewer, and one gather, as
    before; those readers may then be fused with it."""
    whole, *indices = site.operands
    node = site.producer(whole, *ELEMENTWISE)
    if node is None or len(indices) != whole.type.rank:
        return None
    index = dict(zip(site.node.attrs["axes"], indices, strict=True))
    kept = [_own_axes(v, whole.shape) for v in node.operands]
    gathers = [not all(_counts(site, index[a], whole.shape[a]) for a in axes) for axes in kept]
    shared = not site.used_once(whole)
    if all(v.shape != whole.shape for v in node.operands) or (shared and sum(gathers) > 1):
        return None
    if site.result.type.size * (FAR_FEWER if shared else 1) >= whole.type.size:
        return None
    parts = [_gathered(site, v, a, index) for v, a in zip(node.operands, kept, strict=True)]
    return site.b.emit(node.op, parts, node.attrs).results[0]


def _own_axes(x: Value, shape: tuple[int, ...]) -> list[int]:
    """The axes of `shape` along which x, broadcast to it, does not repeat."""
    offset = len(shape) - x.type.rank
    return [a for a in range(offset, len(shape)) if x.shape[a - offset] == shape[a]]


def _gathered(site: Site, x: Value, axes: list[int], index: Mapping[int, Value]) -> Value:
    """`x`, without the axes along which it repeats, gathered at the indices of the others."""
    offset = len(index) - x.type.rank
    x = site.b.reshape(x, shape=tuple(x.shape[a - offset] for a in axes))
    if not axes:
        return x
    return site.b.gather(x, *(index[a] for a in axes), axes=tuple(range(len(axes))))


def _counts(site: Site, value: Value, n: int) -> bool:
    """Whether `value` is 0, 1, .. n-1."""
    node = site.producer(value, "iota")
    return node is not None and node.attrs["n"] == n


def _is_whole(spec: SliceSpec, shape: tuple[int, ...]) -> bool:
    return all(s == full_slice(n) for s, n in zip(spec, shape, strict=True))


RULES: tuple[Rule, ...] = (
    accumulate,
    accumulate_negated,
    accumulate_padded,
    write_everywhere,
    overwrite,
    read_what_was_written,
    read_beside_what_was_added,
    every_index,
    narrow_indices,
    gather_of_transpose,
    transpose_of_scattered,
    gather_in_place,
    sum_of_scattered,
    gather_below_elementwise,
)
