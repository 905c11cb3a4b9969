"""Rewrite rules and the pass that applies them.

A rule is a named function; its docstring is the identity it uses, from left to right. It never
does more work than what it replaces, and says so when it changes floating-point results:

    @rule(p.div(1.0, p.add(1.0, p.exp(x))))
    def logistic(site: Site, x: Value) -> Value:
        \"\"\"1 / (1 + exp(x)) = sigmoid(-x)\"\"\"
        return site.b.sigmoid(site.b.neg(x))

A `RulePass` sweeps over a graph from inputs to outputs and applies the first rule that fits each
node; what a rule emits is offered to the rules again at once. Sweeps repeat until none fires.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from ...ir import ops
from ...ir.builder import Builder, keep, rebuild
from ...ir.graph import Graph, Node, Value
from ...ir.record import dataclass
from ..dce import dce
from .patterns import Call, match_node

ANY_OP = "*"

Apply = Callable[["Site"], "Value | None"]


@dataclass(frozen=True)
class Rule:
    """A rewrite of the result of one of `heads`; `apply` returns its replacement or None."""

    name: str
    identity: str
    heads: tuple[str, ...]
    apply: Apply


class Site:
    """Where a rule is tried: the node over already rewritten operands, and what produced them."""

    def __init__(self, graph: Graph) -> None:
        self.b = Builder()
        self.node: Node
        self._uses = use_counts(graph)

    @property
    def producers(self) -> Mapping[Value, Node]:
        """The nodes that define the values there are so far."""
        return self.b.producer

    @property
    def operands(self) -> tuple[Value, ...]:
        return self.node.operands

    @property
    def result(self) -> Value:
        return self.node.results[0]

    def producer(self, value: Value, *names: str) -> Node | None:
        """The node that defines `value`, if it applies one of the ops `names`."""
        node = self.producers.get(value)
        return node if node is not None and node.op.name in names else None

    def uniform(self, value: Value) -> Any | None:
        """The number that every element of `value` equals, if it is known."""
        return ops.uniform_value(self.producers, value)

    def scalar(self, value: Value) -> Value:
        """`value`, or the scalar it repeats if that is known."""
        number = self.uniform(value)
        return value if number is None else self.b.constant(number)

    def used_once(self, value: Value) -> bool:
        """Whether nothing but this node reads the value."""
        return self._uses.get(value, 1) == 1

    def enter(self, b: Builder, node: Node, operands: tuple[Value, ...]) -> None:
        """Move on to `node`."""
        self.b = b
        self.node = Node(node.op, operands, node.results, node.attrs, node.loc, node.origin)

    def stands_for(self, old: Value, new: Value) -> None:
        """Count the readers of `old` as readers of `new`, which replaces it."""
        if new is not old:
            self._uses[new] = self._uses.get(new, 0) + self._uses.get(old, 1)


def use_counts(graph: Graph) -> Counter[Value]:
    """How often each value is read: by nodes, once per operand, and by leaving the graph."""
    counts = Counter(value for node in graph.nodes for value in node.operands)
    counts.update(graph.results)
    return counts


def rule(*heads: Call | str) -> Callable[[Callable[..., Value | None]], Rule]:
    """Make a function a rule for the patterns or op names given (none: any op).

    With patterns it is called with the site and, by name, what the pattern binds; with op names
    with the site alone. It returns the replacement, which may have yet to be broadcast to the
    result's shape, or None (having emitted nothing) to decline.
    """
    names = tuple(dict.fromkeys(h.op if isinstance(h, Call) else h for h in heads)) or (ANY_OP,)
    patterns = tuple(h for h in heads if isinstance(h, Call))

    def decorate(function: Callable[..., Value | None]) -> Rule:
        def apply(site: Site) -> Value | None:
            for pattern in patterns:
                for found in match_node(site.producers, pattern, site.node):
                    value = function(site, **found)
                    if value is not None:
                        return value
            return None

        identity = " ".join((function.__doc__ or "").split())
        return Rule(function.__name__, identity, names, apply if patterns else function)

    return decorate


class Rewritten(NamedTuple):
    """What a run of rules made of a graph, and how often each rule fired."""

    graph: Graph
    fired: Counter[str]


class RulePass:
    """A pass that consists of rules. Calling it rewrites a graph with all of them."""

    def __init__(self, name: str, rules: Sequence[Rule]) -> None:
        self.__name__ = name
        self.rules = tuple(rules)

    def __call__(self, graph: Graph) -> Graph:
        return self.run(graph).graph

    def run(self, graph: Graph, *, skip: AbstractSet[str] = frozenset()) -> Rewritten:
        """Rewrite until no rule fires, leaving out the rules named in `skip`."""
        table = _by_head(r for r in self.rules if r.name not in skip)
        fired: Counter[str] = Counter()
        while True:
            swept = _sweep(self.__name__, graph, table, fired)
            if swept is graph:
                return Rewritten(graph, fired)
            graph = dce(swept)


Table = Mapping[str, Sequence[Rule]]


def _by_head(rules: Iterable[Rule]) -> Table:
    """The rules to try for each op, in the order given."""
    table: dict[str, list[Rule]] = {}
    anywhere: list[Rule] = []
    for r in rules:
        for each in [*table.values(), anywhere] if ANY_OP in r.heads else []:
            each.append(r)
        for head in r.heads if ANY_OP not in r.heads else ():
            table.setdefault(head, list(anywhere)).append(r)
    return {**table, ANY_OP: anywhere}


def _sweep(name: str, graph: Graph, table: Table, fired: Counter[str]) -> Graph:
    """One walk over the graph. What is emitted for a node without an origin comes from here."""
    site = Site(graph)

    def visit(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value]:
        b.origin = b.origin or name
        values = rewrite(b, node, operands) or keep(b, node, operands)
        for old, new in zip(node.results, values, strict=True):
            site.stands_for(old, new)
        return values

    def rewrite(b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        site.enter(b, node, operands)
        mark = len(b.nodes)
        for candidate in table.get(node.op.name, table.get(ANY_OP, ())):
            value = candidate.apply(site)
            if value is not None:
                fired[candidate.name] += 1
                if value.shape != site.result.shape:
                    value = b.broadcast(value, shape=site.result.shape)
                return (again(b, mark, value),)
        return None

    def again(b: Builder, mark: int, value: Value) -> Value:
        """Offer the nodes a rule has just emitted to the rules."""
        emitted = b.nodes[mark:]
        del b.nodes[mark:]
        env: dict[Value, Value] = {}
        for node in emitted:
            operands = tuple(env.get(v, v) for v in node.operands)
            values = rewrite(b, node, operands) or keep(b, node, operands)
            env.update(zip(node.results, values, strict=True))
        return env.get(value, value)

    return rebuild(graph, visit)
