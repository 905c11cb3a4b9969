"""Rewrite rules and the pass that applies them.

A rule is a named function; its docstring is the identity it uses, from left to right. It never
does more work than what it replaces, and says so when it changes floating-point results:

    @rule(p.div(1.0, p.add(1.0, p.exp(x))))
    def logistic(site: Site, x: Value) -> Value:
        \"\"\"1 / (1 + exp(x)) = sigmoid(-x)\"\"\"
        return site.b.sigmoid(site.b.neg(x))

A `RulePass` sweeps over a graph from inputs to outputs and applies the first rule that fits each
node; what a rule emits is offered to the rules again at once. Sweeps repeat until none fires.

Note [What a rule may look at]
A rule looks at its node, at what produces the operands, however far up, and at how often a value is
read (`Site.used_once`): nothing else. So after one sweep no rule fits any more, but for those that
asked how often a value is read and would be told otherwise now; only then is there another sweep.
And of all rules for an op only those are tried that can fit the ops that make its operands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from ...ir import ops
from ...ir.builder import Builder, keep, rebuild
from ...ir.graph import Graph, Node, Value
from ...ir.op import Op
from ...ir.record import dataclass
from ..dce import dce
from .patterns import Call, Made, made_by, match_node, may_match

ANY_OP = "*"

Apply = Callable[["Site"], "Value | None"]


@dataclass(frozen=True)
class Rule:
    """A rewrite of the result of one of `heads`; `apply` returns its replacement or None. Without
    a pattern of `patterns` that may match, or an operand made by an op of `below`, it does not fit
    (none given: it may)."""

    name: str
    identity: str
    heads: tuple[str, ...]
    apply: Apply
    patterns: tuple[Call, ...] = ()
    below: tuple[str, ...] = ()

    def may_fit(self, op: Op, operands: tuple[Made, ...]) -> bool:
        """Whether the rule can fit an op on operands that are made like this."""
        if self.below and not any(made.op in self.below for made in operands):
            return False
        return not self.patterns or any(may_match(p, op, operands) for p in self.patterns)


class Site:
    """Where a rule is tried: the node over already rewritten operands, and what produced them:
    `producers` has the nodes that define the values there are so far."""

    def __init__(self, graph: Graph) -> None:
        self.b = Builder()
        self.producers = graph.producer
        self.node: Node
        self._uses = use_counts(graph)
        self._asked: dict[Value, bool] = {}
        self._made: dict[Value, Made] = {}

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
        answer = self._asked[value] = self._uses.get(value, 1) <= 1
        return answer

    def was_right(self, graph: Graph) -> bool:
        """Whether every answer to `used_once` holds in the graph that came of it."""
        if not self._asked:
            return True
        uses = use_counts(graph)
        return all((uses[v] == 1) == once for v, once in self._asked.items() if v in uses)

    def made(self, value: Value) -> Made:
        """The op that makes a value, and whether all its elements are one known number."""
        found = self._made.get(value)
        if found is None:
            found = self._made[value] = made_by(self.producers, value)
        return found

    def enter(self, node: Node, operands: tuple[Value, ...]) -> None:
        """Move on to `node`."""
        if operands != node.operands:
            node = Node(node.op, operands, node.results, node.attrs, node.loc, node.origin)
        self.node = node

    def count(self, values: Iterable[Value], change: int) -> None:
        """Count one reader more, or less, of each of the values."""
        for value in values:
            self._uses[value] += change

    def stands_for(self, old: Value, new: Value) -> None:
        """Count the readers of `old` as readers of `new`, which replaces it."""
        if new is not old:
            self._uses[new] += self._uses[old]


def use_counts(graph: Graph) -> Counter[Value]:
    """How often each value is read: by nodes, once per operand, and by leaving the graph."""
    counts = Counter(value for node in graph.nodes for value in node.operands)
    counts.update(graph.results)
    return counts


def rule(
    *heads: Call | str, below: Sequence[str] = ()
) -> Callable[[Callable[..., Value | None]], Rule]:
    """Make a function a rule for the patterns or op names given (none: any op), and only where an
    operand is the result of an op of `below`, if any is given.

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
        used = apply if patterns else function
        return Rule(function.__name__, identity, names, used, patterns, tuple(below))

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
        rules = tuple(r for r in self.rules if r.name not in skip)
        fired: Counter[str] = Counter()
        table = _Table(rules)
        while graph.known.get(self.__name__) != rules:
            site = Site(graph)
            swept = _sweep(self.__name__, graph, site, table, fired)
            done = swept is graph
            graph = graph if done else dce(swept)
            if done or site.was_right(graph):
                graph.known[self.__name__] = rules
        return Rewritten(graph, fired)


class _Table:
    """Which rules to try for an op on operands that are made by certain ops, in the order given."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._named: dict[Op, list[Rule]] = {}
        self._found: dict[tuple[Op, tuple[Made, ...]], list[Rule]] = {}

    def named(self, op: Op) -> Sequence[Rule]:
        """The rules for an op."""
        if op not in self._named:
            heads = {op.name, ANY_OP}
            self._named[op] = [r for r in self.rules if not heads.isdisjoint(r.heads)]
        return self._named[op]

    def concerns(self, graph: Graph, site: Site) -> bool:
        """Whether a rule may fit any node of the graph as it is."""
        return any(
            self.named(node.op)
            and self.candidates(node.op, tuple([site.made(v) for v in node.operands]))
            for node in graph.nodes
        )

    def candidates(self, op: Op, operands: tuple[Made, ...]) -> Sequence[Rule]:
        """The rules that may fit."""
        key = op, operands
        if key not in self._found:
            self._found[key] = [r for r in self.named(op) if r.may_fit(op, operands)]
        return self._found[key]


def _sweep(name: str, graph: Graph, site: Site, table: _Table, fired: Counter[str]) -> Graph:
    """One walk over the graph. What is emitted for a node without an origin comes from here."""
    if not table.concerns(graph, site):
        return graph
    return rebuild(graph, _Walk(name, site, table, fired).visit)


class _Walk:
    """What a sweep does at each node."""

    def __init__(self, name: str, site: Site, table: _Table, fired: Counter[str]) -> None:
        self.name, self.site, self.table, self.fired = name, site, table, fired

    def visit(self, b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value]:
        b.origin = b.origin or self.name
        values = self.rewritten(b, node, operands) or keep(b, node, operands)
        if values is not node.results:
            for old, new in zip(node.results, values, strict=True):
                self.site.stands_for(old, new)
        return values

    def rewritten(
        self, b: Builder, node: Node, operands: tuple[Value, ...]
    ) -> Sequence[Value] | None:
        """What the first rule that fits makes of the node; None without one."""
        if not self.table.named(node.op):
            return None
        site = self.site
        site.b, site.producers = b, b.producer
        candidates = self.table.candidates(node.op, tuple([site.made(v) for v in operands]))
        if not candidates:
            return None
        site.enter(node, operands)
        mark = len(b.nodes)
        for candidate in candidates:
            value = candidate.apply(site)
            if value is not None:
                self.fired[candidate.name] += 1
                site.count(operands, -1)
                if value.shape != site.result.shape:
                    value = b.broadcast(value, shape=site.result.shape)
                return (self.again(b, mark, value),)
        return None

    def again(self, b: Builder, mark: int, value: Value) -> Value:
        """Offer the nodes a rule has just emitted to the rules."""
        emitted = b.nodes[mark:]
        for node in emitted:
            self.site.count(node.operands, 1)
        del b.nodes[mark:]
        env: dict[Value, Value] = {}
        for node in emitted:
            operands = tuple([env.get(v, v) for v in node.operands])
            values = self.rewritten(b, node, operands) or keep(b, node, operands)
            for old, new in zip(node.results, values, strict=True):
                env[old] = new
                self.site.stands_for(old, new)
        return env.get(value, value)
