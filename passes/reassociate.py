"""Choose the order of contractions by cost.

    %a:f64[64,64] = matmul %w3, %w2
    %b:f64[64,64] = matmul %a, %w1
    %y:f64[64]    = matmul %b, %x
=>
    %a:f64[64] = matmul %w1, %x
    %b:f64[64] = matmul %w2, %a
    %y:f64[64] = matmul %w3, %b

Dots whose results only other dots read form one product of many factors. Its cheapest order, in
multiplications, is found by dynamic programming over the subsets of factors; it replaces the
order written only if it is cheaper. Changes floating-point results: the sums are other sums.
Where an axis has no elements the order stays: it says which of the factors meet a 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from ..ir.builder import Builder, rebuild
from ..ir.dotspec import LETTERS, canonical_spec, parse_spec
from ..ir.graph import Graph, Node, Value
from ..ir.record import dataclass
from .dce import dce
from .rewriting.rules import use_counts

LARGEST_PRODUCT: Final = 8
"""Factors considered at once: n of them can be split in 3 ** n ways. A longer chain is improved
piece by piece."""

Letters = tuple[int, ...]


def reassociate(graph: Graph) -> Graph:
    """The graph with every product of dots in its cheapest order."""
    while (cheaper := _improve(graph)) is not graph:
        graph = dce(cheaper)
    return graph


def _improve(graph: Graph) -> Graph:
    products = {product.root: product for product in _products(graph)}
    env: dict[Value, Value] = {}

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        env.update(zip(node.operands, operands, strict=True))
        product = products.get(node)
        if product is None:
            return None
        order = product.cheapest()
        return (product.emit(b, env, order),) if order.work < product.work else None

    return rebuild(graph, visit, origin="reassociate")


class Factor(NamedTuple):
    """One operand of a product: a value with a letter for each axis."""

    value: Value
    letters: Letters


class Order(NamedTuple):
    """A way to multiply the factors `members`: one alone, or the product of two parts. `letters`
    are the axes of the result, `work` the multiplications it takes."""

    members: frozenset[int]
    letters: Letters
    work: int = 0
    parts: tuple[Order, Order] | None = None


@dataclass(frozen=True, eq=False)
class Product:
    """The dots `inner` that only serve `root`, and root itself, as one product of many factors.

    `work` counts the multiplications in the order written, `extent` is that of each letter.
    """

    root: Node
    inner: tuple[Node, ...]
    factors: tuple[Factor, ...]
    out: Letters
    extent: Mapping[int, int]
    work: int

    def cheapest(self) -> Order:
        """The order of least work; among equals the first, so that it is always the same."""
        single = (frozenset([i]) for i in range(len(self.factors)))
        best = {i: Order(i, f.letters) for i, f in zip(single, self.factors, strict=True)}
        for size in range(2, len(self.factors) + 1):
            for members in combinations(range(len(self.factors)), size):
                joined = (self._join(best[a], best[b]) for a, b in _splits(members))
                best[frozenset(members)] = min(joined, key=lambda order: order.work)
        return best[frozenset(range(len(self.factors)))]

    def emit(self, b: Builder, env: Mapping[Value, Value], order: Order) -> Value:
        """Emit the dots of an order; `env` has the values that stand for the factors."""
        if order.parts is None:
            (i,) = order.members
            return env[self.factors[i].value]
        one, other = order.parts
        left, right = self.emit(b, env, one), self.emit(b, env, other)
        return b.dot(left, right, spec=_spec(one.letters, other.letters, order.letters))

    def _join(self, one: Order, other: Order) -> Order:
        members = one.members | other.members
        loops = dict.fromkeys(one.letters + other.letters)
        work = one.work + other.work + math.prod(self.extent[c] for c in loops)
        if len(members) == len(self.factors):
            return Order(members, self.out, work, (one, other))
        rest = (f.letters for i, f in enumerate(self.factors) if i not in members)
        needed = set(self.out).union(*rest)
        ordered = sorted(loops, key=lambda c: c not in one.letters or c not in other.letters)
        return Order(members, tuple(c for c in ordered if c in needed), work, (one, other))


def _splits(members: tuple[int, ...]) -> Iterator[tuple[frozenset[int], frozenset[int]]]:
    """The ways to part a set in two; the first member is always in the first part."""
    first, *rest = members
    for size in range(len(rest)):
        for some in combinations(rest, size):
            yield frozenset((first, *some)), frozenset(rest) - frozenset(some)


def _spec(lhs: Letters, rhs: Letters, out: Letters) -> str:
    name = dict(zip(dict.fromkeys(lhs + rhs), LETTERS, strict=False))
    texts = ("".join(name[c] for c in letters) for letters in (lhs, rhs, out))
    return canonical_spec("{},{}->{}".format(*texts))


def _products(graph: Graph) -> Iterator[Product]:
    """Every maximal product of three factors or more."""
    uses = use_counts(graph)
    serving: set[Node] = set()
    for node in reversed(graph.nodes):
        if node.op.name == "dot" and node not in serving:
            product = _collect(graph, uses, node)
            serving.update(product.inner)
            if product.inner and all(product.extent.values()):
                yield product


def _collect(graph: Graph, uses: Mapping[Value, int], root: Node) -> Product:
    """Open dots that no other product reads, from the root downwards, into their factors."""
    extent: dict[int, int] = {}
    out = _fresh(extent, root.result.shape)
    factors, work = _open(root, out, extent)
    inner: list[Node] = []
    while (node := _openable(graph, uses, factors)) is not None:
        opened: list[Factor] = []
        for factor in factors:
            if factor.value is node.result:
                parts, more = _open(node, factor.letters, extent)
                opened += parts
            else:
                opened.append(factor)
        factors, work = opened, work + more  # computed once, however often it is a factor
        inner.append(node)
    return Product(root, tuple(inner), tuple(factors), out, extent, work)


def _openable(graph: Graph, uses: Mapping[Value, int], factors: Sequence[Factor]) -> Node | None:
    """The first dot among the factors that is read as often as it is one of them."""
    for value, times in Counter(factor.value for factor in factors).items():
        node = graph.producer.get(value)
        fits = uses[value] == times and len(factors) + times <= LARGEST_PRODUCT
        if node is not None and node.op.name == "dot" and fits:
            return node
    return None


def _open(node: Node, out: Letters, extent: dict[int, int]) -> tuple[list[Factor], int]:
    """The two factors of a dot whose result has the letters `out`, and its multiplications."""
    spec = parse_spec(node.attrs["spec"])
    table = dict(zip(spec.out, out, strict=True))
    places = list(zip((spec.lhs, spec.rhs), node.operands, strict=True))
    for names, value in places:
        for name, n in zip(names, value.shape, strict=True):
            if name not in table:
                (table[name],) = _fresh(extent, (n,))
    factors = [Factor(value, tuple(table[name] for name in names)) for names, value in places]
    return factors, math.prod(extent[letter] for letter in table.values())


def _fresh(extent: dict[int, int], extents: Iterable[int]) -> Letters:
    """New letters for axes of these extents."""
    letters = []
    for n in extents:
        letters.append(len(extent))
        extent[letters[-1]] = n
    return tuple(letters)
