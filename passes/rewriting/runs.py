"""Rules for indices known at compile time that count up or down: runs of them are slices.

    %i:i64[6] = constant i64[6](0, 0, 1, 2, 3, 3)
    %y:f64[6,2] = gather %x, %i [axes=(0)]
=>
    %0:f64[1,2] = slice %x [0:1, :]
    %b:f64[2,2] = broadcast %0 [shape=(2,2)]
    %1:f64[3,2] = slice %x [1:4, :]
    %2:f64[1,2] = slice %x [3:4, :]
    %y:f64[6,2] = concatenate %b, %1, %2 [axis=0]

Arrays padded with elements of their own, and parts taken by lists of indices, are like this. What
is a slice moves whole vectors, and other loops read it in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ...ir.graph import Value
from ...ir.ops.move import slice_along
from .movement import normal_slice
from .rules import Rule, Site, rule

MOST: Final = 8
"""Runs of an index."""

LEAST: Final = 24
"""Elements that a run moves in the mean, from which on starting its loop costs little."""


@rule("gather", below=("constant", "iota"))
def gather_of_runs(site: Site) -> Value | None:
    """gather(x, i) = concatenate(x[first run of i], x[second run of i], ..)"""
    found = _runs_of(site, site.operands[0], site.operands[1:], site.result)
    if found is None:
        return None
    b, x, (axis,) = site.b, site.operands[0], site.node.attrs["axes"]
    parts = [_repeated(site, _part(site, x, axis, run), axis, times) for run, times in found]
    whole = parts[0] if len(parts) == 1 else b.concatenate(*parts, axis=axis)
    rest = [k for k in range(x.type.rank) if k != axis]
    return b.transpose(whole, perm=(axis, *rest))


@rule("scatter_add", below=("constant", "iota"))
def scatter_add_of_runs(site: Site) -> Value | None:
    """scatter_add(x, v, i) = add_at(add_at(x, v[first run]), v[second run]) .., where a run that
    stands still adds the sum of its part. Rounds differently."""
    x, v, *indices = site.operands
    found = _runs_of(site, x, indices, v)
    if found is None or x.type.is_bool:
        return None
    b, (axis,), first = site.b, site.node.attrs["axes"], 0
    for run, times in found:
        count = len(run) * times
        part = _part(site, v, 0, range(first, first + count))
        if times > 1:
            total = b.sum(part, axes=(0,))
            part = b.reshape(total, shape=(1, *total.shape))
        perm = (*range(1, axis + 1), 0, *range(axis + 1, x.type.rank))
        spec = slice_along(x.shape, axis, normal_slice(run))
        x = b.add_at(x, b.transpose(part, perm=perm), spec=spec)
        first += count
    return x


def _runs_of(
    site: Site, x: Value, indices: Sequence[Value], moved: Value
) -> list[tuple[range, int]] | None:
    """The runs of the only index of `x`, if it is known and they are few and long."""
    node = site.producer(indices[0], "constant", "iota")
    if node is None or len(indices) > 1 or indices[0].type.rank != 1:
        return None
    extent = x.shape[site.node.attrs["axes"][0]]
    index = node.op.evaluate(**node.attrs)
    index = np.where(index < 0, index + extent, index)
    if not index.size or index.min() < 0 or index.max() >= extent:
        return None
    found = _runs(index)
    return found if len(found) <= MOST and moved.type.size >= LEAST * len(found) else None


def _runs(index: np.ndarray) -> list[tuple[range, int]]:
    """Indices as ranges, each so many times over; a range that repeats is a single index. No more
    than one above MOST."""
    found: list[tuple[range, int]] = []
    steps, start = np.diff(index), 0
    while start < len(index) and len(found) <= MOST:
        if start == len(steps):
            step, count = 1, 1
        else:
            step = int(steps[start])
            others = np.flatnonzero(steps[start:] != step)
            count = 1 + (int(others[0]) if len(others) else len(steps) - start)
        first = int(index[start])
        run = range(first, first + (step or 1) * (count if step else 1), step or 1)
        found.append((run, 1 if step else count))
        start += count
    return found


def _part(site: Site, x: Value, axis: int, run: range) -> Value:
    return site.b.slice(x, spec=slice_along(x.shape, axis, normal_slice(run)))


def _repeated(site: Site, x: Value, axis: int, times: int) -> Value:
    if times == 1:
        return x
    return site.b.broadcast(x, shape=(*x.shape[:axis], times, *x.shape[axis + 1 :]))


RULES: tuple[Rule, ...] = (gather_of_runs, scatter_add_of_runs)
