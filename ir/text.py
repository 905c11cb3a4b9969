"""Printing graphs: one line per node, the same syntax at every stage, and `ir.parse` reads it back.

    step(%W:f32[784,128], %x:f32[32,784], %lr:f32[]) {
      %z:f32[32,128] = matmul %x, %W                            # mlp.py:6
      %h:f32[32,128] = maximum %z, 0.0                          # mlp.py:6
      %J:f32[32,128,32,128] = jacobian %h wrt %z [a,b;i,j] = I[a,i] I[b,j] ?%c[i,j]
      %W <- %v0
    } -> %h

Every definition carries its type. Names are the user's, made unique; values without one count
`v0, v1 ..`. A scalar constant has no line of its own: it stands as a literal where it is used. A
bare literal has the dtype of the node's first named operand of the same kind (float, integer); any
other is written out, `1.0:f32`. Attributes at their defaults are left out. A region, a graph as an
attribute, nests: `fused %x body(%a:f32[4]) {`, or `body=name(..) {` where the names differ. The
trailing comment is the user's line and what the node came from.

How a *value* is written (numbers, arrays, slices) is in `ir/literals.py`. Ops whose operands have
roles (`jacobian .. wrt ..`) have a function of their own in `SYNTAX`; all others print alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .dotspec import canonical_spec, sugar
from .jacobian import Delta, Factor, Form, Letter, Map, Mask, Place, Term, Val
from .literals import format_array, format_attr, format_scalar, format_slices
from .types import dtype_name

if TYPE_CHECKING:
    from .graph import Graph, Node, Value

INDENT: Final = "  "
COMMENT_COLUMN: Final = 60


def format_graph(graph: Graph, indent: str = "") -> str:
    """The text of a graph, without a newline at the end. Deterministic."""
    names = Names(graph)
    inputs = ", ".join(map(names.definition, graph.inputs))
    outputs = ", ".join(map(names.use, graph.outputs))
    lines = [f"{clean_name(graph.name)}({inputs}) {{"]
    for node in graph.nodes:
        if not all(v in names.hidden for v in node.results):
            lines.append(_with_comment(node, indent + INDENT + names.line(node, indent + INDENT)))
    lines += [f"{indent + INDENT}{names.use(a)} <- {names.use(v)}" for a, v in graph.updates]
    lines.append(indent + (f"}} -> {outputs}" if outputs else "}"))
    return "\n".join(lines)


def format_node(graph: Graph, node: Node) -> str:
    """The text of one node of `graph`, for messages; operands may be undefined."""
    return Names(graph).line(node, "")


def clean_name(hint: str) -> str:
    """The hint as an identifier of the text: letters, digits, `_`, `.` and `'`."""
    name = re.sub(r"[^\w.']", "_", hint)
    return name if re.match(r"[^\W\d]", name) else f"_{name}"


class Names:
    """What each value of one graph is called in the text."""

    def __init__(self, graph: Graph) -> None:
        self.hidden = _literals(graph)
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}
        for value in _definitions(graph):
            if value not in self.hidden:
                self._names.setdefault(value, self._unique(value.name))

    def _unique(self, hint: str | None) -> str:
        if hint:
            base = name = clean_name(hint)
            base += "_" if base[-1].isdigit() else ""
            first = 1
        else:
            base, name, first = "v", "", 0
        while not name or name in self._taken:
            number = self._counts.get(base, first)
            self._counts[base] = number + 1
            name = f"{base}{number}"
        self._taken.add(name)
        return name

    def use(self, value: Value) -> str:
        """`%name`; a value the graph does not define prints as `%?name`."""
        return "%" + self._names.get(value, f"?{value.name or ''}")

    def definition(self, value: Value) -> str:
        """`%name:type`, with the place in memory if it has one."""
        place = f"@{re.sub(r'[^A-Za-z0-9_.:+-]', '_', value.place)}" if value.place else ""
        return f"{self.use(value)}:{value.type}{place}"

    def line(self, node: Node, indent: str) -> str:
        """`definitions = op operands attributes`; the lines of a region are indented further."""
        results = ", ".join(map(self.definition, node.results))
        syntax = SYNTAX.get(node.op.name, _plain)
        return f"{results} = {syntax(self, node)}{_regions(node, indent)}"

    def operands(self, node: Node, values: Iterable[Value] | None = None) -> str:
        """Some operands of a node (all by default), separated by commas."""
        shown = node.operands if values is None else values
        return ", ".join(self._operand(node, v) for v in shown)

    def _operand(self, node: Node, value: Value) -> str:
        if value not in self.hidden:
            return self.use(value)
        text = format_scalar(self.hidden[value])
        like = (v for v in node.operands if v not in self.hidden)
        default = next((v.type.dtype for v in like if literal_kind(v) == literal_kind(value)), None)
        implied = (default is not None and default == value.type.dtype) or value.type.is_bool
        return text if implied else f"{text}:{dtype_name(value.type.dtype)}"


def literal_kind(value: Value) -> str:
    """`f`, `i` or `b`: the literals that can take the dtype of this value."""
    return value.type.dtype.kind.replace("u", "i")


def _definitions(graph: Graph) -> Iterator[Value]:
    yield from graph.inputs
    for node in graph.nodes:
        yield from node.results


def _literals(graph: Graph) -> Mapping[Value, Any]:
    """The scalar constants that need no line: each use is one where a literal may stand."""
    named = set(graph.results)
    used: set[Value] = set()
    for node in graph.nodes:
        (named if node.op.name == "jacobian" else used).update(node.operands)
    return {
        node.result: node.attrs["value"]
        for node in graph.nodes
        if node.op.name == "constant"
        and node.result.shape == ()
        and not node.result.place
        and node.result in used
        and node.result not in named
    }


def _with_comment(node: Node, text: str) -> str:
    where = [str(node.loc)] if node.loc else []
    origin = [f"via {node.origin}"] if node.origin else []
    comment = " ".join(" ".join(where + origin).split())
    return f"{_pad(text)}  # {comment}" if comment else text


def _pad(text: str) -> str:
    last = len(text) - text.rfind("\n") - 1
    return text + " " * (COMMENT_COLUMN - last)


def _regions(node: Node, indent: str) -> str:
    regions = {key: value for key, value in node.attrs.items() if hasattr(value, "nodes")}
    return "".join(
        f" {'' if key == clean_name(body.name) else key + '='}{format_graph(body, indent)}"
        for key, body in regions.items()
    )


def _plain(names: Names, node: Node) -> str:
    return _words(node.op.name, names.operands(node), _attributes(node))


def _words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _attributes(node: Node) -> str:
    """` [spec, key=value, ..]` without defaults and regions; "" when nothing is left."""
    shown: list[str] = []
    for key, default in node.op.attrs.items():
        value = node.attrs[key]
        if key == "spec":
            shown.insert(0, _spec(node, value))
        elif value != default and not hasattr(value, "nodes"):
            shown.append(f"{key}={format_attr(value)}")
    return f"[{', '.join(filter(None, shown))}]" if shown else ""


def _spec(node: Node, spec: Any) -> str:
    """The letters of a contraction, or the slices of `slice`, `update`, `add_at`."""
    if isinstance(spec, str):
        return canonical_spec(spec)
    return format_slices(spec, node.operands[0].shape)


def _constant(names: Names, node: Node) -> str:
    return f"constant {format_array(node.attrs['value'])}"


def _dot(names: Names, node: Node) -> str:
    named = sugar(canonical_spec(node.attrs["spec"]))
    if named is None:
        return _plain(names, node)
    word, flags = named
    return _words(word, names.operands(node), f"[{', '.join(flags)}]" if flags else "")


def _wrt(names: Names, node: Node) -> str:
    """`gradient %loss wrt %a, %b`; the seeds of `vjp` and `jvp` follow."""
    outputs = node.attrs.get("outputs", 1)
    split = outputs + node.attrs.get("wrt", len(node.operands) - outputs)
    of, wrt, seeds = node.operands[:outputs], node.operands[outputs:split], node.operands[split:]
    text = f"{node.op.name} {names.operands(node, of)} wrt {names.operands(node, wrt)}"
    return f"{text} seed {names.operands(node, seeds)}" if seeds else text


def _contract(names: Names, node: Node) -> str:
    jacobian, vector, *support = node.operands
    pair = (jacobian, vector) if node.attrs["side"] == "vjp" else (vector, jacobian)
    where = f"where {names.operands(node, support)}" if support else ""
    batch = f"[batch={node.attrs['batch']}]" if node.attrs["batch"] else ""
    return _words("contract", names.operands(node, pair), where, batch)


def _jacobian(names: Names, node: Node) -> str:
    of, wrt = map(names.use, node.operands[:2])
    uses = [names.use(v) for v in node.operands]
    return f"jacobian {of} wrt {wrt} {format_form(node.attrs['form'], uses)}"


SYNTAX: Final[Mapping[str, Callable[[Names, Node], str]]] = {
    "constant": _constant,
    "dot": _dot,
    "gradient": _wrt,
    "vjp": _wrt,
    "jvp": _wrt,
    "total_jacobian": _wrt,
    "contract": _contract,
    "jacobian": _jacobian,
}
"""The ops whose operands do not simply follow the name. `ir/parse.py` has the same table."""


def format_form(form: Form, uses: list[str]) -> str:
    """`[a,b;i] = I[a,i] %x[b]`; `uses[k]` is how value reference k is written.

    A summed letter whose extent no value and no delta tells has it in the header: `[a;i;s=5]`.
    """
    letters = _letters(form)
    loose = sorted(set(letters) - known_letters(form), key=list(letters).index)
    extents = [",".join(f"{letters[x]}={form.extents[x]}" for x in loose)] if loose else []
    header = ";".join([_index(form.a, letters), _index(form.z, letters), *extents])
    terms = [_term(term, letters, uses) for term in form.terms] or [" + 0"]
    text = "".join(terms)
    sign = "-" if text.startswith(" - ") else ""
    return f"[{header}] = {sign}{text[3:]}"


def known_letters(form: Form) -> set[Letter]:
    """The letters whose extents follow from the headers, the values and the deltas."""
    factors = [f for term in form.terms for f in term.factors]
    known = {*form.a, *form.z}
    known.update(x for f in factors if isinstance(f, Val | Mask) for x in f.letters)
    pairs = {frozenset(f.letters) for f in factors if isinstance(f, Delta)}
    for _ in form.extents:
        known.update(*(pair for pair in pairs if pair & known))
    return known


def _letters(form: Form) -> Mapping[Letter, str]:
    """Names for the letters, the summed ones in order of appearance."""
    headers = (*form.a, *form.z)
    summed = (letter for term in form.terms for letter in term.letters if letter not in headers)
    return dict(zip(dict.fromkeys((*headers, *summed)), form.names(), strict=False))


def _index(letters: Iterable[Letter | None], names: Mapping[Letter, str]) -> str:
    return ",".join("0" if x is None else names[x] for x in letters)


def _term(term: Term, letters: Mapping[Letter, str], uses: list[str]) -> str:
    """` + 2.0 I[a,i]`: the sign, the coefficient unless it is 1, the factors."""
    sign = " - " if math.copysign(1, term.coef) < 0 else " + "
    size = abs(float(term.coef))
    factors = [_factor(f, letters, uses) for f in term.factors]
    shown = [repr(size)] if size != 1 or not factors else []
    return sign + " ".join(shown + factors)


def _factor(factor: Factor, letters: Mapping[Letter, str], uses: list[str]) -> str:
    match factor:
        case Delta(i, j):
            return f"I[{_index((i, j), letters)}]"
        case Val(v, ix):
            return f"{uses[v]}[{_index(ix, letters)}]"
        case Mask(v, ix):
            return f"?{uses[v]}[{_index(ix, letters)}]"
        case Map():
            return format_map(factor, letters, uses)
        case Place():
            return format_place(factor, letters)


def format_place(place: Place, letters: Mapping[Letter, str]) -> str:
    """`slice(2:8:2)[a;s]`: a part of a, along s; `I[a,2+4s+t]` if a has none or several others."""
    axis = letters[place.axis]
    if len(place.steps) == 1:
        ((x, step, n),) = place.steps
        stop = place.start + n * step
        part = f"{place.start}:{stop if stop >= 0 else ''}" + (f":{step}" if step != 1 else "")
        return f"slice({part})[{axis};{letters[x]}]"
    steps = [
        (f"{step:+d}" if abs(step) > 1 else f"{step:+d}"[0]) + letters[x]
        for x, step, _ in place.steps
    ]
    start = str(place.start) if place.start or not steps else ""
    return f"I[{axis},{(start + ''.join(steps)).removeprefix('+')}]"


def format_map(link: Map, letters: Mapping[Letter, str], uses: Sequence[str]) -> str:
    """`slice(2:8:2)[a;i]`; `uses[k]` is how value reference k is written."""
    attrs = [
        format_slices(value) if key == "spec" else f"{key}={format_attr(value)}"
        for key, value in link.attrs
    ]
    arguments = ", ".join(attrs + [uses[v] for v in link.operands])
    call = f"{link.op}({arguments})" if arguments else link.op
    return f"{call}[{_index(link.src, letters)};{_index(link.dst, letters)}]"
