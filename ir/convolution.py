"""Contractions of sliding windows that need no array of all windows: which ones, and of what.

    forward   %y = dot windows(%x), %k          y[n][g, p] = sum over r of k[g, r] w[n][r, p]
    weights   %k = dot windows(%x), %gy         k[g, r] = sum over n, p of gy[n][g, p] w[n][r, p]
    input     %x = windows_add(dot %gy, %k)     w[n][r, p] = sum over g of k[g, r] gy[n][g, p]

w[n] is a matrix: a row for each place r inside the windows (and channel), a column for each
position p. It is made a few columns at a time. Letters are those of the contraction; letters of
extent 1 are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from .builder import Builder
from .dotspec import parse_spec
from .graph import Graph, Node, Value
from .ops.dot import letter_extents
from .record import dataclass
from .region import Axes, Axis, view_axes

Kind = Literal["forward", "weights", "input"]


@dataclass(frozen=True)
class Place:
    """Where the element of a buffer lies: at `start` plus the sum of letter times step."""

    start: int
    steps: Mapping[str, int]


@dataclass(frozen=True)
class Matrix:
    """An array that holds a matrix for each step of some loops: `first` are the letters of its
    rows, `last` those of its columns."""

    value: Value
    place: Place
    first: str
    last: str


@dataclass(frozen=True)
class Convolution:
    """A contraction of windows. `images` are letters of loops that the kernel lacks, `groups` of
    those that everything has; `rows` and `columns` are those of the windows, `free` is the third
    group. `windows` says where an element of the windows lies in `image`. `left` has the letters
    free and rows, `right` free and columns; one of the three arrays is the result."""

    kind: Kind
    dot: Node
    extents: Mapping[str, int]
    images: str
    groups: str
    rows: str
    columns: str
    free: str
    image: Value
    windows: Place
    left: Matrix
    right: Matrix

    def count(self, letters: str) -> int:
        """The product of the letters' extents."""
        return math.prod(self.extents[x] for x in letters)


def as_convolution(body: Graph) -> Convolution | None:
    """The convolution that a body of views, one contraction and perhaps `windows_add` is, None if
    it is none, of no elements, or of arrays whose axes are not in a fitting order."""
    found = [node for node in body.nodes if node.op.kind == "dot"]
    if len(found) != 1 or len(body.outputs) != 1:
        return None
    (dot,) = found
    if body.nodes[-1].op.name == "windows_add":
        return _input(body, dot) if dot.op.name == "dot" else None
    return _windowed(body, dot) if body.outputs[0] is dot.result else None


def dot_operands(dot: Node) -> tuple[Value, ...]:
    """The two factors of a `dot` or `dot_acc`."""
    return dot.operands[1:3] if dot.op.name == "dot_acc" else dot.operands


class _Letters:
    """The letters of a contraction, those of extent 1 left out."""

    def __init__(self, dot: Node) -> None:
        factors = dot_operands(dot)
        self.spec = parse_spec(dot.attrs["spec"])
        self.extents = letter_extents(dot.attrs["spec"], [v.type for v in factors])
        self.of = {v: self._kept(s) for v, s in zip(factors, self.spec, strict=False)}
        self.of[dot.result] = self._kept(self.spec.out)

    def _kept(self, letters: str) -> str:
        return "".join(c for c in letters if self.extents[c] != 1)

    def place(self, value: Value, letters: str) -> Place:
        """Where an element of a whole array lies; `letters` names its axes."""
        sizes = _strides(value.shape)
        steps = dict(zip(letters, sizes, strict=True))
        return Place(0, {c: n for c, n in steps.items() if self.extents[c] != 1})


def _windowed(body: Graph, dot: Node) -> Convolution | None:
    """A contraction of windows: `forward` if positions are left, `weights` if they are summed."""
    letters = _Letters(dot)
    sides = list(zip(dot_operands(dot), letters.spec, strict=False))
    if sides[0][0] is sides[1][0]:
        return None
    for (windows, names), (other, other_names) in (sides, sides[::-1]):
        chain = _views(body, windows)
        last = max((k for k, n in enumerate(chain) if n.op.name == "windows"), default=None)
        if last is None or other not in body.inputs:
            continue
        at = _renamed(_walked(chain[last + 1 :], _own(chain[last].result)), names)
        columns = {c for k in chain[last].attrs["axes"] for c, _ in at[k]}
        image = chain[0].operands[0]
        place = _linear(_walked(chain, _own(image)), names)
        w, o, y = (letters.of[v] for v in (windows, other, dot.result))
        kind: Kind = "forward" if columns <= set(y) else "weights"
        left, right = (other, dot.result) if kind == "forward" else (dot.result, other)
        names_of = {other: other_names, dot.result: letters.spec.out}
        matrices = [(v, letters.place(v, names_of[v])) for v in (left, right)]
        groups = (w, o, y) if kind == "forward" else (w, y, o)
        return _fitted(kind, dot, letters, groups, columns, image, place, matrices)
    return None


def _input(body: Graph, dot: Node) -> Convolution | None:
    """Windows that a contraction makes, added up."""
    letters, add = _Letters(dot), body.nodes[-1]
    chain = _views(body, add.operands[0])
    source = chain[0].operands[0] if chain else add.operands[0]
    if body.outputs[0] is not add.result or source is not dot.result:
        return None
    made = _walked(chain, _own(dot.result))
    if any(len(axis.strides) > 1 or axis.start or not axis.dense for axis in made):
        return None
    name = {axis.loop: c for axis, c in zip(made, letters.spec.out, strict=True)}
    whole, part = Value(add.result.type), add.operands[0]
    sizes = part.shape[whole.type.rank :]
    steps = {k: add.attrs[k] for k in ("axes", "strides", "dilations")}
    b = Builder()
    b.windows(whole, sizes=sizes, **steps)
    names = "".join(name.get(k, "-") for k in range(part.type.rank))
    place = _linear(_walked(b.nodes, _own(whole)), names)
    columns = {names[k] for k in add.attrs["axes"] if part.shape[k] != 1}
    for right, left in (dot_operands(dot), dot_operands(dot)[::-1]):
        w, k, y = (letters.of[v] for v in (dot.result, left, right))
        if columns and columns <= set(y) and left in body.inputs and right in body.inputs:
            spelled = dict(zip(dot_operands(dot), letters.spec, strict=False))
            matrices = [(v, letters.place(v, spelled[v])) for v in (left, right)]
            inside = {names[j] for j in range(whole.type.rank, part.type.rank)} - {"-"}
            if not inside <= set(k) - set(y):
                return None  # images would overlap
            return _fitted("input", dot, letters, (w, k, y), columns, add.result, place, matrices)
    return None


def _fitted(
    kind: Kind,
    dot: Node,
    letters: _Letters,
    groups: tuple[str, str, str],
    positions: set[str],
    image: Value,
    place: Place,
    matrices: Sequence[tuple[Value, Place]],
) -> Convolution | None:
    """The convolution, if the letters of the two matrices are in a fitting order."""
    w, k, y = groups
    every = [c for c in w if c in k and c in y]
    images = [c for c in w if c in y and c not in k and c not in positions]
    rows, free = [c for c in k if c in w and c not in y], [c for c in k if c in y and c not in w]
    columns = [c for c in y if c in positions]
    loops = {*every, *images}
    used = [set(w) == {*loops, *rows, *columns}, set(k) == {*every, *free, *rows}]
    if not all((*used, set(y) == {*loops, *free, *columns}, rows, free, columns)):
        return None
    if 0 in letters.extents.values():
        return None
    found = []
    for (value, where), names, others in zip(matrices, (k, y), (rows, columns), strict=True):
        rest = names.lstrip("".join(loops))
        first, last = "".join(free), "".join(others)
        if rest == last + first:
            first, last = last, first
        if rest != first + last:
            return None
        found.append(Matrix(value, where, first, last))
    return Convolution(
        kind, dot, letters.extents, "".join(images), "".join(every), "".join(rows),
        "".join(columns), "".join(free), image, place, *found,
    )  # fmt: skip


def _views(body: Graph, value: Value) -> list[Node]:
    """The views that lead to a value, first to last."""
    chain: list[Node] = []
    while (node := body.producer.get(value)) is not None and node.op.kind != "dot":
        chain.insert(0, node)
        value = node.operands[0]
    return chain


def _own(value: Value) -> Axes:
    return tuple(Axis(k if n != 1 else None, n) for k, n in enumerate(value.shape))


def _walked(chain: Iterable[Node], axes: Axes) -> Axes:
    """How the last view indexes what the first one reads."""
    for node in chain:
        axes = view_axes(node, axes)
    return axes


def _renamed(axes: Axes, names: str) -> list[list[tuple[str, int]]]:
    return [[(names[k], step) for k, step in axis.strides] for axis in axes]


def _linear(axes: Axes, names: str) -> Place:
    start, steps = 0, dict[str, int]()
    strides = _strides(tuple(axis.extent for axis in axes))
    for axis, along, stride in zip(axes, _renamed(axes, names), strides, strict=True):
        start += axis.start * stride
        for c, step in along:
            steps[c] = steps.get(c, 0) + step * stride
    return Place(start, steps)


def _strides(shape: tuple[int, ...]) -> list[int]:
    sizes = [1]
    for n in reversed(shape[1:]):
        sizes.insert(0, sizes[0] * n)
    return sizes[len(sizes) - len(shape) :]
