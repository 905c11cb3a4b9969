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

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ..ir.builder import Builder, keep, prune, rebuild
from ..ir.graph import Graph, Node, Value
from ..ir.jacobian import Delta, Map, Term, Val
from ..ir.ops import uniform_value
from .algebra.eliminate import eliminate
from .algebra.expression import Expression, contraction
from .algebra.materialise import materialise
from .algebra.places import apart, placeable
from .algebra.products import Products
from .algebra.reduced import Reduced, merged
from .algebra.repetition import Repetition


def jacobian_free(graph: Graph) -> Graph:
    """Replace `contract` and `jacobian` nodes by the ops they come to."""
    if not any(node.op.name in ("contract", "eye") for node in graph.nodes):
        return graph
    return prune(rebuild(graph, _Contractions(placed=False).visit, origin="jacobian-free"))


WHY = {
    "gather": "its places are known only when it runs",
    "erase_at": "its places are known only when it runs",
    "erase": "what is left of the axis is many parts",
    "windows": "windows overlap",
    "roll": "what is moved past the end comes first",
    "cumsum": "every element depends on all before it",
    "recurrence": "every element depends on all before it",
    "slice": "its part does not line up with that of another slice or reshape",
    "reshape": "the old axes and the new ones do not line up",
    "solve": "an inverse has no zeros",
    "solve_triangular": "an inverse has no regular zeros",
}
"""Why a linear map between two axes that are kept cannot be deltas and places."""

MANY = 32
"""More terms than this are kept only while they hold less than the dense tensor."""


class Forced(NamedTuple):
    """What made a block of a Jacobian dense: a linear map, the user's line, and the reason."""

    op: str
    line: str
    why: str

    def __str__(self) -> str:
        return f"{self.op} at {self.line}: {self.why}" if self.line else f"{self.op}: {self.why}"


class Open(NamedTuple):
    """An open Jacobian: the terms it is the sum of, and what cost it structure."""

    terms: tuple[Reduced, ...]
    forced: tuple[Forced, ...]


def jacobian_terms(graph: Graph) -> tuple[Graph, tuple[Open, ...]]:
    """Like `jacobian_free`, but every output comes as the terms it is the sum of.

    The outputs of the graph returned are the values of all terms, output by output; the letters
    of a term are the axes of its output. An output without known structure is one dense term.
    """
    contractions = _Contractions(placed=True)
    free = rebuild(graph, contractions.visit, origin="jacobian-free")
    found = tuple(
        Open(tuple(contractions.terms_of(free, v)), contractions.forced.get(v, ()))
        for v in free.outputs
    )
    values = tuple(v.v for output in found for t in output.terms for v in t.vals)
    return prune(replace(free, outputs=values)), found


class _Contractions:
    """What the pass knows while it walks: the Jacobians, and the structure of open results
    (terms whose letters are the axes of the value)."""

    def __init__(self, *, placed: bool) -> None:
        """`placed`: whether slices and reshapes are kept as structure, besides deltas."""
        self.placed = placed
        self.jacobians: dict[Value, Node] = {}
        self.structure: dict[Value, list[Reduced]] = {}
        self.forced: dict[Value, tuple[Forced, ...]] = {}
        self.repetition = Repetition()

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
            case "add" if all(v in self.structure for v in operands):
                terms = [t for v in operands for t in self.structure[v]]
                return [self.caused(self.known(b, terms, node), operands)]
            case "cast" if operands[0] in self.structure:
                value = self.cast(b, self.structure[operands[0]], node)
                return [self.caused(value, operands)]
        return None

    def eye(self, b: Builder, node: Node) -> Value:
        shape = node.attrs["shape"]
        rank = len(shape)
        deltas = tuple(Delta(k, k + rank) for k, n in enumerate(shape) if n != 1)
        return self.known(b, [Reduced(1.0, deltas, ())], node)

    def contract(self, b: Builder, node: Node, operands: tuple[Value, ...]) -> Value:
        """What a contraction comes to. It depends on the form of the Jacobian and on what is
        multiplied, where structure is neither known of that nor found."""
        jacobian = self.jacobians[operands[0]]
        values = *jacobian.operands[2:], *operands[1:]
        if node.attrs["batch"] or any(v in self.structure for v in values):
            return self.contracted(b, node, operands)
        key = id(jacobian.attrs["form"]), node.attrs["side"]
        made = self.repetition.emit(b, key, values, lambda: [self.contracted(b, node, operands)])
        if made[0] in self.structure:
            self.repetition.forget(b, key, values)
        return made[0]

    def contracted(self, b: Builder, node: Node, operands: tuple[Value, ...]) -> Value:
        jacobian = self.jacobians[operands[0]]
        expression = self.opened(contraction(replace(node, operands=operands), jacobian))
        dtype = node.result.type.dtype
        dense: list[str] = []
        terms = eliminate(b, expression, dtype, dense)
        result = node.result.type
        if not expression.open and not any(t.ties for t in terms):
            return materialise(b, terms, expression.out, result.shape, dtype)
        value = self.known(b, [t.numbered(expression.out) for t in terms], node)
        new = (
            tuple(Forced(op, str(node.loc or ""), WHY[op]) for op in dense)
            if expression.open
            else ()
        )
        return self.caused(value, operands[1:], new)

    def caused(self, value: Value, before: Sequence[Value], new: tuple[Forced, ...] = ()) -> Value:
        """Note what made parts of a value dense."""
        old = [f for v in (value, *before) for f in self.forced.get(v, ())]
        self.forced[value] = tuple(dict.fromkeys((*old, *new)))
        return value

    def cast(self, b: Builder, terms: list[Reduced], node: Node) -> Value:
        """The cast of a sum of products is that of every factor."""
        dtype = node.result.type.dtype
        found = [
            replace(t, vals=tuple(Val(b.cast(v.v, dtype=dtype), v.ix) for v in t.vals))
            for t in terms
        ]
        return self.known(b, found, node)

    def terms_of(self, graph: Graph, value: Value) -> list[Reduced]:
        """The terms a value of the finished graph is the sum of."""
        if value in self.structure:
            return self.structure[value]
        if uniform_value(graph.producer, value) == 0:
            return []
        return [Reduced(1.0, (), (Val(value, tuple(range(value.type.rank))),))]

    def known(self, b: Builder, terms: list[Reduced], node: Node) -> Value:
        """Write the terms of a node's result out, and remember them."""
        type_ = node.result.type
        out = tuple(range(type_.rank))
        products = Products(b, dict(enumerate(type_.shape)), out, type_.dtype)
        terms = merged(products, terms)
        value = materialise(b, terms, out, type_.shape, type_.dtype)
        room = type_.size * (1 if len(terms) > MANY else 4)
        if any(t.places for t in terms) and _elements(terms) > room:
            reason = f"its {len(terms)} terms hold more than the whole tensor"
            self.forced[value] = (Forced("sum", str(node.loc or ""), reason),)
            terms = [Reduced(1.0, (), (Val(value, out),))]
        self.structure[value] = terms
        return value

    def opened(self, expression: Expression) -> Expression:
        """The expression with every value of known structure replaced by its terms."""
        expression = replace(
            expression,
            extent=dict(expression.extent),
            placed=self.placed and expression.open,
        )
        terms = list(expression.terms)
        if expression.placed:
            terms = [part for t in terms for part in apart(t, expression.extent)]
        k = 0
        while k < len(terms):
            vals = (f for f in terms[k].factors if isinstance(f, Val))
            mixing = _mixes(terms[k], expression)
            hit = next((f for f in vals if self.decomposes(f.v, mixing)), None)
            if hit is None:
                k += 1
            else:
                terms[k : k + 1] = [
                    _substituted(expression, terms[k], hit, t) for t in self.structure[hit.v]
                ]
        return replace(expression, terms=tuple(terms))

    def decomposes(self, value: Value, mixing: bool) -> bool:
        """Whether terms say more about a value than itself. A part of an axis says nothing to a
        map that mixes all of it."""
        terms = self.structure.get(value)
        if terms is None or (mixing and any(t.places for t in terms)):
            return False
        return all(v.v is not value for t in terms for v in t.vals)


def _elements(terms: Sequence[Reduced]) -> int:
    """How many elements the values of the terms have."""
    return sum(v.v.type.size for t in terms for v in t.vals)


def _mixes(term: Term, expression: Expression) -> bool:
    """Whether the term has a map that cannot be a place."""
    maps = (f for f in term.factors if isinstance(f, Map))
    return any(not placeable(m, expression.extent) for m in maps)


def _substituted(expression: Expression, term: Term, factor: Val, known: Reduced) -> Term:
    """`term` with `factor` replaced by one term of its definition. A letter to sum over that only
    `factor` had counts: the definition is constant along it."""
    rest = tuple(f for f in term.factors if f is not factor)
    letter = {k: x for k, x in enumerate(factor.ix) if x is not None}
    for x, n in known.extents.items():
        if x >= len(factor.ix):
            letter[x] = len(expression.extent)
            expression.extent[letter[x]] = n
    deltas = (d.rename(letter) for d in known.deltas if d.i in letter and d.j in letter)
    places = (p.rename(letter) for p in known.places)
    vals = (Val(v.v, tuple(None if k is None else letter.get(k) for k in v.ix)) for v in known.vals)
    made = Term(term.coef * known.coef, (*deltas, *places, *vals, *rest))
    lost = {*factor.letters} - {*made.letters, *expression.out}
    return Term(made.coef * math.prod(expression.extent[x] for x in lost), made.factors)
