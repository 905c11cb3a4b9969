"""Splitting IR text into tokens, and a cursor over them that reports every defect by position.

Text is untrusted: nothing is evaluated, tokens are made one at a time by one regular expression
without backtracking, and the length of text and of numbers is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NoReturn, TypeVar

from .errors import IRSyntaxError
from .record import dataclass

MAX_TEXT: Final = 2**26
"""Longest accepted text, in characters."""

MAX_DIGITS: Final = 40
"""Longest accepted number, in characters."""

T = TypeVar("T")

_TOKEN: Final = re.compile(
    r"""(?P<space>  [ \t\r]+ )
      | (?P<newline> \n )
      | (?P<comment> \#[^\n]* )
      | (?P<value>   %[^\W\d][\w.']* )
      | (?P<base64>  base64"[A-Za-z0-9+/=]*" )
      | (?P<string>  "[^"\n]*" )
      | (?P<name>    [^\W\d][\w.']* )
      | (?P<place>   @[A-Za-z0-9_.:+-]+ )
      | (?P<float>   [0-9]+ (?: \.[0-9]*(?:[eE][+-]?[0-9]+)? | [eE][+-]?[0-9]+ ) )
      | (?P<int>     [0-9]+ )
      | (?P<punct>   -> | <- | [()\[\]{},:;=+?-] )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text with its position; `kind` is a group of the pattern, or `end`."""

    kind: str
    text: str
    line: int
    column: int

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        return {"end": "the end of the text", "newline": "the end of the line"}.get(
            self.kind, repr(shown)
        )


def tokenize(text: str) -> Iterator[Token]:
    """The tokens of `text` in order, spaces left out, then one of kind `end`."""
    if len(text) > MAX_TEXT:
        raise IRSyntaxError(f"IR text of {len(text)} characters is longer than {MAX_TEXT}")
    position, line, start = 0, 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            at = f"line {line}, column {position - start + 1}"
            raise IRSyntaxError(f"{at}: no token starts with {text[position]!r}")
        position = match.end()
        kind = match.lastgroup or ""
        if kind != "space":
            yield Token(kind, match.group(), line, match.start() - start + 1)
        if kind == "newline":
            line, start = line + 1, position
    yield Token("end", "", line, position - start + 1)


class Cursor:
    """The next token, and the ways to take it."""

    def __init__(self, text: str) -> None:
        self._rest = tokenize(text)
        self.token = next(self._rest)

    def advance(self) -> Token:
        """Take the next token, whatever it is."""
        token = self.token
        if token.kind != "end":
            self.token = next(self._rest)
        return token

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        """IRSyntaxError at a token, by default the next one."""
        at = token or self.token
        raise IRSyntaxError(f"line {at.line}, column {at.column}: {message}")

    def at(self, *texts: str) -> bool:
        """Whether the next token is one of these words or signs."""
        return self.token.kind in ("punct", "name") and self.token.text in texts

    def accept(self, text: str) -> bool:
        """Take the next token if it is this word or sign."""
        found = self.at(text)
        if found:
            self.advance()
        return found

    def expect(self, text: str) -> Token:
        """Take this word or sign, or fail."""
        if not self.at(text):
            self.fail(f"expected '{text}', found {self.token}")
        return self.advance()

    def expect_kind(self, kind: str, what: str) -> Token:
        """Take a token of a kind, or fail saying that `what` was expected."""
        if self.token.kind != kind:
            self.fail(f"expected {what}, found {self.token}")
        return self.advance()

    def integer(self, what: str = "an integer") -> int:
        """Take an integer, which may have a sign."""
        sign = -1 if self.accept("-") else 1
        token = self.expect_kind("int", what)
        self.check_digits(token)
        return sign * int(token.text)

    def check_digits(self, token: Token) -> None:
        """Fail at a number so long that converting it would take noticeable time."""
        if len(token.text) > MAX_DIGITS:
            self.fail(f"a number has at most {MAX_DIGITS} characters", token)

    def sequence(self, close: str, item: Callable[[], T]) -> list[T]:
        """Items separated by commas, up to and including the sign `close`."""
        items: list[T] = []
        while not self.at(close):
            if items:
                self.expect(",")
            items.append(item())
        self.expect(close)
        return items

    def skip_lines(self) -> None:
        """Pass over empty lines and lines that hold only a comment."""
        while self.token.kind in ("newline", "comment"):
            self.advance()

    def end_of_line(self) -> str:
        """Take the rest of a line; the text of its comment, or ""."""
        comment = self.advance().text[1:].strip() if self.token.kind == "comment" else ""
        if self.token.kind != "end":
            self.expect_kind("newline", "the end of the line")
        return comment
