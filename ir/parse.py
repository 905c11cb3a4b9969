"""Reading IR text back into a graph: the inverse of `ir/text.py`.

The text is untrusted. Nothing in it is evaluated; nesting, letters, terms, ranks, element counts
and the length of the text are bounded; every defect is one `IRSyntaxError` with its line and
column. Types are inferred again by the ops' own rules and compared with the written ones, and
the result is verified, so a parsed graph is as good as a traced one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from .builder import Builder
from .dotspec import canonical_spec, matmul_spec, outer_spec
from .errors import TapelessError
from .graph import Graph, Loc, Value
from .literals import (
    Literal,
    at_literal,
    parse_array,
    parse_attr,
    parse_dtype,
    parse_literal,
    parse_slices,
    to_scalar,
)
from .op import OPS
from .parse_form import parse_form
from .text import literal_kind
from .tokens import Cursor, Token
from .types import MAX_RANK, Type
from .verify import MALFORMED, verify

MAX_NODES: Final = 1_000_000
MAX_ELEMENTS: Final = 2**40
MAX_REGIONS: Final = 8

_COMMENT: Final = re.compile(
    r"(?:(?P<file>\S.*?):(?P<line>[0-9]{1,9}))?(?:(?:^| )via (?P<via>.+))?"
)

Operand = Value | Literal
Parts = tuple[str, list[Operand], dict[str, Any]]
"""The right side of a definition: the op's name, its operands, its attributes."""


def parse(text: str) -> Graph:
    """The graph that `text` describes; `str(parse(str(g))) == str(g)` for every graph g.

    IRSyntaxError names the line, the column and what was expected; VerifyError when the text is
    well formed but the graph breaks an invariant that concerns it as a whole.
    """
    cursor = Cursor(text)
    cursor.skip_lines()
    name = cursor.expect_kind("name", "the name of a graph")
    graph = _GraphParser(cursor, 0).graph(name.text)
    cursor.end_of_line()
    cursor.skip_lines()
    if cursor.token.kind != "end":
        cursor.fail(f"expected the end of the text, found {cursor.token}")
    verify(graph, after="parse")
    return graph


class _GraphParser:
    """One graph, with the names that are in scope. A region has a parser of its own."""

    def __init__(self, cursor: Cursor, depth: int) -> None:
        self.cursor = cursor
        self.depth = depth
        self.scope: dict[str, Value] = {}
        self.literals: dict[tuple[np.dtype, bytes], Value] = {}
        self.jacobians: set[Value] = set()
        self.builder = Builder()

    def graph(self, name: str) -> Graph:
        """What follows the name: `(inputs) { nodes, updates } -> outputs`."""
        cursor = self.cursor
        cursor.expect("(")
        inputs = cursor.sequence(")", self._input)
        cursor.expect("{")
        cursor.end_of_line()
        updates: list[tuple[Value, Value]] = []
        cursor.skip_lines()
        while not cursor.at("}"):
            self._line(updates)
            cursor.skip_lines()
        cursor.expect("}")
        outputs = self._values() if cursor.accept("->") else []
        nodes = tuple(self.builder.nodes)
        return Graph(name, tuple(inputs), nodes, tuple(outputs), tuple(updates))

    def _line(self, updates: list[tuple[Value, Value]]) -> None:
        first = self.cursor.expect_kind("value", "a definition, an update or '}'")
        if self.cursor.accept("<-"):
            target = self.lookup(first)
            updates.append((target, self._value()))
            self.cursor.end_of_line()
            return
        results = [self._definition(first)]
        while self.cursor.accept(","):
            results.append(self._definition(self._name()))
        self._node(results)

    def _node(self, results: list[tuple[Token, Value]]) -> None:
        cursor, builder = self.cursor, self.builder
        cursor.expect("=")
        word = cursor.expect_kind("name", "an op")
        op, operands, attrs = self._right_side(word, results[0][1].type)
        comment = cursor.end_of_line()
        values = self._resolve(operands)
        with self._blaming(word), builder.at(*_origin(comment)):
            node = builder.emit(op, values, attrs)
            inferred = [str(value.type) for value in node.results]
        if len(builder.nodes) > MAX_NODES:
            cursor.fail(f"more than {MAX_NODES} nodes", word)
        written = [str(value.type) for _, value in results]
        if written != inferred:
            cursor.fail(f"{op} gives {', '.join(inferred)}, not {', '.join(written)}", word)
        for (token, value), result in zip(results, node.results, strict=True):
            result.name, result.place = value.name, value.place
            self._define(token, result)
        if op == "jacobian":
            self.jacobians.add(node.result)

    def _right_side(self, word: Token, expected: Type) -> Parts:
        special = SYNTAX.get(word.text)
        if special is not None:
            return special(self, word, expected)
        if word.text not in OPS:
            self.cursor.fail(f"there is no op {word.text!r}", word)
        operands = self._operands()
        return word.text, operands, self._attributes(word.text, operands)

    @contextmanager
    def _blaming(self, token: Token) -> Iterator[None]:
        """Report what a type rule rejects at `token`.

        Attributes come from the text with whatever types they were written in. Instead of stating
        those types a second time, a rule that chokes on one has rejected it.
        """
        try:
            yield
        except TapelessError as error:
            self.cursor.fail(str(error).partition("\n")[0], token)
        except MALFORMED as error:
            self.cursor.fail(f"attributes unfit for {token.text}: {error}", token)

    # Definitions and uses

    def _input(self) -> Value:
        token, value = self._definition(self._name())
        self._define(token, value)
        return value

    def _name(self) -> Token:
        return self.cursor.expect_kind("value", "a %name")

    def _definition(self, token: Token) -> tuple[Token, Value]:
        """`:type@place` after the name."""
        self.cursor.expect(":")
        value = Value(self._type(), token.text[1:])
        if self.cursor.token.kind == "place":
            value.place = self.cursor.advance().text[1:]
        return token, value

    def _type(self) -> Type:
        start = self.cursor.token
        dtype = parse_dtype(self.cursor)
        self.cursor.expect("[")
        shape = tuple(self.cursor.sequence("]", lambda: self.cursor.integer("an extent")))
        if len(shape) > MAX_RANK:
            self.cursor.fail(f"rank {len(shape)} is more than {MAX_RANK}", start)
        size = 1
        for extent in shape:
            size *= max(extent, 1)
            if extent < 0 or size > MAX_ELEMENTS:
                self.cursor.fail(f"an extent is at least 0, a size at most {MAX_ELEMENTS}", start)
        return Type(dtype, shape)

    def _define(self, token: Token, value: Value) -> None:
        if token.text in self.scope:
            self.cursor.fail(f"{token} is defined twice", token)
        self.scope[token.text] = value

    def lookup(self, token: Token) -> Value:
        """The value a `%name` stands for."""
        value = self.scope.get(token.text)
        if value is None:
            self.cursor.fail(f"{token} is not defined before this use", token)
        return value

    def _value(self) -> Value:
        return self.lookup(self._name())

    def _values(self) -> list[Value]:
        values = [self._value()]
        while self.cursor.accept(","):
            values.append(self._value())
        return values

    def _operand(self) -> Operand:
        return parse_literal(self.cursor) if at_literal(self.cursor) else self._value()

    def _operands(self) -> list[Operand]:
        """Values and literals separated by commas; none when something else follows."""
        if self.cursor.token.kind != "value" and not at_literal(self.cursor):
            return []
        operands = [self._operand()]
        while self.cursor.accept(","):
            operands.append(self._operand())
        return operands

    def _resolve(self, operands: Sequence[Operand]) -> list[Value]:
        """Literals become constants: of their own dtype, or that of the first value of their
        kind among the operands."""
        defaults: dict[str, np.dtype] = {"b": np.dtype(bool)}
        for x in operands:
            if isinstance(x, Value):
                defaults.setdefault(literal_kind(x), x.type.dtype)
        return [x if isinstance(x, Value) else self._literal(x, defaults) for x in operands]

    def _literal(self, literal: Literal, defaults: Mapping[str, np.dtype]) -> Value:
        dtype = literal.dtype or defaults.get(literal.kind)
        if dtype is None:
            self.cursor.fail("no operand gives this number a dtype; write 1.0:f32", literal.token)
        scalar = to_scalar(self.cursor, literal, dtype)
        key = dtype, scalar.tobytes()
        if key not in self.literals:
            with self.builder.at(None):
                self.literals[key] = self.builder.constant(scalar)
        return self.literals[key]

    # Attributes

    def _attributes(self, op: str, operands: Sequence[Operand]) -> dict[str, Any]:
        """`[spec, key=value, ..] region`."""
        attrs: dict[str, Any] = {}
        if self.cursor.accept("["):
            if "spec" in OPS[op].attrs:
                attrs["spec"] = self._spec(op, operands)
            self.cursor.sequence("]", lambda: self._attribute(attrs))
        while self.cursor.token.kind == "name":
            self._region(attrs)
        return attrs

    def _key(self, attrs: Mapping[str, Any]) -> str:
        key = self.cursor.expect_kind("name", "the name of an attribute")
        if key.text in attrs:
            self.cursor.fail(f"{key} is given twice", key)
        return key.text

    def _attribute(self, attrs: dict[str, Any]) -> None:
        key = self._key(attrs)
        self.cursor.expect("=")
        attrs[key] = parse_attr(self.cursor)

    def _region(self, attrs: dict[str, Any]) -> None:
        """`key=name(..) {..}`, or `key(..) {..}` for a graph of that name."""
        if self.depth == MAX_REGIONS:
            self.cursor.fail(f"regions nest at most {MAX_REGIONS} deep")
        name = key = self._key(attrs)
        if self.cursor.accept("="):
            name = self.cursor.expect_kind("name", "the name of a graph").text
        attrs[key] = _GraphParser(self.cursor, self.depth + 1).graph(name)

    def _spec(self, op: str, operands: Sequence[Operand]) -> Any:
        """The letters of a contraction, or slices of the first operand."""
        if OPS[op].kind == "dot":
            return self._letters()
        whole = operands[0].type.shape if operands and isinstance(operands[0], Value) else ()
        return parse_slices(self.cursor, "]", whole)

    def _letters(self) -> str:
        start = self.cursor.token
        parts = []
        for sign in (",", "->", ""):
            parts.append(self.cursor.advance().text if self.cursor.token.kind == "name" else "")
            parts.append(self.cursor.expect(sign).text if sign else "")
        if not self.cursor.at("]"):
            self.cursor.expect(",")
        with self._blaming(start):
            return canonical_spec("".join(parts))

    # Ops whose operands have roles

    def constant(self, word: Token, expected: Type) -> Parts:
        """`constant [1.0, 2.0]`."""
        array = parse_array(self.cursor, expected)
        array.flags.writeable = False
        return "constant", [], {"value": array}

    def product(self, word: Token, expected: Type) -> Parts:
        """`matmul %a, %b [ta, tb]` and `outer %a, %b`."""
        operands = self._operands()
        if len(operands) != 2:
            self.cursor.fail(f"{word.text} takes 2 operands, found {len(operands)}", word)
        left, right = (x.type.rank if isinstance(x, Value) else 0 for x in operands)
        flags = self._flags() if word.text == "matmul" else {}
        with self._blaming(word):
            if word.text == "outer":
                spec = outer_spec(left, right)
            else:
                spec = matmul_spec(left, right, **flags)
        return "dot", operands, {"spec": spec}

    def _flags(self) -> dict[str, bool]:
        if not self.cursor.accept("["):
            return {}
        names = self.cursor.sequence("]", lambda: self.cursor.expect_kind("name", "ta or tb"))
        for token in names:
            if token.text not in ("ta", "tb"):
                self.cursor.fail(f"expected ta or tb, found {token}", token)
        return {token.text: True for token in names}

    def request(self, word: Token, expected: Type) -> Parts:
        """`gradient %loss wrt %a, %b`, `vjp %y wrt %a seed %g`."""
        of = self._operands()
        self.cursor.expect("wrt")
        wrt = self._operands()
        seeds = self._operands() if self.cursor.accept("seed") else []
        counted = "outputs" in OPS[word.text].attrs
        if not counted and (len(of) != 1 or seeds):
            self.cursor.fail(f"{word.text} has the form '{word.text} %y wrt %a'", word)
        attrs = {"outputs": len(of), "wrt": len(wrt)} if counted else {}
        return word.text, of + wrt + seeds, attrs

    def jacobian(self, word: Token, expected: Type) -> Parts:
        """`jacobian %z wrt %w [a;i] = ...`."""
        result = self._value()
        self.cursor.expect("wrt")
        wrt = self._value()
        form, values = parse_form(self.cursor, result, wrt, self.lookup)
        return "jacobian", [result, wrt, *values], {"form": form}

    def contract(self, word: Token, expected: Type) -> Parts:
        """`contract %J, %g where %m [batch=1]`, or `contract %t, %J`."""
        operands = self._operands()
        if len(operands) != 2:
            self.cursor.fail(f"contract takes 2 operands, found {len(operands)}", word)
        if not self.jacobians.intersection(operands):
            self.cursor.fail("contract takes a Jacobian, the result of a jacobian node", word)
        side = "vjp" if operands[0] in self.jacobians else "jvp"
        pair = operands if side == "vjp" else operands[::-1]
        support = [self._operand()] if self.cursor.accept("where") else []
        attrs = self._attributes("contract", operands)
        return "contract", pair + support, {**attrs, "side": side}


SYNTAX: Final[Mapping[str, Callable[[_GraphParser, Token, Type], Parts]]] = {
    "constant": _GraphParser.constant,
    "matmul": _GraphParser.product,
    "outer": _GraphParser.product,
    "gradient": _GraphParser.request,
    "vjp": _GraphParser.request,
    "jvp": _GraphParser.request,
    "total_jacobian": _GraphParser.request,
    "contract": _GraphParser.contract,
    "jacobian": _GraphParser.jacobian,
}
"""The ops whose operands do not simply follow the name. `ir/text.py` has the same table."""


def _origin(comment: str) -> tuple[Loc | None, str]:
    """The location and origin that a comment states: `mlp.py:6 via autodiff`."""
    match = _COMMENT.fullmatch(comment)
    if match is None:
        return None, ""
    loc = Loc(match["file"], int(match["line"])) if match["file"] else None
    return loc, match["via"] or ""
