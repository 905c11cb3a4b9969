"""The invariants of the IR, and their checker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

import numpy as np

from .dotspec import canonical_spec
from .errors import TapelessError, VerifyError
from .graph import Graph, Node, Value
from .jacobian import Delta, Factor, Form, Map, Mask, Val, refs
from .maps import MAPS
from .op import OPS
from .text import Names, format_node
from .types import DTYPES, MAX_RANK

MALFORMED: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a type rule raises, apart from its own errors, when it chokes on an attribute."""


def verify(graph: Graph, *, after: str = "") -> None:
    """Check every invariant; VerifyError for the first one that is broken.

    The error cites the invariant, the pass that ran last (`after`), the node as IR text and the
    user's line.

    Of every graph:
     1. A value is defined once, as an input or as a result of one node.
     2. A node's operands are defined before it; outputs and values of updates are defined.
     3. An update targets an input, each at most once, with a value of the input's type.
     4. A type has a known dtype, a rank of at most 16 and no negative extent.
     5. A node's op is the registered record of its name and has exactly the record's attributes,
        flags (attributes that are True or False by default) being bool: they go into code.
     6. A node's results have the types that the op's rule infers from operands and attributes.
     7. A constant is read-only, and the letters of a contraction are canonical.
     8. A region is itself valid, has no updates, and shares no value with the graph around it.

    Of `jacobian` and `contract` nodes:
     9. A form has one letter per axis of operand and result, then the summed ones, and one extent
        per letter; every summed letter occurs in a term.
    10. The values of a form are the node's operands from the third on, each in use.
    11. A delta joins letters of equal extent.
    12. A value or mask has one letter per axis, of the axis' extent; `0` only on extent 1.
    13. Values have the dtype of the Jacobian, masks are bool.
    14. A map is a known one, and the extents of its two sides fit its rule.
    15. A Jacobian is used only as the first operand of `contract` and as an output, and the first
        operand of `contract` is a Jacobian.
    """
    _Verifier(graph, after).check()


class _Verifier:
    """One walk over one graph."""

    def __init__(self, graph: Graph, after: str) -> None:
        self.graph = graph
        self.after = after
        self.defined: set[Value] = set()
        self.jacobians: set[Value] = set()

    def check(self) -> None:
        for value in self.graph.inputs:
            self._define(value, None)
        for node in self.graph.nodes:
            self._node(node)
        for value in self.graph.results:
            if value not in self.defined:
                self._fail(2, f"result {self._show(value)} is not defined")
        self._updates()

    def _node(self, node: Node) -> None:
        for value in node.operands:
            if value not in self.defined:
                self._fail(2, f"operand {self._show(value)} is not defined before its use", node)
        self._record(node)
        self._types(node)
        self._contents(node)
        self._regions(node)
        self._jacobian_use(node)
        if node.op.name == "jacobian":
            self._form(node, node.attrs["form"])
            self.jacobians.update(node.results)
        for value in node.results:
            self._define(value, node)

    def _define(self, value: Value, node: Node | None) -> None:
        if value in self.defined:
            self._fail(1, f"{self._show(value)} is defined twice", node)
        self.defined.add(value)
        extents = value.type.shape
        sound = len(extents) <= MAX_RANK and all(n >= 0 for n in extents)
        if not sound or value.type.dtype not in DTYPES.values():
            self._fail(4, f"{value.type.dtype} of shape {extents} is not a type", node)

    def _updates(self) -> None:
        inputs, targets = set(self.graph.inputs), set[Value]()
        for target, value in self.graph.updates:
            if target not in inputs:
                self._fail(3, f"the update of {self._show(target)} does not target an input")
            if target in targets:
                self._fail(3, f"the input {self._show(target)} is updated twice")
            if target.type != value.type:
                self._fail(3, f"the update of {self._show(target)} has type {value.type}")
            targets.add(target)

    def _record(self, node: Node) -> None:
        name = node.op.name
        if OPS.get(name) is not node.op:
            self._fail(5, f"{name!r} is not a registered op", node)
        if set(node.attrs) != set(node.op.attrs):
            self._fail(5, f"attributes {list(node.attrs)} are not {list(node.op.attrs)}", node)
        for name, default in node.op.attrs.items():
            if isinstance(default, bool) and not isinstance(node.attrs[name], bool):
                self._fail(5, f"{name} must be true or false, not {node.attrs[name]!r}", node)

    def _types(self, node: Node) -> None:
        try:
            inferred = node.op.infer(tuple(v.type for v in node.operands), node.attrs)
        except (TapelessError, *MALFORMED) as error:
            self._fail(6, f"the type rule rejects the node: {error}", node)
        if inferred != tuple(v.type for v in node.results):
            self._fail(6, f"the type rule gives {', '.join(map(str, inferred))}", node)

    def _contents(self, node: Node) -> None:
        if node.op.name == "constant" and node.attrs["value"].flags.writeable:
            self._fail(7, "the constant can be written to", node)
        if node.op.kind == "dot" and node.attrs["spec"] != canonical_spec(node.attrs["spec"]):
            self._fail(7, f"the letters of {node.attrs['spec']} are not canonical", node)

    def _regions(self, node: Node) -> None:
        for body in node.attrs.values():
            if not isinstance(body, Graph):
                continue
            inside = _Verifier(body, self.after)
            inside.check()
            if body.updates:
                self._fail(8, "a region updates its inputs", node)
            if inside.defined & self.defined or inside.defined & set(node.results):
                self._fail(8, "a region shares a value with the graph around it", node)

    def _jacobian_use(self, node: Node) -> None:
        contracts = node.op.name == "contract"
        if contracts and node.operands[0] not in self.jacobians:
            self._fail(15, "the first operand of contract is not a Jacobian", node)
        for value in node.operands[contracts:]:
            if value in self.jacobians:
                self._fail(15, f"the Jacobian {self._show(value)} is not contracted", node)

    def _form(self, node: Node, form: Form) -> None:
        result, wrt = node.operands[:2]
        used = {letter for term in form.terms for letter in term.letters}
        summed = range(form.rank_a + form.rank_z, len(form.extents))
        if (form.rank_a, form.rank_z) != (wrt.type.rank, result.type.rank):
            self._fail(9, "the header does not have one letter per axis", node)
        if not used <= set(range(len(form.extents))) or not used.issuperset(summed):
            self._fail(9, "the letters are not those of the header and the summed ones", node)
        positions = {v for term in form.terms for v in refs(term)}
        if positions != set(range(2, len(node.operands))):
            self._fail(10, "the values are not the operands from the third on", node)
        for factor in (f for term in form.terms for f in term.factors):
            self._factor(node, form, factor)

    def _factor(self, node: Node, form: Form, factor: Factor) -> None:
        match factor:
            case Delta(i, j):
                if form.extents[i] != form.extents[j]:
                    sizes = f"{form.extents[i]} and {form.extents[j]}"
                    self._fail(11, f"a delta joins letters of extents {sizes}", node)
            case Val() | Mask():
                self._element(node, form, factor)
            case Map():
                self._map(node, form, factor)

    def _element(self, node: Node, form: Form, factor: Val | Mask) -> None:
        value = node.operands[factor.v]
        extents = tuple(1 if x is None else form.extents[x] for x in factor.ix)
        if extents != value.shape:
            self._fail(12, f"{self._show(value)} is indexed by letters of extents {extents}", node)
        expected = np.dtype(bool) if isinstance(factor, Mask) else node.result.type.dtype
        if value.type.dtype != expected:
            self._fail(13, f"{self._show(value)} is a factor where {expected} is needed", node)

    def _map(self, node: Node, form: Form, link: Map) -> None:
        rule = MAPS.get(link.op)
        if rule is None:
            self._fail(14, f"there is no map {link.op!r}", node)
        src, dst = _extents(form, link.src), _extents(form, link.dst)
        shapes = [node.operands[v].shape for v in link.operands]
        try:
            fits = rule.fits(dict(link.attrs), shapes, src, dst)
        except (TapelessError, *MALFORMED):
            fits = False
        if not fits:
            self._fail(14, f"{link.op} does not map extents {src} to {dst}", node)

    def _fail(self, number: int, message: str, node: Node | None = None) -> NoReturn:
        where = f" after {self.after}" if self.after else ""
        text = f"invariant {number} is broken{where}: {message}"
        raise VerifyError(text + self._cite(node) if node else f"{text}, in {self.graph.name}")

    def _show(self, value: Value) -> str:
        return Names(self.graph).definition(value)

    def _cite(self, node: Node) -> str:
        """The node's text, or its first line, or only its op when it is too broken to print."""
        try:
            text = format_node(self.graph, node).partition("\n")[0]
        except (TapelessError, *MALFORMED):
            text = f"{node.op.name} .."
        return f", in `{text}`" + (f" at {node.loc}" if node.loc else "")


def _extents(form: Form, letters: Sequence[int]) -> tuple[int, ...]:
    return tuple(form.extents[x] for x in letters)
