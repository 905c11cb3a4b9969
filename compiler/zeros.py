"""The report on Jacobians that were never built.

The stage `autodiff` names the local Jacobian of every node on a path to the loss, in full size;
the stage `jacobian-free` holds none of them. This report says, for each, how large it would have
been, how few of its elements can be non-zero, and what was computed instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations

from ..ir.builder import Builder, keep
from ..ir.graph import Graph, Loc, Node, Value
from ..ir.jacobian import Delta, Factor, Form, Letter, Map, Term
from ..ir.record import dataclass
from ..ir.text import Names, format_form
from ..ir.types import dtype_name
from ..passes.jacobian_free import jacobian_free
from .table import Table, bytes_text

MAX_EXACT_TERMS = 8
"""Up to this many distinct patterns, overlaps are counted exactly; beyond, an upper bound."""


@dataclass(frozen=True)
class Zero:
    """One Jacobian of the stage `autodiff` that was never built."""

    result: str
    wrt: str
    shape: tuple[int, ...]
    dtype: str
    elements: int
    nonzeros: int
    """Elements not structurally zero; those a data-dependent mask may select are counted."""
    nbytes: int
    form: str
    loc: Loc | None
    instead: tuple[str, ...]
    """The ops that stand in its place in the stage `jacobian-free`."""

    @property
    def zero_fraction(self) -> float:
        return 1 - self.nonzeros / self.elements if self.elements else 0.0


@dataclass(frozen=True)
class ZeroReport:
    """Every Jacobian that was never built, in the order of the stage `autodiff`."""

    name: str
    rows: tuple[Zero, ...]

    @property
    def elements(self) -> int:
        return sum(row.elements for row in self.rows)

    @property
    def nonzeros(self) -> int:
        return sum(row.nonzeros for row in self.rows)

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self.rows)

    def __iter__(self) -> Iterator[Zero]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        if not self.rows:
            return f"{self.name}: no Jacobians, nothing is differentiated"
        table = Table("Jacobian", "shape", "elements", "non-zero", "bytes", "instead", "line")
        for row in self.rows:
            table.add(
                f"d{row.result}/d{row.wrt}",
                "x".join(map(str, row.shape)) or "scalar",
                f"{row.elements:,}",
                f"{row.nonzeros:,}",
                bytes_text(row.nbytes),
                _short(row.instead),
                str(row.loc or ""),
            )
        share = 100 * (1 - self.nonzeros / self.elements) if self.elements else 0.0
        return (
            f"{self.name}: {len(self.rows)} Jacobians never built, {self.elements:,} elements"
            f" ({bytes_text(self.nbytes)}), {share:.2f} % of them structural zeros\n{table}"
        )


def _short(ops: tuple[str, ...]) -> str:
    """One op in full, several by name."""
    return ops[0] if len(ops) == 1 else ", ".join(op.partition(" ")[0] for op in ops)


def zero_report(name: str, autodiff: Graph) -> ZeroReport:
    """Every Jacobian of the stage `autodiff`, none of which survives the stage `jacobian-free`."""
    names = Names(autodiff)
    nodes = [node for node in autodiff.nodes if node.op.name == "jacobian"]
    return ZeroReport(name, tuple(_row(autodiff, node, names) for node in nodes))


def _row(graph: Graph, node: Node, names: Names) -> Zero:
    form: Form = node.attrs["form"]
    type_ = node.result.type
    uses = [names.use(v) for v in node.operands]
    return Zero(
        result=uses[0].removeprefix("%"),
        wrt=uses[1].removeprefix("%"),
        shape=type_.shape,
        dtype=dtype_name(type_.dtype),
        elements=type_.size,
        nonzeros=nonzeros(form),
        nbytes=type_.nbytes,
        form=format_form(form, uses),
        loc=node.loc,
        instead=_instead(graph, names, node),
    )


# --- structural non-zeros ------------------------------------------------------------------


def nonzeros(form: Form) -> int:
    """How many elements the deltas and maps of `form` allow to be non-zero.

    Masks depend on data and are counted as if they selected everything.
    """
    patterns = _largest({_pattern(term) for term in form.terms})
    total = math.prod(form.shape)
    if len(patterns) > MAX_EXACT_TERMS:
        return min(total, sum(_count(form, p) for p in patterns))
    # Inclusion and exclusion: tuples allowed by at least one pattern.
    signed = (
        (1 if size % 2 else -1) * _count(form, frozenset().union(*chosen))
        for size in range(1, len(patterns) + 1)
        for chosen in combinations(patterns, size)
    )
    return min(total, sum(signed))


Pattern = frozenset[Factor]


def _pattern(term: Term) -> Pattern:
    """The factors that make structural zeros."""
    return frozenset(f for f in term.factors if isinstance(f, (Delta, Map)))


def _largest(patterns: set[Pattern]) -> list[Pattern]:
    """Without patterns whose region lies within another's (more factors, fewer elements)."""
    kept = [p for p in patterns if not any(q < p for q in patterns)]
    return sorted(kept, key=lambda p: sorted(map(repr, p)))


def _count(form: Form, pattern: Pattern) -> int:
    """Index tuples of the header that satisfy every factor of the pattern."""
    leader = _classes(form, pattern)
    headers = {*form.a, *form.z}
    visible = {leader[x] for x in headers}
    count = Fraction(math.prod(form.extents[x] for x in visible))
    for link in {f.rename(leader) for f in pattern if isinstance(f, Map)}:
        if visible.issuperset(link.letters):
            count *= _density(form, link)
    return int(count)


def _classes(form: Form, pattern: Pattern) -> dict[Letter, Letter]:
    """Letters that the deltas tie together, each mapped to the smallest of its class."""
    leader = {x: x for x in range(len(form.extents))}
    for factor in pattern:
        if isinstance(factor, Delta):
            low, high = sorted((leader[factor.i], leader[factor.j]))
            leader = {x: low if y == high else y for x, y in leader.items()}
    return leader


def _density(form: Form, link: Map) -> Fraction:
    """The share of (src, dst) pairs a map relates."""
    src = math.prod(form.extents[x] for x in link.src)
    dst = math.prod(form.extents[x] for x in link.dst)
    if not src * dst:
        return Fraction(1)
    return Fraction(_pairs(link, src, dst), src * dst)


def _pairs(link: Map, src: int, dst: int) -> int:
    """Related pairs: every element of `dst` has one source, except where a region is erased, and
    all that came before in a running total."""
    match link.op:
        case "slice" | "windows" | "reshape" | "roll" | "gather" | "erase_at":
            return dst
        case "erase":
            region: int = math.prod(len(range(*s)) for s in dict(link.attrs)["spec"])
            return dst - region
        case "cumsum":
            return dst * (dst + 1) // 2
    return src * dst


# --- what stands in place ------------------------------------------------------------------


def _instead(graph: Graph, names: Names, jacobian: Node) -> tuple[str, ...]:
    """The ops one contraction of this Jacobian comes to, by eliminating it on its own."""
    contract = next(n for n in graph.users[jacobian.result] if n.op.name == "contract")
    left = jacobian_free(_alone(graph, names, jacobian, contract))
    shown = Names(left)
    nodes = [node for node in left.nodes if node.results[0] not in shown.hidden]
    if not nodes:
        return (f"{shown.use(left.outputs[0])} itself",)
    return tuple(shown.line(node, "").partition(" = ")[2] for node in nodes)


def _alone(graph: Graph, names: Names, jacobian: Node, contract: Node) -> Graph:
    """A graph of just these two nodes; its inputs have the names they have in `graph`."""
    b = Builder()
    env: dict[Value, Value] = {}
    inputs = []
    for value in dict.fromkeys((*jacobian.operands, *contract.operands[1:])):
        producer = graph.producer.get(value)
        if producer is not None and producer.op.name == "constant":
            b.nodes.append(producer)
            continue
        env[value] = Value(value.type, names.use(value).removeprefix("%"))
        inputs.append(env[value])
    for node in (jacobian, contract):
        results = keep(b, node, tuple(env.get(v, v) for v in node.operands))
        env.update(zip(node.results, results, strict=True))
    return Graph(graph.name, tuple(inputs), tuple(b.nodes), (env[contract.result],))
