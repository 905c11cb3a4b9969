"""Taking the arguments of a call apart at speed: one generated function per call structure.

For `step(p, x, lr)` with a dict of two arrays, an array and a float, the function is

    def unpack(a0, a1, a2):
        if not (type(a0) is C0 and tuple(a0) == C1):
            return None
        b0, b1 = a0.values()
        if not (type(a2) is C2):
            return None
        return (b0, b1, a1, a2)

It returns the arrays and numbers in the order of the graph's inputs, or None when the structure,
a static value or the type of a number differs. Arrays are not looked at: the native checker of
the call path does that. No user string enters the source; keys and values are constants `C<i>`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import objects
from .reads import NONE, Hidden
from .signature import ArraySpec, RefusedSpec, ScalarSpec, Spec
from .tree import Container, Shared, TreeDef

Unpack = Callable[..., tuple[Any, ...] | None]

_NUMBERS = {"b": bool, "i": int, "f": float}


def make_unpack(
    arguments: Sequence[TreeDef],
    specs: Sequence[Spec],
    *,
    distinct: bool = False,
    hidden: Hidden = NONE,
) -> Unpack:
    """A function of as many positional arguments as there are structures; `specs` has one entry
    per leaf, from left to right. `distinct`: containers the step may change must be as many objects
    as they were. `hidden`: attributes to pass over."""
    writer = _Writer(specs, hidden)
    for k, treedef in enumerate(arguments):
        writer.visit(treedef, f"a{k}")
    if distinct and len(writer.mutable) > 1:
        ids = ", ".join(f"id({name})" for name in writer.mutable)
        writer.checks.append(f"len({{{ids}}}) == {len(writer.mutable)}")
    writer.flush()
    names = ", ".join(f"a{k}" for k in range(len(arguments)))
    items = "".join(f"{item}, " for item in writer.items).removesuffix(" ")
    source = "\n".join(
        [
            f"def unpack({names}):",
            *(f"    {line}" for line in writer.lines),
            f"    return ({items})",
        ]
    )
    scope: dict[str, Any] = {f"C{k}": value for k, value in enumerate(writer.constants)}
    exec(compile(source, "<tapeless unpack>", "exec"), scope)
    made: Unpack = scope["unpack"]
    return made


class _Writer:
    """Collects checks, assignments and the items of the result while walking the structure."""

    def __init__(self, specs: Sequence[Spec], hidden: Hidden = NONE) -> None:
        self.hidden = hidden
        self.specs = iter(specs)
        self.checks: list[str] = []
        self.lines: list[str] = []
        self.items: list[str] = []
        self.constants: list[Any] = []
        self.names = 0
        self.places = ["arguments"]
        self.mutable: list[str] = []

    def visit(self, treedef: TreeDef, expression: str) -> None:
        if treedef.kind is type(None):
            self.checks.append(f"{expression} is None")
            return
        if treedef.kind is Shared:
            self.checks.append(f"{expression} is {self.places[int(str(treedef.keys[0]))]}")
            return
        self.places.append(expression)
        if treedef.kind is None:
            self._leaf(next(self.specs), expression)
        else:
            self._container(treedef, treedef.kind, expression)

    def flush(self) -> None:
        """Write the pending checks; what follows may rely on them."""
        if self.checks:
            self.lines += [f"if not ({' and '.join(self.checks)}):", "    return None"]
            self.checks = []

    def _leaf(self, spec: Spec, expression: str) -> None:
        if isinstance(spec, ArraySpec):
            if not spec.type.shape:  # the native checker would take a number for a 0-d array
                self._same_type(expression, np.ndarray)
            self.items.append(expression)
            return
        if isinstance(spec, ScalarSpec):
            dtype = spec.type.dtype
            self._same_type(expression, _NUMBERS[dtype.kind] if spec.weak else dtype.type)
            self.items.append(expression)
            if spec.pinned is not None:
                number = expression if isinstance(spec.pinned, int) else f"repr({expression})"
                self.checks.append(f"{number} == {self._constant(spec.pinned)}")
            return
        self._same_type(expression, spec.kind)
        if isinstance(spec, RefusedSpec):
            return  # the step does not use it
        self.checks.append(f"{expression} == {self._constant(spec.value)}")

    def _container(self, treedef: TreeDef, kind: type, expression: str) -> None:
        self._same_type(expression, kind)
        if not issubclass(kind, (tuple, objects.Method)):
            self.mutable.append(expression)
        children = treedef.children
        names = [f"b{self.names + k}" for k in range(len(children))]
        self.names += len(names)
        parts = self._parts(kind, treedef, expression)
        if names:
            self.flush()
            self.lines.append(f"{', '.join(names)}{',' * (len(names) == 1)} = {parts}")
        for child, name in zip(children, names, strict=True):
            self.visit(child, name)

    def _parts(self, kind: Any, treedef: TreeDef, expression: str) -> str:
        """The children as an iterable; dict order and lengths are checked first."""
        if issubclass(kind, dict):
            self.checks.append(f"tuple({expression}) == {self._constant(treedef.keys)}")
            return f"{expression}.values()"
        if issubclass(kind, (list, tuple)):
            self.checks.append(f"len({expression}) == {len(treedef.keys)}")
            return expression
        if issubclass(kind, Container):
            self.checks.append(f"{expression}.tree_static == {self._constant(treedef.static)}")
            return f"{expression}.tree_children"
        plain = kind is not objects.Method and not objects.slots(kind)
        read = f"{self._constant(objects.state)}({expression})"
        state = f"{expression}.__dict__" if plain else read
        hidden = frozenset(name for of, name in self.hidden if of is kind)
        keys = self._constant(treedef.keys)
        if hidden:
            seen = f"tuple([k for k in {state} if k not in {self._constant(hidden)}])"
            self.checks.append(f"{seen} == {keys}")
            return f"[{state}[k] for k in {keys}]"
        self.checks.append(f"tuple({state}) == {keys}")
        return f"{state}.values()"

    def _same_type(self, expression: str, kind: type) -> None:
        self.checks.append(f"type({expression}) is {self._constant(kind)}")

    def _constant(self, value: Any) -> str:
        self.constants.append(value)
        return f"C{len(self.constants) - 1}"
