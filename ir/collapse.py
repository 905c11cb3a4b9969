"""Loops that run together: neighbours that every value walks through as if they were one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .region import Axes, Axis, Load, Reduction, Region


def collapse(region: Region) -> Region:
    """Merge neighbouring loops that every value walks through together, so that a dense nest of
    any rank becomes one long loop."""
    k = 0
    while k + 1 < len(region.extents):
        if k + 1 != region.rows and _walks_together(region, k):
            region = _merged(region, k)
        else:
            k += 1
    return region


def _all_axes(region: Region) -> Iterator[Axes]:
    yield from region.axes.values()
    for load in region.loads.values():
        yield load.axes


def _walks_together(region: Region, k: int) -> bool:
    for axes in _all_axes(region):
        where = {
            loop: j for j, axis in enumerate(axes) for loop, _ in axis.strides if loop in (k, k + 1)
        }
        if not where:
            continue
        if len(where) < 2:
            return False
        first, second = where[k], where[k + 1]
        between = axes[first + 1 : second]
        dense = (axes[first], axes[second])
        if first > second or any(a.extent != 1 for a in between) or not _dense(region, dense):
            return False
    return True


def _dense(region: Region, axes: tuple[Axis, ...]) -> bool:
    return all(a.plain and a.loop is not None and a.extent == region.extents[a.loop] for a in axes)


def _merged(region: Region, k: int) -> Region:
    extents = region.extents
    size = extents[k] * extents[k + 1]

    def axes(old: Axes) -> Axes:
        if any(a.loop == k + 1 for a in old):
            old = tuple(a for a in old if a.loop != k)
        return tuple(
            replace(a, loop=k, extent=size)
            if a.loop in (k, k + 1)
            else a.over((position(loop), step) for loop, step in a.strides)
            for a in old
        )

    def position(d: int) -> int:
        return d - (d > k)

    def loops(old: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(j - (j > k) for j in old if j != k + 1)

    return replace(
        region,
        extents=(*extents[:k], size, *extents[k + 2 :]),
        rows=position(region.rows),
        loads={v: Load(load.source, axes(load.axes)) for v, load in region.loads.items()},
        axes={v: axes(a) for v, a in region.axes.items()},
        depth={v: position(d) for v, d in region.depth.items()},
        reductions={
            node: Reduction(r.kind, position(r.depth), loops(r.reduced), loops(r.kept))
            for node, r in region.reductions.items()
        },
    )
