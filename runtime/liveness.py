"""Which names of a kernel are still wanted after each of its loops.

for j in range(n):
    v = x0[j]                  v is not, if every way on assigns it before it is read;
    s = s + v                  s is, if it is read below or when the loop runs again
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence

from .syntax import names_in, nodes_of

Names = frozenset[str]


def wanted_after_loops(function: ast.FunctionDef) -> dict[ast.For, Names]:
    """For each `for` of a function, the names that may be read after it before they are assigned
    again."""
    liveness = _Liveness(function)
    liveness.block(function.body, frozenset())
    return liveness.after


class _Liveness:
    """The statements from the last to the first. A jump may lead anywhere: to it, all is wanted."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.all = frozenset(names_in(function))
        self.after: dict[ast.For, Names] = {}
        self._known: dict[ast.Assign, tuple[Names, Names]] = {}

    def block(self, statements: Sequence[ast.stmt], after: Names) -> Names:
        """What is wanted before statements, given what is after them."""
        for statement in reversed(statements):
            after = self._statement(statement, after)
        return after

    def _statement(self, node: ast.stmt, after: Names) -> Names:
        match node:
            case ast.Assign():
                if node not in self._known:  # a body is looked at again for each loop around it
                    named = (t.id for target in node.targets for t in _named(target))
                    read = _read(node.targets) | names_in(node.value)
                    self._known[node] = frozenset(named), read
                assigned, read = self._known[node]
                return after - assigned | read
            case ast.For():
                self.after[node] = after
                before = self._repeated(node.body, after, names_in(node.target))
                return before | names_in(node.iter)
            case ast.While():
                return self._repeated(node.body, after | names_in(node.test))
            case ast.If():
                both = self.block(node.body, after) | self.block(node.orelse, after)
                return both | names_in(node.test)
            case ast.Return():
                return frozenset(names_in(node))
            case ast.Break() | ast.Continue():
                return self.all
        return after | names_in(node)

    def _repeated(
        self, body: Sequence[ast.stmt], after: Names, given: Collection[str] = ()
    ) -> Names:
        """What is wanted before a loop, which gives some names a value each time: what its body
        wants may come from the body itself."""
        again = after | self.block(body, after).difference(given)
        return again | self.block(body, again).difference(given)


def _named(target: ast.expr) -> Iterable[ast.Name]:
    """The names that an assignment to this gives a value."""
    match target:
        case ast.Name():
            yield target
        case ast.Tuple(elts=parts):
            for part in parts:
                yield from _named(part)


def _read(targets: Sequence[ast.expr]) -> Names:
    """The names that the places on the left of an assignment are made of."""
    nodes = [node for target in targets for node in nodes_of(target)]
    return frozenset(n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
