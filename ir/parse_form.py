"""Reading index expressions, `[a,b;i] = I[a,i] %x[b] - 2.0 ?%c[i] slice(2:8:2)[a;i]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .graph import Value
from .jacobian import Delta, Factor, Form, Letter, Map, Mask, Term, Val
from .literals import at_literal, parse_attr, parse_number, parse_slices
from .tokens import Cursor, Token
from .types import MAX_RANK

MAX_LETTERS: Final = 2 * MAX_RANK + 16
MAX_TERMS: Final = 4096
MAX_FACTORS: Final = 64

Lookup = Callable[[Token], Value]


def parse_form(
    cursor: Cursor, result: Value, wrt: Value, lookup: Lookup
) -> tuple[Form, tuple[Value, ...]]:
    """The form of a `jacobian %result wrt %wrt` and the values it refers to, in order of
    appearance; `lookup` finds the value of a `%name` token."""
    return _FormParser(cursor, lookup).parse(result, wrt)


class _FormParser:
    def __init__(self, cursor: Cursor, lookup: Lookup) -> None:
        self.cursor = cursor
        self.lookup = lookup
        self.letters: dict[str, Letter] = {}
        self.extents: dict[Letter, int] = {}
        self.values: dict[Value, int] = {}

    def parse(self, result: Value, wrt: Value) -> tuple[Form, tuple[Value, ...]]:
        start = self.cursor.expect("[")
        self._header(wrt, ";")
        self.cursor.expect(";")
        self._header(result, ";", "]")
        if self.cursor.accept(";"):
            self.cursor.sequence("]", self._extent)
        else:
            self.cursor.expect("]")
        self.cursor.expect("=")
        terms = self._terms()
        self._spread_extents(terms)
        missing = [name for name, x in self.letters.items() if x not in self.extents]
        if missing:
            name = missing[0]
            self.cursor.fail(f"give the extent of {name}, as in [..;..;{name}=5]", start)
        extents = tuple(self.extents[x] for x in self.letters.values())
        form = Form(wrt.type.rank, result.type.rank, extents, tuple(terms))
        return form, tuple(self.values)

    def _header(self, value: Value, *closing: str) -> None:
        """One new letter per axis of `value`, up to a closing sign."""
        names: list[Token] = []
        while not self.cursor.at(*closing):
            if names:
                self.cursor.expect(",")
            names.append(self.cursor.expect_kind("name", "a letter"))
        if len(names) != value.type.rank:
            self.cursor.fail(f"{value.type} needs {value.type.rank} letters, found {len(names)}")
        for token, extent in zip(names, value.shape, strict=True):
            if token.text in self.letters:
                self.cursor.fail(f"letter {token.text} names two axes", token)
            self.extents[self._letter(token)] = extent

    def _extent(self) -> None:
        token = self.cursor.expect_kind("name", "a letter")
        self.cursor.expect("=")
        self._unify(self._letter(token), self.cursor.integer("an extent"), token)

    def _letter(self, token: Token) -> Letter:
        if token.text == "I":
            self.cursor.fail("I is the delta and cannot be a letter", token)
        letter = self.letters.setdefault(token.text, len(self.letters))
        if len(self.letters) > MAX_LETTERS:
            self.cursor.fail(f"more than {MAX_LETTERS} letters", token)
        return letter

    def _unify(self, letter: Letter, extent: int, token: Token) -> None:
        if self.extents.setdefault(letter, extent) != extent:
            self.cursor.fail(
                f"letter {token.text} has extent {self.extents[letter]}, here it would be {extent}",
                token,
            )

    def _terms(self) -> list[Term]:
        cursor = self.cursor
        if cursor.token.kind == "int" and cursor.token.text == "0":
            cursor.advance()
            return []
        terms = [self._term(-1.0 if cursor.accept("-") else 1.0)]
        while cursor.at("+", "-"):
            if len(terms) == MAX_TERMS:
                cursor.fail(f"more than {MAX_TERMS} terms")
            terms.append(self._term(-1.0 if cursor.advance().text == "-" else 1.0))
        return terms

    def _term(self, sign: float) -> Term:
        cursor = self.cursor
        if cursor.token.kind == "float" or cursor.at("inf", "nan"):
            coef, factors = sign * float(parse_number(cursor)), []
        else:
            coef, factors = sign, [self._factor()]
        while cursor.token.kind in ("value", "name") or cursor.at("?"):
            if len(factors) == MAX_FACTORS:
                cursor.fail(f"more than {MAX_FACTORS} factors in a term")
            factors.append(self._factor())
        return Term(coef, tuple(factors))

    def _factor(self) -> Factor:
        if self.cursor.accept("?"):
            return Mask(*self._element())
        if self.cursor.token.kind == "value":
            return Val(*self._element())
        name = self.cursor.expect_kind("name", "a factor")
        return self._delta() if name.text == "I" else self._map(name)

    def _delta(self) -> Delta:
        start = self.cursor.expect("[")
        letters = self.cursor.sequence("]", self._named)
        if len(letters) != 2:
            self.cursor.fail(f"a delta has two letters, found {len(letters)}", start)
        return Delta(*letters)

    def _named(self) -> Letter:
        return self._letter(self.cursor.expect_kind("name", "a letter"))

    def _element(self) -> tuple[int, tuple[Letter | None, ...]]:
        """`%x[a,0]`; a 0 stands for an axis of extent 1."""
        token = self.cursor.expect_kind("value", "a value")
        value = self.lookup(token)
        self.cursor.expect("[")
        found = self.cursor.sequence("]", self._entry)
        if len(found) != value.type.rank:
            rank = value.type.rank
            self.cursor.fail(f"{token} has rank {rank}, found {len(found)} letters", token)
        ix: list[Letter | None] = []
        for entry, extent in zip(found, value.shape, strict=True):
            if entry.kind == "name":
                ix.append(self._letter(entry))
                self._unify(self.letters[entry.text], extent, entry)
            elif extent == 1:
                ix.append(None)
            else:
                self.cursor.fail(f"0 stands for an axis of extent 1, this one has {extent}", entry)
        return self._position(value), tuple(ix)

    def _entry(self) -> Token:
        token = self.cursor.token
        if token.kind == "name" or token.text == "0":
            return self.cursor.advance()
        self.cursor.fail(f"expected a letter or 0, found {token}")

    def _position(self, value: Value) -> int:
        return self.values.setdefault(value, len(self.values) + 2)

    def _map(self, name: Token) -> Map:
        attrs: dict[str, Any] = {}
        operands: list[int] = []
        if self.cursor.accept("("):
            self.cursor.sequence(")", lambda: self._argument(attrs, operands))
        self.cursor.expect("[")
        src = self._side(";")
        dst = self._side("]")
        return Map(name.text, tuple(attrs.items()), tuple(operands), src, dst)

    def _argument(self, attrs: dict[str, Any], operands: list[int]) -> None:
        if self.cursor.token.kind == "value":
            operands.append(self._position(self.lookup(self.cursor.advance())))
        elif at_literal(self.cursor):
            attrs["spec"] = parse_slices(self.cursor, ")", None)
        else:
            key = self.cursor.expect_kind("name", "a value, a slice or an attribute")
            self.cursor.expect("=")
            attrs[key.text] = parse_attr(self.cursor)

    def _side(self, close: str) -> tuple[Letter, ...]:
        return tuple(self.cursor.sequence(close, self._named))

    def _spread_extents(self, terms: list[Term]) -> None:
        """Give summed letters that only deltas mention the extent of their partner."""
        pairs = {(f.i, f.j) for term in terms for f in term.factors if isinstance(f, Delta)}
        for _ in self.letters:
            for i, j in pairs:
                for known, other in ((i, j), (j, i)):
                    if known in self.extents:
                        self.extents.setdefault(other, self.extents[known])
