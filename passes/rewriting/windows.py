"""Rules for sliding windows. All are exact.

    %w:f64[4,3,3,2] = windows %x [axes=(0,1), sizes=(3,2), strides=(1,1), dilations=(1,1)]
    %y:f64[2,3,2,2] = slice %w [::2, :, ::2, :]
=>
    %y:f64[2,3,2,2] = windows %x [axes=(0,1), sizes=(2,2), strides=(2,1), dilations=(2,1)]
"""

from __future__ import annotations

from ...ir.graph import Value
from ...ir.ops.move import full_slice
from ...ir.windows import window_count
from .patterns import p, x
from .rules import Rule, Site, rule


@rule(p.slice(p.windows(x, name="y")))
def slice_of_windows(site: Site, x: Value, y: Value) -> Value | None:
    """slice(windows(x)) = windows(slice(x)): a step between positions is a stride, one inside the
    windows a dilation"""
    attrs, rank = site.producers[y].attrs, x.type.rank
    chosen = [range(*s) for s in site.node.attrs["spec"]]
    windowed = [chosen[k] for k in (*attrs["axes"], *range(rank, len(chosen)))]
    if site.result.type.size == 0 or any(r.step < 0 and len(r) > 1 for r in windowed):
        return None
    part, steps = list(site.node.attrs["spec"][:rank]), []
    old = zip(attrs["axes"], attrs["strides"], attrs["dilations"], strict=True)
    for j, (axis, stride, dilation) in enumerate(old):
        positions, inside = chosen[axis], chosen[rank + j]
        step = _step(positions, stride), _step(inside, dilation)
        first = positions[0] * stride + inside[0] * dilation
        last = positions[-1] * stride + inside[-1] * dilation
        whole = first == 0 and window_count(x.shape[axis], len(inside), *step) == len(positions)
        part[axis] = full_slice(x.shape[axis]) if whole else (first, last + 1, 1)
        steps.append(step)
    strides, dilations = zip(*steps, strict=True)
    sizes = tuple(map(len, chosen[rank:]))
    if any(s != full_slice(n) for s, n in zip(part, x.shape, strict=True)):
        x = site.b.slice(x, spec=tuple(part))
    return site.b.windows(x, axes=attrs["axes"], sizes=sizes, strides=strides, dilations=dilations)


def _step(chosen: range, step: int) -> int:
    """The step between chosen positions; 1, where there is but one, so that equals look equal."""
    return step * chosen.step if len(chosen) > 1 else 1


@rule("windows")
def windows_of_one(site: Site) -> Value | None:
    """windows(x) of size 1 = slice(x) with a step, and axes of extent 1"""
    (x,), attrs = site.operands, site.node.attrs
    if set(attrs["sizes"]) != {1}:
        return None
    spec = [full_slice(n) for n in x.shape]
    for axis, stride in zip(attrs["axes"], attrs["strides"], strict=True):
        spec[axis] = (0, (site.result.shape[axis] - 1) * stride + 1, stride)
    return site.b.reshape(site.b.slice(x, spec=tuple(spec)), shape=site.result.shape)


@rule(p.reshape(p.windows(x, name="y")))
def reshape_of_windows(site: Site, x: Value, y: Value) -> Value | None:
    """reshape(windows(x)) = windows(reshape(x)) when the reshape only drops axes of extent 1 that
    have no windows"""
    attrs, rank = site.producers[y].attrs, x.type.rank
    kept: list[int] = []
    for k, n in enumerate(y.shape):
        if len(kept) < site.result.type.rank and n == site.result.shape[len(kept)]:
            kept.append(k)
        elif n != 1 or k in attrs["axes"] or k >= rank:
            return None
    if len(kept) < site.result.type.rank or len(kept) == y.type.rank:
        return None
    before = [k for k in kept if k < rank]
    less = site.b.reshape(x, shape=tuple(x.shape[k] for k in before))
    axes = tuple(map(before.index, attrs["axes"]))
    return site.b.windows(less, **{**attrs, "axes": axes})


RULES: tuple[Rule, ...] = (slice_of_windows, windows_of_one, reshape_of_windows)
