"""Contract every Jacobian symbolically, so that none is ever built.

    %J1:f64[3,4,3] = jacobian %z wrt %W [a,b;i] = I[a,i] %x[b]
    %gW:f64[3,4] = contract %J1, %gz
 =>
    %gW:f64[3,4] = outer %gz, %x

There is one algorithm for every op (`passes/algebra/eliminate.py`); this pass only feeds it. A
result that still has deltas (the cotangent of a total Jacobian) is remembered as its terms, so that
the next contraction sees the structure and not a tensor full of zeros; the tensor itself is dead
code then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.builder import Builder, keep, prune, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.jacobian import Delta, Letter, Term, Val
from ..ir.ops import uniform_value
from .algebra.eliminate import Reduced, eliminate, materialise
from .algebra.expression import Expression, contraction


def jacobian_free(graph: Graph) -> Graph:
    """Replace `contract` and `jacobian` nodes by the ops they come to."""
    if not any(node.op.name in ("contract", "eye") for node in graph.nodes):
        return graph
    return prune(rebuild(graph, _Contractions().visit, origin="jacobian-free"))


def jacobian_terms(graph: Graph) -> tuple[Graph, tuple[tuple[Reduced, ...], ...]]:
    """Like `jacobian_free`, but every output comes as the terms it is the sum of.

    The outputs of the graph returned are the values of all terms, output by output; the letters
    of a term are the axes of its output. An output without known structure is one dense term.
    """
    contractions = _Contractions()
    free = rebuild(graph, contractions.visit, origin="jacobian-free")
    terms = tuple(tuple(contractions.terms_of(free, v)) for v in free.outputs)
    values = tuple(t.value for output in terms for t in output if t.value is not None)
    return prune(replace(free, outputs=values)), terms


class _Contractions:
    """What the pass knows while it walks: the Jacobians, and the structure of open results
    (terms whose letters are the axes of the value)."""

    def __init__(self) -> None:
        self.jacobians: dict[Value, Node] = {}
        self.structure: dict[Value, list[Reduced]] = {}

    def visit(self, b: Builder, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        match node.op.name:
            case "jacobian":
                kept = keep(b, node, operands)
                self.jacobians[kept[0]] = b.producer[kept[0]]
                return kept
            case "contract":
                return [self.contract(b, node, operands)]
            case "eye":
                return [self.eye(b, node)]
            case "add":
                terms = [self.structure.get(v) for v in operands]
                if terms[0] is not None and terms[1] is not None:
                    return [self.known(b, [*terms[0], *terms[1]], node.result)]
        return None

    def eye(self, b: Builder, node: Node) -> Value:
        shape = node.attrs["shape"]
        rank = len(shape)
        deltas = tuple(Delta(k, k + rank) for k, n in enumerate(shape) if n != 1)
        return self.known(b, [Reduced(1.0, deltas, None, ())], node.result)

    def contract(self, b: Builder, node: Node, operands: tuple[Value, ...]) -> Value:
        jacobian = self.jacobians[operands[0]]
        expression = self.opened(contraction(replace(node, operands=operands), jacobian))
        dtype = node.result.type.dtype
        terms = eliminate(b, expression, dtype)
        axis = {letter: k for k, letter in enumerate(expression.out)}
        local = [
            Reduced(
                t.coef, tuple(d.rename(axis) for d in t.deltas), t.value, _renamed(t.letters, axis)
            )
            for t in terms
        ]
        return self.known(b, local, node.result)

    def terms_of(self, graph: Graph, value: Value) -> list[Reduced]:
        """The terms a value of the finished graph is the sum of."""
        if value in self.structure:
            return self.structure[value]
        if uniform_value(graph.producer, value) == 0:
            return []
        return [Reduced(1.0, (), value, tuple(range(value.type.rank)))]

    def known(self, b: Builder, terms: list[Reduced], like: Value) -> Value:
        """Write the terms out, and remember them while they have structure."""
        out = tuple(range(like.type.rank))
        value = materialise(b, terms, out, like.shape, like.type.dtype)
        if any(t.deltas for t in terms):
            self.structure[value] = terms
        return value

    def opened(self, expression: Expression) -> Expression:
        """The expression with every value of known structure replaced by its terms."""
        terms = list(expression.terms)
        k = 0
        while k < len(terms):
            hit = next(
                (f for f in terms[k].factors if isinstance(f, Val) and f.v in self.structure), None
            )
            if hit is None:
                k += 1
            else:
                terms[k : k + 1] = [_substituted(terms[k], hit, t) for t in self.structure[hit.v]]
        return Expression(expression.out, expression.extent, tuple(terms))


def _renamed(letters: Sequence[Letter], table: dict[Letter, Letter]) -> tuple[Letter, ...]:
    return tuple(table[x] for x in letters)


def _substituted(term: Term, factor: Val, known: Reduced) -> Term:
    """`term` with `factor` replaced by one term of its definition."""
    rest = tuple(f for f in term.factors if f is not factor)
    letter = dict(enumerate(factor.ix))
    deltas = tuple(
        Delta(i, j)
        for d in known.deltas
        if (i := letter[d.i]) is not None and (j := letter[d.j]) is not None
    )
    value = (
        () if known.value is None else (Val(known.value, tuple(letter[k] for k in known.letters)),)
    )
    return Term(term.coef * known.coef, (*deltas, *value, *rest))
