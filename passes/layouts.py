"""Lay windows out for contractions: window axes before positions where that makes a contraction of
them a matrix product.

    %w:f32[64,8,24,24,5,5] = windows %x [axes=(2,3), ..]          n c h w i j
    %y:f32[64,16,24,24] = dot %w, %k [abcdef,gbef->agcd]
=>
    %w:f32[64,8,24,24,5,5] = windows %x [axes=(2,3), ..]
    %t:f32[64,8,5,5,24,24] = transpose %w [perm=(0,1,4,5,2,3)]    n, cij hw
    %y:f32[64,16,24,24] = dot %t, %k [abcdef,gbcd->agef]          for each n: [o, cij] [cij, hw]

The windows have to be written into memory for the product anyway; the copy costs the same in either
order. And the order is the same for the convolution and its derivatives, which so share one copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..ir.dotspec import DotSpec, canonical_spec, parse_spec
from ..ir.graph import Value
from ..ir.matmul import as_matmul
from ..ir.ops.dot import letter_extents
from .rewriting import taps
from .rewriting.patterns import p, x, y
from .rewriting.rules import Rule, RulePass, Site, rule


@rule(p.dot(p.windows(x, name="z"), y), p.dot(y, p.windows(x, name="z")))
def windows_first(site: Site, y: Value, z: Value, **_: Value) -> Value | None:
    """dot(windows(x), y) = dot(transpose(windows(x)), y) with the windows' letters permuted"""
    spec, perm = parse_spec(site.node.attrs["spec"]), window_order(site.producers[z].attrs, z)
    left = site.operands[0] is z
    lhs = _permuted(spec.lhs, perm) if left else spec.lhs
    rhs = spec.rhs if left else _permuted(spec.rhs, perm)
    if not _as_few_products(spec, laid := DotSpec(lhs, rhs, spec.out), site.operands):
        return None
    moved = site.b.transpose(z, perm=perm)
    return site.b.dot(*(moved, y) if left else (y, moved), spec=canonical_spec(str(laid)))


@rule(p.windows_add(p.dot(x, y, name="z")))
def added_windows_first(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """windows_add(dot(x, y)) = windows_add(transpose(dot(x, y))) with the result's letters
    permuted"""
    spec, perm = parse_spec(site.producers[z].attrs["spec"]), window_order(site.node.attrs, z)
    laid = DotSpec(spec.lhs, spec.rhs, _permuted(spec.out, perm))
    if not site.used_once(z) or not _as_few_products(spec, laid, (x, y)):
        return None
    product = site.b.dot(x, y, spec=canonical_spec(str(laid)))
    back = site.b.transpose(product, perm=tuple(perm.index(k) for k in range(len(perm))))
    return site.b.windows_add(back, **site.node.attrs)


def window_order(attrs: Mapping[str, Any], windows: Value) -> tuple[int, ...]:
    """The axes of windows with those inside the windows before the positions, and so that what
    lies before the first windowed axis stays in front."""
    rank = windows.type.rank
    inside, lead = rank - len(attrs["axes"]), min(attrs["axes"])
    return (*range(lead), *range(inside, rank), *range(lead, inside))


def _permuted(letters: str, perm: tuple[int, ...]) -> str:
    return "".join(letters[k] for k in perm)


def _as_few_products(old: DotSpec, new: DotSpec, operands: tuple[Value, ...]) -> bool:
    """Whether the new order takes no more products than the old one. Of two equal ones it is the
    better: its windows are copied row by row."""
    extents = letter_extents(str(old), [v.type for v in operands])
    before, after = as_matmul(old, extents), as_matmul(new, extents)
    return after is not None and (before is None or after.products <= before.products)


RULES: Final[tuple[Rule, ...]] = (*taps.RULES, windows_first, added_windows_first)

lay_out_windows: Final = RulePass("lay_out_windows", RULES)
