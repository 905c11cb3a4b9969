"""Windows that no matrix product reads become shifted slices: a sum of few products, in one loop.

    %w:f32[8,32,14,14,3,3] = windows %x [axes=(2,3), sizes=(3,3), ..]
    %y:f32[8,32,14,14] = dot %w, %k [abcdef,bef->abcd]                a kernel of each channel's own
=>
    %0:f32[8,32,14,14] = slice %x [:, :, 0:14, 0:14]
    %1:f32[32,1,1] = reshape (slice %k [:, 0:1, 0:1])
    %2:f32[8,32,14,14] = mul %0, %1
    ..                                                                eight more, added up

The gradients are of the same form: a sum of products for each place inside the windows, and slices
of what the windows were made of. Nothing as large as all windows is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import permutations, product
from typing import Final

from ...ir.builder import Builder
from ...ir.dotspec import parse_spec
from ...ir.graph import Node, Value
from ...ir.ops.dot import letter_extents
from ...ir.ops.move import full_slice
from ...ir.windows import window_span
from .patterns import c, p, x, y
from .rules import Rule, Site, rule

Place = tuple[int, ...]
Spec = tuple[tuple[int, int, int], ...]

MOST: Final = 49
"""Elements of a window up to which there is a slice for each, where each is an array of its own."""

MOST_ADDED: Final = 256
"""The same where one loop adds up many of them."""

MOST_IN_PART: Final = range(16, 33)
"""Elements of the parts of longer windows, over which there is a loop."""

FEWEST_AT_ONCE: Final = 16
"""Positions of such windows for which they need not be written into memory."""


@rule(p.dot(p.windows(x, name="z"), y), p.dot(y, p.windows(x, name="z")))
def few_taps(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """dot(windows(x), y) = sum over o of slice(x, o) * y[o] where the sum is over windows alone
    and y has no other axes. Rounds differently."""
    c = _Contraction(site, x, y, z)
    if not (_are_few(site.producers[z], MOST_ADDED) and c.is_one_sum()):
        return None
    return reduce(site.b.add, c.taps(_places(site.producers[z].attrs["sizes"])))


@rule(p.dot(p.windows(x, name="z"), y), p.dot(y, p.windows(x, name="z")))
def many_taps(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """dot(windows(x), y) = sum over i of (sum over o of windows(slice(x, o))[i] * y[i, o]) for long
    windows of one axis, where i counts parts of a few elements and o is a place in a part; what is
    left over is added as in `few_taps`. Rounds differently."""
    c = _Contraction(site, x, y, z)
    sizes = c.windows.attrs["sizes"]
    long = len(sizes) == 1 and sizes[0] > MOST_ADDED
    if not (long and c.is_one_sum() and z.shape[c.windows.attrs["axes"][0]] >= FEWEST_AT_ONCE):
        return None
    few = max(MOST_IN_PART, key=lambda few: (-(sizes[0] % few), few))
    parts = reduce(site.b.add, (c.in_parts(o, few) for o in range(few)))
    left = c.taps([(k,) for k in range(sizes[0] - sizes[0] % few, sizes[0])])
    return reduce(site.b.add, left, site.b.sum(parts, axes=(0,)))


@rule(p.dot(p.windows(x, name="z"), y), p.dot(y, p.windows(x, name="z")))
def sum_for_each_tap(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """dot(windows(x), y)[o] = sum(slice(x, o) * y) where y and the windows have the same axes.
    Rounds differently."""
    c = _Contraction(site, x, y, z)
    full = {k for k in {*c.of_y, *c.of_z} if c.extents[k] > 1}
    alike = full <= {*c.outside, *c.inside} and full - {*c.inside} <= {*c.of_y}
    apart = {*c.inside} <= {*c.spec.out} - {*c.of_y}
    if not (_are_few(site.producers[z]) and alike and apart and c.summed):
        return None
    there = c.arranged(y, c.of_y, c.outside)
    axes = tuple(k for k, letter in enumerate(c.outside) if letter not in c.spec.out)
    kept = "".join(letter for letter in c.outside if letter in c.spec.out)
    taps = []
    for _, spec in _taps(c.windows, x, _places(c.windows.attrs["sizes"])):
        value = site.b.sum(site.b.mul(site.b.slice(x, spec=spec), there), axes=axes)
        taps.append(site.b.reshape(value, shape=(1, *value.shape)))
    every = site.b.concatenate(*taps, axis=0)
    sizes = tuple(c.extents[letter] for letter in c.inside + kept)
    return c.spread(site.b.reshape(every, shape=sizes), c.inside + kept)


@rule(p.windows_add(p.mul(x, y, name="z")), p.windows_add(p.transpose(p.mul(x, y), name="z")))
def added_taps(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """windows_add(x * y) = sum over o of slice(pad(x), -o) * y[o] where x has no axes inside the
    windows and y no positions. Rounds differently; an infinite y meets zeros of the padding."""
    if not _is_only_added(site, z):
        return None
    shapes = tuple(_order(site, z, _full_shape(z, v)) for v in (x, y))
    if not _are_apart(site, *shapes):
        return None
    image = _spaced(site, _moved(site, z, x))
    return _added(site, image, _moved(site, z, y))


@rule(p.windows_add(p.select(c, p.mul(x, y, name="z"), 0.0)))
def added_selected_taps(site: Site, c: Value, x: Value, y: Value, z: Value) -> Value | None:
    """windows_add(select(c, x * y, 0)) = windows_add(select(c, x, 0) * y) where c has no axes
    inside the windows, for `added_taps`. Rounds differently; an infinite y meets zeros."""
    once = site.used_once(z) and site.used_once(site.operands[0])
    if not once or z.shape != site.operands[0].shape:
        return None
    selected, *factors = (_full_shape(z, v) for v in (c, x, y))
    if math.prod(selected[site.result.type.rank :]) > 1 or not _are_apart(site, *factors):
        return None
    product = site.b.mul(site.b.select(c, x, site.b.constant(0, x.type.dtype)), y)
    return site.b.windows_add(product, **site.node.attrs)


@rule(p.windows_add(p.dot(x, y, name="z")))
def added_outer_taps(site: Site, x: Value, y: Value, z: Value) -> Value | None:
    """windows_add(outer(x, y)) = sum over o of slice(pad(x), -o) * y[o], as `added_taps` does for
    a product of elements. Rounds differently; an infinite y meets zeros of the padding."""
    c = _Letters(site.b, site.producers[z])
    if c.summed or not site.used_once(z):
        return None
    for (image, of_image), (taps, of_taps) in permutations([(x, c.spec.lhs), (y, c.spec.rhs)]):
        if _are_apart(site, c.shape(of_image), c.shape(of_taps)):
            spaced = _spaced(site, c.spread(image, of_image))
            return _added(site, spaced, c.spread(taps, of_taps))
    return None


def _are_apart(site: Site, x: Sequence[int], y: Sequence[int]) -> bool:
    """Whether of two factors with the axes of the windows x has all positions and nothing inside
    the windows, and y no positions, and the windows are small."""
    rank, axes = site.result.type.rank, site.node.attrs["axes"]
    positions = site.operands[0].shape
    at_all = all(x[k] == positions[k] for k in axes)
    apart = math.prod(x[rank:]) == 1 == math.prod(y[k] for k in axes)
    return at_all and apart and math.prod(positions[rank:]) <= MOST_ADDED


def _added(site: Site, image: Value, y: Value) -> Value:
    """The sum of the image, shifted to each place inside the windows, times y there."""
    node, rank = site.node, site.result.type.rank
    terms = []
    for o in _places(site.operands[0].shape[rank:]):
        spec = [full_slice(n) for n in image.shape]
        for axis, k, size, step, n in zip(
            node.attrs["axes"],
            o,
            site.operands[0].shape[rank:],
            node.attrs["dilations"],
            node.attrs["extents"],
            strict=True,
        ):
            start = window_span(size, step) - 1 - k * step
            spec[axis] = (start, start + n, 1)
        inside = [None if n == 1 else k for k, n in zip(o, y.shape[rank:], strict=True)]
        weight = _part(site.b, y, [*[None] * rank, *inside])
        weight = site.b.reshape(weight, shape=weight.shape[:rank])
        terms.append(site.b.mul(site.b.slice(image, spec=tuple(spec)), weight))
    return reduce(site.b.add, terms)


class _Letters:
    """The letters of a contraction; `summed` are those of more than one element, or of none."""

    def __init__(self, b: Builder, node: Node) -> None:
        self.b, self.spec = b, parse_spec(node.attrs["spec"])
        self.extents = letter_extents(str(self.spec), [v.type for v in node.operands])
        every = {*self.spec.lhs, *self.spec.rhs} - {*self.spec.out}
        self.summed = {letter for letter in every if self.extents[letter] != 1}

    def shape(self, letters: str) -> tuple[int, ...]:
        """The shape of what has these letters along the axes of the result."""
        return tuple(self.extents[c] if c in letters else 1 for c in self.spec.out)

    def spread(self, value: Value, letters: str) -> Value:
        """A value with these letters for its axes along the axes of the result, of extent 1 where
        it lacks them."""
        return self.arranged(value, letters, self.spec.out)

    def arranged(self, value: Value, letters: str, order: str) -> Value:
        """The same along any axes."""
        extent = dict(zip(letters, value.shape, strict=True))
        kept = [letter for letter in letters if extent[letter] != 1]
        perm = tuple(kept.index(letter) for letter in order if letter in kept)
        if perm != tuple(range(len(kept))):
            value = self._shaped(value, [extent[letter] for letter in kept])
            value = self.b.transpose(value, perm=perm)
        return self._shaped(value, [extent.get(letter, 1) for letter in order])

    def _shaped(self, value: Value, shape: Sequence[int]) -> Value:
        same = value.shape == tuple(shape)
        return value if same else self.b.reshape(value, shape=tuple(shape))


class _Contraction(_Letters):
    """A contraction of the windows `z` of x with y. Letters of the windows are those of their
    positions, `outside`, and those `inside`."""

    def __init__(self, site: Site, x: Value, y: Value, z: Value) -> None:
        super().__init__(site.b, site.node)
        self.x, self.y, self.windows = x, y, site.producers[z]
        first = site.operands[0] is z
        self.of_z, self.of_y = self.spec[:2] if first else self.spec[1::-1]
        self.outside, self.inside = self.of_z[: x.type.rank], self.of_z[x.type.rank :]

    def is_one_sum(self) -> bool:
        """Whether the sum is over windows alone and y has no other axes."""
        alone = all(self.extents[k] == 1 for k in self.of_y if k not in self.of_z)
        return alone and self.summed <= {*self.inside} <= {*self.of_y} - {*self.spec.out}

    def taps(self, places: Iterable[Place]) -> Iterator[Value]:
        """The products at these places inside the windows."""
        for k, spec in _taps(self.windows, self.x, places):
            tap = dict(zip(self.inside, k, strict=True))
            weight = _part(self.b, self.y, [tap.get(letter) for letter in self.of_y])
            image = self.spread(self.b.slice(self.x, spec=spec), self.outside)
            yield self.b.mul(image, self.spread(weight, self.of_y))

    def in_parts(self, o: int, few: int) -> Value:
        """The products at place o of all parts of `few` elements, parts first, of windows along one
        axis."""
        ((axis, size, stride, step),) = zip(*_window_attrs(self.windows), strict=True)
        count = size // few
        last = (o + (count - 1) * few) * step + (self.windows.result.shape[axis] - 1) * stride
        spec = [full_slice(n) for n in self.x.shape]
        spec[axis] = (o * step, last + 1, 1)
        image = self.b.windows(
            self.b.slice(self.x, spec=tuple(spec)),
            axes=(axis,), sizes=(count,), strides=(stride,), dilations=(few * step,),
        )  # fmt: skip
        spec = [full_slice(n) for n in self.y.shape]
        spec[self.of_y.index(self.inside)] = (o, count * few, few)
        weight = self.b.slice(self.y, spec=tuple(spec))
        order = self.inside + self.spec.out
        factors = (image, self.of_z), (weight, self.of_y)
        return self.b.mul(*(self.arranged(value, letters, order) for value, letters in factors))


def _are_few(windows: Node, most: int = MOST) -> bool:
    """Whether slices stand for the windows: a few, not of one element only."""
    return 1 < math.prod(windows.attrs["sizes"]) <= most and windows.result.type.size > 0


def _window_attrs(windows: Node) -> tuple[Sequence[int], ...]:
    """The axes of windows, their sizes, the strides and the dilations."""
    return tuple(windows.attrs[k] for k in ("axes", "sizes", "strides", "dilations"))


def _places(sizes: Sequence[int]) -> Iterator[Place]:
    """Each place inside windows."""
    return product(*map(range, sizes))


def _taps(windows: Node, x: Value, places: Iterable[Place]) -> Iterator[tuple[Place, Spec]]:
    """Places inside the windows, and the slice of x that lies there in all of them."""
    axes, _, strides, steps = _window_attrs(windows)
    for o in places:
        spec = [full_slice(n) for n in x.shape]
        for axis, k, stride, step in zip(axes, o, strides, steps, strict=True):
            last = k * step + (windows.result.shape[axis] - 1) * stride
            spec[axis] = (k * step, last + 1, stride)
        yield o, tuple(spec)


def _part(b: Builder, value: Value, places: Sequence[int | None]) -> Value:
    """One place along some axes, which stay, with extent 1."""
    pairs = zip(places, value.shape, strict=True)
    return b.slice(
        value, spec=tuple(full_slice(n) if k is None else (k, k + 1, 1) for k, n in pairs)
    )


def _is_only_added(site: Site, z: Value) -> bool:
    """Whether the product, perhaps transposed, is read by `windows_add` alone."""
    move = site.producer(z, "transpose")
    return site.used_once(z) and (move is None or site.used_once(move.operands[0]))


def _full_shape(z: Value, factor: Value) -> tuple[int, ...]:
    """The shape of a factor of z with all axes."""
    return (1,) * (z.type.rank - factor.type.rank) + factor.shape


def _order(site: Site, z: Value, axes: Sequence[int]) -> tuple[int, ...]:
    """What belongs to the axes of the product, in the order of those of z."""
    move = site.producer(z, "transpose")
    return tuple(axes if move is None else (axes[k] for k in move.attrs["perm"]))


def _moved(site: Site, z: Value, factor: Value) -> Value:
    """A factor of the product with the axes of z."""
    perm = _order(site, z, range(z.type.rank))
    whole = site.b.reshape(factor, shape=_full_shape(z, factor))
    return whole if perm == tuple(range(len(perm))) else site.b.transpose(whole, perm=perm)


def _spaced(site: Site, image: Value) -> Value:
    """What `windows_add` adds at each position, as far apart as the positions are, with zeros
    around for as far as windows reach."""
    attrs, rank = site.node.attrs, site.result.type.rank
    image = site.b.reshape(image, shape=image.shape[:rank])
    shape, spec = [*image.shape], [full_slice(n) for n in image.shape]
    low, high = [0] * len(shape), [0] * len(shape)
    sizes = site.operands[0].shape[rank:]
    for axis, size, stride, step, n in zip(
        attrs["axes"], sizes, attrs["strides"], attrs["dilations"], attrs["extents"], strict=True
    ):
        reach = window_span(size, step) - 1
        last = reach + (shape[axis] - 1) * stride
        low[axis], high[axis] = reach, n + reach - last - 1
        spec[axis], shape[axis] = (reach, last + 1, stride), n + reach
    if set(attrs["strides"]) == {1}:
        return site.b.pad(image, low=tuple(low), high=tuple(high))
    zeros = site.b.broadcast(site.b.constant(0, image.type.dtype), shape=tuple(shape))
    return site.b.add_at(zeros, image, spec=tuple(spec))


RULES: Final[tuple[Rule, ...]] = (
    few_taps,
    many_taps,
    sum_for_each_tap,
    added_taps,
    added_selected_taps,
    added_outer_taps,
)
