"""Expand every derivative request into local Jacobians and contractions: the chain rule, literally.

    %gW:f64[3,4] = gradient %loss wrt %W'
 =>
    %J1:f64[3] = jacobian %loss wrt %z [a;] = %z[a]
    %gz:f64[3] = contract %J1, 1.0
    %J2:f64[3,4,3] = jacobian %z wrt %W' [a,b;i] = I[a,i] %x[b]
    %gW:f64[3,4] = contract %J2, %gz

Requests are expanded in SSA order in one pass, so that the inside of an outer derivative holds no
request any more, only ops, Jacobians and contractions; a contraction is differentiated as the
product it is (`passes/algebra/expression.py`). `arg` nodes mark what a request differentiates
with respect to and vanish at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial

import numpy as np

from ..ir.builder import Builder, keep, prune, rebuild, with_nodes
from ..ir.errors import UnsupportedError
from ..ir.graph import Graph, Node, Value
from ..ir.jacobian import Axes, Factor, Letter, Term, Val, canonical
from ..ir.op import ZERO
from ..ir.ops import uniform_value
from ..ir.ops.autodiff import REQUESTS
from .algebra import support
from .algebra.expression import contraction, derivative
from .algebra.repetition import Repetition


def autodiff(graph: Graph) -> Graph:
    """Expand `gradient`, `vjp`, `jvp` and `total_jacobian` nodes; drop `arg` nodes.

    UnsupportedError, naming the user's line, for an op without a Jacobian rule.
    """
    if not any(node.op.name in (*REQUESTS, "arg") for node in graph.nodes):
        return graph
    b = Builder()
    env: dict[Value, Value] = {v: v for v in graph.inputs}
    for node in graph.nodes:
        operands = tuple(env[v] for v in node.operands)
        results: Sequence[Value]
        if node.op.name in REQUESTS:
            with b.at(node.loc, "autodiff"):
                results = _EXPAND[node.op.name](b, node, operands)
            _keep_names(node.results, results)
        else:
            results = keep(b, node, operands)
        env.update(zip(node.results, results, strict=True))
    return prune(_without_args(with_nodes(graph, b.nodes, env)))


def _keep_names(old: Sequence[Value], new: Sequence[Value]) -> None:
    for before, after in zip(old, new, strict=True):
        after.name = before.name or after.name


def _without_args(graph: Graph) -> Graph:
    return rebuild(graph, lambda b, node, operands: operands if node.op.name == "arg" else None)


# --- requests ------------------------------------------------------------------------------------


def _gradient(b: Builder, node: Node, operands: tuple[Value, ...]) -> list[Value]:
    loss, *wrt = operands
    seed = b.constant(1.0, loss.type.dtype)
    return _Reverse(b, wrt).run({loss: seed})


def _vjp(b: Builder, node: Node, operands: tuple[Value, ...]) -> list[Value]:
    m, k = node.attrs["outputs"], node.attrs["wrt"]
    reverse = _Reverse(b, operands[m : m + k])
    seeds: dict[Value, Value] = {}
    for y, seed in zip(operands[:m], operands[m + k :], strict=True):
        seeds[y] = b.add(seeds[y], seed) if y in seeds else seed
    return reverse.run(seeds)


def _total_jacobian(b: Builder, node: Node, operands: tuple[Value, ...]) -> list[Value]:
    y, a = operands
    seed = b.eye(shape=y.shape, dtype=y.type.dtype)
    return _Reverse(b, [a], batch=y.shape).run({y: seed})


def _jvp(b: Builder, node: Node, operands: tuple[Value, ...]) -> list[Value]:
    m, k = node.attrs["outputs"], node.attrs["wrt"]
    wrt, tangents = operands[m : m + k], operands[m + k :]
    return _forward(b, wrt, tangents, operands[:m])


_EXPAND: dict[str, Callable[[Builder, Node, tuple[Value, ...]], list[Value]]] = {
    "gradient": _gradient,
    "vjp": _vjp,
    "total_jacobian": _total_jacobian,
    "jvp": _jvp,
}


# --- local Jacobians -----------------------------------------------------------------------------


def data_operands(b: Builder, node: Node) -> tuple[Value, ...]:
    """The distinct values a derivative can flow in from. Those of a contraction are the values
    its Jacobian names and the cotangent; a Jacobian by itself passes nothing on."""
    if node.op.jacobian is ZERO or node.op.name == "jacobian":
        return ()
    operands: Iterable[Value] = node.operands
    if node.op.name == "contract":
        operands = (*b.producer[node.operands[0]].operands[2:], node.operands[1])
    return tuple(dict.fromkeys(v for v in operands if v.type.is_float))


def local_jacobian(b: Builder, node: Node, wrt: Value) -> Node | None:
    """Emit the Jacobian of a node with respect to one of its operands; None when it is zero."""
    if node.op.name == "contract":
        expression = contraction(node, b.producer[node.operands[0]])
        axes, terms = derivative(b, expression, wrt, node.result)
    else:
        axes = Axes(wrt.type, node.results[0].type)
        terms = _rule_terms(b, node, wrt, axes)
    if not terms:
        return None
    headers = {*axes.a, *axes.z}
    terms = [_with_uniform_coefficients(b, term, headers) for term in terms]
    form, values = canonical(axes, terms)
    return b.emit("jacobian", (node.result, wrt, *values), {"form": form}, names=["J"])


def looked_at(b: Builder, node: Node) -> tuple[Hashable, tuple[Value, ...]]:
    """What a node's Jacobians depend on: a key, and values. A contraction's are those of the
    product that it is."""
    if node.op.name != "contract":
        return (node.op, *node.attrs.values()), (*node.operands, *node.results)
    jacobian = b.producer[node.operands[0]]
    key = (node.op, id(jacobian.attrs["form"]), *node.attrs.values())
    return key, (*jacobian.operands[2:], *node.operands[1:], *node.results)


def _rule_terms(b: Builder, node: Node, wrt: Value, axes: Axes) -> list[Term]:
    rule = node.op.jacobian
    if rule is None or len(node.results) > 1:
        where = f" at {node.loc}" if node.loc else ""
        raise UnsupportedError(f"{node.op.name}{where} has no derivative rule")
    positions = [i for i, v in enumerate(node.operands) if v is wrt]
    return [term for i in positions for term in rule(b, node, i, axes)]


def _with_uniform_coefficients(b: Builder, term: Term, headers: set[Letter]) -> Term:
    """Values known to be one number everywhere become part of the coefficient (unless a letter
    to sum over would be forgotten with them)."""
    coef = term.coef
    factors: list[Factor] = []
    for factor in term.factors:
        known = uniform_value(b.producer, factor.v) if isinstance(factor, Val) else None
        if known is None or not headers.issuperset(factor.letters):
            factors.append(factor)
        else:
            coef *= float(known)
    return Term(coef, tuple(factors))


def _as(b: Builder, value: Value, dtype: np.dtype) -> Value:
    return value if value.type.dtype == dtype else b.cast(value, dtype=dtype)


def _dependent(b: Builder, wrt: Sequence[Value]) -> tuple[list[Node], set[Value]]:
    """The nodes, in order, that depend differentiably on `wrt`, and all such values."""
    active = set(wrt)
    nodes = []
    for node in b.nodes:
        floats = [v for v in node.results if v.type.is_float and v not in active]
        if floats and not active.isdisjoint(data_operands(b, node)):
            nodes.append(node)
            active.update(floats)
    return nodes, active


# --- reverse mode --------------------------------------------------------------------------------


class _Reverse:
    """One reverse sweep. Cotangents have the shape `batch` + shape of their value; each may have
    a support, the Boolean of where it is structurally non-zero."""

    def __init__(self, b: Builder, wrt: Sequence[Value], batch: tuple[int, ...] = ()) -> None:
        self.b, self.wrt, self.batch = b, wrt, batch
        self.nodes, self.active = _dependent(b, wrt)
        self.repetition = Repetition()
        self.cotangent: dict[Value, Value] = {}
        self.support: dict[Value, Value | None] = {}

    def run(self, seeds: dict[Value, Value]) -> list[Value]:
        for value, seed in seeds.items():
            if value in self.active:
                self.accumulate(value, seed, None)
        for node in reversed(self.nodes):
            if not self.cotangent.keys().isdisjoint(node.results):
                with self.b.at(node.loc, "autodiff"):
                    self.pull(node)
        return [self.result(a) for a in self.wrt]

    def result(self, a: Value) -> Value:
        if a in self.cotangent:
            return self.cotangent[a]
        return self.b.full(self.batch + a.shape, 0.0, a.type.dtype)

    def pull(self, node: Node) -> None:
        """Send a node's cotangent to its operands. Ops of several results have no rule: asked for
        the Jacobian of one they say so."""
        result = next(v for v in node.results if v in self.cotangent)
        g, where = self.cotangent[result], self.support[result]
        key, values = looked_at(self.b, node)
        for operand in data_operands(self.b, node):
            if operand not in self.active:
                continue
            if node.op.name == "arg":
                self.accumulate(operand, g, where)
                continue
            given = (operand, g, *([] if where is None else [where]), *values)
            make = partial(self.contracted, node, operand, g, where)
            if found := self.repetition.emit(self.b, key, given, make):
                pulled, *reached = found
                pulled.name = f"g{operand.name.rstrip(chr(39))}" if operand.name else "g"
                self.accumulate(operand, pulled, reached[0] if reached else None)

    def contracted(
        self, node: Node, operand: Value, g: Value, where: Value | None
    ) -> tuple[Value, ...]:
        """The Jacobian contracted with the cotangent, and the support of that if it has one;
        nothing if the Jacobian is zero."""
        b = self.b
        jacobian = local_jacobian(b, node, operand)
        if jacobian is None:
            return ()
        g = _as(b, g, jacobian.result.type.dtype)
        masked = where is not None and support.matters(jacobian.attrs["form"])
        operands = (jacobian.result, g, where) if masked else (jacobian.result, g)
        attrs = {"side": "vjp", "batch": len(self.batch)}
        pulled = b.emit("contract", [v for v in operands if v is not None], attrs).result
        reached = support.propagate(b, jacobian, where)
        return (pulled,) if reached is None else (pulled, reached)

    def accumulate(self, value: Value, g: Value, where: Value | None) -> None:
        if value not in self.cotangent:
            self.cotangent[value], self.support[value] = g, where
            return
        name = self.cotangent[value].name
        self.cotangent[value] = self.b.add(self.cotangent[value], g, name_hint=name)
        before = self.support[value]
        both = before is not None and where is not None
        self.support[value] = (
            self.b.emit("or", [v for v in (before, where) if v]).result if both else None
        )


# --- forward mode --------------------------------------------------------------------------------


def _forward(
    b: Builder, wrt: Sequence[Value], tangents: Sequence[Value], outputs: Sequence[Value]
) -> list[Value]:
    """Push tangents forward, node by node; the tangents of `outputs`."""
    nodes, _ = _dependent(b, wrt)
    tangent = dict(zip(wrt, tangents, strict=True))
    repetition = Repetition()
    for node in nodes:
        with b.at(node.loc, "autodiff"):
            pushed = _push(b, node, tangent, repetition)
        if pushed is not None:
            tangent[node.result] = pushed
    return [tangent[y] if y in tangent else b.full(y.shape, 0.0, y.type.dtype) for y in outputs]


def _push(
    b: Builder, node: Node, tangent: dict[Value, Value], repetition: Repetition
) -> Value | None:
    total: Value | None = None
    key, values = looked_at(b, node)
    key = key, node.results[0].name
    for operand in data_operands(b, node):
        if operand not in tangent:
            continue
        if node.op.name == "arg":
            return tangent[operand]
        given = operand, tangent[operand], *values
        make = partial(_pushed, b, node, operand, tangent[operand])
        for pushed in repetition.emit(b, key, given, make):
            total = pushed if total is None else b.add(total, pushed)
    return total


def _pushed(b: Builder, node: Node, operand: Value, tangent: Value) -> tuple[Value, ...]:
    """The Jacobian contracted with the tangent; nothing if it is zero."""
    jacobian = local_jacobian(b, node, operand)
    if jacobian is None:
        return ()
    name = f"t{node.result.name}" if node.result.name else "t"
    attrs = {"side": "jvp", "batch": 0}
    pushed = b.emit("contract", (jacobian.result, tangent), attrs, names=[name]).result
    return (_as(b, pushed, node.result.type.dtype),)
