"""Random well-typed programs, built constructively: every step adds a node that fits.

    program = grow(random.Random(7))
    program.graph, program.arguments        # a graph of the stage `trace`, one array per input

A program draws a few extents and makes its shapes of them, so that shapes meet. Steps reuse values
(fan-out, duplicates), write into arrays, and now and then put in a *motif*: the graph a rewrite
rule is documented with, so that every rule finds work. Some programs are about their updates:
swapped arguments, views of other arguments, chains of writes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from tapeless.ir.builder import prune
from tapeless.ir.errors import TapelessError
from tapeless.ir.graph import Graph, Value

from .growing import LARGE, USUAL, Program, Sizes
from .structured import Structured

Update = tuple[Value, Value]
HUGE: Final = 2**30
"""So many elements only a view can have."""

COMMON: Final = (
    "unary", "unary", "binary", "binary", "binary", "number", "choice", "convert", "reduce",
    "reduce", "contract", "contract", "move", "move", "join", "region", "index", "scatter", "rows",
    "motif", "motif", "sample", "integers", "counting", "mix", "product", "mended",
)  # fmt: skip
SPECIAL: Final = (
    "window", "window", "spread", "total", "total", "turned", "order", "search", "system", "system",
    "bits", "product", "product",
)  # fmt: skip


def grow(rng: random.Random, steps: int | None = None) -> Program:
    """A random program of 1 to 40 steps."""
    return _grown(Whole(rng), steps or rng.choice((1, 2, 3, 5, 8, 12, 20, 40)))


def grow_large(rng: random.Random) -> Program:
    """A program of few steps on arrays of 16,384 elements and more."""
    return _grown(Whole(rng, LARGE), rng.randint(1, 6))


def _grown(growing: Whole, steps: int) -> Program:
    for _ in range(steps):
        growing.step()
    return growing.program()


class Whole(Structured):
    """All steps, and what leaves the program."""

    def __init__(self, rng: random.Random, sizes: Sizes = USUAL) -> None:
        super().__init__(rng, sizes)
        names = rng.choice((COMMON, (*COMMON, *SPECIAL), (*COMMON, *("motif",) * len(COMMON))))
        self.steps: tuple[Callable[[], Value | None], ...] = tuple(
            getattr(self, name) for name in names
        )

    def step(self) -> None:
        """One random step; a step that finds nothing to do adds nothing."""
        try:
            value = self.rng.choice(self.steps)()
        except TapelessError:
            return
        if value is not None and value.type.size <= self.sizes.elements:
            self.values.append(value)

    def program(self) -> Program:
        """A few outputs, most of them values that nothing reads, or the work on them would be
        dead; and updates of inputs of their types."""
        updates = self.many_updates() if self.rng.random() < 0.25 else self.some_updates()
        inside = [v for v in self.values if v not in self.inputs] or self.values
        read = {v for node in self.b.nodes for v in node.operands}
        unread = [v for v in inside if v not in read]
        outputs = [self.rng.choice(inside[-6:])]
        outputs += self.rng.sample(unread, min(len(unread), self.rng.choice((0, 2, 4, 16, 16))))
        graph = Graph("f", tuple(self.inputs), tuple(self.b.nodes), tuple(outputs), tuple(updates))
        if any(v.type.size > HUGE for node in graph.nodes for v in node.results):
            graph = prune(graph)  # views that are too large to be written down, and nothing reads
        return Program(graph, self.arguments)

    # Updates

    def some_updates(self) -> list[Update]:
        updates = []
        for target in self.inputs:
            if self.rng.random() < 0.3:
                fitting = [v for v in self.values if v.type == target.type and v is not target]
                if fitting:
                    updates.append((target, self.rng.choice(fitting)))
        return updates

    def many_updates(self) -> list[Update]:
        """Nearly every float input changes: swapped with another, to a view of another, by a chain
        of writes, by what all of them say."""
        for x in [v for v in self.inputs if v.type.is_float][:2]:
            self.fresh(x.type)
        targets = [v for v in self.inputs if v.type.is_float and self.rng.random() < 0.8]
        updates = []
        for x in targets:
            make = self.rng.choice((self.another, self.view, self.chain, self.moved, self.fitting))
            value = make(x)
            if value is not None and value.type == x.type:
                updates.append((x, value))
        return updates

    def fitting(self, x: Value) -> Value | None:
        return self.pick(lambda v: v.type == x.type)

    def another(self, x: Value) -> Value:
        """Another input of the same type: two that name each other swap."""
        others = [v for v in self.inputs if v.type == x.type and v is not x]
        return self.rng.choice(others) if others else x

    def view(self, x: Value) -> Value | None:
        """Moved elements of an input, itself included."""
        y = self.another(x)
        rank = y.type.rank
        if rank == 0:
            return y
        perm = list(range(rank))
        if rank > 1 and y.shape[0] == y.shape[-1]:
            perm[0], perm[-1] = perm[-1], perm[0]
        reverse = tuple((n - 1, -1, -1) if n else (0, 0, 1) for n in y.shape)
        return self.b.slice(self.b.transpose(y, perm=tuple(perm)), spec=reverse)

    def chain(self, x: Value) -> Value:
        """Several writes into parts, with values made of the array as it was or has become."""
        value = x
        for _ in range(self.rng.randint(1, 3)):
            if x.type.rank == 0 or x.type.size == 0:
                return self.b.mul(value, 0.5)
            spec = self.region_of(x.shape)
            source = self.rng.choice((x, value, self.another(x)))
            part = self.b.mul(self.b.slice(source, spec=spec), 0.5)
            value = self.emit(self.rng.choice(("update", "add_at")), value, part, spec=spec)
            if self.rng.random() < 0.3:
                self.values.append(value)
        return value

    def moved(self, x: Value) -> Value:
        """A step of x along another value of its shape."""
        direction = self.pick(lambda v: v.type == x.type and v is not x) or x
        return self.b.sub(x, self.b.mul(direction, self.rng.choice((0.1, 0.5, 1.0))))


__all__ = ["Program", "Whole", "grow", "grow_large"]
