"""Reduced terms written out: the dense tensor, zeros and all.

I[a,c] %v[b]                                   =>   a select on the diagonal of a and c
slice(0:3)[a;s] slice(3:5)[c;t] %v[s,t]        =>   %v added into a block of zeros
slice(0:3)[a;s] slice(1:4)[c;s] %v[s]          =>   %v scattered: the places in C order are an
                                                    affine function of s
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from ...ir.builder import Builder
from ...ir.graph import Value
from ...ir.jacobian import Delta, Letter, Place
from .products import Letters, Products, add_scaled, lay, scaled
from .reduced import Reduced


def materialise(
    b: Builder, terms: Sequence[Reduced], out: Letters, shape: tuple[int, ...], dtype: np.dtype
) -> Value:
    """The tensor of the given shape, axes named by `out`, that the reduced terms add up to."""
    total = None
    for term in terms:
        if not term.places:
            value, coef = _laid(b, term, out, shape, dtype)
            for delta in term.deltas:
                value = b.select(_delta(b, delta, out, shape), value, b.constant(0.0, dtype))
            total = add_scaled(b, total, value, coef)
    if total is None:
        total = b.full(shape, 0.0, dtype)
    elif total.shape != shape:
        total = b.broadcast(total, shape=shape)
    for term in terms:
        if term.places:
            total = (_into_block if _is_block(term, out) else _scattered)(b, total, term, out)
    return total


def _laid(
    b: Builder, term: Reduced, order: Letters, shape: tuple[int, ...], dtype: np.dtype
) -> tuple[Value, float]:
    """The product of the values with its axes in `order` (extent 1 for absent ones), and what it
    is still to be multiplied by."""
    products = Products(b, dict(zip(order, shape, strict=True)), order, dtype)
    product = products.product(term.vals, set(term.letters))
    if product is None:
        return b.constant(term.coef, dtype), 1.0
    return lay(b, product.v, product.letters, order), term.coef


def _spread(
    b: Builder, term: Reduced, order: Letters, extents: tuple[int, ...], like: Value
) -> Value:
    """The whole product with exactly these axes."""
    value = scaled(b, *_laid(b, term, order, extents, like.type.dtype))
    return value if value.shape == extents else b.broadcast(value, shape=extents)


def _delta(b: Builder, delta: Delta, out: Letters, shape: tuple[int, ...]) -> Value:
    counter = b.iota(n=shape[out.index(delta.i)])
    return b.eq(lay(b, counter, (delta.i,), out), lay(b, counter, (delta.j,), out))


def _is_block(term: Reduced, out: Letters) -> bool:
    """Whether the term fills a regular part of each axis: no letter places two of them."""
    used = [x for place in term.places for x, _, _ in place.steps]
    simple = all(len(place.steps) <= 1 for place in term.places)
    return simple and not term.deltas and len({*used, *out}) == len(used) + len(out)


def _into_block(b: Builder, total: Value, term: Reduced, out: Letters) -> Value:
    placed = {place.axis: place for place in term.places}
    order, extents, spec = [], [], []
    for x, n in zip(out, total.shape, strict=True):
        place = placed.get(x, Place(x, 0, ((x, 1, n),)))
        (inner, step, count) = place.steps[0] if place.steps else (x, 1, 1)
        stop = place.start + (count - 1) * step + (1 if step > 0 else -1)
        order.append(inner)
        extents.append(count)
        spec.append((place.start, stop, step))
    value = _spread(b, term, tuple(order), tuple(extents), total)
    return b.add_at(total, value, spec=tuple(spec))


def _scattered(b: Builder, total: Value, term: Reduced, out: Letters) -> Value:
    """The elements of a term lie evenly spaced in the flat array along each of its letters."""
    start, strides, extent = spacing(term, out, total.shape)
    order = tuple(dict.fromkeys((*(x for x in term.letters if x in strides), *strides)))
    extents = tuple(extent[x] for x in order)
    at = b.full(extents, start, np.dtype(np.int64))
    for x in order:
        steps = b.mul(b.iota(n=extent[x]), strides[x])
        at = b.add(at, lay(b, steps, (x,), order))
    size = int(np.prod(extents, dtype=int))
    value = _spread(b, term, order, extents, total)
    flat = b.reshape(total, shape=(total.type.size,))
    flat = b.scatter_add(
        flat, b.reshape(value, shape=(size,)), b.reshape(at, shape=(size,)), axes=(0,)
    )
    return b.reshape(flat, shape=total.shape)


def spacing(
    term: Reduced, out: Letters, shape: tuple[int, ...]
) -> tuple[int, dict[Letter, int], dict[Letter, int]]:
    """Where the elements of a term lie in the flat result: the first, the distance from one to the
    next along each letter that is free, and the extents of these."""
    extent = {**dict(zip(out, shape, strict=True)), **term.extents}
    stride = {x: int(np.prod(shape[k + 1 :], dtype=int)) for k, x in enumerate(out)}
    tied = {*(d.j for d in term.deltas), *(p.axis for p in term.places)}
    strides = {x: stride[x] for x in out if x not in tied and extent[x] > 1}
    ties = chain(
        ((d.j, d.i, 1) for d in term.deltas),
        ((p.axis, x, step) for p in term.places for x, step, _ in p.steps),
    )
    for axis, x, step in ties:
        strides[x] = strides.get(x, 0) + stride[axis] * step
    start = sum(stride[p.axis] * p.start for p in term.places)
    return start, strides, extent
