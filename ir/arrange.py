"""Arranging a graph as a loop nest: the analysis that makes a `Region`.

Three steps: name the loops (axes that run together share a name, by union-find), order them, and
classify the reductions. A graph that does not fit one nest gives None, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from .alike import Form, carried_over
from .collapse import collapse
from .graph import Graph, Node, Value
from .region import (
    EXPENSIVE,
    REDUCTIONS,
    Axes,
    Axis,
    Load,
    Reduction,
    Region,
    is_free,
    is_view,
    reduced_axes,
    view_axes,
)
from .types import MAX_RANK


def as_region(body: Graph, targets: Mapping[Value, Axes] | None = None) -> Region | None:
    """Arrange a graph as a loop nest, or None when it does not fit one. `targets` says of results
    that they are written into part of a larger buffer: its axes, in terms of the axes of the value.
    What is alike is arranged once, the same graph looked up."""
    if targets:
        return _arranged(body, targets)
    if "region" not in body.known:
        body.known["region"] = _arranged(body, {})
    found: Region | None = body.known["region"]
    return found


def _arranged(body: Graph, targets: Mapping[Value, Axes]) -> Region | None:
    form = Form(body, targets)
    region = _of_form(form)
    return None if region is None else carried_over(region, form)


@lru_cache(256)
def _of_form(form: Form) -> Region | None:
    return _Analysis(form.body, form.targets).run()


Name = int  # a loop before loops are ordered
Names = tuple["Name | None", ...]


class _Analysis:
    """One run over a body: name the loops, order them, classify the reductions."""

    def __init__(self, body: Graph, targets: Mapping[Value, Axes]) -> None:
        self.body = body
        self.targets = targets
        self.parent: list[Name] = []
        self.extent: list[int] = []
        self.names: dict[Value, Names] = {}
        self.views: dict[Value, Load] = {}
        self.loops: dict[Names, tuple[Name, ...]] = {}
        self.used: list[Value] = []
        self.reducing = [node for node in body.nodes if node.op.kind in REDUCTIONS]

    def run(self) -> Region | None:
        for value in self.body.inputs:
            self.views[value] = Load(value, _own_axes(value))
            self.names[value] = self._fresh(value)
        for node in self.body.nodes:
            if not self._visit(node):
                return None
        known = {names: self._resolved(names) for names in set(self.names.values())}
        self.names = {v: known[names] for v, names in self.names.items()}
        self.loops = {names: _loops(names) for names in known.values()}
        order = self._order()
        if order is None:
            return None
        return self._arrange(order)

    # Naming the loops

    def _fresh(self, value: Value) -> Names:
        return tuple(None if n == 1 else self._new(n) for n in value.shape)

    def _new(self, extent: int) -> Name:
        self.parent.append(len(self.parent))
        self.extent.append(extent)
        return len(self.parent) - 1

    def _find(self, name: Name) -> Name:
        while self.parent[name] != name:
            self.parent[name] = name = self.parent[self.parent[name]]
        return name

    def _resolved(self, names: Names) -> Names:
        return tuple(None if name is None else self._find(name) for name in names)

    def _tie(self, left: Names, right: Names) -> None:
        """Axes that run together, aligned at the right, are one loop."""
        for a, b in zip(reversed(left), reversed(right), strict=False):
            if a is not None and b is not None and a != b:
                self.parent[self._find(a)] = self._find(b)

    def _joined(self, node: Node) -> Names:
        """The names of an elementwise result: those of an operand as large, to which the others are
        tied, or new ones."""
        result = node.result
        given = dict.fromkeys(self.names[v] for v in node.operands)
        same = (self.names[v] for v in node.operands if v.shape == result.shape)
        names = next(same, None) or self._fresh(result)
        for other in given:
            if other != names:
                self._tie(other, names)
        return names

    def _visit(self, node: Node) -> bool:
        """Name the axes of a node's result; False when the op cannot stand in a region."""
        name, kind = node.op.name, node.op.kind
        computed = kind == "elementwise" or kind in REDUCTIONS
        if not (computed or is_free(node)):
            return False
        result = node.result
        if kind == "elementwise":
            self.names[result] = self._joined(node)
            return True
        self.names[result] = self._fresh(result)
        if is_view(node) and node.operands[0] in self.views:
            load = self.views[node.operands[0]]
            self.views[result] = Load(load.source, view_axes(node, load.axes))
        elif name in ("slice", "windows"):
            return False
        elif kind in REDUCTIONS:
            self._tie(self._kept(node), self.names[result])
        elif name == "transpose":
            source = self.names[node.operands[0]]
            self._tie(tuple(source[k] for k in node.attrs["perm"]), self.names[result])
        elif name == "reshape":
            source = tuple(x for x in self.names[node.operands[0]] if x is not None)
            self._tie(source, tuple(x for x in self.names[result] if x is not None))
        else:
            for operand in node.operands:
                self._tie(self.names[operand], self.names[result])
        return True

    def _kept(self, node: Node) -> Names:
        axes = reduced_axes(node)
        return tuple(x for k, x in enumerate(self.names[node.operands[0]]) if k not in axes)

    # Ordering them

    def _used(self) -> list[Value]:
        """The values whose axes are loops: results of nodes and inputs read as they are."""
        computed = (node for node in self.body.nodes if node.results[0] not in self.views)
        read = {*self.body.outputs, *(v for node in computed for v in node.operands)}
        return [v for v in self.names if v in read or v not in self.views]

    def _loops(self, value: Value) -> tuple[Name, ...]:
        return self.loops[self.names[value]]

    def _order(self) -> tuple[Name, ...] | None:
        self.used = used = self._used()
        found = {self._loops(v) for v in used}
        if any(len(set(loops)) != len(loops) for loops in found):
            return None  # a diagonal: x[i, j] + x[j, i]
        every = {x for loops in found for x in loops}
        leaders = [*self.body.outputs, *used]
        base = next((self._loops(v) for v in leaders if len(self._loops(v)) == len(every)), None)
        if base is None:
            return None
        orders = [
            (reduced, order)
            for node in self.reducing
            if len(self._loops(node.operands[0])) == len(every)
            for reduced, order in [self._reduction_order(node, base)]
        ]
        return min(orders, key=lambda pair: pair[0], default=(0, base))[1]

    def _reduction_order(self, node: Node, base: tuple[Name, ...]) -> tuple[int, tuple[Name, ...]]:
        """Reduced loops innermost if the innermost one is reduced; else around the trailing loops
        that are kept. With a rank: among several reductions the smallest innermost one decides."""
        kept = set(self._kept(node))
        reduced = tuple(x for x in base if x not in kept)
        if not reduced:
            return MAX_RANK + 1, base
        inner: tuple[Name, ...] = ()
        if node.op.kind == "reduce":
            while base[len(base) - len(inner) - 1] in kept:
                inner = base[len(base) - len(inner) - 1 :]
        outer = tuple(x for x in base if x in kept and x not in inner)
        return MAX_RANK if inner else len(reduced), (*outer, *reduced, *inner)

    # Arranging the region

    def _arrange(self, order: tuple[Name, ...]) -> Region | None:
        position = {name: k for k, name in enumerate(order)}
        own = {names: self.loops[names] for names in map(self.names.__getitem__, self.used)}
        along = {names: tuple(position[x] for x in loops) for names, loops in own.items()}
        loops = {v: along[self.names[v]] for v in self.used}
        inner = self._inner_loops(loops, len(order))
        rows = len(order) - len(inner)
        reductions: dict[Node, Reduction] = {}
        for node in self.reducing:
            source, kept = loops[node.operands[0]], loops[node.result]
            reduction = _classify(source, kept, inner, rows, node.op.kind)
            if reduction is None:
                return None
            if reduction.reduced:
                reductions[node] = reduction
        depth = {v: 1 + max(ls, default=-1) for v, ls in loops.items()}
        timing = self._timing(depth, rows, reductions)
        if timing is None or not self._affordable(loops, depth):
            return None
        extents = tuple(self.extent[x] for x in order)
        region = Region(
            self.body, extents, rows, self._loads(loops), self._axes(loops),
            reductions, depth, *timing,
        )  # fmt: skip
        return collapse(region)

    def _inner_loops(self, loops: Mapping[Value, tuple[int, ...]], count: int) -> tuple[int, ...]:
        """The loops of the smallest reduction that ends at the innermost loop."""
        found = []
        for node in self.reducing:
            source = loops[node.operands[0]]
            reduced = set(source) - set(loops[node.result])
            if len(source) == count and count - 1 in reduced:
                found.append(tuple(sorted(reduced)))
        return min(found, key=len, default=())

    def _timing(
        self, depth: Mapping[Value, int], rows: int, reductions: Mapping[Node, Reduction]
    ) -> tuple[dict[Value, int], frozenset[Value]] | None:
        """The phase of every value and the epilogue; None when a reduction's result is read
        before it is ready."""
        phase = dict.fromkeys(depth, 0)
        epilogue: set[Value] = set()
        unread: set[Value] = set()
        for node in self.body.nodes:
            value = node.results[0]
            if value not in depth or value in self.views:
                continue
            if unread.intersection(node.operands):
                return None
            late = epilogue.intersection(node.operands)
            if late and (depth[value] > 0 or any(depth[v] > 0 for v in node.operands)):
                return None
            phase[value] = max((phase[v] for v in node.operands), default=0)
            reduction = reductions.get(node)
            if reduction is not None and reduction.kind == "row":
                phase[value] += 1
            elif reduction is not None and reduction.kind == "total" and reduction.depth == 0:
                epilogue.add(value)
            elif reduction is not None:
                unread.add(value)
            elif late:
                epilogue.add(value)
        return phase, frozenset(epilogue)

    def _affordable(
        self, loops: Mapping[Value, tuple[int, ...]], depth: Mapping[Value, int]
    ) -> bool:
        """Whether no result, and no expensive value, would be computed once per iteration of a
        loop it lacks."""
        columns = {node.result for node in self.reducing}
        once = {node.result for node in self.body.nodes if node.op.name in EXPENSIVE}
        once.update(v for v in self.body.outputs if v not in columns)
        return all(len(loops[v]) == depth[v] for v in once)

    def _loads(self, loops: Mapping[Value, tuple[int, ...]]) -> dict[Value, Load]:
        placed = {v: _placed(self.names[v], loops[v]) for v in self.views if v in loops}
        views = ((v, self.views[v]) for v in placed)
        return {v: Load(load.source, _over(load.axes, placed[v])) for v, load in views}

    def _axes(self, loops: Mapping[Value, tuple[int, ...]]) -> dict[Value, Axes]:
        found = {}
        for value, own in loops.items():
            placed = _placed(self.names[value], own)
            to = self.targets.get(value)
            found[value] = _plain(placed, value.shape) if to is None else _over(to, placed)
        return found


@lru_cache(256)
def _plain(placed: tuple[int | None, ...], shape: tuple[int, ...]) -> Axes:
    """Axes that are loops as they are."""
    return tuple(map(Axis, placed, shape))


def _loops(names: Names) -> tuple[Name, ...]:
    """The loops among the axes: those whose extent is not 1."""
    return tuple(x for x in names if x is not None)


def _own_axes(value: Value) -> Axes:
    return tuple(Axis(None if n == 1 else k, n) for k, n in enumerate(value.shape))


def _over(axes: Axes, placed: tuple[int | None, ...]) -> Axes:
    """Axes in terms of the axes of a value, in terms of the loops these are."""
    return tuple(
        axis.over((loop, step) for k, step in axis.strides if (loop := placed[k]) is not None)
        for axis in axes
    )


def _placed(names: Names, loops: tuple[int, ...]) -> tuple[int | None, ...]:
    """Loop positions per axis, None where the extent is 1."""
    left = iter(loops)
    return tuple(None if name is None else next(left) for name in names)


def _classify(
    source: tuple[int, ...], result: tuple[int, ...], inner: tuple[int, ...], rows: int, kind: str
) -> Reduction | None:
    reduced = tuple(sorted(set(source) - set(result)))
    kept = tuple(sorted(result))
    if not reduced:
        return Reduction("row", 0, ())
    if sorted(source) != list(range(len(source))):
        return None  # the operand lacks an outer loop: it would be counted once per iteration
    depth = sum(k < reduced[0] for k in kept)
    if depth == len(kept):
        if reduced == inner and depth == rows:
            return Reduction("row", depth, reduced)
        whole = len(source) <= rows or set(inner) <= set(reduced)
        fits = kind == "reduce" and depth < rows and whole
        return Reduction("total", depth, reduced) if fits else None
    trailing = kept[depth:]
    contiguous = reduced == tuple(range(depth, depth + len(reduced)))
    if kind == "reduce" and contiguous and depth + len(reduced) <= rows:
        return Reduction("column", depth, reduced, trailing)
    return None
