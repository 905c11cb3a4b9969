"""Absorb transposes into contractions.

    %t:f64[128,32] = transpose %x [perm=(1,0)]
    %g:f64[128,10] = matmul %t, %d
=>
    %g:f64[128,10] = matmul %x, %d [ta]

A contraction reads its operands and writes its result in any order of axes for the same price.
"""

from __future__ import annotations

from typing import Final

from ..ir.dotspec import DotSpec, canonical_spec, parse_spec
from ..ir.graph import Value
from .rewriting.movement import reshape_of_reshape, transpose_of_transpose, unmoved
from .rewriting.patterns import p, x, y
from .rewriting.rules import Rule, RulePass, Site, rule
from .rewriting.views import axis_map


@rule(p.dot(p.transpose(x, name="z"), y), p.dot(y, p.transpose(x, name="z")))
def transposed_operand(site: Site, x: Value, y: Value, z: Value) -> Value:
    """dot(transpose(x), y) = dot(x, y) with the letters of x permuted, and so for y"""
    spec, perm = parse_spec(site.node.attrs["spec"]), site.producers[z].attrs["perm"]
    if site.operands[0] is z:
        return _dot(site, x, y, DotSpec(_unpermuted(spec.lhs, perm), spec.rhs, spec.out))
    return _dot(site, y, x, DotSpec(spec.lhs, _unpermuted(spec.rhs, perm), spec.out))


@rule(p.transpose(p.dot(x, y, name="z")))
def transposed_result(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """transpose(dot(x, y)) = dot(x, y) with the letters of the result permuted"""
    if not site.used_once(z):
        return None
    spec, perm = parse_spec(site.producers[z].attrs["spec"]), site.node.attrs["perm"]
    return _dot(site, x, y, DotSpec(spec.lhs, spec.rhs, "".join(spec.out[k] for k in perm)))


@rule(p.dot(x, y))
def operand_order(site: Site, x: Value, y: Value) -> Value | None:
    """dot(x, y) = dot(y, x) when the result has the axes of y alone before those of x alone"""
    spec = parse_spec(site.node.attrs["spec"])
    left, right = ([spec.out.index(c) for c in free] for free in (spec.left, spec.right))
    if not (left and right) or max(right) > min(left):
        return None
    return _dot(site, y, x, DotSpec(spec.rhs, spec.lhs, spec.out))


@rule("dot")
def unit_axes(site: Site) -> Value | None:
    """dot(reshape(x), y) = reshape(dot(x, y)) where the reshape put in axes of extent 1"""
    x, y = site.operands
    nodes = [site.producer(v, "reshape") for v in (x, y)]
    if not any(n is not None and 1 in n.results[0].shape and axis_map(n) for n in nodes):
        return None
    spec = parse_spec(site.node.attrs["spec"])
    places = ((spec.lhs, x.shape), (spec.rhs, y.shape))
    units = {c for place, shape in places for c, n in zip(place, shape, strict=True) if n == 1}
    drop = str.maketrans(dict.fromkeys(units))
    left, right = (site.b.reshape(v, shape=tuple(n for n in v.shape if n != 1)) for v in (x, y))
    squeezed = DotSpec(*(place.translate(drop) for place in (spec.lhs, spec.rhs, spec.out)))
    return site.b.reshape(_dot(site, left, right, squeezed), shape=site.result.shape)


def _unpermuted(letters: str, perm: tuple[int, ...]) -> str:
    """Letters of the operand of a transpose, given those of its result."""
    return "".join(letters[perm.index(a)] for a in range(len(perm)))


def _dot(site: Site, x: Value, y: Value, spec: DotSpec) -> Value:
    return site.b.dot(x, y, spec=canonical_spec(str(spec)))


RULES: Final[tuple[Rule, ...]] = (
    unmoved,
    reshape_of_reshape,
    transpose_of_transpose,
    transposed_operand,
    transposed_result,
    unit_axes,
    operand_order,
)

absorb_transposes: Final = RulePass("absorb_transposes", RULES)
