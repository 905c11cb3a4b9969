"""Rules for the ops that move elements. All are exact.

    %a:f64[3,1] = reshape %x [shape=(3,1)]
    %b:f64[3,4] = broadcast %a [shape=(3,4)]
    %y:f64[3,4] = mul %w, %b
=>
    %a:f64[3,1] = reshape %x [shape=(3,1)]
    %y:f64[3,4] = mul %w, %a
"""

from __future__ import annotations

from ...ir.graph import Node, Value
from ...ir.op import OPS
from ...ir.ops.move import full_slice
from .patterns import p, x
from .rules import Rule, Site, rule

ELEMENTWISE = tuple(name for name, op in OPS.items() if op.kind == "elementwise")


@rule("reshape", "broadcast", "slice", "transpose", "pad", "concatenate")
def unmoved(site: Site) -> Value | None:
    """A move of one operand that leaves every element in its place is that operand."""
    node, x = site.node, site.operands[0]
    if len(node.operands) != 1 or x.shape != site.result.shape:
        return None
    return x if _keeps_order(node, x.shape) else None


def _keeps_order(node: Node, shape: tuple[int, ...]) -> bool:
    if node.op.name == "transpose":
        return _is_increasing(node.attrs["perm"], shape)
    if node.op.name == "slice":
        return all(s == full_slice(n) for s, n in zip(node.attrs["spec"], shape, strict=True))
    return True


def _is_increasing(perm: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a permutation moves nothing but axes of extent 1."""
    moved = [a for a in perm if shape[a] != 1]
    return moved == sorted(moved)


@rule("transpose")
def transpose_as_reshape(site: Site) -> Value | None:
    """transpose(x) = reshape(x) when it moves only axes of extent 1"""
    (x,) = site.operands
    if not _is_increasing(site.node.attrs["perm"], x.shape):
        return None
    return site.b.reshape(x, shape=site.result.shape)


@rule(p.reshape(p.reshape(x)))
def reshape_of_reshape(site: Site, x: Value) -> Value:
    """reshape(reshape(x)) = reshape(x)"""
    return site.b.reshape(x, shape=site.result.shape)


@rule(p.transpose(p.transpose(x, name="y")))
def transpose_of_transpose(site: Site, x: Value, y: Value) -> Value:
    """transpose(transpose(x)) = transpose(x) by the composed permutation"""
    inner = site.producers[y].attrs["perm"]
    return site.b.transpose(x, perm=tuple(inner[k] for k in site.node.attrs["perm"]))


@rule(p.cumsum(p.transpose(x, name="y")))
def scan_before_transpose(site: Site, x: Value, y: Value) -> Value | None:
    """cumsum(transpose(x)) = transpose(cumsum(x)), along the axis where it was"""
    if not site.used_once(y):
        return None
    perm, axis = site.producers[y].attrs["perm"], site.node.attrs["axis"]
    total = site.b.cumsum(x, axis=perm[axis], reverse=site.node.attrs["reverse"])
    return site.b.transpose(total, perm=perm)


@rule("broadcast")
def broadcast_as_reshape(site: Site) -> Value | None:
    """broadcast(x) = reshape(x) when it repeats nothing; a known number stays a broadcast"""
    (x,) = site.operands
    if x.type.size != site.result.type.size or site.uniform(x) is not None:
        return None
    return site.b.reshape(x, shape=site.result.shape)


@rule(p.broadcast(p.broadcast(x)))
def broadcast_of_broadcast(site: Site, x: Value) -> Value:
    """broadcast(broadcast(x)) = broadcast(x)"""
    return site.b.broadcast(x, shape=site.result.shape)


@rule(p.broadcast(p.reshape(x)))
def broadcast_of_reshape(site: Site, x: Value) -> Value | None:
    """broadcast(reshape(x)) = broadcast(x) when the reshape only adds leading axes of extent 1"""
    inner = site.operands[0].shape
    added = len(inner) - x.type.rank
    if added < 0 or inner != (1,) * added + x.shape:
        return None
    return site.b.broadcast(x, shape=site.result.shape)


@rule(p.slice(p.slice(x, name="y")))
def slice_of_slice(site: Site, x: Value, y: Value) -> Value:
    """slice(slice(x)) = slice(x) by the composed slices"""
    inner, outer = site.producers[y].attrs["spec"], site.node.attrs["spec"]
    spec = tuple(_compose(a, b) for a, b in zip(inner, outer, strict=True))
    return site.b.slice(x, spec=spec)


def _compose(inner: tuple[int, int, int], outer: tuple[int, int, int]) -> tuple[int, int, int]:
    chosen = range(*inner)[slice(outer[0], None if outer[1] < 0 else outer[1], outer[2])]
    return normal_slice(chosen)


def normal_slice(chosen: range) -> tuple[int, int, int]:
    """The normalised slice that selects the indices of a range."""
    if len(chosen) == 0:
        return (0, 0, 1)
    stop = chosen[-1] + (1 if chosen.step > 0 else -1)
    return (chosen[0], stop, chosen.step)


@rule("slice", below=("concatenate",))
def slice_of_concatenate(site: Site) -> Value | None:
    """A slice of a concatenation that lies within one operand is a slice of that operand."""
    node = site.producer(site.operands[0], "concatenate")
    if node is None or site.result.type.size == 0:
        return None
    axis, spec, low = node.attrs["axis"], list(site.node.attrs["spec"]), 0
    chosen = range(*spec[axis])
    for part in node.operands:
        high = low + part.shape[axis]
        if low <= min(chosen[0], chosen[-1]) and max(chosen[0], chosen[-1]) < high:
            spec[axis] = normal_slice(range(chosen.start - low, chosen.stop - low, chosen.step))
            return site.b.slice(part, spec=tuple(spec))
        low = high
    return None


@rule(*ELEMENTWISE, below=("broadcast",))
def compute_before_broadcast(site: Site) -> Value | None:
    """f(broadcast(x), y) = broadcast(f(x, y)), where y alone may already give the full shape"""
    nodes = [site.producer(v, "broadcast") for v in site.operands]
    if not any(nodes):
        return None
    small = [v if n is None else n.operands[0] for v, n in zip(site.operands, nodes, strict=True)]
    return site.b.emit(site.node.op, small, site.node.attrs).results[0]


@rule(*ELEMENTWISE, below=("reshape",))
def compute_before_reshape(site: Site) -> Value | None:
    """f(reshape(x), reshape(y)) = reshape(f(x, y)) when the reshapes add or drop the same axes of
    extent 1; scalars need none"""
    tensors = [v for v in site.operands if v.shape != ()]
    nodes = [site.producer(v, "reshape") for v in tensors]
    inner = {n.operands[0].shape if n is not None else None for n in nodes}
    if len(inner) != 1 or None in inner or any(v.shape != site.result.shape for v in tensors):
        return None
    (shape,) = inner
    if shape is None or [n for n in shape if n != 1] != [n for n in site.result.shape if n != 1]:
        return None
    operands = [v if v.shape == () else site.producers[v].operands[0] for v in site.operands]
    value = site.b.emit(site.node.op, operands, site.node.attrs).results[0]
    return site.b.reshape(value, shape=site.result.shape)


@rule(*ELEMENTWISE, below=("reshape",))
def leading_units(site: Site) -> Value | None:
    """f(x, reshape(y)) = f(x, y) when the reshape only adds leading axes of extent 1, which x has
    too"""
    nodes = [site.producer(v, "reshape") for v in site.operands]
    inner = [
        v if n is None or not _adds_leading_units(n) else n.operands[0]
        for v, n in zip(site.operands, nodes, strict=True)
    ]
    ranks = [v.type.rank for v in inner]
    if inner == list(site.operands) or max(ranks) < site.result.type.rank:
        return None
    return site.b.emit(site.node.op, inner, site.node.attrs).results[0]


def _adds_leading_units(node: Node) -> bool:
    old, new = node.operands[0].shape, node.result.shape
    return len(old) < len(new) and new == (1,) * (len(new) - len(old)) + old


RULES: tuple[Rule, ...] = (
    unmoved,
    transpose_as_reshape,
    reshape_of_reshape,
    transpose_of_transpose,
    scan_before_transpose,
    broadcast_as_reshape,
    broadcast_of_broadcast,
    broadcast_of_reshape,
    slice_of_slice,
    slice_of_concatenate,
    compute_before_broadcast,
    compute_before_reshape,
    leading_units,
)
