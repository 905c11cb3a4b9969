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

from ..ir.graph import Node, Value
from ..ir.ops.move import SliceSpec, full_slice
from .patterns import p, x, y, z
from .rules import Rule, Site, rule


@rule(p.add(x, y))
def accumulate(site: Site, x: Value, y: Value) -> Value | None:
    """x + add_at(0, v) = add_at(x, v), and scatter_add likewise. Rounds differently."""
    node = _added_to_zeros(site, y)
    if node is None or x.shape != site.result.shape:
        return None
    return site.b.emit(node.op, (x, *node.operands[1:]), node.attrs).results[0]


@rule(p.sub(x, y))
def accumulate_negated(site: Site, x: Value, y: Value) -> Value | None:
    """x - add_at(0, v) = add_at(x, -v), and scatter_add likewise. Rounds differently."""
    node = _added_to_zeros(site, y)
    if node is None or x.shape != site.result.shape:
        return None
    v, *indices = node.operands[1:]
    return site.b.emit(node.op, (x, site.b.neg(v), *indices), node.attrs).results[0]


@rule(p.add(x, p.pad(y, name="z")))
def accumulate_padded(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """x + pad(v) = add_at(x, v)"""
    if not site.used_once(z) or x.shape != site.result.shape:
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
    """update(x, v) = v, and add_at(0, v) = v, when the region is the whole array"""
    return y if _is_whole(site.node.attrs["spec"], site.result.shape) else None


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
    return site.b.slice(x, spec=read) if _are_disjoint(written, read) else None


@rule(p.slice(p.add_at(x, y, name="u")))
def read_beside_what_was_added(site: Site, x: Value, u: Value, **_: Value) -> Value | None:
    """slice(add_at(x, v)) = slice(x) for a region that does not meet the one added to"""
    read = site.node.attrs["spec"]
    if not _are_disjoint(site.producers[u].attrs["spec"], read):
        return None
    return site.b.slice(x, spec=read)


def _is_whole(spec: SliceSpec, shape: tuple[int, ...]) -> bool:
    return all(s == full_slice(n) for s, n in zip(spec, shape, strict=True))


def _are_disjoint(one: SliceSpec, other: SliceSpec) -> bool:
    """Whether two regions of an array have no element in common: on some axis no index is."""
    return any(set(range(*a)).isdisjoint(range(*b)) for a, b in zip(one, other, strict=True))


RULES: tuple[Rule, ...] = (
    accumulate,
    accumulate_negated,
    accumulate_padded,
    write_everywhere,
    overwrite,
    read_what_was_written,
    read_beside_what_was_added,
)
