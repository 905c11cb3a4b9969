"""Contract straight into the array that is updated: no gradient array at all.

    %g:f32[784,128] = matmul %x, %gz [ta]
    %s:f32[784,128] = mul %lr, %g
    %v:f32[784,128] = sub %W, %s
    %W <- %v
 =>
    %a:f32[] = neg %lr
    %v:f32[784,128] = dot_acc %W, %x, %gz, %a [ba,bc->ac]
    %W <- %v

The new value may be any sum and difference of the old one and of contractions, with scalar factors
anywhere, as long as nothing else reads the parts. A sum of contractions that is not an update is
accumulated in the first one. Results change by rounding only: factors are multiplied first.

Likewise for rows of a table that were gathered: what is added to their gradient, if it has fewer
elements than the table, is added to the table.

    %g:f32[9000,50] = scatter_add 0.0, %ge, %i [axes=(0)]         %v0:f32[32,50] = mul %ge, %a
    %s:f32[9000,50] = mul %lr, %g                           =>    %v:f32[9000,50] = scatter_add
    %v:f32[9000,50] = sub %E, %s                                      %E, %v0, %i [axes=(0)]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..ir.builder import Builder, keep, with_nodes
from ..ir.graph import Graph, Node, Value
from ..ir.ops import uniform_value
from ..ir.ops.constant import scalar_constant
from ..ir.record import dataclass


@dataclass(frozen=True)
class Scale:
    """A product of scalars: sign, factors and divisors."""

    negative: bool = False
    factors: tuple[Value, ...] = ()
    divisors: tuple[Value, ...] = ()

    @property
    def is_one(self) -> bool:
        return self == Scale()

    def negated(self) -> Scale:
        return replace(self, negative=not self.negative)


@dataclass(frozen=True)
class Term:
    """One summand: `scale * value`."""

    scale: Scale
    value: Value


def fuse_updates(graph: Graph) -> Graph:
    """Turn updates by contractions, and sums of contractions, into `dot_acc` chains."""
    chains = _Chains(graph).find()
    if not chains:
        return graph
    b = Builder()
    env: dict[Value, Value] = {v: v for v in graph.inputs}
    emitter = _Emitter(b, graph, env)
    for node in graph.nodes:
        chain = chains.get(node.results[0])
        with b.at(node.loc, "fuse_updates"):
            if chain is None:
                results = keep(b, node, tuple(env[v] for v in node.operands))
            else:
                results = (emitter.chain(chain),)
                results[0].name = node.result.name
        env.update(zip(node.results, results, strict=True))
    return with_nodes(graph, _live(graph, b.nodes, env), env)


Chain = tuple[Value, tuple[Term, ...]]
"""The value accumulated into, and the contractions added to it."""


class _Chains:
    """Finds the values that are chains of accumulated contractions."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.leaving = set(graph.results)
        self.summands: set[Value] = set()

    def find(self) -> dict[Value, Chain]:
        self._find_summands()
        chains: dict[Value, Chain] = {}
        inner: set[Value] = set()
        for target, value in self.graph.updates:
            if value in self.graph.producer and value not in chains:
                self._add(chains, inner, value, target)
        for node in reversed(self.graph.nodes):
            value = node.results[0]
            if node.op.name in ("add", "sub") and value not in inner and value not in chains:
                self._add(chains, inner, value, None)
        return chains

    def _add(
        self, chains: dict[Value, Chain], inner: set[Value], value: Value, target: Value | None
    ) -> None:
        if not value.type.is_float or not self._adds_summands(self.graph.producer[value]):
            return
        seen: list[Value] = []
        terms = list(self._terms(value, value, Scale(), seen))
        chain = self._chain(terms, target)
        if chain is not None:
            chains[value] = chain
            inner.update(seen)

    def _chain(self, terms: list[Term], target: Value | None) -> Chain | None:
        def starts(term: Term) -> bool:
            own = self._dot(term.value) if target is None else term.value is target
            return term.scale.is_one and own

        start = next(filter(starts, terms), None)
        if start is None or len(terms) < 2:
            return None
        rest = tuple(t for t in terms if t is not start)
        sparse = [t for t in rest if self._scattered(t.value) is not None]
        added = sum(self.graph.producer[t.value].operands[1].type.size for t in sparse)
        if (target is None and sparse) or added > start.value.type.size:
            return None
        dense = (t for t in rest if t not in sparse)
        return (start.value, rest) if all(self._dot(t.value) for t in dense) else None

    def _find_summands(self) -> None:
        """Find what chains are made of: what is updated, contractions, and sums of such."""
        self.summands = {target for target, _ in self.graph.updates}
        for node in self.graph.nodes:
            value = node.results[0]
            single = self._dot(value) or self._scattered(value) is not None
            if single or (self._used_once(value) and self._adds_summands(node)):
                self.summands.add(value)

    def _adds_summands(self, node: Node) -> bool:
        parts = self._parts(node, node.results[0], Scale())
        return parts is not None and all(value in self.summands for value, _ in parts)

    def _dot(self, value: Value) -> bool:
        node = self.graph.producer.get(value)
        return node is not None and node.op.name == "dot" and self._used_once(value)

    def _scattered(self, value: Value) -> Node | None:
        """What adds by index to an array that nothing else reads."""
        node = self.graph.producer.get(value)
        found = node is not None and node.op.name == "scatter_add" and self._used_once(value)
        return node if found else None

    def _used_once(self, value: Value) -> bool:
        users = self.graph.users.get(value, ())
        return len(users) == 1 and users[0].operands.count(value) == 1 and value not in self.leaving

    def _terms(self, value: Value, root: Value, scale: Scale, seen: list[Value]) -> Iterator[Term]:
        """The summands of a tree of + - and scalings, left to right."""
        node = self.graph.producer.get(value)
        scattered = self._scattered(value)
        if scattered is not None:
            if uniform_value(self.graph.producer, scattered.operands[0]) != 0:
                yield from self._terms(scattered.operands[0], root, scale, seen)
            seen.append(value)
            yield Term(scale, value)
            return
        parts = self._parts(node, root, scale) if node is not None else None
        if parts is None or (value is not root and not self._used_once(value)):
            yield Term(scale, value)
            return
        seen.append(value)
        for part, part_scale in parts:
            yield from self._terms(part, root, part_scale, seen)

    def _parts(self, node: Node, root: Value, scale: Scale) -> list[tuple[Value, Scale]] | None:
        """What a node adds up, None when it is no sum or scaling of whole tensors."""
        shape = root.shape
        if node.op.name in ("add", "sub") and all(v.shape == shape for v in node.operands):
            x, y = node.operands
            return [(x, scale), (y, scale.negated() if node.op.name == "sub" else scale)]
        if node.op.name == "neg":
            return [(node.operands[0], scale.negated())]
        if node.op.name == "mul":
            for value, other in (node.operands, node.operands[::-1]):
                factor = self._scalar(other)
                if factor is not None and value.shape == shape != ():
                    return [(value, replace(scale, factors=(*scale.factors, factor)))]
        if node.op.name == "div":
            value, other = node.operands
            factor = self._scalar(other)
            if factor is not None and value.shape == shape != ():
                return [(value, replace(scale, divisors=(*scale.divisors, factor)))]
        return None

    def _scalar(self, value: Value) -> Value | None:
        """The number of shape () that fills a value, if there is one."""
        node = self.graph.producer.get(value)
        while value.shape != () and node is not None and node.op.name in ("broadcast", "reshape"):
            value = node.operands[0]
            node = self.graph.producer.get(value)
        return value if value.shape == () else None


class _Emitter:
    """Writes chains; every distinct scale factor is computed once."""

    def __init__(self, b: Builder, graph: Graph, env: Mapping[Value, Value]) -> None:
        self.b, self.graph, self.env = b, graph, env
        self.alphas: dict[tuple[Scale, np.dtype], Value] = {}

    def chain(self, chain: Chain) -> Value:
        """The accumulated value."""
        start, terms = chain
        total = self.env[start]
        for term in terms:
            node = self.graph.producer[term.value]
            alpha = self._alpha(term.scale, total.type.dtype)
            if node.op.name == "dot":
                x, y = (self.env[v] for v in node.operands)
                total = self.b.dot_acc(total, x, y, alpha, **node.attrs)
            else:
                v, *indices = (self.env[v] for v in node.operands[1:])
                v = v if term.scale.is_one else self.b.mul(v, alpha)
                total = self.b.scatter_add(total, v, *indices, **node.attrs)
        return total

    def _alpha(self, scale: Scale, dtype: np.dtype) -> Value:
        key = scale, dtype
        if key not in self.alphas:
            self.alphas[key] = self._product(scale, dtype)
        return self.alphas[key]

    def _product(self, scale: Scale, dtype: np.dtype) -> Value:
        """The scale as one number: known factors are multiplied now, the others when it runs."""
        b = self.b
        above, factors = self._known(scale.factors, dtype)
        below, divisors = self._known(scale.divisors, dtype)
        known = (-above if scale.negative else above) / below
        if not factors:
            total = b.constant(known, dtype)
        else:
            total = factors[0] if abs(known) == 1 else b.mul(factors[0], b.constant(known, dtype))
            total = b.neg(total) if known == -1 else total
        for factor in factors[1:]:
            total = b.mul(total, factor)
        for divisor in divisors:
            total = b.div(total, divisor)
        return total

    def _known(self, values: tuple[Value, ...], dtype: np.dtype) -> tuple[Any, list[Value]]:
        """The product of the constants among the values, and the values that are none."""
        product, unknown = dtype.type(1), []
        for value in values:
            number = scalar_constant(self.graph.producer, value)
            if number is None:
                unknown.append(self.env[value])
            else:
                product = product * number
        return product, unknown


def _live(graph: Graph, nodes: list[Node], env: Mapping[Value, Value]) -> list[Node]:
    """The nodes that still lead to a result."""
    wanted = {env[v] for v in graph.results}
    kept = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.results):
            wanted.update(node.operands)
            kept.append(node)
    return kept[::-1]
