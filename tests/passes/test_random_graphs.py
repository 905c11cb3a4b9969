"""Random well-typed graphs: every pass keeps them valid and keeps their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rewriting import arguments, assert_same_values
from tapeless.ir.builder import Builder
from tapeless.ir.dotspec import matmul_spec
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Value
from tapeless.ir.ops.reduce import expand_reduced
from tapeless.ir.parse import parse
from tapeless.ir.types import BOOL, F64, I64, Type
from tapeless.ir.verify import verify
from tapeless.passes.cse import cse
from tapeless.passes.dce import dce
from tapeless.passes.decompose import decompose
from tapeless.passes.fold import fold
from tapeless.passes.reassociate import reassociate
from tapeless.passes.rewriting.rules import Rule, RulePass
from tapeless.passes.simplify import simplify
from tapeless.passes.stable import stable
from tapeless.passes.transposes import absorb_transposes

EXACT = (cse, dce, fold)
CLOSE = (simplify, stable, absorb_transposes, reassociate, decompose)
N = 3
UNARY = ("neg", "abs", "tanh", "sigmoid", "softplus", "sin", "cos")
BINARY = ("add", "sub", "mul", "maximum", "minimum")
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0)

Pick = Callable[[int], int]


class Growing:
    """A graph under construction: every step adds a node on values drawn from what there is.

    Floats are scalars, vectors of N or matrices of N x N. Functions are continuous, so that another
    rounding is not another result.
    """

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self.b = Builder()
        types = (Type(F64), Type(F64, (N,)), Type(F64, (N, N)), Type(F64, (N, N)))
        self.inputs = (
            *(Value(t, f"x{i}") for i, t in enumerate(types)),
            Value(Type(I64, (N,)), "i"),
            Value(Type(BOOL, (N, N)), "c"),
        )
        self.floats = list(self.inputs[:4])

    def one(self, choices: Sequence[object]) -> object:
        return choices[self.pick(len(choices))]

    def value(self, *ranks: int) -> Value:
        fitting = [v for v in self.floats if not ranks or v.type.rank in ranks]
        return fitting[self.pick(len(fitting))]

    def step(self) -> None:
        steps = (
            self.unary, self.binary, self.binary, self.number, self.select, self.reduce, self.dot,
            self.dot, self.move, self.move, self.logarithm, self.softmax, self.region, self.index,
            self.scan, self.sort,
        )  # fmt: skip
        value = steps[self.pick(len(steps))]()
        if value.type.size <= N * N * N:
            self.floats.append(value)

    def unary(self) -> Value:
        return self.b.emit(str(self.one(UNARY)), (self.value(),)).results[0]

    def binary(self) -> Value:
        x, y = self.value(), self.value()
        try:
            np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            y = self.value(0)
        return self.bounded(self.b.emit(str(self.one(BINARY)), (x, y)).results[0])

    def number(self) -> Value:
        x, number = self.value(), self.b.constant(self.one(NUMBERS))
        if self.pick(2):
            number = self.b.broadcast(number, shape=x.shape)
        pair = (x, number) if self.pick(2) else (number, x)
        return self.b.emit(str(self.one(BINARY)), pair).results[0]

    def select(self) -> Value:
        c = self.inputs[-1]
        if self.pick(2):
            c = self.b.emit("not", (c,)).results[0]
        return self.b.select(c, self.value(0, 2), self.value(0, 2))

    def reduce(self) -> Value:
        x = self.value(1, 2)
        axes = ((0,), (x.type.rank - 1,), tuple(range(x.type.rank)))[self.pick(3)]
        value = self.b.emit(("sum", "max", "min")[self.pick(3)], (x,), {"axes": axes}).results[0]
        return self.bounded(expand_reduced(self.b, value, x.type, axes) if self.pick(2) else value)

    def dot(self) -> Value:
        x, y = self.value(1, 2), self.value(1, 2)
        if x.shape[-1] != y.shape[0]:
            return self.unary()
        return self.bounded(self.b.dot(x, y, spec=matmul_spec(x.type.rank, y.type.rank)))

    def move(self) -> Value:
        x = self.value(1, 2)
        if self.pick(2):
            return self.b.transpose(x, perm=tuple(reversed(range(x.type.rank))))
        if self.pick(2):
            n = x.type.size // x.shape[-1]
            return self.b.reshape(x, shape=((n, 1, x.shape[-1]), (x.shape[-1], n))[self.pick(2)])
        spec = tuple((n - 1, -1, -1) if self.pick(2) else (0, n, 1) for n in x.shape)
        return self.b.slice(x, spec=spec)

    def logarithm(self) -> Value:
        x = self.b.emit(("sigmoid", "softplus")[self.pick(2)], (self.value(),)).results[0]
        if self.pick(2):
            x = self.b.exp(x)
        return self.b.log(self.b.add(1.0, x) if self.pick(2) else x)

    def softmax(self) -> Value:
        x = self.value(1, 2)
        axes = (x.type.rank - 1,)
        if self.pick(2):
            x = self.b.sub(x, expand_reduced(self.b, self.b.max(x, axes=axes), x.type, axes))
        e = self.b.exp(x)
        total = self.b.sum(e, axes=axes)
        if self.pick(2):
            return self.b.log(total)
        p = self.b.div(e, expand_reduced(self.b, total, x.type, axes))
        return self.b.log(p) if self.pick(2) else p

    def region(self) -> Value:
        x = self.value(1, 2)
        spec = ((0, x.shape[0] - 1, 1), *((0, n, 1) for n in x.shape[1:]))
        into = x if self.pick(2) else self.b.full(x.shape, 0, F64)
        part = self.b.slice(self.b.tanh(x), spec=spec)
        return self.b.emit(
            ("update", "add_at")[self.pick(2)], (into, part), {"spec": spec}
        ).results[0]

    def index(self) -> Value:
        x, i = self.value(2), self.inputs[-2]
        if x.shape != (N, N):
            return self.unary()
        position = self.b.iota(n=N)
        taken = self.b.gather(x, position, i, axes=(0, 1))
        if self.pick(2):
            return taken
        into = x if self.pick(2) else self.b.full(x.shape, 0, F64)
        return self.b.scatter_add(into, taken, position, i, axes=(0, 1))

    def scan(self) -> Value:
        x = self.value(1, 2)
        return self.bounded(
            self.b.cumsum(x, axis=self.pick(x.type.rank), reverse=bool(self.pick(2)))
        )

    def sort(self) -> Value:
        x = self.value(1)
        return self.b.gather(x, self.b.argsort(x, axis=0), axes=(0,))

    def bounded(self, value: Value) -> Value:
        return self.b.tanh(value) if self.pick(2) else value

    def graph(self) -> Graph:
        outputs = tuple(self.floats[-4:])
        return Graph("random", self.inputs, tuple(self.b.nodes), outputs)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """The text of a graph of 3 to 25 steps."""
    growing = Growing(lambda n: draw(st.integers(0, n - 1)))
    for _ in range(draw(st.integers(3, 25))):
        growing.step()
    return str(growing.graph())


def is_moderate(graph: Graph) -> bool:
    """Whether nothing overflows or cancels badly on the way."""
    sizes: list[float] = []

    def observe(node: object, results: Sequence[np.ndarray]) -> None:
        sizes.extend(np.max(np.abs(r), initial=0.0) for r in results if r.dtype.kind == "f")

    for arrays in arguments(graph, special=False):
        evaluate(graph, arrays, observe)
    return all(size < 1e6 for size in sizes)


@pytest.mark.parametrize("run", [*EXACT, *CLOSE], ids=lambda run: run.__name__)
@given(text=texts())
@settings(max_examples=60)
def test_pass(run: Callable[[Graph], Graph], text: str) -> None:
    graph = parse(text)
    assume(is_moderate(graph))
    after = run(graph)
    verify(after, after=run.__name__)
    assert_same_values(graph, after, exact=run in EXACT, special=False, rtol=1e-7)
    assert str(graph) == text
    unseen = replace(after)  # of which the pass does not know that it made it
    assert run(unseen) is unseen


@pytest.mark.parametrize("run", [simplify, stable, absorb_transposes], ids=lambda p: p.__name__)
@given(text=texts())
@settings(max_examples=30)
def test_no_rule_that_is_left_out_would_have_fired(run: RulePass, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "may_fit", lambda rule, op, operands: True)
        expected = run.run(parse(text))
    assert str(run(parse(text))) == str(expected.graph)


@given(text=texts())
@settings(max_examples=60)
def test_all_passes_one_after_the_other(text: str) -> None:
    after = graph = parse(text)
    assume(is_moderate(graph))
    for run in (fold, cse, stable, decompose, simplify, absorb_transposes, reassociate, cse, dce):
        after = run(after)
        verify(after, after=run.__name__)
    assert_same_values(graph, after, special=False, rtol=1e-7)
